"""The preprocessing contract: how a decoded image becomes the input of a model.

Every manifest contains it, and the phone apps do exactly the same.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shvit_mobile.errors import BadImages, InvalidValue, parse_choice

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
_INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)
ChannelOrder = Literal["rgb", "bgr"]
ResizeMode = Literal["cover", "squash"]
_CHANNEL_ORDERS: tuple[ChannelOrder, ...] = get_args(ChannelOrder)
_RESIZE_MODES: tuple[ResizeMode, ...] = get_args(ResizeMode)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# SHViT is trained at 224 to 512 pixels; its attention over a larger picture would take gigabytes.
_MAX_SIDE, _MAX_PIXELS = 2048, 2_400_000
# A smaller crop, or a larger resized picture, would show a few pixels of the middle, enlarged.
_MIN_CROP_RATIO, _MAX_RESIZED_SIDE = 0.1, 4096
# Of values 0 to 1 it is at most 0.5; 1/255 leaves the values 0 to 255.
_MIN_STD = 0.001
# Covering with an image whose resized side is more than this many times longer than its crop would take gigabytes.
_MAX_OVERSIZE = 64
# So would squashing a side that is more than this many times longer than its resized side.
_MAX_SHRINKING = 256


@dataclass(frozen=True)
class Preprocessing:
    """Resize the image to size / crop_ratio, crop the center, then compute (pixel / 255 - mean) / std.

    For a square size that is covered, this equals torchvision's `Resize(int(size / crop_ratio))` and `CenterCrop(size)`
    on a Pillow image, bit for bit with Pillow before 13. For other sizes see `compute_resized_size`.

    Attributes:
        size: (height, width) of the model's input, in pixels; each at most 2048, and 2.4 million together.
        crop_ratio: The share of the resized image, along its tighter side, that the crop keeps; 0.1 to 1.
        interpolation: The resampling filter; widened for downscaling, as in Pillow.
        mean, std: The mean and standard deviation of each channel, for values 0 to 1, in the order of `channel_order`;
            0 to 1, and 0.001 to 1.
        channel_order: The order of the color channels in the model's input.
        resize_mode: "cover" keeps the aspect ratio; "squash" does not, so that the crop contains the same share of both
            sides, like timm's crop mode "squash".

    Raises:
        InvalidValue: If a number is out of range.
        UnknownChoice: If a name is unknown.
    """

    size: tuple[int, int] = (224, 224)
    crop_ratio: float = 0.875
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    channel_order: ChannelOrder = "rgb"
    resize_mode: ResizeMode = "cover"

    def __post_init__(self) -> None:
        size = self.size
        if len(size) != 2 or not 1 <= min(size) <= max(size) <= _MAX_SIDE or size[0] * size[1] > _MAX_PIXELS:
            raise InvalidValue(
                f"`size` is {self.size}.",
                why=f"It is (height, width), each from 1 to {_MAX_SIDE}, and at most {_MAX_PIXELS:,} pixels in all.",
                parameter="size",
            )
        if not _MIN_CROP_RATIO <= self.crop_ratio <= 1 or max(self.size) / self.crop_ratio > _MAX_RESIZED_SIDE:
            raise InvalidValue(
                f"`crop_ratio` is {self.crop_ratio}.",
                why=f"It is a share, {_MIN_CROP_RATIO} to 1, and `size` / `crop_ratio` is at most {_MAX_RESIZED_SIDE}.",
                hint=f"Did you mean `crop_ratio={self.crop_ratio / 100:g}`?" if 10 <= self.crop_ratio <= 100 else "",
                parameter="crop_ratio",
            )
        parse_choice(self.interpolation, _INTERPOLATIONS, "interpolation")
        for name, values, low in (("mean", self.mean, 0.0), ("std", self.std, _MIN_STD)):
            if len(values) != 3 or not all(low <= value <= 1 for value in values):
                raise InvalidValue(
                    f"`{name}` is {values}.",
                    why=f"It has a number for each of three channels, {low:g} to 1, for pixels from 0 to 1.",
                    hint=self._suggest_unit_values(),
                    parameter=name,
                )
        parse_choice(self.channel_order, _CHANNEL_ORDERS, "channel_order")
        parse_choice(self.resize_mode, _RESIZE_MODES, "resize_mode")

    def _suggest_unit_values(self) -> str:
        """Return what to set instead, if mean or std fits pixels from 0 to 255."""
        given = {"mean": self.mean, "std": self.std}
        large = {name: values for name, values in given.items() if values and max(values) >= 1}
        if not any(max(values) > 2 for values in large.values()):
            return ""
        scaled = {name: tuple(round(value / 255, 6) for value in values) for name, values in large.items()}
        if any(len(values) != 3 or not all(0 <= value <= 1 for value in values) for values in scaled.values()):
            return ""
        settings = " ".join(f"`{name}={values}`" for name, values in scaled.items())
        return f"For pixels from 0 to 255 it is divided by 255: {settings}"

    def compute_resized_size(self, height: int, width: int) -> tuple[int, int]:
        """Compute (height, width), in pixels, to which an image of `height` x `width` is resized before the crop.

        The tighter side becomes int(that side of `size` / crop_ratio). The other keeps the aspect ratio, rounded down,
        or with "squash" is computed like the first.
        """
        cover_height, cover_width = self._compute_cover_size()
        if self.resize_mode == "squash":
            return cover_height, cover_width
        if cover_height * width >= cover_width * height:
            return cover_height, cover_height * width // height
        return cover_width * height // width, cover_width

    def compute_image_map(self, height: int, width: int) -> "ImageMap":
        """Compute where positions of the model's input lie in an image of `height` x `width` pixels."""
        part_height, part_width = self._compute_middle_size(height, width)
        resized_height, resized_width = self.compute_resized_size(part_height, part_width)
        top, left = self._compute_crop_origin(resized_height, resized_width)
        y_scale, x_scale = part_height / resized_height, part_width / resized_width
        part_top, part_left = (height - part_height) // 2, (width - part_width) // 2
        return ImageMap(x_scale, part_left + left * x_scale, y_scale, part_top + top * y_scale, height, width)

    def preprocess_image(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop an upright RGB image, as `decode_image` returns it.

        Some images are first cropped to their middle: with "cover", if the resized side would be longer than 64 times
        the side to cover; with "squash", if a side is longer than 256 times its resized side.

        Returns:
            Pixels, uint8, shape (height, width, 3), channels in `channel_order`; writable and contiguous.

        Raises:
            BadImages: If the image is not RGB.
        """
        if image.mode != "RGB":
            raise BadImages(
                f"The mode of the image is {image.mode}, not RGB.",
                hint="Open it with `shvit_mobile.images.decode.decode_image`.",
            )
        (height, width), resampling = self.size, Image.Resampling[self.interpolation.upper()]
        image = self._crop_middle(image)
        resized_height, resized_width = self.compute_resized_size(image.height, image.width)
        top, left = self._compute_crop_origin(resized_height, resized_width)
        # Pillow resizes rows, then columns; from version 13 it starts with the columns of tall images
        # (python-pillow/Pillow#9549), which rounds differently. Two calls fix the order. Cropping after each gives the
        # same bits as cropping at the end, and saves time.
        columns = image.resize((resized_width, image.height), resampling)
        columns = columns.crop((left, 0, left + width, image.height))
        rows = columns.resize((width, resized_height), resampling).crop((0, top, width, top + height))
        cropped = np.array(rows, dtype=np.uint8)
        return cropped if self.channel_order == "rgb" else np.ascontiguousarray(cropped[..., ::-1])

    def normalize(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute (pixel / 255 - mean) / std: the input of a model that does not normalize.

        Args:
            pixels: uint8, shape (images, height, width, 3).

        Returns:
            float32, shape (images, 3, height, width), contiguous.
        """
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        scaled = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))

    def _compute_cover_size(self) -> tuple[int, int]:
        """Compute (height, width), in pixels, that the resized image covers."""
        return int(self.size[0] / self.crop_ratio), int(self.size[1] / self.crop_ratio)

    def _compute_crop_origin(self, resized_height: int, resized_width: int) -> tuple[int, int]:
        """Compute (top, left) of the crop in the resized image; halves round to even."""
        return round((resized_height - self.size[0]) / 2), round((resized_width - self.size[1]) / 2)

    def _crop_middle(self, image: Image.Image) -> Image.Image:
        """Crop an image that is too long to its middle."""
        height, width = self._compute_middle_size(image.height, image.width)
        top, left = (image.height - height) // 2, (image.width - width) // 2
        whole = (height, width) == (image.height, image.width)
        return image if whole else image.crop((left, top, left + width, top + height))

    def _compute_middle_size(self, height: int, width: int) -> tuple[int, int]:
        """Compute (height, width) of the middle of an image that is resized; usually it is all of the image."""
        cover_height, cover_width = self._compute_cover_size()
        if self.resize_mode == "squash":
            max_height, max_width = _MAX_SHRINKING * cover_height, _MAX_SHRINKING * cover_width
        else:
            max_height = -(-_MAX_OVERSIZE * cover_height * width // cover_width)
            max_width = -(-_MAX_OVERSIZE * cover_width * height // cover_height)
        return _limit_length(height, max_height), _limit_length(width, max_width)


@dataclass(frozen=True)
class ImageMap:
    """Where positions of a model's input lie in an image: at (x * x_scale + x_offset, y * y_scale + y_offset).

    Attributes:
        x_scale, y_scale: Pixels of the image per pixel of the input.
        x_offset, y_offset: The position of the input's top left corner in the image, in pixels.
        height, width: The size of the image in pixels.
    """

    x_scale: float
    x_offset: float
    y_scale: float
    y_offset: float
    height: int
    width: int


def _limit_length(length: int, limit: int) -> int:
    """Return `length` or, if it is larger, `limit`, plus one if only that leaves equal margins."""
    return length if length <= limit else limit + (length - limit) % 2


def convert_to_raw_input(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Convert pixels (n, h, w, 3) to the input of a model that normalizes: float32 0 to 255, shape (n, 3, h, w)."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2).astype(np.float32))
