"""The two packages that are built from this repository agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from shvit_mobile.quiet import REQUIREMENTS
from shvit_mobile.versions import VERSION

ROOT = Path(__file__).parents[1]
TARGETS = ("onnx", "executorch", "coreml", "all")


def read_project(folder: str) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def test_the_plain_package_requires_all_of_the_core() -> None:
    core, plain = read_project("."), read_project("packaging/shvit-mobile")
    assert plain["version"] == VERSION
    assert plain["dependencies"] == [f"{core['name']}[all]=={VERSION}"]
    assert core["optional-dependencies"]["all"] == [f"{core['name']}[{','.join(TARGETS[:-1])}]"]
    extras = {name: [f"{core['name']}[{name}]"] for name in core["optional-dependencies"] if name not in TARGETS}
    assert plain["optional-dependencies"] == extras
    for field in ("description", "requires-python", "license"):
        assert plain[field] == core[field]


def test_what_errors_tell_to_install_is_what_the_core_declares() -> None:
    core = read_project(".")
    declared = {line for lines in core["optional-dependencies"].values() for line in lines}
    for requirement in REQUIREMENTS.values():
        extra = re.fullmatch(rf"'{core['name']}\[(\w+)\]'", requirement)
        assert extra[1] in core["optional-dependencies"] if extra else requirement in declared


def test_the_makefile_resolves_every_extra() -> None:
    (line,) = re.findall(r"^EXTRAS := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(line.split()) == set(read_project(".")["optional-dependencies"])


def test_every_folder_with_code_is_in_the_wheel() -> None:
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    own = {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in (ROOT / "shvit_mobile").rglob("*.py")}
    moved = set(setup["package-dir"])
    assert set(setup["packages"]) == {name for name in own if not name.startswith(tuple(moved))} | moved
