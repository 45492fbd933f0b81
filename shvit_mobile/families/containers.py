"""Checkpoint files: reading of their content, by their first bytes and without executing code from the file."""

import codecs
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch

from shvit_mobile.errors import BadCheckpoint, get_first_line
from shvit_mobile.families.plain_pickle import RefusedCode, UnreadablePickle, read_pickle, read_torch_zip
from shvit_mobile.images.class_names import format_list

# The largest SHViT has 66 MB in float32; with optimizer and averages, its training state has about 270 MB.
MAX_CHECKPOINT_BYTES = 2 * 1024**3
# A SHViT has 439 tensors at most, a training state ten times as many.
_MAX_HEADER_BYTES, _MAX_TENSORS = 16 * 1024**2, 50_000

DOWNLOAD_AGAIN_HINT = "Copy or download it again."
_SAVE_WEIGHTS_HINT = "Save only the weights: torch.save(model.state_dict(), 'weights.pth')"

# The first bytes (in lower case) of files that are often mistaken for checkpoints; what each is, and what to do.
_LOOKALIKES: tuple[tuple[tuple[bytes, ...], str, str], ...] = (
    (
        (b"<!doctype", b"<html", b"<?xml", b"<head"),
        "a web page",
        "The download returned an error or a login page. Download the file itself, and check its size.",
    ),
    ((b"version https://git-lfs",), "a Git LFS pointer, not the file it points to", "Try: git lfs pull"),
    ((b"\x1f\x8b", b"bzh", b"\xfd7zxz", b"7z\xbc\xaf"), "compressed", "Unpack it first."),
    ((b"\x89hdf",), "an HDF5 file", "Keras and TensorFlow write these files. Use a PyTorch state dict."),
)


_EXPORTED_PROGRAM_FILES = ("serialized_exported_program.json", "archive_format", "model.json")


@dataclass(frozen=True)
class CheckpointContents:
    """What a file holds: any plain value, and the metadata, which only safetensors has."""

    payload: object
    metadata: Mapping[str, str] = field(default_factory=dict)


def parse_checkpoint_file(data: bytes, name: str) -> CheckpointContents:
    """Parse the bytes of a .pth or .safetensors file, whatever its suffix.

    Args:
        data: The whole file.
        name: The file's name in errors.

    Returns:
        Its content: tensors on the CPU, numbers, texts and containers; objects of unknown classes are `OpaqueObject`s.

    Raises:
        BadCheckpoint: If it is not such a file, is damaged, or would run code.
    """
    if not data:
        raise BadCheckpoint(f"{name} is empty.", why="It has 0 bytes.", hint=DOWNLOAD_AGAIN_HINT)
    beginning = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginnings, what, hint in _LOOKALIKES:
        if beginning.startswith(beginnings):
            raise BadCheckpoint(f"{name} is {what}.", why="Checkpoints are .pth or .safetensors files.", hint=hint)
    if data[8:9] == b"{" and not _is_text(data[:8]):
        return _parse_safetensors(data, name)
    if data.startswith(b"PK\x03\x04"):
        return CheckpointContents(_parse_torch_zip(data, name))
    if data[0] == 0x80 and data[1:2] <= b"\x05":
        return CheckpointContents(_parse_pickle(data, name))
    nature = "it is text" if _is_text(data[:512]) else f"it starts with the bytes {data[:8].hex(' ')}"
    raise BadCheckpoint(
        f"{name} is not a checkpoint: {nature}.",
        why="Checkpoints are .pth files (written by torch.save) or .safetensors files.",
    )


def _is_text(data: bytes) -> bool:
    """Return whether the bytes are UTF-8 without control characters; the last character may be cut."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)


def split_safetensors(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header of safetensors, and the bytes of its tensors."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def _parse_safetensors(data: bytes, name: str) -> CheckpointContents:
    length = int.from_bytes(data[:8], "little")
    if _MAX_HEADER_BYTES < length <= len(data):
        raise BadCheckpoint(
            f"{name} has a header of {length / 1024**2:.0f} MiB.",
            why=f"A SHViT's has less than one; at most {_MAX_HEADER_BYTES >> 20} MiB are read.",
        )
    try:
        header, _ = split_safetensors(data)
        if len(header) > _MAX_TENSORS:
            raise build_too_many_error(len(header), name)
        tensors = safetensors.torch.load(data)
    except BadCheckpoint:
        raise
    except Exception as reason:  # SafetensorError, but also KeyError for dtypes that torch has not
        raise BadCheckpoint(
            f"{name} is a damaged safetensors file: {get_first_line(reason)}.",
            why="It may be cut short.",
            hint=DOWNLOAD_AGAIN_HINT,
        ) from None
    return CheckpointContents(tensors, dict(header.get("__metadata__") or {}))


def build_too_many_error(count: int, name: str) -> BadCheckpoint:
    """Return the error for a file with far more tensors than a training of a SHViT has."""
    return BadCheckpoint(
        f"{name} has {count} tensors.", why=f"A SHViT has at most 439; up to {_MAX_TENSORS} are searched for one."
    )


def _parse_torch_zip(data: bytes, name: str) -> object:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        entries = archive.infolist()
    except Exception:  # BadZipFile, and whatever else made-up bytes bring the parser to
        raise BadCheckpoint(
            f"{name} is cut short or damaged.",
            why="It starts like a file of torch.save, but is not complete.",
            hint=DOWNLOAD_AGAIN_HINT,
        ) from None
    if len(entries) > _MAX_TENSORS:
        raise build_too_many_error(len(entries), name)
    files = [entry.filename for entry in entries]
    pickles = [file for file in files if file.rpartition("/")[2] == "data.pkl"]
    if any(file.rpartition("/")[2] in _EXPORTED_PROGRAM_FILES for file in files):
        raise BadCheckpoint(
            f"{name} is a program of torch.export, not a checkpoint.",
            why="It holds a compiled graph and its weights.",
            hint=_SAVE_WEIGHTS_HINT,
        )
    if not pickles:
        raise BadCheckpoint(
            f"{name} is a zip archive, but not one that torch.save wrote.",
            why=f"It holds {', '.join(files[:3]) or 'nothing'}.",
            hint="If the checkpoint is inside, unpack it first.",
        )
    if any(file.rpartition("/")[2] == "constants.pkl" for file in files):
        raise BadCheckpoint(
            f"{name} is a TorchScript program, not a checkpoint.", why="It contains code.", hint=_SAVE_WEIGHTS_HINT
        )
    if sum(entry.file_size for entry in entries) > max(4 * len(data), 1024**2):
        raise BadCheckpoint(f"{name} unpacks to far more than its size.", why="torch.save does not compress.")
    _check_archive(archive, name)
    return _read_safely(lambda: read_torch_zip(archive, pickles[0].removesuffix("data.pkl")), name)


def _check_archive(archive: zipfile.ZipFile, name: str) -> None:
    """Compare every file of an archive with its checksum; torch.save can leave the checksums out."""
    entries = archive.infolist()
    if not any(entry.CRC for entry in entries):
        for entry in entries:
            del entry.CRC
    try:
        damaged = archive.testzip()
    except Exception as reason:  # a damaged header, a method of compression that is not known
        damaged = get_first_line(reason)
    if damaged:
        raise BadCheckpoint(
            f"{name} is damaged: the content of {damaged} does not fit its checksum.",
            why="It changed after torch.save wrote it.",
            hint=DOWNLOAD_AGAIN_HINT,
        )


def _parse_pickle(data: bytes, name: str) -> object:
    return _read_safely(lambda: read_pickle(data), name)


def _read_safely(read: Callable[[], object], name: str) -> object:
    """Return what `read` returns, with errors in this project's form."""
    try:
        return read()
    except RefusedCode as reason:
        raise BadCheckpoint(
            f"{name} needs the code of {reason}, so it is not opened.",
            why="Only tensors and plain values are read; nothing in the file was executed.",
            hint="Use another copy of the weights: a checkpoint has no reason to call that.",
        ) from None
    except UnreadablePickle as reason:
        raise BadCheckpoint(
            f"{name} cannot be read as a checkpoint: {get_first_line(reason)}.",
            why="It is damaged, truncated, or not written by torch.save.",
            hint=DOWNLOAD_AGAIN_HINT,
        ) from None


def format_faults(faults: Sequence[str]) -> str:
    """Return the first three faults as text, and the number of further ones."""
    return format_list(faults, separator="; ", max_items=3)
