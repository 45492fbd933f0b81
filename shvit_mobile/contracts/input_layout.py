"""The layout of an artifact's input: an image, or 2x2 blocks stacked in channels for a space-to-depth stem.

The first convolution of the stem has stride 2 and three input channels, which runs slowly. With 2x2 blocks stacked into
twelve channels it has stride 1 and reads memory in order. The input includes the border, so it needs no padding.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

InputLayout = Literal["image", "space-to-depth"]
BLOCK_SIZE = 2


def apply_space_to_depth(values: NDArray[np.float32], border: tuple[float, float, float]) -> NDArray[np.float32]:
    """Add a border to images and stack each 2x2 block of positions into channels.

    The border has two rows at the top and two columns on the left, and one more at the bottom or right if that side is
    odd. Channel (2 * row + column) * 3 + color of a block is that row, column and color of it.

    Args:
        values: Images, shape (images, 3, height, width).
        border: The border's value in each color: the mean in pixels, zero after normalization.

    Returns:
        The same dtype, contiguous, shape (images, 12, ceil(height / 2) + 1, ceil(width / 2) + 1).
    """
    count, colors, height, width = values.shape
    rows, columns = count_blocks(height), count_blocks(width)
    canvas = np.empty((count, colors, BLOCK_SIZE * rows, BLOCK_SIZE * columns), values.dtype)
    canvas[:] = np.asarray(border, values.dtype)[:, None, None]
    canvas[:, :, BLOCK_SIZE : BLOCK_SIZE + height, BLOCK_SIZE : BLOCK_SIZE + width] = values
    split = canvas.reshape(count, colors, rows, BLOCK_SIZE, columns, BLOCK_SIZE)
    return np.ascontiguousarray(split.transpose(0, 3, 5, 1, 2, 4).reshape(count, -1, rows, columns))


def count_blocks(side: int) -> int:
    """Return the number of blocks that cover a side and its border."""
    return -(-side // BLOCK_SIZE) + 1
