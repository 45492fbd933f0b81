"""Checks of the installation say what is wrong and what to install."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from shvit_mobile.runtimes.installation import (
    EXECUTORCH_SETS,
    InstallationCheck,
    check_engine,
    check_executorch_set,
    check_package,
)


def test_a_check_says_what_to_install() -> None:
    absent = check_package("no-such-package", ">=2", lambda *_, **__: True)
    assert absent == InstallationCheck(
        "no-such-package", "not installed", ">=2", False, "Try: pip install 'no-such-package>=2'"
    )
    other = check_package("rich", "<1", lambda *_, **__: False)
    assert not other.good
    assert other.hint == "Try: pip install 'rich<1'"

    def broken() -> str:
        raise ImportError("libsomething.so: cannot open\nmore")

    assert check_engine("engine", broken).found == "ImportError: libsomething.so: cannot open"
    assert not check_engine("engine", broken).good


def test_versions_that_do_not_work_together_are_named_with_a_set_that_does() -> None:
    declared, newer = EXECUTORCH_SETS
    assert check_executorch_set(*declared).good
    assert check_executorch_set(declared[0], f"{declared[1]}+cpu", declared[2]).good
    wrong = check_executorch_set(newer[0], "2.12.0", newer[2])
    assert not wrong.good
    assert wrong.hint == f"Try: pip install executorch=={newer[0]} torch=={newer[1]} torchao=={newer[2]}"
    unknown = check_executorch_set("9.9.9", "2.13.0", "0.18.0")
    assert not unknown.good
    assert f"executorch=={declared[0]}" in unknown.hint


def test_the_declared_versions_are_a_set_that_works() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (*project["dependencies"], *project["optional-dependencies"]["executorch"])
    declared = {one.name: str(one.specifier) for one in map(Requirement, lines)}
    pins = tuple(declared[package].removeprefix("==") for package in ("executorch", "torch", "torchao"))
    assert pins == EXECUTORCH_SETS[0]
