"""The preprocessing contract: how an encoded picture becomes the numbers a model sees.

It travels in every manifest, and the apps on the phone do exactly the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shvit_mobile.errors import BadImages, InvalidConfig

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

RESAMPLING: dict[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# Past this many times what the crop needs, resizing a whole picture only to cut out its middle takes gigabytes.
MAX_OVERSIZE = 64


@dataclass(frozen=True)
class Preprocessing:
    """Resize so that the picture covers size / crop_ratio, crop the centre, then (pixel / 255 - mean) / std.

    For a square size this is torchvision's `Resize(int(size / crop_ratio))` and `CenterCrop(size)` on a Pillow image,
    to the last bit with the Pillows before 13. For any other size, see `resized`.

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
            raise InvalidConfig(f"The image size is {self.size}.", why="It is (height, width), both at least 1.")
        if not 0 < self.crop_ratio <= 1:
            raise InvalidConfig(f"crop_ratio is {self.crop_ratio}.", why="It is a share: above 0 and at most 1.")
        if self.interpolation not in RESAMPLING:
            raise InvalidConfig(f"interpolation is {self.interpolation}.", why=f"One of {', '.join(RESAMPLING)}.")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(map(isfinite, (*self.mean, *self.std))):
            raise InvalidConfig(
                f"mean is {self.mean} and std {self.std}.", why="Three finite numbers each, one a colour."
            )
        if min(self.std) <= 0:
            raise InvalidConfig(f"std is {self.std}.", why="The colours are divided by it: above 0.")
        if self.channel_order not in ("rgb", "bgr"):
            raise InvalidConfig(f"channel_order is {self.channel_order}.", why="It is rgb or bgr.")

    def compute_resized_size(self, height: int, width: int) -> tuple[int, int]:
        """What a picture of `height` x `width` pixels is resized to before the crop: (height, width), in pixels.

        The tighter side becomes exactly int(that side of `size` / crop_ratio), the other keeps the proportions, rounded
        down, so that both cover `size` / crop_ratio.
        """
        cover_height, cover_width = self._compute_cover_size()
        if cover_height * width >= cover_width * height:
            return cover_height, cover_height * width // height
        return cover_width * height // width, cover_width

    def preprocess_image(self, picture: Image.Image) -> NDArray[np.uint8]:
        """The pixels the model sees of an upright RGB picture, as `decoded` gives it.

        A picture so long that its resized side would pass 64 times what is to be covered is first cut to its middle.

        Returns:
            uint8, shape (height, width, 3), channels in order; writable and contiguous.

        Raises:
            BadImages: the picture is not RGB.
        """
        if picture.mode != "RGB":
            raise BadImages(
                f"The picture's mode is {picture.mode}, not RGB.",
                hint="Open it with shvit_mobile.images.decode.decoded.",
            )
        (height, width), resampling = self.size, RESAMPLING[self.interpolation]
        picture = self._crop_middle(picture)
        resized_height, resized_width = self.compute_resized_size(picture.height, picture.width)
        top, left = round((resized_height - height) / 2), round((resized_width - width) / 2)
        # Along the rows, then along the columns, as Pillow does in one call; but from 13 it does the columns of tall
        # pictures first (python-pillow/Pillow#9549), which rounds differently. Cropping after each of the two gives the
        # same bits as cropping at the end, and skips what would be cropped away.
        columns = picture.resize((resized_width, picture.height), resampling)
        columns = columns.crop((left, 0, left + width, picture.height))
        rows = columns.resize((width, resized_height), resampling).crop((0, top, width, top + height))
        cropped = np.array(rows, dtype=np.uint8)
        return cropped if self.channel_order == "rgb" else np.ascontiguousarray(cropped[..., ::-1])

    def normalize(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What a model without baked-in normalisation takes.

        Args:
            pixels: uint8, shape (images, height, width, 3).

        Returns:
            float32, shape (images, 3, height, width), contiguous.
        """
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        scaled = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))

    def _compute_cover_size(self) -> tuple[int, int]:
        """(height, width) that the resized picture covers, in pixels."""
        return int(self.size[0] / self.crop_ratio), int(self.size[1] / self.crop_ratio)

    def _crop_middle(self, picture: Image.Image) -> Image.Image:
        """The picture itself, or the middle of one that is too long."""
        cover_height, cover_width = self._compute_cover_size()
        height = _limit_length(picture.height, -(-MAX_OVERSIZE * cover_height * picture.width // cover_width))
        width = _limit_length(picture.width, -(-MAX_OVERSIZE * cover_width * picture.height // cover_height))
        top, left = (picture.height - height) // 2, (picture.width - width) // 2
        whole = (height, width) == (picture.height, picture.width)
        return picture if whole else picture.crop((left, top, left + width, top + height))


def _limit_length(length: int, most: int) -> int:
    """At most `most` of `length`, or one more where only that leaves as much on either side."""
    return length if length <= most else most + (length - most) % 2


def convert_to_raw_input(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a model with baked-in normalisation takes: pixels (n, h, w, 3) as float32 0 to 255, shape (n, 3, h, w)."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2).astype(np.float32))
