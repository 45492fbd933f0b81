"""Draw the large pictures of the goldens, which are sensitive to a wrong filter.

    python tools/draw_golden_picture.py

The demo's photos are smaller than the model's input and are enlarged; these are reduced. One is of odd size. The other
is large enough to be decoded at reduced scale, and has strong colors and a Display-P3 profile: an app that converts it
to sRGB gets other pixels. They are stored as files, because another version of the JPEG encoder would write different
bytes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from display_p3 import attach_profile, build_display_p3_profile
from numpy.typing import NDArray
from PIL import Image

from shvit_mobile.demo import GOLDEN_IMAGES, WIDE_GAMUT_IMAGE


@dataclass(frozen=True)
class Drawing:
    """What is drawn, and how it is stored.

    Attributes:
        ring_width: The larger, the wider the rings.
        rings, edge, colors: The contrast of the rings, of the edge and of the broad colors.
        quality: JPEG's quality.
    """

    height: int
    width: int
    ring_width: float
    rings: int
    edge: int
    colors: int
    quality: int


PLAIN = Drawing(487, 731, ring_width=1.5, rings=45, edge=35, colors=40, quality=75)
WIDE_GAMUT = Drawing(1024, 1360, ring_width=3, rings=30, edge=25, colors=80, quality=60)


def draw_picture(drawing: Drawing) -> NDArray[np.uint8]:
    """Draw rings that get finer outwards, a slanted edge and broad colors: uint8, shape (height, width, 3)."""
    height, width = drawing.height, drawing.width
    rows, columns = np.mgrid[:height, :width]
    rings = drawing.rings * np.sin((rows**2 + columns**2) / (drawing.ring_width * width))
    edge = np.where(2 * rows + 3 * columns > height + 2 * width, drawing.edge, -drawing.edge)
    slopes = [np.sin(rows / 60), np.cos(columns / 75), np.sin((rows + columns) / 90)]
    channels = [128 + rings + edge + drawing.colors * slope for slope in slopes]
    return np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8)


def encode_drawing(drawing: Drawing) -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw_picture(drawing)).save(file, "JPEG", quality=drawing.quality)
    return file.getvalue()


def main() -> None:
    plain = GOLDEN_IMAGES / f"drawn-{PLAIN.width}x{PLAIN.height}.jpg"
    for path, jpeg in (
        (plain, encode_drawing(PLAIN)),
        (WIDE_GAMUT_IMAGE, attach_profile(encode_drawing(WIDE_GAMUT), build_display_p3_profile())),
    ):
        write_picture(path, jpeg)


def write_picture(path: Path, jpeg: bytes) -> None:
    path.write_bytes(jpeg)
    print(f"{path.name}: {len(jpeg)} bytes")


if __name__ == "__main__":
    main()
