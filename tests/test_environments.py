"""An environment is installed completely or not at all, runs in a process of its own, and says how to install it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest

from shvit_mobile.environments import ENVIRONMENTS, Environment, install_environment
from shvit_mobile.errors import ToolMissing
from shvit_mobile.processes import InstallFailed
from shvit_mobile.runtimes.installation import check_environment


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment with one package, which pip finds in a folder, and another version of one that is installed."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("only_here", "jinja2"):
        with ZipFile(wheels / f"{name}-0.1-py3-none-any.whl", "w") as wheel:
            info = f"{name}-0.1.dist-info"
            wheel.writestr(f"{name}/__init__.py", "VALUE = 18\n")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    check = "import only_here; assert only_here.VALUE == 18"
    return Environment("small", "tests this", ("only-here==0.1", "jinja2==0.1"), (), check, "1 kB")


def test_its_packages_come_first_and_the_projects_own_are_there(small: Environment) -> None:
    with pytest.raises(ToolMissing, match=r"(?s)'small' is not installed.*shvit-mobile doctor --install small"):
        small.run(["-c", ""])
    assert install_environment(small) == small.folder
    assert (small.folder / "only_here/__init__.py").exists()
    script = "import json, jinja2, numpy, only_here, sys; print(json.dumps([jinja2.VALUE, numpy.__name__, sys.argv]))"
    completed = small.run(["-c", script, "argument"])
    assert json.loads(completed.stdout) == [18, "numpy", ["-c", "argument"]]
    assert small.run(["-c", "raise SystemExit(5)"]).returncode == 5
    assert check_environment(small).good
    (small.folder / "only_here/__init__.py").write_text("VALUE = 0\n", encoding="utf-8")
    assert "AssertionError" in check_environment(small).found
    assert not check_environment(small).good


def test_what_does_not_install_or_run_leaves_nothing(small: Environment) -> None:
    with pytest.raises(InstallFailed, match="pip cannot install the environment 'small'"):
        install_environment(replace(small, requirements=("no-such-package==1",)))
    with pytest.raises(InstallFailed, match=r"(?s)do not work.*ZeroDivisionError"):
        install_environment(replace(small, check="1 / 0"))
    assert not small.folder.parent.exists() or not list(small.folder.parent.iterdir())
    assert "doctor --install small" in check_environment(small).found


def test_every_package_of_every_environment_has_its_version() -> None:
    for name, environment in ENVIRONMENTS.items():
        assert environment.name == name
        assert all(re.fullmatch(r"[\w.-]+==[\w.]+", one) for one in environment.requirements)
