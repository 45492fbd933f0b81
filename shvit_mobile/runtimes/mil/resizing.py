"""MIL operators that resize the last two axes: images and feature maps; iOS15 and iOS16/image_resizing.py."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from shvit_mobile.errors import UnsupportedOperator

# By sampling mode, where an axis of `size` elements is read for `outputs` elements; the end is at size - 1.
_SAMPLING_MODES: dict[str, Callable[[int, int], Tensor]] = {
    "STRICT_ALIGN_CORNERS": lambda size, outputs: _count(outputs) * ((size - 1) / max(outputs - 1, 1)),
    "ALIGN_CORNERS": lambda size, outputs: (
        _SAMPLING_MODES["STRICT_ALIGN_CORNERS"](size, outputs) if outputs > 1 else _count(1) + (size - 1) / 2
    ),
    "DEFAULT": lambda size, outputs: _count(outputs) * (size / outputs),
    "OFFSET_CORNERS": lambda size, outputs: (_count(outputs) + 0.5) * (max(1, size - 1) / outputs),
    "UNALIGN_CORNERS": lambda size, outputs: (_count(outputs) + 0.5) * (size / outputs) - 0.5,
}
# By `align_corners` and `half_pixel_centers`.
_UPSAMPLING_MODES = {
    (True, False): "STRICT_ALIGN_CORNERS",
    (False, True): "UNALIGN_CORNERS",
    (False, False): "DEFAULT",
}


def upsample_bilinear(
    x: Tensor,
    *,
    scale_factor_height: float = 1,
    scale_factor_width: float = 1,
    align_corners: bool = True,
    half_pixel_centers: bool | None = None,
) -> Tensor:
    """Resize by factors; the distance between samples follows from the sizes, as torch's `recompute_scale_factor`."""
    half = not align_corners if half_pixel_centers is None else half_pixel_centers
    if (align_corners, half) not in _UPSAMPLING_MODES:
        raise UnsupportedOperator(
            "align_corners with half_pixel_centers", why="At most one of them says where the samples lie."
        )
    height, width = _scale_sizes(x, scale_factor_height, scale_factor_width)
    return resize_bilinear(
        x,
        target_size_height=height,
        target_size_width=width,
        sampling_mode=_UPSAMPLING_MODES[align_corners, half],
    )


def resize_bilinear(
    x: Tensor, *, target_size_height: int = 1, target_size_width: int = 1, sampling_mode: str = "DEFAULT"
) -> Tensor:
    if sampling_mode not in _SAMPLING_MODES:
        raise UnsupportedOperator(f"sampling_mode {sampling_mode}", why=f"Supported: {', '.join(_SAMPLING_MODES)}.")
    locate = _SAMPLING_MODES[sampling_mode]
    for axis, outputs in ((-2, target_size_height), (-1, target_size_width)):
        x = _interpolate(x, axis, locate(x.shape[axis], outputs))
    return x


def upsample_nearest_neighbor(x: Tensor, *, scale_factor_height: float = 1, scale_factor_width: float = 1) -> Tensor:
    height, width = _scale_sizes(x, scale_factor_height, scale_factor_width)
    return resize_nearest_neighbor(x, target_size_height=height, target_size_width=width)


def resize_nearest_neighbor(x: Tensor, *, target_size_height: int, target_size_width: int) -> Tensor:
    """Output i is element floor(i * size / outputs)."""
    for axis, outputs in ((-2, target_size_height), (-1, target_size_width)):
        size = x.shape[axis]
        x = x.index_select(axis, torch.arange(outputs) * size // outputs)
    return x


def crop(x: Tensor, *, crop_height: list[int], crop_width: list[int]) -> Tensor:
    """Take elements away: before and after the height, before and after the width."""
    return F.pad(x, [-side for side in (*crop_width, *crop_height)])


def _interpolate(x: Tensor, axis: int, points: Tensor) -> Tensor:
    """Read `x` along an axis at fractional indices, linearly between elements."""
    last = x.shape[axis] - 1
    points = points.clamp(0, last)
    low = points.floor().long()
    shape = [-1 if index == axis % x.ndim else 1 for index in range(x.ndim)]
    weights = (points - low).to(x.dtype).reshape(shape)
    return torch.lerp(x.index_select(axis, low), x.index_select(axis, (low + 1).clamp(max=last)), weights)


def _scale_sizes(x: Tensor, height: float, width: float) -> tuple[int, int]:
    """Return the sizes of the last two axes times a factor, rounded down; factors are float32, as in coremltools."""
    return int(np.float32(height) * np.float32(x.shape[-2])), int(np.float32(width) * np.float32(x.shape[-1]))


def _count(outputs: int) -> Tensor:
    return torch.arange(outputs, dtype=torch.float64)
