"""What a checkpoint says about itself: the metadata in our safetensors, and the config.json of timm's repositories."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadCheckpoint, ShvitError
from shvit_mobile.families.shvit import SHViTConfig

# Its major part changes when older versions of this package could no longer read a file rightly.
FORMAT_VERSION = "1.0"
METADATA_KEY = "shvit_mobile"
MAX_CONFIG_BYTES = 16 * 1024**2


@dataclass(frozen=True)
class CheckpointDescription:
    """What a checkpoint says about itself; None where it says nothing."""

    config: SHViTConfig | None = None
    labels: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None


class CheckpointMetadata(BaseModel):
    """What our safetensors hold as metadata, as JSON in one string.

    One string and not five, because safetensors writes several in a random order, and the same model should be the same
    bytes. `variant` is for people; the configuration says it all.
    """

    format: str = Field(pattern=r"^\d+\.\d+$")
    variant: str
    config: SHViTConfig
    labels: tuple[str, ...]
    preprocessing: Preprocessing


class TimmPretrainedConfig(BaseModel):
    """The fields of timm's `pretrained_cfg` that matter here."""

    input_size: tuple[int, int, int] | None = None
    crop_pct: float | None = None
    crop_mode: str | None = None
    interpolation: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    label_names: tuple[str, ...] | None = None


class TimmHubConfig(BaseModel):
    """timm's config.json; labels in the outer part go before those in the inner."""

    pretrained_cfg: TimmPretrainedConfig
    label_names: tuple[str, ...] | None = None


def has_shvit_mobile_metadata(metadata: Mapping[str, str]) -> bool:
    """Whether safetensors metadata was written by `build_checkpoint_metadata`."""
    return METADATA_KEY in metadata


def build_checkpoint_metadata(
    config: SHViTConfig, variant: str, labels: tuple[str, ...], preprocessing: Preprocessing
) -> dict[str, str]:
    """The metadata that `parse_checkpoint_metadata` reads back."""
    told = CheckpointMetadata(
        format=FORMAT_VERSION, variant=variant, config=config, labels=labels, preprocessing=preprocessing
    )
    return {METADATA_KEY: told.model_dump_json()}


def parse_checkpoint_metadata(metadata: Mapping[str, str], name: str) -> CheckpointDescription:
    """The card in our metadata, which anyone may have written.

    Raises:
        BadCheckpoint: it is of a newer major version, or its fields are missing or make no sense.
    """
    try:
        content = json.loads(metadata[METADATA_KEY])
        check_format_version(content, name)
        told = CheckpointMetadata.model_validate(content)
    except BadCheckpoint:
        raise
    except (ValueError, RecursionError, ShvitError) as reason:
        raise BadCheckpoint(
            f"{name}: its metadata is wrong: {describe_first_fault(reason)}.", why="It is damaged or was made by hand."
        ) from None
    return CheckpointDescription(told.config, told.labels, check_finite_preprocessing(told.preprocessing, name))


def check_format_version(content: Any, name: str) -> None:
    """Raises `BadCheckpoint` for metadata of a newer major version, before anything else in it is looked at."""
    version = str(content["format"]) if isinstance(content, dict) and "format" in content else FORMAT_VERSION
    major = version.partition(".")[0]
    if major.isascii() and major.isdigit() and int(major[:9]) > int(FORMAT_VERSION.partition(".")[0]):
        raise BadCheckpoint(
            f"{name} was written by a newer shvit-mobile, in format {version[:40]}.",
            why=f"This one reads formats up to {FORMAT_VERSION}.",
            hint="Try: pip install --upgrade shvit-mobile",
        )


def read_hub_config(path: Path, name: str, default: Preprocessing) -> CheckpointDescription:
    """The card in a config.json that timm wrote; `usual` fills the gaps of its preprocessing.

    Raises:
        BadCheckpoint: it cannot be read or asks for what this package does not do.
    """
    place = f"The config.json of {name}"
    try:
        told = parse_hub_config(json.loads(path.read_bytes()[:MAX_CONFIG_BYTES]))
        given = told.pretrained_cfg
        if given.crop_mode not in (None, "center"):
            raise BadCheckpoint(f"{place} asks for crop_mode {given.crop_mode!r}.", why="Only 'center' is known here.")
        fields: dict[str, Any] = {
            "size": given.input_size and given.input_size[1:],
            "crop_ratio": given.crop_pct,
            "interpolation": given.interpolation,
            "mean": given.mean,
            "std": given.std,
        }
        preprocessing = replace(default, **{key: value for key, value in fields.items() if value is not None})
    except BadCheckpoint:
        raise
    except (OSError, ValueError, RecursionError, ShvitError) as reason:
        raise BadCheckpoint(
            f"{place} is wrong: {describe_first_fault(reason)}.", why="It tells the labels and the image size."
        ) from None
    return CheckpointDescription(
        None, told.label_names or given.label_names, check_finite_preprocessing(preprocessing, name)
    )


def parse_hub_config(content: Any) -> TimmHubConfig:
    """The configuration in parsed JSON; old files have the inner part alone, and call its labels `labels`."""
    if isinstance(content, dict) and "pretrained_cfg" not in content:
        content = {"pretrained_cfg": content, "label_names": content.get("labels")}
    return TimmHubConfig.model_validate(content)


def check_finite_preprocessing(preprocessing: Preprocessing, name: str) -> Preprocessing:
    """`preprocessing`, whose numbers are finite: JSON as Python reads it may hold NaN."""
    numbers = (preprocessing.crop_ratio, *preprocessing.mean, *preprocessing.std)
    if not all(map(math.isfinite, numbers)):
        raise BadCheckpoint(
            f"{name}: its preprocessing holds {', '.join(map(str, numbers))}.", why="They must be finite."
        )
    return preprocessing


def check_labels(labels: Sequence[str], classes: int, error: type[ShvitError], source: str) -> tuple[str, ...]:
    """The labels as a tuple, one a class.

    Args:
        labels: the names of the classes.
        classes: how many there are.
        error: the class of the error to raise.
        whose: where the labels come from, for the error's words.

    Raises:
        error: they are not as many as the classes, or one is empty or holds control characters such as a line break.
    """
    if len(labels) != classes:
        raise error(
            f"{source} {len(labels)} labels, but the model has {classes} classes.",
            why="One name for each class, in the order of the logits.",
        )
    for index, label in enumerate(labels):
        if not label.strip() or any(unicodedata.category(character) == "Cc" for character in label):
            raise error(f"{source} {label[:60]!r} as the label of class {index}.", why="A label is one line of text.")
    return tuple(labels)


def describe_first_fault(reason: Exception) -> str:
    """The first thing that an error says, with its place where it has one; without a full stop."""
    if isinstance(reason, ValidationError):
        first = reason.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}".removesuffix(".")
    return (reason.what if isinstance(reason, ShvitError) else str(reason)).removesuffix(".")
