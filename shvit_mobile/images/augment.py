"""Augmentation of calibration images: crops, flips, brightness, contrast and color changes.

A range measured on a few images is too small for others. Variants show how far the values of other images spread.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Uniform ranges of the zoom factor, of the contrast factor, and of the brightness offset in pixel values.
ZOOM_RANGE, CONTRAST_RANGE, BRIGHTNESS_RANGE = (1.0, 2.2), (0.5, 1.8), (-60.0, 60.0)
_NEGATIVE_PROBABILITY = 0.3


def augment_images(pixels: NDArray[np.uint8], count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Append random variants of images until there are `count` images.

    Args:
        pixels: uint8, shape (images, height, width, 3), at least one image.
        count: The number of images to return; no variants are added if there are enough.
        seed: The seed of the random generator.

    Returns:
        uint8, shape (max(images, count), height, width, 3); `pixels` come first.
    """
    generator = np.random.default_rng(seed)
    variants = [_augment_image(pixels[index % len(pixels)], generator) for index in range(count - len(pixels))]
    return np.concatenate([pixels, np.stack(variants)]) if variants else pixels


def _augment_image(image: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return a random variant of an image, both of shape (height, width, 3)."""
    changed = _crop_randomly(image, generator)
    if generator.random() < 0.5:
        changed = changed[:, ::-1]
    values = changed.astype(np.float32)[..., generator.permutation(3)]
    middle = values.mean()
    values = (values - middle) * generator.uniform(*CONTRAST_RANGE) + middle + generator.uniform(*BRIGHTNESS_RANGE)
    if generator.random() < _NEGATIVE_PROBABILITY:
        values = 255 - values
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _crop_randomly(image: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Crop a random part of an image and resize it to the size of the image (bicubic)."""
    height, width = image.shape[:2]
    zoom = generator.uniform(*ZOOM_RANGE)
    rows, columns = max(1, int(height / zoom)), max(1, int(width / zoom))
    top, left = generator.integers(0, height - rows + 1), generator.integers(0, width - columns + 1)
    part = Image.fromarray(image[top : top + rows, left : left + columns])
    return np.asarray(part.resize((width, height), Image.Resampling.BICUBIC))
