"""MIL operators that pool over windows, and the padding that they share with convolutions."""

from collections.abc import Sequence
from math import ceil, inf, prod

import torch
from torch import Tensor
from torch.nn import functional as F

from shvit_mobile.errors import UnsupportedOperator

_MAX_POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVG_POOLS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
Padding = list[tuple[int, int]]


def max_pool(
    x: Tensor,
    *,
    kernel_sizes: list[int],
    strides: list[int] | None = None,
    pad_type: str = "valid",
    pad: list[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """iOS15/pool.py; padding is never the maximum."""
    strides, padding = _place_windows(x, kernel_sizes, strides, pad_type, pad)
    if (before := _get_torch_pool_padding(padding, kernel_sizes)) is not None:
        return _MAX_POOLS[len(kernel_sizes)](x, kernel_sizes, strides, before, ceil_mode=ceil_mode)
    _reject_ceil_mode(ceil_mode, padding)
    return _MAX_POOLS[len(kernel_sizes)](F.pad(x, flatten_padding(padding), value=-inf), kernel_sizes, strides)


def avg_pool(
    x: Tensor,
    *,
    kernel_sizes: list[int],
    strides: list[int] | None = None,
    pad_type: str = "valid",
    pad: list[int] | None = None,
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> Tensor:
    """iOS15/pool.py; with `exclude_padding_from_average` only the window's own elements count."""
    strides, padding = _place_windows(x, kernel_sizes, strides, pad_type, pad)
    pool = _AVG_POOLS[len(kernel_sizes)]
    if (before := _get_torch_pool_padding(padding, kernel_sizes)) is not None:
        return pool(x, kernel_sizes, strides, before, ceil_mode, not exclude_padding_from_average)
    _reject_ceil_mode(ceil_mode, padding)
    around = flatten_padding(padding)
    means = pool(F.pad(x, around), kernel_sizes, strides)
    if not exclude_padding_from_average:
        return means
    return means / pool(F.pad(torch.ones_like(x[:1, :1]), around), kernel_sizes, strides)


def l2_pool(
    x: Tensor,
    *,
    kernel_sizes: list[int],
    strides: list[int] | None = None,
    pad_type: str = "valid",
    pad: list[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """iOS15/pool.py; the square root of the sum of squares."""
    strides, padding = _place_windows(x, kernel_sizes, strides, pad_type, pad)
    if ceil_mode:
        padding = _complete_last_windows(padding, x.shape[2:], kernel_sizes, strides)
    squares = F.pad(x.square(), flatten_padding(padding))
    return torch.sqrt(_AVG_POOLS[len(kernel_sizes)](squares, kernel_sizes, strides) * prod(kernel_sizes))


def compute_explicit_padding(
    pad_type: str,
    pad: Sequence[int] | None,
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> Padding:
    """Return the padding before and after each axis, as `spatial_dimensions_out_shape` in ops/defs/_utils.py does.

    `same` gives ceil(size / stride) outputs, with an odd element after the axis; `same_lower`, before it.
    """
    if pad_type == "valid":
        return [(0, 0)] * len(kernel)
    if pad_type == "custom":
        pad = pad or [0] * 2 * len(kernel)
        return list(zip(pad[0::2], pad[1::2], strict=True))
    if pad_type not in ("same", "same_lower"):
        raise UnsupportedOperator(f"pad_type {pad_type}", why="Supported: valid, custom, same, same_lower.")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    totals = [max(0, (ceil(n / s) - 1) * s + span - n) for n, s, span in zip(sizes, strides, spans, strict=True)]
    halves = [(total // 2, total - total // 2) for total in totals]
    return halves if pad_type == "same" else [(after, before) for before, after in halves]


def get_symmetric_padding(padding: Padding) -> list[int] | None:
    """Return the padding per side if both sides are equal, or None."""
    return [before for before, _ in padding] if all(before == after for before, after in padding) else None


def flatten_padding(padding: Padding) -> list[int]:
    """Return `padding` in the order of `torch.nn.functional.pad`: the last axis first."""
    return [side for sides in reversed(padding) for side in sides]


def _place_windows(
    x: Tensor, kernel: Sequence[int], strides: list[int] | None, pad_type: str, pad: Sequence[int] | None
) -> tuple[list[int], Padding]:
    """Return the strides of a pool's windows, and the padding around `x`."""
    ones = [1] * len(kernel)
    strides = strides or ones
    return strides, compute_explicit_padding(pad_type, pad, x.shape[2:], kernel, strides, ones)


def _get_torch_pool_padding(padding: Padding, kernel: Sequence[int]) -> list[int] | None:
    """Return the padding for torch's pools: equal on both sides and at most half the kernel; None if it is not."""
    before = get_symmetric_padding(padding)
    return before if before is not None and all(2 * b <= k for b, k in zip(before, kernel, strict=True)) else None


def _complete_last_windows(
    padding: Padding, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int]
) -> Padding:
    """Return `padding` with what the last window of `ceil_mode` lacks after the axis.

    A window that would begin in the padding after the axis does not count; without padding one may begin there.
    """
    completed = []
    for (before, after), size, length, stride in zip(padding, sizes, kernel, strides, strict=True):
        last = ceil((size + before + after - length) / stride) * stride
        if last >= size + before and before + after > 0:
            last -= stride
        completed.append((before, last + length - size - before))
    return completed


def _reject_ceil_mode(ceil_mode: bool, padding: Padding) -> None:
    if ceil_mode:
        raise UnsupportedOperator(
            f"ceil_mode with the padding {padding}", why="At most half a kernel per side is supported."
        )
