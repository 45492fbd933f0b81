"""The preprocessing contract: how a decoded image becomes the input of a model.

Every manifest contains it, and the phone apps do exactly the same.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from shvit_mobile.errors import BadImages, InvalidValue, parse_choice

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
_INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)
ChannelOrder = Literal["rgb", "bgr"]
ResizeMode = Literal["cover", "squash", "letterbox"]
Padding = Literal["center", "end"]
_CHANNEL_ORDERS: tuple[ChannelOrder, ...] = get_args(ChannelOrder)
_RESIZE_MODES: tuple[ResizeMode, ...] = get_args(ResizeMode)
_PADDINGS: tuple[Padding, ...] = get_args(Padding)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# SHViT is trained at 224 to 512 pixels; its attention over a larger picture would take gigabytes.
_MAX_SIDE, _MAX_PIXELS = 2048, 2_400_000
# A smaller crop, or a larger resized picture, would show a few pixels of the middle, enlarged.
_MIN_CROP_RATIO, _MAX_RESIZED_SIDE = 0.1, 4096
# Of values 0 to 1 it is at most 0.5; 1/255 leaves the values 0 to 255.
_MIN_STD = 0.001
# Covering with an image whose resized side is more than this many times longer than its crop would take gigabytes.
_MAX_OVERSIZE = 64
# So would squashing, or fitting into a letterbox, a side that is more than this many times longer than the input's.
_MAX_SHRINKING = 256


def _is_none(value: object) -> bool:
    return value is None


@dataclass(frozen=True)
class Preprocessing:
    """Resize the image to size / crop_ratio, crop the center or pad, then compute (pixel / 255 - mean) / std.

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
            sides, like timm's crop mode "squash"; "letterbox" keeps it, shows all of the image, and pads the rest.
        padding: Where a letterbox is padded: "center" on both sides of the image, the odd pixel on the right or at the
            bottom; "end" only on the right or at the bottom, as mmdet does. None for other modes.
        padding_value: The padding of a letterbox in each channel, 0 to 255, in the order of `channel_order`; None for
            other modes.

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
    # Readers of earlier versions reject unknown fields, and read all other modes.
    padding: Annotated[Padding | None, Field(exclude_if=_is_none)] = None
    padding_value: Annotated[tuple[int, ...] | None, Field(exclude_if=_is_none)] = None

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
        self._check_padding()

    def _check_padding(self) -> None:
        if self.resize_mode != "letterbox":
            for name in ("padding", "padding_value"):
                if getattr(self, name) is not None:
                    raise InvalidValue(
                        f"`{name}` is {getattr(self, name)}, and `resize_mode` {self.resize_mode}.",
                        why="Only a letterbox is padded.",
                        parameter=name,
                    )
            return
        if self.padding is None:
            raise InvalidValue("`padding` is None.", why="A letterbox is padded: center, end.", parameter="padding")
        parse_choice(self.padding, _PADDINGS, "padding")
        value = self.padding_value
        if value is None or len(value) != 3 or not all(one == int(one) and 0 <= one <= 255 for one in value):
            raise InvalidValue(
                f"`padding_value` is {value}.",
                why="A letterbox has a whole number from 0 to 255 for each of three channels.",
                parameter="padding_value",
            )
        if self.crop_ratio != 1:
            raise InvalidValue(
                f"`crop_ratio` is {self.crop_ratio}.",
                why="A letterbox shows all of the image; nothing is cropped.",
                hint="Set `crop_ratio=1`.",
                parameter="crop_ratio",
            )

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

    def as_fields(self) -> dict[str, Any]:
        """Return the fields as documents state them: without those of a letterbox for other modes."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def compute_resized_size(self, height: int, width: int) -> tuple[int, int]:
        """Compute (height, width), in pixels, to which an image of `height` x `width` is resized before the crop.

        The tighter side becomes int(that side of `size` / crop_ratio). The other keeps the aspect ratio, rounded down,
        or with "squash" is computed like the first. With "letterbox", the side that fits last becomes that of `size`,
        and the other keeps the aspect ratio, rounded half up as in mmdet, and at least 1.
        """
        cover_height, cover_width = self._compute_cover_size()
        if self.resize_mode == "squash":
            return cover_height, cover_width
        if self.resize_mode == "letterbox":
            if cover_height * width <= cover_width * height:
                return cover_height, max(1, (2 * cover_height * width + height) // (2 * height))
            return max(1, (2 * cover_width * height + width) // (2 * width)), cover_width
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
        return ImageMap(
            x_scale,
            part_left + left * x_scale,
            y_scale,
            part_top + top * y_scale,
            height,
            width,
            rows=(max(0, -top), min(self.size[0], resized_height - top)),
            columns=(max(0, -left), min(self.size[1], resized_width - left)),
        )

    def preprocess_image(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop, or pad, an upright RGB image, as `decode_image` returns it.

        Some images are first cropped to their middle: with "cover", if the resized side would be longer than 64 times
        the side to cover; with "squash" and "letterbox", if a side is longer than 256 times that of the input.

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
        first, last = max(left, 0), min(left + width, resized_width)
        columns = image.resize((resized_width, image.height), resampling).crop((first, 0, last, image.height))
        rows = columns.resize((last - first, resized_height), resampling)
        rows = rows.crop((0, max(top, 0), last - first, min(top + height, resized_height)))
        shown = np.array(rows, dtype=np.uint8)
        shown = shown if self.channel_order == "rgb" else np.ascontiguousarray(shown[..., ::-1])
        if self.padding_value is None:
            return shown
        return self._pad(shown, np.array(self.padding_value, np.uint8), max(-top, 0), max(-left, 0))

    def _pad(self, shown: NDArray[np.uint8], value: NDArray[np.uint8], top: int, left: int) -> NDArray[np.uint8]:
        """Put the resized image into the model's input, whose other pixels have the value of the padding."""
        padded = np.empty((*self.size, 3), np.uint8)
        padded[:] = value
        padded[top : top + len(shown), left : left + shown.shape[1]] = shown
        return padded

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
        """Compute (top, left) of the input in the resized image, below 0 by what is padded there.

        Halves round to even; those of a letterbox leave the odd pixel on the right or at the bottom.
        """
        if self.resize_mode == "letterbox":
            free = self.size[0] - resized_height, self.size[1] - resized_width
            return (-(free[0] // 2), -(free[1] // 2)) if self.padding == "center" else (0, 0)
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
        if self.resize_mode != "cover":
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
        rows, columns: The rows and columns of the input that show the image, from the first to the one after the last;
            the others are padding.
    """

    x_scale: float
    x_offset: float
    y_scale: float
    y_offset: float
    height: int
    width: int
    rows: tuple[int, int]
    columns: tuple[int, int]


def _limit_length(length: int, limit: int) -> int:
    """Return `length` or, if it is larger, `limit`, plus one if only that leaves equal margins."""
    return length if length <= limit else limit + (length - limit) % 2


def convert_to_raw_input(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Convert pixels (n, h, w, 3) to the input of a model that normalizes: float32 0 to 255, shape (n, 3, h, w)."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2).astype(np.float32))
