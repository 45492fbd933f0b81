"""Doubling by a transposed convolution, or by copies, is nearest upsampling, to even sizes and to odd ones."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from shvit_mobile.families.upsampling import ConcatenatedDoubling, NearestDoubling


@pytest.mark.parametrize(("height", "width"), [(14, 22), (13, 22), (13, 21), (1, 2)])
def test_doubling_is_nearest_interpolation(height: int, width: int) -> None:
    x = torch.randn(2, 5, (height + 1) // 2, (width + 1) // 2)
    expected = F.interpolate(x, size=(height, width), mode="nearest")
    doubling = NearestDoubling(5)
    assert torch.equal(doubling(x, height, width), expected)
    assert torch.equal(ConcatenatedDoubling(doubling)(x, height, width), expected)
    assert not doubling.state_dict()
