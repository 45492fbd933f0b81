"""Draws the large one of the pictures that goldens are made of: odd in size, not square, harsh on a wrong filter.

    python tools/draw_golden_picture.py

The demo's photos are smaller than the model's input and are enlarged; this one is shrunk. It is kept as a file, since
another version of the JPEG encoder would write other bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shvit_mobile.demo import GOLDEN_IMAGES

HEIGHT, WIDTH, QUALITY = 487, 731, 75


def draw_picture(height: int, width: int) -> NDArray[np.uint8]:
    """Rings that get finer outwards, a slanted edge and broad colours: uint8, shape (height, width, 3)."""
    rows, columns = np.mgrid[:height, :width]
    rings = 45 * np.sin((rows**2 + columns**2) / (1.5 * width))
    edge = np.where(2 * rows + 3 * columns > height + 2 * width, 35, -35)
    colours = [40 * np.sin(rows / 60), 40 * np.cos(columns / 75), 40 * np.sin((rows + columns) / 90)]
    return np.clip(np.stack([128 + rings + edge + colour for colour in colours], axis=-1), 0, 255).astype(np.uint8)


def main() -> None:
    path = GOLDEN_IMAGES / f"drawn-{WIDTH}x{HEIGHT}.jpg"
    Image.fromarray(draw_picture(HEIGHT, WIDTH)).save(path, quality=QUALITY)
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
