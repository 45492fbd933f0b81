"""Outputs that appear whole or not at all: written aside, then renamed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shvit_mobile.errors import OutputExists


@contextmanager
def whole(*finals: Path, overwrite: bool = False) -> Iterator[tuple[Path, ...]]:
    """Paths to write to, which become `finals` together when the block ends well and vanish when it does not.

    All of `finals` lie in one folder, which is made if need be. Files and folders (packages) both serve.

    Raises:
        OutputExists: one of `finals` is there already and `overwrite` is not asked for.
    """
    refuse_existing(*finals, overwrite=overwrite)
    folder = finals[0].parent
    made = missing_folders(folder)
    folder.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".shvit-", dir=folder))
    try:
        parts = tuple(aside / final.name for final in finals)
        yield parts
        for part, final in zip(parts, finals, strict=True):
            replace(part, final, aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if not any(final.exists() for final in finals):
            remove_empty(made)


def refuse_existing(*finals: Path, overwrite: bool) -> None:
    """Raises `OutputExists` where one of `finals` is there and `overwrite` is not asked for; ask before the work."""
    there = [final for final in finals if final.exists()]
    if there and not overwrite:
        raise OutputExists(
            f"{there[0]} is already there.",
            why="Nothing is overwritten unasked.",
            hint="Add --overwrite, or choose another folder with --out.",
        )


def missing_folders(folder: Path) -> list[Path]:
    """The folders that are to be made for `folder` to be there, innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def remove_empty(folders: list[Path]) -> None:
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def replace(part: Path, final: Path, aside: Path) -> None:
    """Moves `part` to `final`; a folder cannot be replaced in one step, so the old one is first moved aside."""
    if final.is_dir():
        final.rename(aside / f"{final.name}.old")
    part.replace(final)
