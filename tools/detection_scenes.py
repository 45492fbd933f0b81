"""Synthetic scenes for a detector: small pictures of known classes, pasted on crops of photos or on drawn clouds.

A scene depends on the pictures, the backgrounds, the seed and its number alone, so that every run sees the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

# Objects in a scene; the side of an object as a share of the scene's, and its ratio, as a logarithm.
MOST_OBJECTS, SIDES, LOG_RATIO = 4, (0.3, 0.8), 0.25
# The share of the smaller object that another may cover, and the soft edge of an object as a share of its side.
MOST_OVERLAP, SOFT_EDGE = 0.25, 0.06
# Backgrounds are kept at this length of the shorter side, and a scene shows at least this share of it.
BACKGROUND_SIDE, SMALLEST_CROP = 360, 0.5
# Of clouds: the exponent by which a layer's contrast falls with its frequency, and mean and contrast in levels of 255.
CLOUD_FALL, CLOUD_LEVELS, CLOUD_CONTRASTS = (0.9, 1.4), (60, 190), (30, 60)
ATTEMPTS = 10


@dataclass(frozen=True)
class Scene:
    """Pixels, uint8, shape (size, size, 3); boxes, float32, shape (objects, 4): x0, y0, x1, y1; classes (objects,)."""

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]


@dataclass(frozen=True)
class SceneSource:
    """What scenes are made of.

    Attributes:
        pictures: Decoded pictures, RGB.
        picture_classes: The class of each.
        names: The names of the classes.
        backgrounds: Decoded photos, RGB; empty for clouds.
        size: The side of a scene in pixels.
        seed: Gives other scenes.
    """

    pictures: list[Image.Image]
    picture_classes: list[int]
    names: tuple[str, ...]
    backgrounds: list[Image.Image]
    size: int
    seed: int = 0

    def draw(self, number: int) -> Scene:
        """Draw the scene with this number."""
        rng = np.random.default_rng((self.seed, number))
        canvas = self._draw_background(rng)
        placed: list[tuple[tuple[int, int, int, int], int]] = []
        for _ in range(rng.integers(1, MOST_OBJECTS + 1)):
            index = int(rng.integers(len(self.pictures)))
            if box := self._find_place(rng, [one for one, _ in placed]):
                self._paste(canvas, self.pictures[index], box, rng)
                placed.append((box, self.picture_classes[index]))
        return Scene(
            pixels=np.asarray(canvas, dtype=np.uint8),
            boxes=np.array([box for box, _ in placed], dtype=np.float32).reshape(-1, 4),
            classes=np.array([one for _, one in placed], dtype=np.int64),
        )

    def _draw_background(self, rng: np.random.Generator) -> Image.Image:
        if not self.backgrounds:
            return draw_clouds(rng, self.size)
        photo = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
        side = rng.uniform(SMALLEST_CROP, 1) * min(photo.size)
        left, top = (rng.uniform(0, length - side) for length in photo.size)
        crop = photo.resize((self.size,) * 2, Image.Resampling.BILINEAR, (left, top, left + side, top + side))
        return ImageOps.mirror(crop) if rng.random() < 0.5 else crop

    def _find_place(
        self, rng: np.random.Generator, others: list[tuple[int, int, int, int]]
    ) -> tuple[int, int, int, int] | None:
        """Return a box that covers little of others and is covered little; None if ten attempts find none."""
        for _ in range(ATTEMPTS):
            side = self.size * math.exp(rng.uniform(*map(math.log, SIDES)))
            stretch = math.exp(rng.uniform(-LOG_RATIO, LOG_RATIO) / 2)
            width, height = (min(self.size, round(length)) for length in (side * stretch, side / stretch))
            left, top = (int(rng.integers(self.size - length + 1)) for length in (width, height))
            box = (left, top, left + width, top + height)
            if all(compute_overlap(box, other) <= MOST_OVERLAP for other in others):
                return box
        return None

    def _paste(
        self, canvas: Image.Image, picture: Image.Image, box: tuple[int, int, int, int], rng: np.random.Generator
    ) -> None:
        width, height = box[2] - box[0], box[3] - box[1]
        resized = picture.resize((width, height), Image.Resampling.BICUBIC)
        if rng.random() < 0.5:
            resized = ImageOps.mirror(resized)
        ramps = [
            np.clip((np.minimum(np.arange(n), n - 1 - np.arange(n)) + 0.5) / max(SOFT_EDGE * n, 1), 0, 1)
            for n in (height, width)
        ]
        mask = Image.fromarray(np.round(255 * np.minimum.outer(*ramps)).astype(np.uint8))
        canvas.paste(resized, box[:2], mask)


def draw_clouds(rng: np.random.Generator, size: int) -> Image.Image:
    """Draw colored clouds whose contrast falls with the scale as it does in photos, roughly."""
    fall = rng.uniform(*CLOUD_FALL)
    values, scale = np.zeros((size, size, 3)), 2
    while scale <= size:
        noise = rng.normal(size=(scale, scale, 1)) + rng.normal(size=(scale, scale, 3)) / 2
        for channel in range(3):
            layer = Image.fromarray(noise[..., channel].astype(np.float32))
            values[..., channel] += scale**-fall * np.asarray(layer.resize((size, size), Image.Resampling.BICUBIC))
        scale *= 2
    mean = (rng.uniform(*CLOUD_LEVELS) + rng.uniform(*CLOUD_LEVELS, 3)) / 2
    values = (values - values.mean((0, 1))) / values.std() * rng.uniform(*CLOUD_CONTRASTS)
    return Image.fromarray(np.clip(mean + values, 0, 255).astype(np.uint8))


def compute_overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """Compute the area that two boxes share as a share of the smaller box."""
    shared = [min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1)]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return max(shared[0], 0) * max(shared[1], 0) / min(areas)


def load_scenes(pictures: Path, backgrounds: Path | None, size: int, seed: int = 0) -> SceneSource:
    """Load pictures in class folders, and a folder of photos; without one, scenes have clouds behind their objects."""
    names = tuple(sorted(folder.name for folder in pictures.iterdir() if folder.is_dir()))
    files = [(index, path) for index, name in enumerate(names) for path in list_images(pictures / name)]
    return SceneSource(
        pictures=[load_image(path, lambda image: image) for _, path in files],
        picture_classes=[index for index, _ in files],
        names=names,
        backgrounds=[load_image(path, shrink) for path in list_images(backgrounds)] if backgrounds else [],
        size=size,
        seed=seed,
    )


def list_images(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not found:
        raise SystemExit(f"error: {folder} contains no .jpg, .jpeg or .png.")
    return found


def load_image(path: Path, change: Callable[[Image.Image], Image.Image]) -> Image.Image:
    with Image.open(path) as opened:
        return change(opened.convert("RGB"))


def shrink(photo: Image.Image) -> Image.Image:
    factor = BACKGROUND_SIDE / min(photo.size)
    width, height = (round(factor * length) for length in photo.size)
    return photo.resize((width, height), Image.Resampling.BILINEAR) if factor < 1 else photo
