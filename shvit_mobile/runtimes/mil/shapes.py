"""MIL operators that move elements without computing."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from shvit_mobile.errors import BadArtifact, UnsupportedOperator
from shvit_mobile.runtimes.mil.pooling import flatten_padding

_PAD_MODES = ("constant", "reflect", "replicate")


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


def stack(values: list[Tensor], *, axis: int) -> Tensor:
    """iOS15/tensor_operation.py; the new axis counts in the result."""
    return torch.stack(values, axis)


def tile(x: Tensor, *, reps: list[int]) -> Tensor:
    """iOS15/tensor_operation.py; one count per axis."""
    if len(reps) != x.ndim:
        raise BadArtifact(f"repeats {len(reps)} axes of {x.ndim}", why="It needs one count per axis.")
    return x.repeat(reps)


def pad(x: Tensor, *, pad: list[int], mode: str = "constant", constant_val: float = 0.0) -> Tensor:
    """iOS15/tensor_operation.py; before and after each of the last axes.

    `reflect` mirrors at the first and the last element, `replicate` repeats them.
    """
    if mode not in _PAD_MODES:
        raise UnsupportedOperator(f"mode {mode}", why=f"Supported: {', '.join(_PAD_MODES)}.")
    sides = list(zip(pad[0::2], pad[1::2], strict=True))
    if mode == "constant":
        return F.pad(x, flatten_padding(sides), value=constant_val)
    for axis, (before, after) in enumerate(sides, start=x.ndim - len(sides)):
        last = x.shape[axis] - 1
        indices = torch.arange(-before, last + 1 + after)
        if mode == "replicate":
            indices = indices.clamp(0, last)
        elif max(before, after) > last:
            raise BadArtifact(
                f"reflects {max(before, after)} elements of an axis of {last + 1}", why=f"At most {last} are possible."
            )
        else:
            indices = last - (last - indices.abs()).abs()
        x = x.index_select(axis, indices)
    return x


def band_part(x: Tensor, *, lower: int = -1, upper: int = -1) -> Tensor:
    """iOS15/tensor_operation.py; keeps diagonals of the last two axes, all on a side if its number is negative."""
    x = x if lower < 0 else torch.triu(x, -lower)
    return x if upper < 0 else torch.tril(x, upper)


def reverse(x: Tensor, *, axes: list[int] | None = None) -> Tensor:
    """iOS15 and iOS17/tensor_transformation.py; along all axes if none are given."""
    return x.flip(list(range(x.ndim)) if axes is None else axes)


def cumsum(x: Tensor, *, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """iOS15/tensor_operation.py; an exclusive sum lacks the element at its place."""
    ordered = x.flip(axis) if reverse else x
    sums = torch.cumsum(ordered, axis, dtype=x.dtype)
    if exclusive:
        size = x.shape[axis]
        sums = torch.cat([torch.zeros_like(x.narrow(axis, 0, 1)), sums.narrow(axis, 0, size - 1)], axis)
    return sums.flip(axis) if reverse else sums


def gather(x: Tensor, indices: Tensor, *, axis: int = 0, batch_dims: int = 0, validate_indices: bool = False) -> Tensor:
    """iOS15, iOS16 and iOS17/scatter_gather.py; takes slices of `x`, for each element of the first `batch_dims` axes.

    Indices out of bounds are an error, whatever `validate_indices` says; the specification leaves the result open.
    """
    axis %= x.ndim
    if batch_dims:
        pairs = zip(x.flatten(0, batch_dims - 1), indices.flatten(0, batch_dims - 1), strict=True)
        slices = torch.stack([gather(part, places, axis=axis - batch_dims) for part, places in pairs])
        return slices.reshape(*x.shape[:batch_dims], *slices.shape[1:])
    places = _count_from_start(indices, x.shape[axis])
    return x.index_select(axis, places.flatten()).reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def gather_along_axis(x: Tensor, indices: Tensor, *, axis: int = 0, validate_indices: bool = False) -> Tensor:
    """iOS15 and iOS17/scatter_gather.py; takes elements of `x` along an axis, as `gather` treats indices."""
    return torch.take_along_dim(x, _count_from_start(indices, x.shape[axis]), axis)


def _count_from_start(indices: Tensor, size: int) -> Tensor:
    indices = indices.long()
    return torch.where(indices < 0, indices + size, indices)


def _slice_axis(x: Tensor, axis: int, part: slice) -> Tensor:
    indices = range(*part.indices(x.shape[axis]))
    if indices.step < 0:  # torch has no negative steps
        return x.index_select(axis, torch.tensor(indices, dtype=torch.int64))
    return x[(slice(None),) * axis + (part,)]
