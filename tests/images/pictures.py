"""Pictures drawn by formula, and files of every kind made of them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLORS = ((220, 40, 30), (30, 180, 60), (40, 60, 210), (230, 200, 20), (20, 190, 200), (200, 60, 190))


def draw_texture(height: int, width: int) -> Image.Image:
    """A rough texture over a slope, in integer arithmetic, so that every machine draws the same."""
    y, x = np.mgrid[:height, :width].astype(np.int64)
    channels = [(y * y * (3 + c) + x * x * (5 - c) + 7 * x * y) % 97 + (x * 2 + y * (c + 1)) % 159 for c in range(3)]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def draw_blocks() -> Image.Image:
    """Six flat blocks, two rows of three, 32 x 48 pixels: nothing is symmetric, and JPEG keeps the colours."""
    blocks = np.array(COLORS, dtype=np.uint8).reshape(2, 3, 3)
    return Image.fromarray(blocks.repeat(16, axis=0).repeat(16, axis=1))


def encode_picture(picture: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def write_files(root: Path, files: Mapping[str, str | bytes | Image.Image]) -> Path:
    """Files under `root`, each a text, bytes or a picture."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Image.Image):
            content.save(path)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            path.write_bytes(content)
    return root


def encode_dot(seed: int) -> bytes:
    """A small PNG of one colour, another for each seed below 50,000."""
    return encode_picture(Image.new("RGB", (3, 2), (seed % 256, seed // 256, 77)), "PNG")
