"""What a program takes: arrays, and images as Core ML turns them into arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from shvit_mobile.errors import BadArtifact, InvalidConfig, ShapeMismatch
from shvit_mobile.targets.coreml.spec.dtypes import find_dtype
from shvit_mobile.targets.coreml.spec.proto import import_messages
from shvit_mobile.targets.coreml.spec.values import UNKNOWN_DIMENSION, read_shape

COLOR_SPACES = ("RGB", "BGR", "GRAYSCALE")


@dataclass(frozen=True)
class ProgramInput:
    """One input of a program.

    Attributes:
        name: of the input.
        shape: of its tensor; -1 where any size goes.
        dtype: of its tensor, as MIL names it.
        colours: "RGB", "BGR" or "GRAYSCALE" where the program takes an image, else None.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    color_space: str | None

    def to_tensor(self, array: NDArray[Any] | Tensor, real: torch.dtype) -> Tensor:
        """The tensor that the program sees, in `real`.

        Args:
            given: an array of the input's shape; for an image uint8, shape (height, width, 3) in the order red, green,
                blue, or (height, width) for greys. Or many of them, as `images` counts them.
            real: the dtype that floats are computed in.

        Raises:
            ShapeMismatch: it does not have the input's shape.
            InvalidConfig: an image is not of uint8.
        """
        held = find_dtype(import_messages("MIL_pb2").DataType.Value(self.dtype)).to_torch_dtype(real)
        many = self.count_images(array)
        if self.color_space is None:
            tensor = torch.as_tensor(array)
        else:
            tensor = torch.from_numpy(
                convert_to_planes(np.asarray(array), self.color_space, self.name, many=many is not None)
            )
        if not matches_shape(tuple(tensor.shape), self.shape if many is None else (many, *self.shape[1:])):
            raise ShapeMismatch(
                f"The input '{self.name}' takes {self.shape}, not {tuple(tensor.shape)}.",
                why="A Core ML package is made for one size.",
                hint="Prepare images of this size, or export for the other one.",
            )
        return tensor.to(held)

    def count_images(self, array: NDArray[Any] | Tensor) -> int | None:
        """How many images an array holds: shape (images, height, width, 3) or (images, height, width) where the input
        is an image, and (images, …) where a tensor (1, …) is expected; None if it is one that stands by itself.
        """
        shape = tuple(array.shape)
        if self.color_space is None:
            several = len(shape) == len(self.shape) and self.shape[:1] == (1,) and shape[0] != 1
        else:
            several = len(shape) == 4 or (len(shape) == 3 and shape[1:] == self.shape[2:] and shape[2] != 3)
        return shape[0] if several else None


def read_inputs(model: Any, function: Any) -> dict[str, ProgramInput]:
    """The inputs of a program's function by name; `model` describes which are images."""
    described = {feature.name: feature.type for feature in model.description.input}
    return {value.name: read_input(value, described.get(value.name)) for value in function.inputs}


def read_input(value: Any, feature_type: Any | None) -> ProgramInput:
    if value.type.WhichOneof("type") != "tensorType":
        raise BadArtifact(f"The input '{value.name}' is not a tensor.", why="Only tensors and images are taken here.")
    colours = None
    if feature_type is not None and feature_type.WhichOneof("Type") == "imageType":
        code = feature_type.imageType.colorSpace
        spaces = import_messages("FeatureTypes_pb2").ImageFeatureType.ColorSpace
        colours = {number: name for name, number in spaces.items()}.get(code, str(code))
        if colours not in COLOR_SPACES:
            raise BadArtifact(
                f"The input '{value.name}' has the colour space {colours}.", why=f"Known: {', '.join(COLOR_SPACES)}."
            )
    tensor_type = value.type.tensorType
    return ProgramInput(value.name, read_shape(tensor_type), find_dtype(tensor_type.dataType).name, colours)


def convert_to_planes(array: NDArray[Any], color_space: str, name: str, *, many: bool) -> NDArray[np.uint8]:
    """The planes that Core ML makes of pictures: 0 to 255, shape (images, 3 or 1, height, width).

    Greys of a colour picture are Pillow's, as in coremltools' own `predict`.
    """
    if array.dtype != np.uint8:
        raise InvalidConfig(f"The image '{name}' is of {array.dtype}.", why="Images are uint8, 0 to 255.")
    pictures = array if many else array[None]
    if pictures.ndim != 3 and (pictures.ndim != 4 or pictures.shape[3] != 3):
        raise ShapeMismatch(
            f"The image '{name}' has the shape {array.shape}.",
            why="Images are (height, width, 3), or (height, width); many are (images, height, width, 3).",
        )
    if color_space == "GRAYSCALE":
        greys = pictures if pictures.ndim == 3 else np.stack([convert_to_gray(picture) for picture in pictures])
        return np.array(greys[:, None])
    coloured = np.repeat(pictures[..., None], 3, axis=3) if pictures.ndim == 3 else pictures
    ordered = coloured if color_space == "RGB" else coloured[..., ::-1]
    return np.ascontiguousarray(ordered.transpose(0, 3, 1, 2))


def convert_to_gray(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).convert("L"))


def matches_shape(shape: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    """Whether a shape is the declared one, where that is known."""
    pairs = zip(shape, declared, strict=False)
    return len(shape) == len(declared) and all(need in (UNKNOWN_DIMENSION, size) for size, need in pairs)


def describe_name_mismatch(given: Mapping[str, Any], inputs: Mapping[str, ProgramInput]) -> str:
    """What is wrong with the names of some inputs; empty if nothing is."""
    absent, foreign = inputs.keys() - given.keys(), given.keys() - inputs.keys()
    parts = [f"lack {', '.join(sorted(absent))}"] * bool(absent) + [f"hold {', '.join(sorted(foreign))}"] * bool(
        foreign
    )
    return " and ".join(parts)
