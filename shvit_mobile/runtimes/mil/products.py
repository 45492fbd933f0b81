"""MIL operators that multiply and sum: convolutions, the products of matrices, and attention."""

from math import sqrt

import torch
from torch import Tensor
from torch.nn import functional as F

from shvit_mobile.errors import UnsupportedOperator
from shvit_mobile.runtimes.mil.pooling import compute_explicit_padding, flatten_padding, get_symmetric_padding

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED_CONVOLUTIONS = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_TRANSPOSED_PAD_TYPES = ("valid", "custom", "same")


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    strides: list[int] | None = None,
    pad_type: str = "valid",
    pad: list[int] | None = None,
    dilations: list[int] | None = None,
    groups: int = 1,
) -> Tensor:
    """iOS15 and iOS17/conv.py; over one, two or three axes."""
    axes = x.ndim - 2
    strides, dilations = strides or [1] * axes, dilations or [1] * axes
    padding = compute_explicit_padding(pad_type, pad, x.shape[2:], weight.shape[2:], strides, dilations)
    before = get_symmetric_padding(padding)
    if before is None:
        x, before = F.pad(x, flatten_padding(padding)), [0] * axes
    return _CONVOLUTIONS[axes](x, weight, bias, strides, before, dilations, groups)


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    strides: list[int] | None = None,
    pad_type: str = "valid",
    pad: list[int] | None = None,
    output_shape: list[int] | None = None,
    dilations: list[int] | None = None,
    groups: int = 1,
) -> Tensor:
    """iOS15 and iOS17/conv.py; over one, two or three axes.

    Padding takes elements of the result away. `same` gives size * stride outputs, and takes an odd element away after
    the axis. What `output_shape` asks for beyond the result is zero before the bias, as torch's `output_padding`.
    """
    if pad_type not in _TRANSPOSED_PAD_TYPES:
        raise UnsupportedOperator(f"pad_type {pad_type}", why=f"Supported: {', '.join(_TRANSPOSED_PAD_TYPES)}.")
    axes = x.ndim - 2
    strides, dilations = strides or [1] * axes, dilations or [1] * axes
    whole = _TRANSPOSED_CONVOLUTIONS[axes](x, weight, None, strides, 0, 0, groups, dilations)
    full = whole.shape[2:]
    removed = (pad or [0] * 2 * axes) if pad_type == "custom" else [0] * 2 * axes
    if output_shape is not None:
        sizes = output_shape[2:]
    elif pad_type == "same":
        sizes = [size * stride for size, stride in zip(x.shape[2:], strides, strict=True)]
    else:
        sizes = [n - b - a for n, b, a in zip(full, removed[0::2], removed[1::2], strict=True)]
    first = removed[0::2]
    if pad_type == "same":
        first = [max(0, n - size) // 2 for n, size in zip(full, sizes, strict=True)]
    margins = [(-start, start + size - n) for start, size, n in zip(first, sizes, full, strict=True)]
    result = F.pad(whole, flatten_padding(margins))
    return result if bias is None else result + bias.reshape([-1] + [1] * axes)


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """iOS18/transformers.py; a mask of booleans says what takes part, one of floats is added."""
    scores = query @ key.mT / sqrt(query.shape[-1])
    if attn_mask is not None:
        masked = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -torch.inf) if masked else scores + attn_mask
    return scores.softmax(-1) @ value


def matmul(x: Tensor, y: Tensor, *, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:
    """iOS15 and iOS17/linear.py; nothing is transposed in a vector."""
    return torch.matmul(x.mT if transpose_x and x.ndim > 1 else x, y.mT if transpose_y and y.ndim > 1 else y)
