"""SHA-256 and size of files and of folders; the SHA-256 identifies every checkpoint and artifact."""

import errno
import hashlib
import os
from pathlib import Path

from shvit_mobile.contracts.paths import AnyPath

_CHUNK_BYTES = 1 << 20


def compute_sha256(path: AnyPath) -> str:
    """Compute the SHA-256 of a file, or of a folder: of its files' relative names, sizes and bytes, sorted by name.

    Returns:
        64 hexadecimal digits.

    Raises:
        OSError: If `path` does not exist, or is neither a regular file nor a folder.
    """
    path = Path(path)
    digest = hashlib.sha256()
    for file in _list_files(path) if path.is_dir() else [path]:
        if file.exists() and not file.is_file():
            raise OSError(errno.EINVAL, "It is not a regular file", str(file))  # a pipe or a device may never end
        with file.open("rb") as opened:
            if file != path:
                name, size = file.relative_to(path).as_posix(), os.fstat(opened.fileno()).st_size
                digest.update(os.fsencode(name) + f"\0{size}\0".encode())
            while chunk := opened.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def compute_size_bytes(path: AnyPath) -> int:
    """Compute the size of a file, or of all files in a folder, in bytes."""
    path = Path(path)
    return sum(file.stat().st_size for file in (_list_files(path) if path.is_dir() else [path]))


def _list_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
