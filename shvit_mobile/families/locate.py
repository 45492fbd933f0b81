"""Finding of the files that a source names: a path, a folder, an address, a hub id or a variant; and reading them."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from shvit_mobile.contracts.files import check_file, read_bytes, read_json
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadCheckpoint, MissingParameter
from shvit_mobile.families.containers import MAX_CHECKPOINT_BYTES, CheckpointContents, parse_checkpoint_file
from shvit_mobile.families.hub import (
    HUB_ID,
    OFFICIAL_RELEASE,
    SHA256,
    WEIGHT_FILES,
    fetch_hub_files,
    fetch_official_checkpoint,
    fetch_url,
)
from shvit_mobile.families.image_processor import PROCESSOR_NAME

_CHECKPOINT_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".safetensors")
_INDEX_SUFFIX = ".index.json"
_MAX_INDEX_BYTES, _MAX_SHARDS = 64 * 1024**2, 1000
_SOURCE_FORMS = (
    "A source is the path of a .pth or .safetensors file, a folder with a model, an https address with a SHA-256, "
    f"a hub id such as timm/shvit_s1.in1k, or a variant of the authors' release: {', '.join(OFFICIAL_RELEASE)}."
)


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint on this machine.

    Attributes:
        path: The file, or the index of several files.
        display_name: Its name in errors: the source as the user typed it.
        source: Its name in the trained model: the file name or the id.
        config: The config.json of the model, or its preprocessor_config.json if it has no other.
        belongs: Whether the config.json came with the weights; otherwise it only lies beside them.
        notes: What was chosen, a sentence each.
    """

    path: Path
    display_name: str
    source: str
    config: Path | None = None
    belongs: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckpointBytes:
    """What was read of a checkpoint.

    Attributes:
        contents: The content.
        size: The bytes of all files.
        sha256: The SHA-256 of the file; of the list of their SHA-256 for several files.
        data: The bytes, if it is one file.
    """

    contents: CheckpointContents
    size: int
    sha256: str
    data: bytes = field(default=b"", repr=False)


def locate_checkpoint(source: AnyPath, sha256: str | None = None) -> CheckpointFile:
    """Find the files of an address, a path, a hub id or a variant, in this order; download them if necessary.

    Args:
        source: What the user typed.
        sha256: The SHA-256 of a download.

    Raises:
        BadCheckpoint: If there is no such file.
        HubUnavailable: If a download is necessary and fails.
        MissingParameter: If an address comes without a SHA-256.
    """
    text = os.fspath(source)
    if "://" in text:
        return _locate_download(text, sha256)
    path = Path(os.path.expanduser(text))
    if text and os.path.lexists(path):
        return _locate_in_folder(path, text) if path.is_dir() else _describe_file(path, text)
    if text in OFFICIAL_RELEASE:
        return CheckpointFile(fetch_official_checkpoint(text), text, text)
    if path.suffix.lower() in _CHECKPOINT_SUFFIXES or path.is_absolute() or text.endswith(_INDEX_SUFFIX):
        raise _build_missing_file_error(path, text)
    if HUB_ID.fullmatch(text):
        files = fetch_hub_files(text)
        if not files.revision or text.endswith(f"@{files.revision}"):
            return CheckpointFile(files.weights, text, text, files.config)
        pinned = f"{text.partition('@')[0]}@{files.revision}"
        note = f"{text} is at the revision {files.revision}; {pinned} always is this one."
        return CheckpointFile(files.weights, text, pinned, files.config, notes=(note,))
    near = get_close_matches(text, [*OFFICIAL_RELEASE, *(f"timm/{name}.in1k" for name in OFFICIAL_RELEASE)], n=1)
    raise BadCheckpoint(
        f"'{text}' is neither a file nor the id of a model.",
        why=_SOURCE_FORMS,
        hint=f"Did you mean {near[0]}?" if near else "",
    )


def _locate_download(text: str, sha256: str | None) -> CheckpointFile:
    """Download the file at an address, whose SHA-256 is given or stands behind it."""
    url, _, fragment = text.partition("#")
    if not url.startswith("https://"):
        raise BadCheckpoint(
            f"{url} is not an https address.",
            why="Only https protects a download on its way.",
            hint="Download the file yourself and pass its path.",
        )
    expected = sha256 or fragment.removeprefix("sha256=") or fragment
    if not expected:
        raise MissingParameter(
            f"{url} is given without a SHA-256.",
            why="A download is compared with it, today and when it is read again.",
            hint=f"Add it as `sha256`, or behind the address: {url}#sha256=HEX",
            parameter="sha256",
        )
    return CheckpointFile(fetch_url(url, parse_sha256(expected)), url, url.rpartition("/")[2] or url)


def parse_sha256(text: str) -> str:
    """Return a SHA-256 in lower case.

    Raises:
        BadCheckpoint: If it is not 64 hexadecimal digits.
    """
    if not SHA256.fullmatch(text):
        raise BadCheckpoint(
            f"'{text[:80]}' is not a SHA-256.",
            why="A SHA-256 has 64 hexadecimal digits.",
            hint="Compute it with: sha256sum FILE",
            parameter="sha256",
        )
    return text.lower()


def _describe_file(path: Path, text: str) -> CheckpointFile:
    """Return a file, with the config.json beside it."""
    return CheckpointFile(path, text, path.name, _find_config(path.parent), belongs=False)


def _find_config(folder: Path) -> Path | None:
    return next((folder / name for name in ("config.json", PROCESSOR_NAME) if (folder / name).is_file()), None)


def _locate_in_folder(folder: Path, text: str) -> CheckpointFile:
    """Return the checkpoint in a folder: under one of the names of the model hub, or the only one."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if not entry.is_dir())
    except OSError as reason:
        raise BadCheckpoint(f"{text} cannot be read: {reason.strerror}.") from None
    usual = [name for name in (*WEIGHT_FILES, *(name + _INDEX_SUFFIX for name in WEIGHT_FILES)) if name in names]
    others = [name for name in names if name.lower().endswith(_CHECKPOINT_SUFFIXES)]
    if not usual and len(others) != 1:
        listed = f"it contains {', '.join(others[:5])}" if others else "it contains no checkpoint"
        raise BadCheckpoint(
            f"{text} is a folder, and {listed}.",
            why=f"In a folder, the checkpoint is {' or '.join(WEIGHT_FILES)}, or the only one.",
            hint=f"Did you mean {folder / others[0]}?" if others else "Pass the file.",
        )
    name = (usual or others)[0]
    rest = [] if name.endswith(_INDEX_SUFFIX) else [other for other in others if other != name]
    note = (f"{text} also contains {', '.join(rest[:5])}; {name} is used.",) if rest else ()
    return CheckpointFile(folder / name, str(folder / name), name, _find_config(folder), bool(usual), note)


def _build_missing_file_error(path: Path, text: str) -> BadCheckpoint:
    """Return the error for a missing file, with the closest name in its folder."""
    siblings = os.listdir(path.parent) if path.parent.is_dir() and os.access(path.parent, os.R_OK) else []
    near = get_close_matches(path.name, siblings, n=1)
    why = "" if path.parent.is_dir() else f"The folder {path.parent} does not exist either."
    return BadCheckpoint(
        f"There is no file {text}.", why=why, hint=f"Did you mean {path.parent / near[0]}?" if near else ""
    )


def read_checkpoint(file: CheckpointFile, sha256: str | None = None) -> CheckpointBytes:
    """Read and parse the files of a checkpoint.

    Args:
        file: The file, or the index of several files.
        sha256: The SHA-256 that it must have.

    Raises:
        BadCheckpoint: If one is missing, damaged or too large, or has another SHA-256.
    """
    if file.path.name.endswith(_INDEX_SUFFIX):
        found = _read_shards(file)
    else:
        check_file(file.path, limit=MAX_CHECKPOINT_BYTES, error=BadCheckpoint, what="a checkpoint")
        data = read_bytes(file.path, limit=MAX_CHECKPOINT_BYTES, error=BadCheckpoint, what="a checkpoint")
        digest = hashlib.sha256(data).hexdigest()
        _compare_sha256(file.display_name, digest, sha256)
        return CheckpointBytes(parse_checkpoint_file(data, file.display_name), len(data), digest, data)
    _compare_sha256(file.display_name, found.sha256, sha256)
    return found


def _compare_sha256(name: str, actual: str, expected: str | None) -> None:
    if expected is not None and actual != parse_sha256(expected):
        raise BadCheckpoint(
            f"{name} has the SHA-256 {actual}.",
            why=f"`sha256` is {expected}.",
            hint="It is another file, or it was changed. Copy or download it again.",
            parameter="sha256",
        )


def _read_shards(file: CheckpointFile) -> CheckpointBytes:
    """Read the files that an index names; they lie beside it."""
    index = read_json(file.path, limit=_MAX_INDEX_BYTES, error=BadCheckpoint, what="the index of a checkpoint")
    shards = _read_weight_map(index, file.display_name)
    tensors: dict[str, Any] = {}
    size, digests = 0, []
    for name in sorted(shards):
        path = file.path.parent / name
        if not path.exists():
            raise BadCheckpoint(
                f"{path} is missing, one of the {len(shards)} files of {file.display_name}.",
                why=f"It contains {len(shards[name])} tensors, the first {shards[name][0]}.",
                hint="Copy or download it again.",
            )
        data = read_bytes(path, limit=MAX_CHECKPOINT_BYTES - size, error=BadCheckpoint, what="a checkpoint")
        size += len(data)
        digests.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
        payload = parse_checkpoint_file(data, str(path)).payload
        missing = [key for key in shards[name] if not isinstance(payload, Mapping) or key not in payload]
        if missing or not isinstance(payload, Mapping):
            raise BadCheckpoint(
                f"{path} has no tensor {missing[0]}, which {file.display_name} says it contains.",
                why="The index and the files are not of the same model.",
            )
        tensors |= {key: payload[key] for key in shards[name]}
    digest = hashlib.sha256("".join(digests).encode()).hexdigest()
    return CheckpointBytes(CheckpointContents(tensors), size, digest)


def _read_weight_map(index: Any, name: str) -> dict[str, list[str]]:
    """Return the tensors in each file of an index."""
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(v, str) for v in weight_map.values()):
        raise BadCheckpoint(f"{name} has no weight_map.", why="An index says in which file each tensor is.")
    shards: dict[str, list[str]] = {}
    for key, shard in weight_map.items():
        if shard in ("", ".", "..") or Path(shard).name != shard or "\\" in shard:
            raise BadCheckpoint(f"{name} names the file {shard!r}.", why="The files of a model lie beside its index.")
        shards.setdefault(shard, []).append(key)
    if len(shards) > _MAX_SHARDS:
        raise BadCheckpoint(f"{name} names {len(shards)} files.", why=f"At most {_MAX_SHARDS} are read.")
    return shards
