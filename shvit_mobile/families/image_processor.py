"""The preprocessing in the configurations of transformers: preprocessor_config.json, and image_size of config.json."""

from collections.abc import Mapping
from typing import Any

from shvit_mobile.families.training_args import parse_interpolation

PROCESSOR_NAME = "preprocessor_config.json"
# Up to this side, transformers crops a share of a larger image where the configuration has a crop_pct.
_MAX_CROPPED_SIDE = 384


def parse_image_processor(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Preprocessing` that a configuration of an image processor states.

    Raises:
        TypeError, ValueError, ArithmeticError: If a value cannot be used.
    """
    fields: dict[str, Any] = {}
    if isinstance(content.get("resample"), int | str):
        fields["interpolation"] = parse_interpolation(content["resample"])
    return fields | _parse_geometry(content) | _parse_normalization(content)


def _parse_geometry(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return `size`, `crop_ratio` and `resize_mode`, as far as they are stated."""
    resized, crops = content.get("size"), content.get("do_center_crop", "crop_size" in content)
    if not content.get("do_resize", True):
        resized = None
    crop = parse_size(content["crop_size"]) if crops and content.get("crop_size") is not None else None
    if resized is None:
        return {"size": crop} if crop else {}
    keeps_shape = "shortest_edge" in resized if isinstance(resized, Mapping) else crop is not None
    sides = parse_size(resized)
    if crop:
        mode = "cover" if keeps_shape else "squash"
        return {"size": crop, "crop_ratio": max(crop) / max(sides), "resize_mode": mode}
    share = content.get("crop_pct")
    if share is not None and keeps_shape and max(sides) < _MAX_CROPPED_SIDE:
        return {"size": sides, "crop_ratio": float(share), "resize_mode": "cover"}
    return {"size": sides, "crop_ratio": 1.0, "resize_mode": "squash"}


def _parse_normalization(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return `mean` and `std` for pixels from 0 to 1: the processor scales pixels from 0 to 255 by its own factor."""
    if content.get("rescale_offset"):
        raise ValueError("rescale_offset is not supported")
    scale = 255 * float(content.get("rescale_factor", 1 / 255)) if content.get("do_rescale", True) else 255.0
    mean, std = content.get("image_mean"), content.get("image_std")
    if not content.get("do_normalize", mean is not None):
        stated = "do_normalize" in content
        return {"mean": (0.0,) * 3, "std": (1 / scale,) * 3} if stated else {}
    scale = 1.0 if abs(scale - 1) < 1e-3 else scale
    return {
        name: tuple(float(number) / scale for number in values)
        for name, values in {"mean": mean, "std": std}.items()
        if values is not None
    }


def parse_size(value: Any) -> tuple[int, int]:
    """Return (height, width) of a number, a pair, or a mapping with `height` and `width`, or `shortest_edge`."""
    if isinstance(value, Mapping):
        value = value["shortest_edge"] if "shortest_edge" in value else (value["height"], value["width"])
    sides = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(sides) != 2 or not all(isinstance(side, int) for side in sides):
        raise ValueError(f"{value} is no image size")
    return sides[0], sides[1]
