"""Nearest upsampling in operators that runtimes delegate: XNNPACK has no nearest interpolation."""

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
        self.in_channels = channels
        self.register_buffer("weight", torch.ones(channels, 1, 2, 2), persistent=False)

    def forward(self, x: Tensor, height: int | None = None, width: int | None = None) -> Tensor:
        """Upsample `x`, shape (batch, channels, h, w), to (batch, channels, height, width) (default: 2 h and 2 w)."""
        return _crop(F.conv_transpose2d(x, self.weight, stride=2, groups=self.in_channels), height, width)


class ConcatenatedDoubling(nn.Module):
    """The same by copies. In LiteRT, where a transposed convolution has no groups, it would be one for each channel.

    With channels last, two copies side by side on the channels are two columns, and two rows are two copies of a row.
    """

    def __init__(self, doubling: nn.Module) -> None:
        super().__init__()
        del doubling  # it has no parameters

    def forward(self, x: Tensor, height: int | None = None, width: int | None = None) -> Tensor:
        batch, channels, rows, columns = x.shape
        last = x.permute(0, 2, 3, 1)
        wide = torch.cat([last, last], 3).reshape(batch, rows, 1, 2 * columns * channels)
        doubled = torch.cat([wide, wide], 2).reshape(batch, 2 * rows, 2 * columns, channels)
        return _crop(doubled.permute(0, 3, 1, 2), height, width)


def _crop(x: Tensor, height: int | None, width: int | None) -> Tensor:
    height, width = x.shape[2] if height is None else height, x.shape[3] if width is None else width
    return x if x.shape[2:] == (height, width) else x[:, :, :height, :width]
