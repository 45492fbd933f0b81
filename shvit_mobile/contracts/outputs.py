"""Outputs that appear whole or not at all: written aside, then renamed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from shvit_mobile.errors import OutputExists

NO_FOLDERS: Mapping[Path, str] = MappingProxyType({})


@contextmanager
def write_atomically(
    *paths: Path, folders: Mapping[Path, str] = NO_FOLDERS, overwrite: bool = False
) -> Iterator[tuple[Path, ...]]:
    """Paths to write to, which become `finals` together when the block ends well and vanish when it does not.

    All of `finals` lie in one folder, which is made if need be.

    Args:
        finals: files, and folders (packages).
        folders: which of them are folders, each with the name of a file that is in every folder of its kind.
        overwrite: replace what is there. A file replaces files only, a folder replaces folders of its kind only.

    Raises:
        OutputExists: one of `finals` is there and must not be replaced.
    """
    check_overwrite(*paths, folders=folders, overwrite=overwrite)
    folder = paths[0].parent
    made = list_missing_folders(folder)
    folder.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".shvit-", dir=folder))
    try:
        parts = tuple(aside / final.name for final in paths)
        yield parts
        for part, final in zip(parts, paths, strict=True):
            move_into_place(part, final, aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if not any(final.exists() for final in paths):
            remove_folders_if_empty(made)


def check_overwrite(*paths: Path, folders: Mapping[Path, str] = NO_FOLDERS, overwrite: bool) -> None:
    """Raises `OutputExists` where `write_atomically` would; ask before the work."""
    there = [final for final in paths if final.exists()]
    for final in there:
        check_replaceable(final, folders.get(final))
    if there and not overwrite:
        raise OutputExists(
            f"{there[0]} is already there.",
            why="Nothing is overwritten unasked.",
            hint="Add --overwrite, or choose another folder with --out.",
        )


def check_replaceable(existing: Path, marker_name: str | None) -> None:
    """Raises `OutputExists` where something is not of the kind that is to be written, so that nothing may replace it.

    Args:
        there: a path that exists.
        inside: the name of a file that is in every folder of the kind to write; None where a file is to be written.
    """
    if marker_name is None and existing.is_dir():
        raise OutputExists(
            f"{existing} is a folder.",
            why="One file is to be written, and a file never replaces a folder.",
            hint=f"Name a file in it: {existing / 'NAME'}",
        )
    if marker_name is None and not existing.is_file():
        raise OutputExists(f"{existing} is not a regular file.", why="Only files are replaced.", hint="Name another.")
    if marker_name is not None and not existing.is_dir():
        raise OutputExists(
            f"{existing} is a file.",
            why="A folder is to be written, and a folder never replaces a file.",
            hint="Move it away, or choose another place.",
        )
    if marker_name is not None and not (existing / marker_name).is_file() and any(existing.iterdir()):
        raise OutputExists(
            f"{existing} is a folder of another kind: there is no {marker_name} in it.",
            why="shvit-mobile replaces only such folders as it writes.",
            hint="Move it away, or choose another place.",
        )


def list_missing_folders(folder: Path) -> list[Path]:
    """The folders that are to be made for `folder` to be there, innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def remove_folders_if_empty(folders: list[Path]) -> None:
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def move_into_place(temporary: Path, final: Path, temporary_folder: Path) -> None:
    """Moves `part` to `final`; a folder cannot be replaced in one step, so the old one is first moved aside.

    A file is not moved over a folder: the system refuses that, should the folder have come after `check_overwrite`.
    """
    if temporary.is_dir() and final.is_dir():
        final.rename(temporary_folder / f"{final.name}.old")
    temporary.replace(final)
