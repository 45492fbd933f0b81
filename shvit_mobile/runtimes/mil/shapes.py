"""MIL operators that move elements without computing."""

from collections.abc import Sequence

import torch
from torch import Tensor


def reshape(x: Tensor, *, shape: list[int]) -> Tensor:
    """iOS15 and iOS17/tensor_transformation.py; a 0 keeps the axis."""
    return x.reshape([size or x.shape[axis] for axis, size in enumerate(shape)])


def expand_dims(x: Tensor, *, axes: list[int]) -> Tensor:
    """iOS15/tensor_transformation.py; `axes` count in the result."""
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def squeeze(x: Tensor, *, axes: list[int] | None = None) -> Tensor:
    """iOS15/tensor_transformation.py; axes longer than 1 stay."""
    return x.squeeze() if axes is None else x.squeeze(axes)


def split(
    x: Tensor, *, axis: int, num_splits: int | None = None, split_sizes: list[int] | None = None
) -> Sequence[Tensor]:
    """iOS15/tensor_operation.py."""
    return torch.split(x, split_sizes or x.shape[axis] // (num_splits or 1), axis)


def concat(values: list[Tensor], *, axis: int, interleave: bool = False) -> Tensor:
    """iOS15/tensor_operation.py; if interleaved, it takes one slice of each value in turn."""
    if not interleave:
        return torch.cat(values, axis)
    axis %= values[0].ndim
    return torch.stack(values, axis + 1).flatten(axis, axis + 1)


def slice_by_index(
    x: Tensor,
    *,
    begin: list[int],
    end: list[int],
    stride: list[int] | None = None,
    begin_mask: list[bool] | None = None,
    end_mask: list[bool] | None = None,
    squeeze_mask: list[bool] | None = None,
) -> Tensor:
    """iOS15 and iOS17/tensor_transformation.py; like numpy slices, with negative strides."""
    strides = stride or [1] * x.ndim
    from_start, to_end, squeezed = (m or [False] * x.ndim for m in (begin_mask, end_mask, squeeze_mask))
    for axis in reversed(range(x.ndim)):  # backward, because a squeezed axis renumbers those after it
        if squeezed[axis]:
            x = x.select(axis, begin[axis])
            continue
        first = None if from_start[axis] else begin[axis]
        last = None if to_end[axis] else end[axis]
        x = _slice_axis(x, axis, slice(first, last, strides[axis]))
    return x


def slice_by_size(x: Tensor, *, begin: list[int], size: list[int]) -> Tensor:
    """iOS15 and iOS17/tensor_transformation.py; a size of -1 takes the rest."""
    for axis, (first, length) in enumerate(zip(begin, size, strict=True)):
        first %= x.shape[axis]
        x = x.narrow(axis, first, x.shape[axis] - first if length == -1 else length)
    return x


def _slice_axis(x: Tensor, axis: int, part: slice) -> Tensor:
    indices = range(*part.indices(x.shape[axis]))
    if indices.step < 0:  # torch has no negative steps
        return x.index_select(axis, torch.tensor(indices, dtype=torch.int64))
    return x[(slice(None),) * axis + (part,)]
