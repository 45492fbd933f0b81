"""MIL operators that multiply and sum: convolution and the products of matrices."""

import torch
from torch import Tensor
from torch.nn import functional as F

from shvit_mobile.runtimes.mil.pooling import compute_explicit_padding, flatten_padding, get_symmetric_padding

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


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


def matmul(x: Tensor, y: Tensor, *, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:
    """iOS15 and iOS17/linear.py; nothing is transposed in a vector."""
    return torch.matmul(x.mT if transpose_x and x.ndim > 1 else x, y.mT if transpose_y and y.ndim > 1 else y)
