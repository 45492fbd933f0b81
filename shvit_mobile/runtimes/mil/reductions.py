"""MIL operators that reduce axes to one value; iOS15 and iOS17/reduction.py."""

from collections.abc import Callable

import torch
from torch import Tensor

from shvit_mobile.errors import UnsupportedOperator

# Takes a tensor, the axes to reduce, and whether these stay with the length 1.
Reduction = Callable[[Tensor, list[int], bool], Tensor]
_INDEX_DTYPES = {"int32": torch.int32, "uint16": torch.int32}  # torch has few operators on uint16


def make_reduction(reduce: Reduction) -> Callable[..., Tensor]:
    """Return `reduce` with the inputs that MIL's reductions have: over all axes if none are given."""

    def reduction(x: Tensor, *, axes: list[int] | None = None, keep_dims: bool = False) -> Tensor:
        return reduce(x, list(range(x.ndim)) if axes is None else axes, keep_dims)

    return reduction


def multiply_over_axes(x: Tensor, axes: list[int], keep_dims: bool) -> Tensor:
    for axis in axes:
        x = torch.prod(x, axis, keepdim=True, dtype=x.dtype)
    return x if keep_dims else x.squeeze(axes)


def sum_over_axes(x: Tensor, axes: list[int], keep_dims: bool) -> Tensor:
    return torch.sum(x, axes, keepdim=keep_dims, dtype=x.dtype)  # torch would sum integers up in int64


def reduce_argmax(x: Tensor, *, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32") -> Tensor:
    """Of equal elements any may count; here it is the first."""
    return torch.argmax(x, axis, keepdim=keep_dims).to(_find_index_dtype(output_dtype))


def reduce_argmin(x: Tensor, *, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32") -> Tensor:
    return torch.argmin(x, axis, keepdim=keep_dims).to(_find_index_dtype(output_dtype))


def _find_index_dtype(name: str) -> torch.dtype:
    if name not in _INDEX_DTYPES:
        raise UnsupportedOperator(f"output_dtype {name}", why=f"Supported: {', '.join(_INDEX_DTYPES)}.")
    return _INDEX_DTYPES[name]
