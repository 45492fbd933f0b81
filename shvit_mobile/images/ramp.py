"""The test image of every export, computed by a formula so that a phone can draw it too."""

import numpy as np
from numpy.typing import NDArray


def draw_ramp(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return pixels (7 y + 3 x + 50 c) mod 256 at row y, column x, channel c: uint8, shape (1, height, width, 3)."""
    rows, columns, channels = np.ogrid[: size[0], : size[1], :3]
    return ((7 * rows + 3 * columns + 50 * channels) % 256).astype(np.uint8)[None]
