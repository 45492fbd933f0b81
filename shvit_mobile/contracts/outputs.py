"""Atomic outputs: files and folders are written to a temporary place, then published together under a lock.

The last path of a set is the one without which the others count for nothing: an artifact's manifest. It is the first
that leaves and the last that comes, so whatever ends the process, a set with a manifest is a whole set.
"""

import errno
import os
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, MappingProxyType

from shvit_mobile.errors import OutputExists, UnwritableOutput

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Windows has no SIGHUP.
END_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

_PREFIX = ".shvit-"
_STAGING_NAME = re.compile(re.escape(_PREFIX) + "[a-z0-9_]{8}")  # as tempfile forms names
_ATTEMPTS = 100
_NO_FOLDERS: Mapping[Path, str] = MappingProxyType({})
# What the system says about the disk, where the file's name is not in the error.
_DISK_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


@contextmanager
def write_atomically(
    *paths: Path,
    folders: Mapping[Path, str] = _NO_FOLDERS,
    obsolete: Collection[Path] = (),
    overwrite: bool = False,
) -> Iterator[tuple[Path, ...]]:
    """Yield temporary paths that move to `paths` when the block succeeds and are deleted when it fails.

    All of `paths` are in one folder, which is created. The last of them, without which the others count for nothing, is
    published last.

    Args:
        paths: Files and folders (packages) to write.
        folders: Those of `paths` that are folders, each with the name of a file that every folder of its kind
            contains.
        obsolete: Files of an older set, beside `paths`, that the new set does not have; they are removed.
        overwrite: Replace existing outputs. A file replaces only files, a folder only folders of its kind.

    Raises:
        OutputExists: If one of `paths` exists and must not be replaced, or appears before the block ends.
        UnwritableOutput: If the folder cannot be created or written, or the disk is full.
    """
    _check_existing(paths, folders, overwrite=overwrite)
    folder = paths[0].parent
    missing = list_missing_folders(folder)
    with name_unwritable(paths[-1]):
        staging, lock = _create_staging(folder)
    try:
        parts = tuple(staging / path.name for path in paths)
        with name_unwritable(paths[0], within=staging):
            yield parts
        with name_unwritable(paths[-1]), defer_signals(), lock_folder(folder):
            _check_existing(paths, folders, overwrite=overwrite)
            _publish(parts, paths, obsolete, staging / f"{_PREFIX}old")
    finally:
        with defer_signals():
            shutil.rmtree(staging, ignore_errors=True)
            _unlock(lock)
            if not any(path.exists() for path in paths):
                remove_folders_if_empty(missing)


def check_overwrite(*paths: Path, folders: Mapping[Path, str] = _NO_FOLDERS, overwrite: bool) -> None:
    """Raise `OutputExists` or `UnwritableOutput` if `write_atomically` would; call it before expensive work."""
    _check_existing(paths, folders, overwrite=overwrite)
    for folder in dict.fromkeys(path.parent for path in paths):
        check_writable(folder)


def check_writable(folder: Path, *, parameter: str = "out") -> None:
    """Raise `UnwritableOutput` if nothing can be written into `folder`, or if it cannot be created.

    A folder is created in it, or in the nearest that exists, and removed again: only then is it certain what the system
    grants. The error names `parameter`.
    """
    nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
    with name_unwritable(folder, parameter=parameter):
        os.rmdir(tempfile.mkdtemp(prefix=_PREFIX, dir=nearest))


def _check_existing(paths: Sequence[Path], folders: Mapping[Path, str], *, overwrite: bool) -> None:
    existing = []
    for path in paths:
        with name_unwritable(path), suppress(FileNotFoundError):
            path.lstat()
            existing.append(path)
    for path in existing:
        _check_replaceable(path, folders.get(path))
    if existing and not overwrite:
        raise OutputExists(
            f"{existing[0]} already exists.",
            why="Existing files are replaced only if you ask for it.",
            hint="Set `overwrite=True`, or choose another `out`.",
            parameter="overwrite",
        )


@contextmanager
def name_unwritable(path: Path, *, within: Path | None = None, parameter: str = "out") -> Iterator[None]:
    """Raise an `OSError` of the block as `UnwritableOutput` that names `path`.

    Args:
        path: What was to be written.
        within: Convert only errors about files in this folder, and about the disk (default: all).
        parameter: The parameter that chose the path.
    """
    try:
        yield
    except OSError as reason:
        named = reason.filename2 or reason.filename
        inside = isinstance(named, str) and within is not None and Path(named).is_relative_to(within)
        if within is not None and not inside and (named is not None or reason.errno not in _DISK_ERRNOS):
            raise
        raise UnwritableOutput(
            f"{path} cannot be written: {reason.strerror or reason}.",
            hint=f"Choose another `{parameter}`.",
            parameter=parameter,
        ) from reason


@contextmanager
def defer_signals() -> Iterator[None]:
    """Let the signals that end a program wait until the block ends, where Python handles them."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python's handlers run in the main thread only
        return
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)

    handlers = {number: signal.getsignal(number) for number in END_SIGNALS}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in handlers:
            signal.signal(number, remember)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in received[:1]:
            signal.raise_signal(number)


def list_missing_folders(folder: Path) -> list[Path]:
    """Return `folder` and its parents that do not exist, innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def remove_folders_if_empty(folders: list[Path]) -> None:
    """Remove folders, innermost first, up to the first that is not empty.

    Each is locked meanwhile, so that no other process is about to write into it.
    """
    with suppress(OSError):
        for folder in folders:
            with lock_folder(folder) as lock:
                _check_lock(lock, folder)
                folder.rmdir()


def _publish(parts: Sequence[Path], paths: Sequence[Path], obsolete: Collection[Path], old: Path) -> None:
    """Move `parts` to `paths`; what is there, and what is obsolete, first moves to the new folder `old`.

    After an error everything is where it was.
    """
    obsolete = [path for path in obsolete if os.path.lexists(path)]
    if len(parts) == 1 and not parts[0].is_dir() and not obsolete:
        parts[0].replace(paths[0])
        return
    if len(parts) > 1:
        for part in parts:
            _sync(part)
    moves = [(path, old / path.name) for path in (*reversed(paths), *obsolete) if os.path.lexists(path)]
    moves += zip(parts, paths, strict=True)
    done: list[tuple[Path, Path]] = []
    old.mkdir()
    try:
        for source, final in moves:
            source.rename(final)
            done.append((source, final))
    except BaseException:
        for source, final in reversed(done):
            final.rename(source)
        raise
    if len(parts) > 1:
        _sync(paths[-1].parent, members=False)


def _create_staging(folder: Path) -> tuple[Path, int | None]:
    """Create `folder` and a temporary folder in it; return that and its lock, which the process holds until it dies.

    Temporary folders that nobody holds are removed: a killed process left them.
    """
    for attempt in range(_ATTEMPTS):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with lock_folder(folder) as lock:
                _check_lock(lock, folder)
                _remove_stale(folder)
                staging = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
                return staging, _lock(staging, wait=False)
        except (FileNotFoundError, FileExistsError):
            # Another process, which failed, removed the folder that it had created: before the lock, or while mkdir
            # looked whether what exists is a folder.
            if attempt == _ATTEMPTS - 1 or (os.path.lexists(folder) and not folder.is_dir()):
                raise
    raise AssertionError


def _remove_stale(folder: Path) -> None:
    """Remove the temporary folders of processes that are dead."""
    with suppress(OSError), os.scandir(folder) as entries:
        found = [Path(entry) for entry in entries if _STAGING_NAME.fullmatch(entry.name)]
        for path in found:
            if not path.is_symlink() and (lock := _lock(path, wait=False)) is not None:
                shutil.rmtree(path, ignore_errors=True)
                _unlock(lock)


@contextmanager
def lock_folder(folder: Path) -> Iterator[int | None]:
    """Hold the lock of a folder, which one process at a time can hold, and yield it.

    Where the system has no locks, None is yielded.
    """
    lock = _lock(folder, wait=True)
    try:
        yield lock
    finally:
        _unlock(lock)


def _lock(folder: Path, *, wait: bool) -> int | None:
    """Return the lock of a folder; None if another process holds it, or if the system has none for it.

    Raises:
        FileNotFoundError: If there is no folder to wait for.
    """
    if fcntl is None:
        return None
    descriptor = None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as reason:
        _unlock(descriptor)
        if wait and isinstance(reason, FileNotFoundError):
            raise
        return None
    return descriptor


def _check_lock(lock: int | None, folder: Path) -> None:
    """Raise `FileNotFoundError` if a lock is of a folder that was removed, even if there is a new one of its name."""
    if lock is not None and not os.path.samestat(os.fstat(lock), folder.stat()):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def _sync(path: Path, *, members: bool = True) -> None:
    """Have the system write a file, or a folder with its members, to the disk, where it can."""
    if members and path.is_dir():
        for member in path.iterdir():
            _sync(member)
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
