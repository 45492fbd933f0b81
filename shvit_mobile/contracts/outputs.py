"""Atomic outputs: files and folders are written to a temporary place, then renamed."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from shvit_mobile.errors import OutputExists

_NO_FOLDERS: Mapping[Path, str] = MappingProxyType({})


@contextmanager
def write_atomically(
    *paths: Path, folders: Mapping[Path, str] = _NO_FOLDERS, overwrite: bool = False
) -> Iterator[tuple[Path, ...]]:
    """Yield temporary paths that move to `paths` when the block succeeds and are deleted when it fails.

    All of `paths` are in one folder, which is created.

    Args:
        paths: Files and folders (packages) to write.
        folders: Those of `paths` that are folders, each with the name of a file that every folder of its kind
            contains.
        overwrite: Replace existing outputs. A file replaces only files, a folder only folders of its kind.

    Raises:
        OutputExists: If one of `paths` exists and must not be replaced.
    """
    check_overwrite(*paths, folders=folders, overwrite=overwrite)
    folder = paths[0].parent
    missing = list_missing_folders(folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporary_folder = Path(tempfile.mkdtemp(prefix=".shvit-", dir=folder))
    try:
        parts = tuple(temporary_folder / path.name for path in paths)
        yield parts
        for part, path in zip(parts, paths, strict=True):
            _move_into_place(part, path, temporary_folder)
    finally:
        shutil.rmtree(temporary_folder, ignore_errors=True)
        if not any(path.exists() for path in paths):
            remove_folders_if_empty(missing)


def check_overwrite(*paths: Path, folders: Mapping[Path, str] = _NO_FOLDERS, overwrite: bool) -> None:
    """Raise `OutputExists` if `write_atomically` would; call it before expensive work."""
    existing = [path for path in paths if path.exists()]
    for path in existing:
        _check_replaceable(path, folders.get(path))
    if existing and not overwrite:
        raise OutputExists(
            f"{existing[0]} already exists.",
            why="Existing files are replaced only if you ask for it.",
            hint="Set `overwrite=True`, or choose another `out`.",
            parameter="overwrite",
        )


def _check_replaceable(existing: Path, marker_name: str | None) -> None:
    """Raise `OutputExists` if an existing path is not of the kind that is written.

    Args:
        existing: A path that exists.
        marker_name: The name of a file in every folder of the kind to write; None to write a file.
    """
    if marker_name is None and existing.is_dir():
        raise OutputExists(
            f"{existing} is a folder.",
            why="The output is one file, and a file never replaces a folder.",
            hint=f"Name a file in it: {existing / 'NAME'}",
        )
    if marker_name is None and not existing.is_file():
        raise OutputExists(
            f"{existing} is not a regular file.", why="Only regular files are replaced.", hint="Choose another path."
        )
    if marker_name is not None and not existing.is_dir():
        raise OutputExists(
            f"{existing} is a file.",
            why="The output is a folder, and a folder never replaces a file.",
            hint="Move the file away, or choose another path.",
        )
    if marker_name is not None and not (existing / marker_name).is_file() and any(existing.iterdir()):
        raise OutputExists(
            f"{existing} is a folder of another kind: it contains no {marker_name}.",
            why="shvit-mobile replaces only folders of the kind that it writes.",
            hint="Move it away, or choose another path.",
        )


def list_missing_folders(folder: Path) -> list[Path]:
    """Return `folder` and its parents that do not exist, innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def remove_folders_if_empty(folders: list[Path]) -> None:
    """Remove folders, innermost first, up to the first that is not empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _move_into_place(temporary: Path, final: Path, temporary_folder: Path) -> None:
    """Move `temporary` to `final`.

    A folder cannot be replaced in one step, so the old one first moves to `temporary_folder`. The system refuses to
    move a file over a folder, should one appear after `check_overwrite`.
    """
    if temporary.is_dir() and final.is_dir():
        final.rename(temporary_folder / f"{final.name}.old")
    temporary.replace(final)
