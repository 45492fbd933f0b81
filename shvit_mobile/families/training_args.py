"""What a checkpoint says about its training: image size, normalization, crop, filter and classes.

Training programs save their arguments beside the weights, under keys such as `args`, `config` or `hyper_parameters`.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shvit_mobile.contracts.preprocessing import Interpolation, Preprocessing
from shvit_mobile.errors import ShvitError, get_first_line

_CONTAINER = re.compile(
    r"(hyper_?|h|model_?|train(ing)?_?|data_?|run_?|pretrained_?|default_?|datamodule_hyper_?)?"
    r"(args|arguments|config|configuration|cfg|param(eter)?s|opts?|options|settings|info|meta(data)?)"
    r"|data(set|module)?|model|preprocess(ing|or)?|transforms?|aug|extra",
    re.IGNORECASE,
)
_MAX_SIDE, _MAX_PATH_WORDS = 8192, 6
_INTERPOLATIONS: dict[object, Interpolation] = {
    **{name: name for name in ("nearest", "bilinear", "bicubic", "lanczos")},  # type: ignore[dict-item]
    0: "nearest",  # the numbers of Pillow's filters
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
}
CROP_MODES = {"center": "cover", "squash": "squash"}


@dataclass(frozen=True)
class TrainingArguments:
    """What a checkpoint says about its training.

    Attributes:
        values: By field of `Preprocessing`, or `labels`, `classes` or `variant`; each checked on its own.
        stated: The same as the file says it, by the keys that lead to it: "args.input_size".
        notes: Sentences on values that contradict each other or cannot be used.
    """

    values: dict[str, Any] = field(default_factory=dict)
    stated: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_training_arguments(mappings: Iterable[tuple[str, Mapping[Any, Any]]]) -> TrainingArguments:
    """Read the arguments in the mappings of a checkpoint; the outermost come first.

    Args:
        mappings: Each with the keys that lead to it, joined with dots.
    """
    values: dict[str, Any] = {}
    stated: dict[str, Any] = {}
    places: dict[str, str] = {}
    notes: list[str] = []
    for path, mapping in mappings:
        words = path.split(".", _MAX_PATH_WORDS)
        if len(words) > _MAX_PATH_WORDS or (path and not all(map(_CONTAINER.fullmatch, words))):
            continue
        lowered = {key.lower(): key for key in mapping if isinstance(key, str)}
        for name, (field_name, parse) in _ARGUMENTS.items():
            raw = mapping[lowered[name]] if name in lowered else None
            if raw is None or raw == "" or raw == ():
                continue
            place = f"{path}.{lowered[name]}" if path else lowered[name]
            try:
                value = parse(raw)
            except (TypeError, ValueError, ArithmeticError) as reason:
                if str(reason) and field_name != "labels":
                    notes.append(f"{place} is {_shorten(raw)} and is not used: {get_first_line(reason)}.")
                continue
            if field_name not in values:
                values[field_name], places[field_name] = value, place
                stated[place] = raw
            elif values[field_name] != value:
                notes.append(
                    f"{place} is {_shorten(raw)}, but {places[field_name]} is {_shorten(stated[places[field_name]])}; "
                    "the latter is used."
                )
    if "resized" in values:
        resized, size = values.pop("resized"), values.get("size")
        if size and resized >= max(size) and "crop_ratio" not in values:
            values["crop_ratio"] = max(size) / resized
    return TrainingArguments(values, stated, tuple(dict.fromkeys(notes)))


def parse_text_metadata(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the metadata of a safetensors file, which are texts, with numbers, lists and dictionaries as such."""
    values: dict[str, Any] = {}
    for key, text in metadata.items():
        try:
            values[key] = json.loads(text)
        except (ValueError, RecursionError):
            values[key] = text
    return values


def complete_preprocessing(default: Preprocessing, arguments: TrainingArguments) -> tuple[Preprocessing, list[str]]:
    """Return the preprocessing with which a model was trained, and notes on what is used and what is not.

    Args:
        default: Completes what the arguments do not say.
        arguments: Those in the checkpoint.
    """
    fields = ("size", "crop_ratio", "interpolation", "mean", "std", "resize_mode")
    completed, notes = default, list(arguments.notes)
    for name in fields:
        if name in arguments.values:
            try:
                completed = _replace(completed, name, arguments.values[name])
            except ShvitError as reason:
                notes.append(f"The training arguments are not used where they are invalid: {reason.what}")
    changed = [name for name in fields if getattr(completed, name) != getattr(default, name)]
    if changed:
        values = (f"{name} {format_value(getattr(completed, name))}" for name in changed)
        notes.append(f"The checkpoint's training arguments are used: {', '.join(values)}.")
    return completed, notes


def _replace(preprocessing: Preprocessing, name: str, value: Any) -> Preprocessing:
    return Preprocessing(**{**vars(preprocessing), name: value})


def _shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def format_value(value: Any) -> str:
    """Return a field of the preprocessing as text: "96x96" for a size."""
    return "x".join(map(str, value)) if isinstance(value, tuple) and isinstance(value[0], int) else str(value)


def _parse_size(value: Any) -> tuple[int, int]:
    numbers = list(value) if isinstance(value, list | tuple) else [value]
    sides = [int(number) for number in numbers if not isinstance(number, bool)]
    if len(sides) == 3:
        sides = sides[1:] if sides[0] in (1, 3, 4) else sides[:2]
    size = (sides[0], sides[-1])
    if len(sides) not in (1, 2) or any(not 1 < side <= _MAX_SIDE for side in size):
        raise ValueError("it is no image size")
    return size


def _parse_channels(value: Any) -> tuple[float, ...]:
    numbers = tuple(float(number) for number in value)
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise ValueError("it has no three numbers")
    # Some libraries normalize pixels from 0 to 255.
    return tuple(number / 255 for number in numbers) if min(numbers) > 2 else numbers


def _parse_share(value: Any) -> float:
    share = float(value)
    if not 0 < share <= 1:
        raise ValueError("it is not between 0 and 1")
    return share


def parse_interpolation(value: Any) -> Interpolation:
    """Return a filter by its name or by Pillow's number.

    Raises:
        ValueError: If it is none of an image size.
    """
    key = value.lower().rpartition(".")[2] if isinstance(value, str) else value
    if key not in _INTERPOLATIONS:
        raise ValueError("it is not a filter of an image size")
    return _INTERPOLATIONS[key]


def _parse_crop_mode(value: Any) -> str:
    if value not in CROP_MODES:
        raise ValueError(f"only {' and '.join(CROP_MODES)} are supported")
    return CROP_MODES[value]


def _parse_count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError
    return value


def _parse_resized(value: Any) -> int:
    return min(_parse_size(value))


def _parse_variant(value: Any) -> str:
    match = re.search(r"shvit_s[1-4]", value.lower()) if isinstance(value, str) else None
    if not match:
        raise ValueError
    return match[0]


def parse_label_map(value: Any) -> tuple[str, ...]:
    """Return the labels in a list, a dictionary from index to name, or one from name to index.

    Raises:
        ValueError, TypeError: If it is none of them, or the indices are not exactly 0 to n - 1.
    """
    if isinstance(value, Mapping):
        pairs = {int(key): name for key, name in value.items()} if all(map(_is_index, value)) else None
        pairs = pairs if pairs is not None else {int(index): name for name, index in value.items()}
        if len(pairs) != len(value) or set(pairs) != set(range(len(pairs))):
            raise ValueError("its indices are not 0 to n - 1")
        value = [pairs[index] for index in range(len(pairs))]
    if not isinstance(value, list | tuple) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError("it is no list of names")
    return tuple(value)


def _is_index(key: object) -> bool:
    return isinstance(key, int) or (isinstance(key, str) and key.isascii() and key.isdigit())


# The names of arguments, in order of precedence: those of the authors, of timm, of torchvision and of others.
_ARGUMENTS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(
        (
            "input_size",
            "img_size",
            "image_size",
            "val_crop_size",
            "input_resolution",
            "resolution",
            "imgsz",
            "crop_size",
        ),
        ("size", _parse_size),
    ),
    **dict.fromkeys(("val_resize_size",), ("resized", _parse_resized)),
    **dict.fromkeys(("crop_pct", "crop_ratio"), ("crop_ratio", _parse_share)),
    **dict.fromkeys(("interpolation",), ("interpolation", parse_interpolation)),
    **dict.fromkeys(("crop_mode",), ("resize_mode", _parse_crop_mode)),
    **dict.fromkeys(("mean", "img_mean", "image_mean", "pixel_mean"), ("mean", _parse_channels)),
    **dict.fromkeys(("std", "img_std", "image_std", "pixel_std"), ("std", _parse_channels)),
    **dict.fromkeys(("nb_classes", "num_classes", "n_classes", "num_labels"), ("classes", _parse_count)),
    **dict.fromkeys(("model", "arch", "model_name", "architecture"), ("variant", _parse_variant)),
    **dict.fromkeys(
        ("label_names", "class_names", "classes", "labels", "id2label", "idx_to_class", "class_to_idx", "label2id"),
        ("labels", parse_label_map),
    ),
}
