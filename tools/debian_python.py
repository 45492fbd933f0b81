"""Prints the path of Debian 13's Python 3.13, which it downloads on first use.

    python tools/debian_python.py

apt downloads and verifies its packages from the configured mirrors, 21 MB. They are unpacked into a cache folder of
65 MB (set $SHVIT_PYTHON313 to choose another one); installed packages do not change. Its C library is newer than that
of many machines, so `python3.13` is a script that starts the interpreter with the libraries beside it. The script gives
the interpreter its own path, so virtual environments and the processes that a program starts work as usual.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "ios"))
import swift

from shvit_mobile.cache import resolve_cache_folder
from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.errors import ShvitError, ToolMissing
from shvit_mobile.processes import InstallFailed, format_last_error

FOLDER_VARIABLE = "SHVIT_PYTHON313"
PACKAGES = ("python3.13-venv", "libstdc++6")
PYTHON = "usr/bin/python3.13"
_INTERPRETER = "usr/lib/python3.13-interpreter"
_SYSTEM_WHEELS = "/usr/share/python-wheels/"
_FAILURE = (
    "apt cannot download Python 3.13.",
    f"It is in Debian 13 ({swift.RELEASE}), and comes from apt's configured mirrors.",
)


def install_python() -> Path:
    """Return the path of the interpreter; download and unpack it atomically if needed.

    Raises:
        ToolMissing, InstallFailed: If it cannot be installed.
    """
    folder = resolve_cache_folder(FOLDER_VARIABLE, "python-3.13")
    if folder.exists():
        return folder / PYTHON
    if missing := [tool for tool in ("apt-get", "dpkg-deb") if not shutil.which(tool)]:
        raise ToolMissing(
            f"There is no {' and no '.join(missing)} to install Python 3.13.",
            why=f"The packages of Debian 13 ({swift.RELEASE}) are used.",
            hint="Install Python 3.13, and name it: make test-python313 PYTHON313=python3.13",
        )
    print(f"Unpacking Python 3.13 into {folder}", file=sys.stderr)
    downloads = folder.with_name(f"{folder.name}.downloads")
    with write_atomically(folder, overwrite=True) as (part,):
        swift.unpack(swift.download_packages(downloads, PACKAGES, _FAILURE), part, unused=("usr/share/doc",))
        write_launcher(part, folder)
    shutil.rmtree(downloads, ignore_errors=True)
    check_starts(folder)
    return folder / PYTHON


def write_launcher(root: Path, final: Path) -> None:
    """Put a script in the place of the interpreter in `root`, which will be called `final`, and correct its paths."""
    (root / PYTHON).rename(root / _INTERPRETER)
    (loader,) = (root / "usr/lib").glob("*-linux-gnu/ld-linux-*.so.*")
    libraries = final / loader.parent.relative_to(root)
    (root / PYTHON).write_text(
        "#!/bin/sh\n"
        f'exec "{libraries / loader.name}" --library-path "{libraries}" --argv0 "$0" "{final / _INTERPRETER}" "$@"\n',
        encoding="utf-8",
    )
    (root / PYTHON).chmod(0o755)
    # Where Debian's ensurepip finds pip.
    for data in (root / "usr/lib/python3.13").glob("_sysconfigdata_*.py"):
        if not data.is_symlink():
            text = data.read_text(encoding="utf-8")
            data.write_text(text.replace(f"'{_SYSTEM_WHEELS}'", repr(f"{final}{_SYSTEM_WHEELS}")), encoding="utf-8")


def check_starts(folder: Path) -> None:
    """Remove the folder and raise `InstallFailed` if its Python does not start."""
    program = "import ssl, sqlite3, sys; print(*sys.version_info[:2])"
    result = subprocess.run(
        [folder / PYTHON, "-I", "-c", program], capture_output=True, check=False, encoding="utf-8", errors="replace"
    )
    if result.stdout != "3 13\n":
        shutil.rmtree(folder)
        raise InstallFailed("Debian's Python 3.13 does not start here.", why=format_last_error(result))


def main() -> None:
    try:
        print(install_python())
    except ShvitError as reason:
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
