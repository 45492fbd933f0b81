"""What is inside a checkpoint file: its tensors and its metadata, read by its first bytes and without executing any."""

from __future__ import annotations

import argparse
import codecs
import io
import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from shvit_mobile.errors import BadCheckpoint

# The largest SHViT is 66 MB in float32, and its training state with optimizer and averages about 270 MB.
MAX_CHECKPOINT_BYTES = 2 * 1024**3

# Where training scripts put the weights, first choice first: the authors' `model`; timm's `state_dict_ema`, which timm
# itself prefers to its `find_state_dict`; and an average that was saved alone.
STATE_DICT_KEYS = ("model", "state_dict_ema", "state_dict", "model_ema")

# What wrappers of modules put before every name: DataParallel, torch.compile, Lightning.
WRAPPER_PREFIXES = ("module.", "_orig_mod.", "model.")

FLOAT_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
DOWNLOAD_AGAIN_HINT = "Copy or download it again."

# The beginnings (in lower case) of files that people take for checkpoints; what each is, and what to do about it.
LOOKALIKES: tuple[tuple[tuple[bytes, ...], str, str], ...] = (
    (
        (b"<!doctype", b"<html", b"<?xml", b"<head"),
        "a web page",
        "The download met an error or a login page. Download the file itself, and look at its size.",
    ),
    ((b"version https://git-lfs",), "a Git LFS pointer, not the file it points to", "Try: git lfs pull"),
    ((b"\x1f\x8b", b"bzh", b"\xfd7zxz", b"7z\xbc\xaf"), "compressed", "Unpack it first."),
    ((b"\x89hdf",), "an HDF5 file", "Keras and TensorFlow write those; a PyTorch state dict is needed."),
)


@dataclass(frozen=True)
class CheckpointContents:
    """The tensors of a checkpoint by name, as stored, and the metadata that only safetensors has."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)


def parse_checkpoint_file(data: bytes, name: str) -> CheckpointContents:
    """The tensors in the bytes of a .pth or .safetensors file, whatever its suffix.

    Args:
        data: the whole file.
        name: what to call it in errors.

    Returns:
        Tensors on the CPU, float32 (converted from any float dtype), contiguous, all finite; names without the prefixes
        that module wrappers add, and without the `num_batches_tracked` counters, which inference never reads.

    Raises:
        BadCheckpoint: it is no such file, is damaged, would run code, or holds what is no float tensor.
    """
    if not data:
        raise BadCheckpoint(f"{name} is empty.", why="It has 0 bytes.", hint=DOWNLOAD_AGAIN_HINT)
    beginning = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginnings, what, hint in LOOKALIKES:
        if beginning.startswith(beginnings):
            raise BadCheckpoint(f"{name} is {what}.", why="Checkpoints are .pth or .safetensors files.", hint=hint)
    if data[8:9] == b"{" and not is_text(data[:8]):
        state, metadata = parse_safetensors(data, name)
    elif data.startswith(b"PK\x03\x04"):
        state, metadata = parse_torch_zip(data, name), {}
    elif data[0] == 0x80 and data[1:2] <= b"\x05":
        state, metadata = find_state_dict(unpickle_checkpoint(data, name), name), {}
    else:
        nature = "it is text" if is_text(data[:512]) else f"it begins with the bytes {data[:8].hex(' ')}"
        raise BadCheckpoint(
            f"{name} is not a checkpoint: {nature}.",
            why="Checkpoints are .pth files (written by torch.save) or .safetensors files.",
        )
    return CheckpointContents(check_tensors(strip_wrapper_prefixes(state), len(data), name), metadata)


def is_text(data: bytes) -> bool:
    """Whether the bytes are UTF-8, perhaps cut within their last character, without control characters."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)


def parse_safetensors(data: bytes, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        tensors = safetensors.torch.load(data)
    except Exception as reason:  # SafetensorError, but also KeyError for dtypes that torch has not
        raise BadCheckpoint(
            f"{name} is a damaged safetensors file: {reason}.", why="It may be cut short.", hint=DOWNLOAD_AGAIN_HINT
        ) from None
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return dict(tensors), dict(header.get("__metadata__") or {})


def parse_torch_zip(data: bytes, name: str) -> dict[str, Any]:
    try:
        entries = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except Exception:  # BadZipFile, and whatever else made-up bytes bring the parser to
        raise BadCheckpoint(
            f"{name} is cut short or damaged.",
            why="It begins as torch.save's files do and has no end.",
            hint=DOWNLOAD_AGAIN_HINT,
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
            why="It holds code beside the weights.",
            hint="Save the weights alone: torch.save(model.state_dict(), 'weights.pth')",
        )
    if sum(entry.file_size for entry in entries) > max(4 * len(data), 1024**2):
        raise BadCheckpoint(f"{name} unpacks to far more than its size.", why="torch.save does not compress.")
    return find_state_dict(unpickle_checkpoint(data, name), name)


def unpickle_checkpoint(data: bytes, name: str) -> object:
    """What torch.save wrote, where it is made of tensors, plain Python values and the authors' argparse.Namespace."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols, which is no one's to mend
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as reason:  # the bytes are anyone's, and the unpickler raises what they bring it to
        wanted = re.search(r"GLOBAL (\S+)", str(reason))
        if wanted:
            raise BadCheckpoint(
                f"{name} asks for {wanted[1]}, and a checkpoint that asks for code is not opened.",
                why="Only tensors and plain values are read; nothing in the file was executed.",
                hint="If you made the file, save the weights alone: torch.save(model.state_dict(), 'weights.pth')",
            ) from None
        first = str(reason).strip().partition("\n")[0] or type(reason).__name__
        raise BadCheckpoint(
            f"{name} cannot be read as a checkpoint: {first.removesuffix('.')}.",
            why="It is damaged, cut short, or not written by torch.save.",
            hint=DOWNLOAD_AGAIN_HINT,
        ) from None


def find_state_dict(payload: object, name: str) -> dict[str, Any]:
    """The state dict in what a training script saved: under one of `STATE_DICT_KEYS`, or the whole of it."""
    if not isinstance(payload, Mapping):
        raise BadCheckpoint(
            f"{name} holds a {type(payload).__name__}, not a state dict.",
            hint="Save the weights by name: torch.save(model.state_dict(), 'weights.pth')",
        )
    wrapped = (payload[key] for key in STATE_DICT_KEYS if isinstance(payload.get(key), Mapping) and payload[key])
    state: Mapping[object, Any] = next(wrapped, payload)
    if not any(isinstance(value, Tensor) for value in state.values()):
        keys = ", ".join(str(key)[:40] for key in list(state)[:5]) or "nothing"
        raise BadCheckpoint(
            f"{name} holds no tensors; it holds {keys}.",
            why=f"The weights are looked for under {', '.join(STATE_DICT_KEYS)}, or as the whole file.",
        )
    return {str(key): value for key, value in state.items()}


def strip_wrapper_prefixes(state: dict[str, Any]) -> dict[str, Any]:
    """The state without what module wrappers put before all of its names, however many there were."""
    for prefix in WRAPPER_PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            return strip_wrapper_prefixes({name.removeprefix(prefix): value for name, value in state.items()})
    return state


def check_tensors(state: dict[str, Any], file_bytes: int, name: str) -> dict[str, Tensor]:
    """The state's tensors as float32, once each has been found to be one that a model can run with."""
    kept = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    faults = [fault for key, value in kept.items() if (fault := describe_type_fault(key, value))]
    if faults:
        raise BadCheckpoint(
            f"{name}: {format_first_few(faults)}.",
            why="The weights of a SHViT are float tensors, and all of them count.",
        )
    # A view can claim any number of elements of a small storage; no honest file holds more of them than it has bytes.
    if sum(tensor.numel() for tensor in kept.values()) > file_bytes:
        raise BadCheckpoint(
            f"{name} claims more weights than its {file_bytes} bytes can hold.", hint=DOWNLOAD_AGAIN_HINT
        )
    tensors = {key: copy_to_float32(tensor) for key, tensor in kept.items()}
    faults = [fault for key, tensor in tensors.items() if (fault := describe_value_fault(key, tensor))]
    if faults:
        raise BadCheckpoint(
            f"{name}: {format_first_few(faults)}.",
            why="Every output of the model would be wrong; the training diverged, or the file is damaged.",
            hint="Take an earlier checkpoint of that training.",
        )
    return tensors


def copy_to_float32(tensor: Tensor) -> Tensor:
    """A float32 copy, contiguous and with memory of its own."""
    return tensor.detach().to(torch.float32).clone(memory_format=torch.contiguous_format)


def describe_type_fault(key: str, value: object) -> str:
    """What keeps a value from being a weight, apart from its numbers; empty if nothing does."""
    if not isinstance(value, Tensor):
        return f"{key} is a {type(value).__name__}, not a tensor"
    if value.dtype not in FLOAT_DTYPES:
        return f"{key} is {str(value.dtype).removeprefix('torch.')}, not float"
    if value.layout is not torch.strided or value.device.type != "cpu":
        return f"{key} has no dense values"
    return f"{key} has the shape {tuple(value.shape)}, which holds nothing" if not value.numel() else ""


def describe_value_fault(key: str, tensor: Tensor) -> str:
    """What is wrong with a weight's numbers; empty if nothing is."""
    least, most = tensor.aminmax()  # NaN passes through both, and it takes a third of isfinite's time
    if not (least.isfinite() and most.isfinite()):
        return f"{key} holds NaN or infinity ({int((~tensor.isfinite()).sum())} of {tensor.numel()} values)"
    if key.endswith("running_var") and least < 0:
        return f"{key} holds a variance below 0"
    return ""


def format_first_few(sentences: list[str], max_items: int = 3) -> str:
    """The first of many, and how many more there are."""
    rest = len(sentences) - max_items
    return "; ".join(sentences[:max_items]) + (f"; and {rest} more" if rest > 0 else "")
