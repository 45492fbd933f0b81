"""The preprocessing contract: how an encoded picture becomes the numbers a model sees.

It travels in every manifest, and the apps on the phone do exactly the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shvit_mobile.errors import WrongConfig

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

RESAMPLING: dict[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Preprocessing:
    """Resize so that the picture covers size / crop_ratio, crop the centre, then (pixel / 255 - mean) / std.

    Attributes:
        size: (height, width) of the model's input, in pixels.
        crop_ratio: the share of the resized picture, along its tighter side, that the crop keeps; in (0, 1].
        interpolation: the resampling filter; widened when it shrinks a picture, as Pillow does.
        mean, std: of each channel, in units of the full range (0 to 1), in the order of `channel_order`.
        channel_order: the order in which the model takes the colours.
    """

    size: tuple[int, int] = (224, 224)
    crop_ratio: float = 0.875
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    channel_order: Literal["rgb", "bgr"] = "rgb"

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 1:
            raise WrongConfig(f"The image size is {self.size}.", why="It is (height, width), both at least 1.")
        if not 0 < self.crop_ratio <= 1:
            raise WrongConfig(f"crop_ratio is {self.crop_ratio}.", why="It is a share: above 0 and at most 1.")
        if self.interpolation not in RESAMPLING:
            raise WrongConfig(f"interpolation is {self.interpolation}.", why=f"One of {', '.join(RESAMPLING)}.")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise WrongConfig(
                f"mean is {self.mean} and std {self.std}.", why="Three numbers each, one a colour, std above 0."
            )
        if self.channel_order not in ("rgb", "bgr"):
            raise WrongConfig(f"channel_order is {self.channel_order}.", why="It is rgb or bgr.")

    def pixels(self, picture: Image.Image) -> NDArray[np.uint8]:
        """The pixels the model sees of an upright RGB picture: uint8, shape (height, width, 3), channels in order."""
        height, width = self.size
        cover_height, cover_width = int(height / self.crop_ratio), int(width / self.crop_ratio)
        scale = max(cover_height / picture.height, cover_width / picture.width)
        resized_height = max(cover_height, int(picture.height * scale))
        resized_width = max(cover_width, int(picture.width * scale))
        if (resized_width, resized_height) != picture.size:
            picture = picture.resize((resized_width, resized_height), RESAMPLING[self.interpolation])
        top, left = round((resized_height - height) / 2), round((resized_width - width) / 2)
        cropped = np.asarray(picture.crop((left, top, left + width, top + height)), dtype=np.uint8)
        return cropped if self.channel_order == "rgb" else np.ascontiguousarray(cropped[..., ::-1])

    def normalised(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What a model without baked-in normalisation takes.

        Args:
            pixels: uint8, shape (images, height, width, 3).

        Returns:
            float32, shape (images, 3, height, width), contiguous.
        """
        mean, std = np.float32(self.mean), np.float32(self.std)
        scaled = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def raw(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a model with baked-in normalisation takes: pixels (n, h, w, 3) as float32 0 to 255, shape (n, 3, h, w)."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2).astype(np.float32))
