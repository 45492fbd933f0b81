"""Debian's Python starts from its folder on a machine with another C library."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import debian_python
import pytest

from shvit_mobile.errors import ToolMissing

INTERPRETER = '#!/bin/sh\necho "$@"\n'


def build_root(root: Path) -> None:
    """A root directory whose loader prints how it was called."""
    loader = root / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    for path, text in ((loader, INTERPRETER), (root / debian_python.PYTHON, "the interpreter")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
    data = root / "usr/lib/python3.13/_sysconfigdata_x.py"
    data.parent.mkdir()
    data.write_text("{'WHEEL_PKG_DIR': '/usr/share/python-wheels/'}", encoding="utf-8")


@pytest.mark.skipif(os.name != "posix", reason="the launcher is a shell script")
def test_the_launcher_gives_the_interpreter_its_own_path_and_its_libraries(tmp_path: Path) -> None:
    part, final = tmp_path / "part", tmp_path / "a folder"
    build_root(part)
    debian_python.write_launcher(part, final)
    part.rename(final)
    link = tmp_path / "python"  # as in a virtual environment
    link.symlink_to(final / debian_python.PYTHON)
    done = subprocess.run([link, "-c", "a b"], capture_output=True, check=True, encoding="utf-8")
    libraries = final / "usr/lib/x86_64-linux-gnu"
    interpreter = final / "usr/lib/python3.13-interpreter"
    assert done.stdout == f"--library-path {libraries} --argv0 {link} {interpreter} -c a b\n"
    assert interpreter.read_text(encoding="utf-8") == "the interpreter"
    data = (final / "usr/lib/python3.13/_sysconfigdata_x.py").read_text(encoding="utf-8")
    assert data == f"{{'WHEEL_PKG_DIR': '{final}/usr/share/python-wheels/'}}"


def test_without_apt_the_error_names_the_missing_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(debian_python.FOLDER_VARIABLE, str(tmp_path / "python"))
    with pytest.raises(ToolMissing, match="no apt-get and no dpkg-deb"):
        debian_python.install_python()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="the interpreter is a shell script")
def test_a_python_that_does_not_start_is_removed(tmp_path: Path) -> None:
    build_root(tmp_path / "python")
    (tmp_path / "python" / debian_python.PYTHON).write_text("#!/bin/sh\necho broken >&2; exit 1\n", encoding="utf-8")
    with pytest.raises(debian_python.InstallFailed, match=r"does not start here\.\n.* said: broken"):
        debian_python.check_starts(tmp_path / "python")
    assert not (tmp_path / "python").exists()
