"""Metadata of checkpoints: in this project's safetensors, and in the config.json of timm's repositories."""

import hashlib
import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from shvit_mobile.contracts.files import parse_json, read_json, read_text
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadCheckpoint, ShvitError, get_first_line
from shvit_mobile.families.image_processor import PROCESSOR_NAME, parse_image_processor, parse_size
from shvit_mobile.families.shvit import SHViTConfig
from shvit_mobile.families.training_args import CROP_MODES, format_value, parse_label_map

# The major part changes when older versions of this package can no longer read a file. They read SHViTs only.
_SHVIT_FORMAT, _FORMAT_VERSION = "1.0", "2.0"
_METADATA_KEY = "shvit_mobile"
_MODEL_KEYS = frozenset({"pretrained_cfg", "input_size", "image_size", "id2label", "image_mean"})
_MAX_CONFIG_BYTES = 16 * 1024**2


@dataclass(frozen=True)
class CheckpointDescription:
    """The configuration, labels and preprocessing in a checkpoint's metadata; None if it does not contain them.

    Attributes:
        architecture: timm's name of the model, if it is no SHViT.
        stated: The fields of the preprocessing that it contains.
        notes: What was read and what was not, a sentence each.
    """

    config: SHViTConfig | None = None
    architecture: str | None = None
    labels: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None
    stated: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


class _CheckpointMetadata(BaseModel):
    """The metadata of this project's safetensors, as JSON in one string.

    One string, because safetensors writes several in random order, and the same model must give the same bytes.
    For a SHViT, `variant` is for readers only; `config` contains everything. Without `config`, it is timm's model
    `variant`. `sha256` is the checksum of everything else in the file; files of earlier versions have none.
    """

    format: str = Field(pattern=r"^\d+\.\d+$")
    variant: str
    config: SHViTConfig | None = None
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    sha256: str | None = None


class _TimmPretrainedConfig(BaseModel):
    """The fields of timm's `pretrained_cfg` that are used here."""

    input_size: tuple[int, int, int] | None = None
    crop_pct: float | None = None
    crop_mode: str | None = None
    interpolation: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    label_names: tuple[str, ...] | None = None


class _TimmHubConfig(BaseModel):
    """timm's config.json; outer labels take precedence over inner ones, and timm's over those of transformers."""

    pretrained_cfg: _TimmPretrainedConfig
    architecture: str | None = None
    num_classes: int | None = None
    label_names: tuple[str, ...] | None = None
    id2label: dict[str, str] | None = None


def has_shvit_mobile_metadata(metadata: Mapping[str, str]) -> bool:
    """Return whether `build_checkpoint_metadata` built this safetensors metadata."""
    return _METADATA_KEY in metadata


def build_checkpoint_metadata(
    config: SHViTConfig | None,
    variant: str,
    labels: tuple[str, ...],
    preprocessing: Preprocessing,
    header: Mapping[str, Any],
    tensor_bytes: bytes,
) -> dict[str, str]:
    """Build the metadata that `parse_checkpoint_metadata` reads.

    Args:
        config: Of a SHViT; None for a model of timm.
        variant, labels, preprocessing: Of the model.
        header, tensor_bytes: Those of the same file without metadata, as `split_safetensors` returns them.
    """
    version = _FORMAT_VERSION if config is None else _SHVIT_FORMAT
    content = _CheckpointMetadata(
        format=version, variant=variant, config=config, labels=labels, preprocessing=preprocessing
    )
    fields = json.loads(content.model_dump_json(exclude={"sha256"}, exclude_none=True))
    fields["sha256"] = _compute_checksum(fields, header, tensor_bytes)
    return {_METADATA_KEY: json.dumps(fields, ensure_ascii=False, separators=(",", ":"))}


def _compute_checksum(fields: Mapping[str, Any], header: Mapping[str, Any], tensor_bytes: bytes) -> str:
    """Compute the SHA-256 of everything in a file but the checksum itself, independent of the order of keys."""
    described = {key: value for key, value in fields.items() if key != "sha256"}
    tensors = {key: value for key, value in header.items() if key != "__metadata__"}
    digest = hashlib.sha256(json.dumps([described, tensors], sort_keys=True).encode())
    digest.update(tensor_bytes)
    return digest.hexdigest()


def parse_checkpoint_metadata(
    metadata: Mapping[str, str], header: Mapping[str, Any], tensor_bytes: bytes, name: str
) -> CheckpointDescription:
    """Parse the metadata of this project's safetensors, and compare the file with the checksum in it, if it has one.

    Args:
        metadata: The metadata.
        header, tensor_bytes: Those of the file, as `split_safetensors` returns them.
        name: The file's name in errors.

    Raises:
        BadCheckpoint: If it has a newer major version, a field is missing or invalid, or the checksum does not fit.
    """
    try:
        content = json.loads(metadata[_METADATA_KEY])
        _check_format_version(content, name)
        known = _CheckpointMetadata.model_validate(content)
        if known.sha256 is not None and known.sha256 != _compute_checksum(content, header, tensor_bytes):
            raise BadCheckpoint(
                f"{name} is damaged: its content does not fit its checksum.",
                why="A weight, a label or another value changed after it was saved.",
                hint="Copy or download it again, or save the model again.",
            )
    except BadCheckpoint:
        raise
    except (ValueError, RecursionError, ShvitError) as reason:
        raise BadCheckpoint(
            f"The metadata of {name} is invalid: {_describe_first_fault(reason)}.",
            why="It is damaged or was edited by hand.",
        ) from None
    preprocessing = _check_finite_preprocessing(known.preprocessing, name)
    architecture = known.variant if known.config is None else None
    return CheckpointDescription(
        known.config, architecture, known.labels, preprocessing, frozenset(vars(preprocessing))
    )


def _check_format_version(content: Any, name: str) -> None:
    """Raise `BadCheckpoint` for metadata of a newer major version."""
    version = str(content["format"]) if isinstance(content, dict) and "format" in content else _FORMAT_VERSION
    major = version.partition(".")[0]
    if major.isascii() and major.isdigit() and int(major[:9]) > int(_FORMAT_VERSION.partition(".")[0]):
        raise BadCheckpoint(
            f"{name} was written by a newer shvit-mobile, in format {version[:40]}.",
            why=f"This version reads formats up to {_FORMAT_VERSION}.",
            hint="Try: pip install --upgrade shvit-mobile",
        )


def read_hub_config(path: Path, name: str, default: Preprocessing) -> CheckpointDescription:
    """Read a config.json of timm or transformers, and the preprocessor_config.json beside it.

    Args:
        path: The config.json, or the preprocessor_config.json if there is no config.json.
        name: The name of the checkpoint in errors.
        default: Completes the preprocessing.

    Raises:
        BadCheckpoint: If one cannot be read or needs preprocessing that is not supported.
    """
    place = f"The {path.name} of {name}"
    raw = _read_config_file(path, place)
    processor = path.with_name(PROCESSOR_NAME)
    other = _read_config_file(processor, f"The {PROCESSOR_NAME} of {name}") if processor.is_file() else None
    try:
        content = _parse_hub_config(raw)
        config = content.pretrained_cfg
        if config.crop_mode not in (None, *CROP_MODES):
            raise BadCheckpoint(
                f"{place} has crop_mode {config.crop_mode!r}.", why=f"Supported are: {', '.join(CROP_MODES)}."
            )
        fields: dict[str, Any] = {
            "size": config.input_size and config.input_size[1:],
            "crop_ratio": config.crop_pct,
            "interpolation": config.interpolation,
            "mean": config.mean,
            "std": config.std,
            "resize_mode": config.crop_mode and CROP_MODES[config.crop_mode],
        }
        stated = {key: value for key, value in fields.items() if value is not None} if path != processor else {}
        if fields["size"] is None and raw.get("image_size") is not None:
            stated["size"] = parse_size(raw["image_size"])
        labels = content.label_names or config.label_names
        if not labels and content.id2label:
            labels = parse_label_map(content.id2label)
        if other is not None and "pretrained_cfg" not in other:
            place = f"The {PROCESSOR_NAME} of {name}"
            stated = parse_image_processor(other) | stated
        preprocessing = replace(default, **stated)
    except BadCheckpoint:
        raise
    except (OSError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError, ShvitError) as reason:
        raise BadCheckpoint(
            f"{place} is invalid: {_describe_first_fault(reason)}.", why="It contains the labels and the image size."
        ) from None
    note = _describe_stated(path, other is not None, stated, labels)
    return CheckpointDescription(
        labels=labels or None,
        preprocessing=_check_finite_preprocessing(preprocessing, name),
        stated=frozenset(stated),
        notes=(note,),
    )


def _read_config_file(path: Path, place: str) -> dict[str, Any]:
    text = read_text(path, limit=_MAX_CONFIG_BYTES, error=BadCheckpoint, what="the configuration of a model")
    content = parse_json(text, place, error=BadCheckpoint, what="valid")
    if not isinstance(content, dict):
        raise BadCheckpoint(f"{place} is invalid: it is no JSON object.")
    return content


def _describe_stated(path: Path, has_processor: bool, stated: Mapping[str, Any], labels: Sequence[str] | None) -> str:
    """Return a note on what the configuration beside the weights says, and what it leaves to defaults."""
    files = " and ".join(dict.fromkeys([path.name, *[PROCESSOR_NAME] * has_processor]))
    said = [f"{key} {format_value(value)}" for key, value in stated.items()] + (
        [f"{len(labels)} labels"] if labels else []
    )
    missing = [key for key in ("size", "crop_ratio", "mean", "std") if key not in stated]
    assumed = f" Not stated, so the defaults: {', '.join(missing)}." if missing else ""
    return f"Read from {files} beside the weights: {', '.join(said) or 'nothing'}.{assumed}"


def read_architectures(path: Path) -> list[Any]:
    """Return what a config.json calls the architecture of its model; empty if it cannot be read or says nothing."""
    try:
        raw = read_json(path, limit=_MAX_CONFIG_BYTES, error=BadCheckpoint, what="the configuration of a model")
    except BadCheckpoint:
        return []
    inner = raw.get("pretrained_cfg") if isinstance(raw, dict) else None
    return [one["architecture"] for one in (raw, inner) if isinstance(one, dict) and "architecture" in one]


def is_of_another_model(path: Path, variant: str, classes: int) -> bool:
    """Return whether a configuration that lies beside a checkpoint is of another program or describes another model."""
    try:
        raw = read_json(path, limit=_MAX_CONFIG_BYTES, error=BadCheckpoint, what="the configuration of a model")
    except BadCheckpoint:
        return True
    if not isinstance(raw, dict) or not _MODEL_KEYS & raw.keys():
        return True
    inner = raw.get("pretrained_cfg")
    fields = {**(inner if isinstance(inner, dict) else {}), **raw}
    labels = fields.get("id2label")
    count = fields.get("num_classes", len(labels) if isinstance(labels, dict) else classes)
    named = str(fields.get("architecture", fields.get("model_type", variant))).partition(".")[0]
    same = named in (variant, "shvit") or ("shvit" in named and variant == "custom")
    return not same or count != classes


def _parse_hub_config(content: Any) -> _TimmHubConfig:
    """Parse the configuration; old files have only the inner part, with the labels under `labels`."""
    if isinstance(content, dict) and "pretrained_cfg" not in content:
        content = {**content, "pretrained_cfg": content, "label_names": content.get("labels")}
    return _TimmHubConfig.model_validate(content)


def _check_finite_preprocessing(preprocessing: Preprocessing, name: str) -> Preprocessing:
    """Return `preprocessing`, or raise `BadCheckpoint` if a number is not finite, which Python's JSON allows."""
    numbers = (preprocessing.crop_ratio, *preprocessing.mean, *preprocessing.std)
    if not all(map(math.isfinite, numbers)):
        raise BadCheckpoint(
            f"The preprocessing of {name} contains {', '.join(map(str, numbers))}.", why="Its numbers must be finite."
        )
    return preprocessing


def check_labels(labels: Sequence[str], classes: int, error: type[ShvitError], source: str) -> tuple[str, ...]:
    """Check that there is one label for each class.

    Args:
        labels: The names of the classes.
        classes: The number of classes.
        error: The class of the error to raise.
        source: The subject and verb of the error: "There are", "model.pth has".

    Returns:
        The labels as a tuple.

    Raises:
        error: If the number of labels differs, a label is empty or contains control characters, or all are the same.
    """
    if len(labels) != classes:
        raise error(
            f"{source} {len(labels)} labels, but the model has {classes} classes.",
            why="Each class has one label, in the order of the logits.",
            parameter="labels",
        )
    for index, label in enumerate(labels):
        if not label.strip() or any(unicodedata.category(character) in ("Cc", "Cs") for character in label):
            raise error(
                f"{source} {label[:60]!r} as the label of class {index}.",
                why="A label is one line of text.",
                parameter="labels",
            )
    if classes > 1 and len(set(labels)) == 1:
        raise error(
            f"{source} {classes} labels, all of them {labels[0][:60]!r}.",
            why="Labels tell the classes apart.",
            parameter="labels",
        )
    return tuple(labels)


def _describe_first_fault(reason: Exception) -> str:
    """Return the first message of an error, with its place if it has one, without a full stop."""
    if isinstance(reason, ValidationError):
        first = reason.errors()[0]
        return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"].removesuffix("."))))
    return get_first_line(reason)
