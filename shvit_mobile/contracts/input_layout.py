"""How the values of an image lie in an artifact's input: as an image, or rearranged for a space-to-depth stem.

The stem's first convolution has stride 2 and three channels, which is the slowest way to spend multiply-adds. With each
2x2 block of values stacked into twelve channels it has stride 1 and reads memory in order. The border that it would pad
with is there already, so that it needs no padding either.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

InputLayout = Literal["image", "space-to-depth"]
BLOCK_SIZE = 2


def apply_space_to_depth(values: NDArray[np.float32], border: tuple[float, float, float]) -> NDArray[np.float32]:
    """Images with a border, each block of 2x2 positions stacked into channels.

    The border is two rows above and two columns on the left, and one more below and on the right where a side is odd.
    Channel (2 * row + column) * 3 + colour of a block holds that row, column and colour of it.

    Args:
        values: shape (images, 3, height, width).
        border: what stands for nothing in each colour: the mean in pixels, zero after normalisation.

    Returns:
        The same dtype, contiguous, shape (images, 12, ceil(height / 2) + 1, ceil(width / 2) + 1).
    """
    count, colours, height, width = values.shape
    rows, columns = count_blocks(height), count_blocks(width)
    canvas = np.empty((count, colours, BLOCK_SIZE * rows, BLOCK_SIZE * columns), values.dtype)
    canvas[:] = np.asarray(border, values.dtype)[:, None, None]
    canvas[:, :, BLOCK_SIZE : BLOCK_SIZE + height, BLOCK_SIZE : BLOCK_SIZE + width] = values
    split = canvas.reshape(count, colours, rows, BLOCK_SIZE, columns, BLOCK_SIZE)
    return np.ascontiguousarray(split.transpose(0, 3, 5, 1, 2, 4).reshape(count, -1, rows, columns))


def count_blocks(side: int) -> int:
    """How many blocks cover a side and its border."""
    return -(-side // BLOCK_SIZE) + 1
