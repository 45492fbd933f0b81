"""The inputs of a program: arrays, and images as Core ML converts them to arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from shvit_mobile.errors import BadArtifact, InvalidValue, ShapeMismatch
from shvit_mobile.targets.coreml.spec.dtypes import Dtype, find_dtype
from shvit_mobile.targets.coreml.spec.proto import import_messages
from shvit_mobile.targets.coreml.spec.values import UNKNOWN_DIMENSION, read_shape

_COLOR_SPACES = ("RGB", "BGR", "GRAYSCALE")


@dataclass(frozen=True)
class ProgramInput:
    """One input of a program.

    Attributes:
        name: The input's name.
        shape: The shape of its tensor; -1 where any size is allowed.
        dtype: The dtype of its tensor.
        color_space: "RGB", "BGR" or "GRAYSCALE" for an image; None for a tensor.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Dtype
    color_space: str | None

    def to_tensor(self, array: NDArray[Any] | Tensor, real: torch.dtype) -> Tensor:
        """Convert an input to the program's tensor.

        Args:
            array: An array of the input's shape; for an image uint8, shape (height, width, 3) in RGB, or (height,
                width) in gray. Many of them have a first axis of images; see `count_images`.
            real: The dtype in which floats are computed.

        Raises:
            ShapeMismatch: If it does not have the input's shape.
            InvalidValue: If an image is not uint8.
        """
        count = self.count_images(array)
        if self.color_space is not None:
            array = _convert_to_planes(np.asarray(array), self.color_space, self.name, many=count is not None)
        tensor = torch.as_tensor(array)
        if not matches_shape(tuple(tensor.shape), self.shape if count is None else (count, *self.shape[1:])):
            raise ShapeMismatch(
                f"The input '{self.name}' takes {self.shape}, not {tuple(tensor.shape)}.",
                why="A Core ML package takes images of one size.",
                hint="Prepare images of this size, or export for the other size.",
            )
        return tensor.to(self.dtype.to_torch_dtype(real))

    def count_images(self, array: NDArray[Any] | Tensor) -> int | None:
        """Return the number of images in an array, or None if it is one image without an axis of images.

        Many images have the shape (images, height, width, 3) or (images, height, width); many tensors (1, …) have the
        shape (images, …).
        """
        shape = tuple(array.shape)
        if self.color_space is None:
            several = len(shape) == len(self.shape) and self.shape[:1] == (1,) and shape[0] != 1
        else:
            several = len(shape) == 4 or (len(shape) == 3 and shape[1:] == self.shape[2:] and shape[2] != 3)
        return shape[0] if several else None


def read_inputs(description: Any, function: Any) -> dict[str, ProgramInput]:
    """Return the inputs of a program's function by name; its description says which are images."""
    feature_types = {feature.name: feature.type for feature in description.input}
    return {value.name: _read_input(value, feature_types.get(value.name)) for value in function.inputs}


def _read_input(value: Any, feature_type: Any | None) -> ProgramInput:
    if value.type.WhichOneof("type") != "tensorType":
        raise BadArtifact(f"The input '{value.name}' is not a tensor.", why="Inputs are tensors and images.")
    color_space = None
    if feature_type is not None and feature_type.WhichOneof("Type") == "imageType":
        code = feature_type.imageType.colorSpace
        spaces = import_messages("FeatureTypes_pb2").ImageFeatureType.ColorSpace
        color_space = {number: name for name, number in spaces.items()}.get(code, str(code))
        if color_space not in _COLOR_SPACES:
            raise BadArtifact(
                f"The input '{value.name}' has the color space {color_space}.",
                why=f"Supported: {', '.join(_COLOR_SPACES)}.",
            )
    tensor_type = value.type.tensorType
    return ProgramInput(value.name, read_shape(tensor_type), find_dtype(tensor_type.dataType), color_space)


def _convert_to_planes(array: NDArray[Any], color_space: str, name: str, *, many: bool) -> NDArray[np.uint8]:
    """Convert images to Core ML's planes: 0 to 255, shape (images, 3 or 1, height, width).

    Pillow converts color to gray, as in coremltools' own `predict`.
    """
    if array.dtype != np.uint8:
        raise InvalidValue(f"The image '{name}' has the dtype {array.dtype}.", why="Images are uint8, 0 to 255.")
    images = array if many else array[None]
    if images.ndim != 3 and (images.ndim != 4 or images.shape[3] != 3):
        raise ShapeMismatch(
            f"The image '{name}' has the shape {array.shape}.",
            why="Images are (height, width, 3), or (height, width); many are (images, height, width, 3).",
        )
    if color_space == "GRAYSCALE":
        gray = images if images.ndim == 3 else np.stack([np.asarray(Image.fromarray(i).convert("L")) for i in images])
        return np.array(gray[:, None])
    color = np.repeat(images[..., None], 3, axis=3) if images.ndim == 3 else images
    ordered = color if color_space == "RGB" else color[..., ::-1]
    return np.ascontiguousarray(ordered.transpose(0, 3, 1, 2))


def matches_shape(shape: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    """Return whether a shape is the declared one, whose unknown dimensions match any size."""
    pairs = zip(shape, declared, strict=False)
    return len(shape) == len(declared) and all(expected in (UNKNOWN_DIMENSION, size) for size, expected in pairs)
