"""Checkpoint files: reading of tensors and metadata, by content and without executing code from the file."""

import argparse
import codecs
import io
import json
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from shvit_mobile.errors import BadCheckpoint, get_first_line
from shvit_mobile.images.class_names import format_list

# The largest SHViT has 66 MB in float32; with optimizer and averages, its training state has about 270 MB.
MAX_CHECKPOINT_BYTES = 2 * 1024**3

# The keys of the weights in files of training scripts, by priority: `model` of the authors; `state_dict_ema` of timm,
# which timm prefers to `state_dict`; and an average that was saved alone.
_STATE_DICT_KEYS = ("model", "state_dict_ema", "state_dict", "model_ema")

# Prefixes that module wrappers add to every name: DataParallel, torch.compile, Lightning.
_WRAPPER_PREFIXES = ("module.", "_orig_mod.", "model.")

FLOAT_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_DOWNLOAD_AGAIN_HINT = "Copy or download it again."

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


@dataclass(frozen=True)
class _CheckpointContents:
    """The tensors of a checkpoint by name, and its metadata, which only safetensors has."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)


def parse_checkpoint_file(data: bytes, name: str) -> _CheckpointContents:
    """Parse the bytes of a .pth or .safetensors file, whatever its suffix.

    Args:
        data: The whole file.
        name: The file's name in errors.

    Returns:
        Tensors on the CPU, float32 (converted from any float dtype), contiguous, all finite; names without the prefixes
        of module wrappers, and without the `num_batches_tracked` counters, which inference does not use.

    Raises:
        BadCheckpoint: If it is not such a file, is damaged, would run code, or contains other than float tensors.
    """
    if not data:
        raise BadCheckpoint(f"{name} is empty.", why="It has 0 bytes.", hint=_DOWNLOAD_AGAIN_HINT)
    beginning = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginnings, what, hint in _LOOKALIKES:
        if beginning.startswith(beginnings):
            raise BadCheckpoint(f"{name} is {what}.", why="Checkpoints are .pth or .safetensors files.", hint=hint)
    if data[8:9] == b"{" and not _is_text(data[:8]):
        state, metadata = _parse_safetensors(data, name)
    elif data.startswith(b"PK\x03\x04"):
        state, metadata = _parse_torch_zip(data, name), {}
    elif data[0] == 0x80 and data[1:2] <= b"\x05":
        state, metadata = _find_state_dict(_unpickle_checkpoint(data, name), name), {}
    else:
        nature = "it is text" if _is_text(data[:512]) else f"it starts with the bytes {data[:8].hex(' ')}"
        raise BadCheckpoint(
            f"{name} is not a checkpoint: {nature}.",
            why="Checkpoints are .pth files (written by torch.save) or .safetensors files.",
        )
    return _CheckpointContents(_check_tensors(_strip_wrapper_prefixes(state), len(data), name), metadata)


def _is_text(data: bytes) -> bool:
    """Return whether the bytes are UTF-8 without control characters; the last character may be cut."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)


def _parse_safetensors(data: bytes, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        tensors = safetensors.torch.load(data)
    except Exception as reason:  # SafetensorError, but also KeyError for dtypes that torch has not
        raise BadCheckpoint(
            f"{name} is a damaged safetensors file: {reason}.", why="It may be cut short.", hint=_DOWNLOAD_AGAIN_HINT
        ) from None
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return dict(tensors), dict(header.get("__metadata__") or {})


def _parse_torch_zip(data: bytes, name: str) -> dict[str, Any]:
    try:
        entries = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except Exception:  # BadZipFile, and whatever else made-up bytes bring the parser to
        raise BadCheckpoint(
            f"{name} is cut short or damaged.",
            why="It starts like a file of torch.save, but is not complete.",
            hint=_DOWNLOAD_AGAIN_HINT,
        ) from None
    files = [entry.filename for entry in entries]
    if not any(file.rpartition("/")[2] == "data.pkl" for file in files):
        raise BadCheckpoint(
            f"{name} is a zip archive, but not one that torch.save wrote.",
            why=f"It holds {', '.join(files[:3]) or 'nothing'}.",
            hint="If the checkpoint is inside, unpack it first.",
        )
    if any(file.rpartition("/")[2] == "constants.pkl" for file in files):
        raise BadCheckpoint(
            f"{name} is a TorchScript program, not a checkpoint.",
            why="It contains code.",
            hint="Save only the weights: torch.save(model.state_dict(), 'weights.pth')",
        )
    if sum(entry.file_size for entry in entries) > max(4 * len(data), 1024**2):
        raise BadCheckpoint(f"{name} unpacks to far more than its size.", why="torch.save does not compress.")
    return _find_state_dict(_unpickle_checkpoint(data, name), name)


def _unpickle_checkpoint(data: bytes, name: str) -> object:
    """Load a file of torch.save that contains only tensors, plain Python values and the authors' argparse.Namespace."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as reason:  # the unpickler raises errors of any type for damaged files
        wanted = re.search(r"GLOBAL (\S+)", str(reason))
        if wanted:
            raise BadCheckpoint(
                f"{name} needs the code of {wanted[1]}, so it is not opened.",
                why="Only tensors and plain values are read; nothing in the file was executed.",
                hint="If the file is yours, save only the weights: torch.save(model.state_dict(), 'weights.pth')",
            ) from None
        raise BadCheckpoint(
            f"{name} cannot be read as a checkpoint: {get_first_line(reason)}.",
            why="It is damaged, truncated, or not written by torch.save.",
            hint=_DOWNLOAD_AGAIN_HINT,
        ) from None


def _find_state_dict(payload: object, name: str) -> dict[str, Any]:
    """Return the state dict in what a training script saved: under one of `_STATE_DICT_KEYS`, or the whole."""
    if not isinstance(payload, Mapping):
        raise BadCheckpoint(
            f"{name} contains a {type(payload).__name__}, not a state dict.",
            hint="Save the weights by name: torch.save(model.state_dict(), 'weights.pth')",
        )
    wrapped = (payload[key] for key in _STATE_DICT_KEYS if isinstance(payload.get(key), Mapping) and payload[key])
    state: Mapping[object, Any] = next(wrapped, payload)
    if not any(isinstance(value, Tensor) for value in state.values()):
        keys = ", ".join(str(key)[:40] for key in list(state)[:5]) or "nothing"
        raise BadCheckpoint(
            f"{name} contains no tensors; it contains {keys}.",
            why=f"Weights are expected under {', '.join(_STATE_DICT_KEYS)}, or as the whole file.",
        )
    return {str(key): value for key, value in state.items()}


def _strip_wrapper_prefixes(state: dict[str, Any]) -> dict[str, Any]:
    """Remove the prefixes that module wrappers added to all names."""
    for prefix in _WRAPPER_PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            return _strip_wrapper_prefixes({name.removeprefix(prefix): value for name, value in state.items()})
    return state


def _check_tensors(state: dict[str, Any], file_bytes: int, name: str) -> dict[str, Tensor]:
    """Return the tensors of a state dict as float32, or raise `BadCheckpoint` if a model cannot run with them."""
    kept = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    faults = [fault for key, value in kept.items() if (fault := _describe_type_fault(key, value))]
    if faults:
        raise BadCheckpoint(f"{name}: {format_faults(faults)}.", why="All weights of a SHViT are float tensors.")
    # A view can claim any number of elements of a small storage; a sound file has fewer elements than bytes.
    if sum(tensor.numel() for tensor in kept.values()) > file_bytes:
        raise BadCheckpoint(
            f"{name} claims more weights than fit into its {file_bytes} bytes.", hint=_DOWNLOAD_AGAIN_HINT
        )
    tensors = {key: _copy_to_float32(tensor) for key, tensor in kept.items()}
    faults = [fault for key, tensor in tensors.items() if (fault := _describe_value_fault(key, tensor))]
    if faults:
        raise BadCheckpoint(
            f"{name}: {format_faults(faults)}.",
            why="Every output of the model would be wrong: the training diverged, or the file is damaged.",
            hint="Use an earlier checkpoint of that training.",
        )
    return tensors


def _copy_to_float32(tensor: Tensor) -> Tensor:
    """Return a contiguous float32 copy."""
    return tensor.detach().to(torch.float32).clone(memory_format=torch.contiguous_format)


def _describe_type_fault(key: str, value: object) -> str:
    """Describe why a value cannot be a weight, apart from its numbers; empty if it can."""
    if not isinstance(value, Tensor):
        return f"{key} is a {type(value).__name__}, not a tensor"
    if value.dtype not in FLOAT_DTYPES:
        return f"{key} is {str(value.dtype).removeprefix('torch.')}, not float"
    if value.layout is not torch.strided or value.device.type != "cpu":
        return f"{key} has no dense values"
    return f"{key} has the shape {tuple(value.shape)} without elements" if not value.numel() else ""


def _describe_value_fault(key: str, tensor: Tensor) -> str:
    """Describe what is wrong with the numbers of a weight; empty if nothing is."""
    least, most = tensor.aminmax()  # both propagate NaN, in a third of the time of isfinite
    if not (least.isfinite() and most.isfinite()):
        return f"{key} contains NaN or infinity ({int((~tensor.isfinite()).sum())} of {tensor.numel()} values)"
    if key.endswith("running_var") and least < 0:
        return f"{key} contains a variance below 0"
    return ""


def format_faults(faults: Sequence[str]) -> str:
    """Return the first three faults as text, and the number of further ones."""
    return format_list(faults, separator="; ", max_items=3)
