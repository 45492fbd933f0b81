"""Draw the large picture of the goldens: of odd size, not square, and sensitive to a wrong filter.

    python tools/draw_golden_picture.py

The demo's photos are smaller than the model's input and are enlarged; this one is reduced. It is stored as a file,
because another version of the JPEG encoder would write different bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shvit_mobile.demo import GOLDEN_IMAGES

HEIGHT, WIDTH, QUALITY = 487, 731, 75


def draw_picture(height: int, width: int) -> NDArray[np.uint8]:
    """Draw rings that get finer outwards, a slanted edge and broad colors: uint8, shape (height, width, 3)."""
    rows, columns = np.mgrid[:height, :width]
    rings = 45 * np.sin((rows**2 + columns**2) / (1.5 * width))
    edge = np.where(2 * rows + 3 * columns > height + 2 * width, 35, -35)
    colors = [40 * np.sin(rows / 60), 40 * np.cos(columns / 75), 40 * np.sin((rows + columns) / 90)]
    return np.clip(np.stack([128 + rings + edge + color for color in colors], axis=-1), 0, 255).astype(np.uint8)


def main() -> None:
    path = GOLDEN_IMAGES / f"drawn-{WIDTH}x{HEIGHT}.jpg"
    Image.fromarray(draw_picture(HEIGHT, WIDTH)).save(path, quality=QUALITY)
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
