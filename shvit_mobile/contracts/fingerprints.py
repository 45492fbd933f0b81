"""SHA-256 of files and of packages that are folders, the identity of every checkpoint and artifact."""

from __future__ import annotations

import hashlib
from pathlib import Path

from shvit_mobile.contracts.paths import AnyPath


def compute_sha256(path: AnyPath) -> str:
    """The SHA-256 of a file, or of a folder: over its files' relative names, lengths and bytes, sorted by name.

    Returns:
        64 hexadecimal digits.

    Raises:
        FileNotFoundError: there is nothing at `path`.
    """
    path = Path(path)
    if not path.is_dir():
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def compute_size_bytes(path: AnyPath) -> int:
    """The bytes of a file, or of all files in a folder."""
    path = Path(path)
    if not path.is_dir():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
