"""Variants of a few pictures: crops, mirrored, in other light and other colours, so that few stand for more.

A range that was measured on one picture is too small for the next. What variants show of other pictures is their
spread, not what is in them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Each is drawn evenly from between these: how far a crop is enlarged, contrast, light in units of a pixel's value.
ZOOM_RANGE, CONTRAST_RANGE, BRIGHTNESS_RANGE = (1.0, 2.2), (0.5, 1.8), (-60.0, 60.0)
NEGATIVE_PROBABILITY = 0.3


def augment_images(pixels: NDArray[np.uint8], count: int, seed: int = 0) -> NDArray[np.uint8]:
    """`pixels`, and behind them as many variants as make `count` pictures; as they are where they are as many.

    Args:
        pixels: uint8, shape (images, height, width, 3), at least one.
        count: how many there are to be.
        seed: the same for the same variants.
    """
    draw = np.random.default_rng(seed)
    made = [augment_image(pixels[index % len(pixels)], draw) for index in range(count - len(pixels))]
    return np.concatenate([pixels, np.stack(made)]) if made else pixels


def augment_image(picture: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """One of them, shape (height, width, 3)."""
    changed = crop_randomly(picture, generator)
    if generator.random() < 0.5:
        changed = changed[:, ::-1]
    values = changed.astype(np.float32)[..., generator.permutation(3)]
    middle = values.mean()
    values = (values - middle) * generator.uniform(*CONTRAST_RANGE) + middle + generator.uniform(*BRIGHTNESS_RANGE)
    if generator.random() < NEGATIVE_PROBABILITY:
        values = 255 - values
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def crop_randomly(picture: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """A part of a picture at the size of the whole, bicubic."""
    height, width = picture.shape[:2]
    enlarged = generator.uniform(*ZOOM_RANGE)
    rows, columns = max(1, int(height / enlarged)), max(1, int(width / enlarged))
    top, left = generator.integers(0, height - rows + 1), generator.integers(0, width - columns + 1)
    part = Image.fromarray(picture[top : top + rows, left : left + columns])
    return np.asarray(part.resize((width, height), Image.Resampling.BICUBIC))
