"""Installations that lack some packages, made of links to those of this one."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]


def link_installation(folder: Path, keep: Callable[[str], bool]) -> Path:
    """Link the project and the installed packages that `keep` accepts by name (`onnx`, `onnx-1.20.0.dist-info`)."""
    folder.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if keep(entry.name) and entry.suffix != ".pth":
            (folder / entry.name).symlink_to(entry)
    own = folder / "shvit_mobile"
    own.mkdir()
    for entry in (*(ROOT / "shvit_mobile").iterdir(), ROOT / "cli", ROOT / "schemas"):
        (own / entry.name).symlink_to(entry)
    return folder


def run_python(installation: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run this Python in `folder` with the packages of an installation, and no others."""
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installation)},
        capture_output=True,
        check=False,
        encoding="utf-8",
    )


def call(installation: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `shvit-mobile` in an installation."""
    program = "from shvit_mobile.cli.start import main; main()"
    return run_python(installation, "-c", program, *arguments, folder=folder)
