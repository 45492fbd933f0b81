"""Reads the files that users give: regular files only, up to a size, UTF-8 where they are text, plain values in JSON.

A pipe, a device or a folder is refused and never waited for; a file that grows while it is read ends at the limit.
"""

import json
import math
import os
import shlex
import stat
from pathlib import Path
from typing import Any, BinaryIO

from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import ShvitError

# Far above every text that is read: a recipe has some hundred kilobytes.
MAX_TEXT_BYTES = 64 << 20
_MAX_JSON_DEPTH = 64
# Folders that belong to an artifact and hold JSON of their own.
_ARTIFACT_FOLDERS = (".mlpackage", ".aimodel", ".goldens")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def read_bytes(path: AnyPath, *, limit: int, error: type[ShvitError], what: str, parameter: str | None = None) -> bytes:
    """Read a regular file.

    Args:
        path: The file; a symbolic link is followed.
        limit: The most bytes that it may have.
        error: The class of the error.
        what: What the file should be, with its article: "a recipe".
        parameter: The name of the parameter that gave the path, for the error.

    Raises:
        error: If the file cannot be read, is not a regular file, or is larger than `limit`.
    """
    with open_file(path, error=error, what=what, parameter=parameter) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, limit) + 1)
            if data and len(data) > size:  # it grew, or is one of the system's, whose size is always 0
                data += file.read(limit + 1 - len(data)) or b""
        except OSError as reason:
            raise _build_read_error(path, reason, error, what, parameter) from None
    if data and len(data) > limit:
        raise _build_size_error(path, limit, error, what, parameter)
    return data or b""


def read_text(
    path: AnyPath,
    *,
    limit: int = MAX_TEXT_BYTES,
    error: type[ShvitError],
    what: str,
    parameter: str | None = None,
) -> str:
    """Read a regular file of UTF-8 text, with or without a byte order mark; the line ends stay as they are.

    Args: See `read_bytes`.

    Raises:
        error: As `read_bytes`, and if the bytes are not UTF-8.
    """
    data = read_bytes(path, limit=limit, error=error, what=what, parameter=parameter)
    return decode_text(data, str(path), error=error, what=what, parameter=parameter)


def decode_text(data: bytes, source: str, *, error: type[ShvitError], what: str, parameter: str | None = None) -> str:
    """Return the text of UTF-8 bytes that came from `source`, without a byte order mark.

    Raises:
        error: If the bytes are not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        line = data.count(b"\n", 0, reason.start) + 1
        encoding = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "WINDOWS-1252"
        raise error(
            f"{source} is not {what}: line {line} is not UTF-8 text, but has the byte 0x{data[reason.start]:02X}.",
            why="Text is read as UTF-8, whatever the locale.",
            hint=f"Save it as UTF-8, for example: iconv -f {encoding} -t UTF-8 {shlex.quote(source)} > utf8.txt",
            parameter=parameter,
        ) from None


def read_json(
    path: AnyPath,
    *,
    limit: int = MAX_TEXT_BYTES,
    error: type[ShvitError],
    what: str,
    parameter: str | None = None,
) -> Any:
    """Read a regular file of JSON, as `read_text` and `parse_json` do."""
    text = read_text(path, limit=limit, error=error, what=what, parameter=parameter)
    return parse_json(text, str(path), error=error, what=what, parameter=parameter)


def parse_json(text: str, source: str, *, error: type[ShvitError], what: str, parameter: str | None = None) -> Any:
    """Return the value of JSON text that came from `source`.

    Raises:
        error: If the text is not JSON, is nested more than 64 levels deep, or holds NaN, an infinity, an integer of
            more than 64 bits, or half of a character (a lone surrogate).
    """
    try:
        value = json.loads(text)
        _check_json(value, _MAX_JSON_DEPTH - 1)
    except (ValueError, RecursionError) as reason:
        deep = isinstance(reason, RecursionError)
        why = "it is nested too deeply" if deep else str(reason).removesuffix(".")
        raise error(f"{source} is not {what}: {why}.", parameter=parameter) from None
    return value


def open_file(path: AnyPath, *, error: type[ShvitError], what: str, parameter: str | None = None) -> BinaryIO:
    """Open a regular file to read bytes; the caller closes it and limits what it reads.

    Args: See `read_bytes`.

    Raises:
        error: If the file cannot be opened or is not a regular file.
    """
    try:
        # A device may do something when it is opened, so its kind is asked before; and again after, in case it changed.
        _check_kind(path, os.stat(path).st_mode, error, what, parameter)
        # A named pipe would otherwise wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as reason:
        raise _build_read_error(path, reason, error, what, parameter) from None
    file = os.fdopen(descriptor, "rb")
    try:
        _check_kind(path, os.fstat(descriptor).st_mode, error, what, parameter)
    except BaseException:
        file.close()
        raise
    return file


def check_file(path: AnyPath, *, limit: int, error: type[ShvitError], what: str, parameter: str | None = None) -> None:
    """Raise `error` if a file that another library will open cannot be read, is not regular, or is too large."""
    with open_file(path, error=error, what=what, parameter=parameter) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise _build_size_error(path, limit, error, what, parameter)


def list_visible_files(folder: AnyPath) -> list[Path]:
    """Return the regular files in a folder and its subfolders, sorted.

    Hidden files and folders are left out, among them what a killed export left; so is what packages and goldens hold.
    """
    found: list[Path] = []

    def fail(reason: OSError) -> None:
        raise reason

    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".") and not name.endswith(_ARTIFACT_FOLDERS)]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.is_file())


def _check_kind(path: AnyPath, mode: int, error: type[ShvitError], what: str, parameter: str | None) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "not a regular file")
        raise error(f"{path} is {kind}.", why=f"It should be {what}, a regular file.", parameter=parameter)


def _build_read_error(
    path: AnyPath, reason: OSError | ValueError, error: type[ShvitError], what: str, parameter: str | None
) -> ShvitError:
    if isinstance(reason, FileNotFoundError) and not Path(path).is_symlink():
        return error(f"{path} does not exist.", why=f"It should be {what}.", parameter=parameter)
    said = reason.strerror if isinstance(reason, OSError) else None
    if isinstance(reason, FileNotFoundError):
        said = "It is a broken symbolic link"
    return error(f"{path} cannot be read: {said or reason}.", why=f"It should be {what}.", parameter=parameter)


def _check_json(value: Any, depth: int) -> None:
    """Raise `ValueError` or `RecursionError` for what JSON between programs does not carry."""
    if depth < 0:
        raise RecursionError
    match value:
        case str():
            if not value.isascii():
                value.encode()
        case float():
            if not math.isfinite(value):
                raise ValueError(f"it contains the number {value}")
        case int():
            if value.bit_length() > 64:
                raise ValueError("it contains an integer of more than 64 bits")
        case dict():
            for key, member in value.items():
                _check_json(key, depth)
                _check_json(member, depth - 1)
        case list():
            for member in value:
                _check_json(member, depth - 1)


def _build_size_error(
    path: AnyPath, limit: int, error: type[ShvitError], what: str, parameter: str | None
) -> ShvitError:
    power, unit = next((pair for pair in ((30, "GiB"), (20, "MiB"), (10, "KiB")) if limit >> pair[0]), (0, "bytes"))
    why = f"It should be {what}, and none is that large."
    return error(f"{path} is larger than {limit / (1 << power):g} {unit}.", why=why, parameter=parameter)
