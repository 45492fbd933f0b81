"""Nearest upsampling in an operator that every runtime delegates: XNNPACK has no nearest interpolation."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class NearestDoubling(nn.Module):
    """Nearest upsampling by 2, as a transposed convolution of ones on each channel; cropped to the size that is asked.

    It equals `F.interpolate(x, size=(height, width), mode="nearest")` for heights and widths of 2 n and 2 n - 1.
    The weight is a constant, and not part of the state.
    """

    weight: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(channels, 1, 2, 2), persistent=False)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Upsample `x`, shape (batch, channels, h, w), to (batch, channels, height, width)."""
        doubled = F.conv_transpose2d(x, self.weight, stride=2, groups=self.weight.shape[0])
        return doubled if doubled.shape[2:] == (height, width) else doubled[:, :, :height, :width]
