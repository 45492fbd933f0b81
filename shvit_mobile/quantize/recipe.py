"""The recipe: what precision where, and the ranges behind it; one recipe serves every target.

It is written beside each artifact as `recipe.json` and, with the checkpoint, is enough to build the artifact again:
lowering reads ranges from the recipe and never looks at an image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from shvit_mobile.contract import Contract
from shvit_mobile.errors import BadRecipe, UnknownPrecision

Precision = Literal["fp32", "fp16", "int8", "int8-dynamic", "int8-weights"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# Those whose layers multiply int8 by int8.
INT8_PRODUCTS: tuple[Precision, ...] = ("int8", "int8-dynamic")
SCHEMA_VERSION = "1.0"

# Why these stay float: on a trained SHViT they cost 20 dB of the logits for 0.6% of the multiply-adds. A depthwise
# convolution carries the residual stream with its outliers in and out, and the head's folded BatchNorm gives nearly
# dead channels huge weights.
FLOAT_KINDS: tuple[str, ...] = ("head", "depthwise", "residual-add", "attention", "norm", "squeeze-excite-gate")


class ActivationRange(Contract):
    """The smallest and largest value seen at the input and at the output (before any relu) of a layer."""

    input: tuple[float, float]
    output: tuple[float, float]


class CalibrationImages(Contract):
    """Which images the ranges were measured on.

    Attributes:
        source: the folder's name, without its path.
        count: how many images.
        sha256: over the bytes of the chosen files, in order.
        seed: of the choice.
    """

    source: str
    count: int
    sha256: str
    seed: int


class Recipe(Contract):
    """What precision where.

    Attributes:
        precision: of everything that is not an exception. "int8" is static: weights per output channel, symmetric,
            in -127..127; activations per tensor, affine, in -128..127. "int8-dynamic" has the same weights, and takes
            the range of an activation from each image anew. "int8-weights" quantizes weights alone.
        float_kinds: kinds of operator that stay float under int8.
        float_layers: further layers, by their names in the deploy form, that stay float under int8.
        observer: how ranges come from values.
        ranges: of every layer that int8 quantizes, by its name in the deploy form.
        calibration: the images behind `ranges`; None where the precision needs none.
    """

    schema_version: str = SCHEMA_VERSION
    precision: Precision
    float_kinds: tuple[str, ...] = ()
    float_layers: tuple[str, ...] = ()
    observer: Literal["min-max"] | None = None
    ranges: dict[str, ActivationRange] = Field(default_factory=dict)
    calibration: CalibrationImages | None = None

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """The recipe in a JSON file.

        Raises:
            BadRecipe: the file is missing, is not JSON, or is not a recipe of this version.
        """
        return cls.parse(path, BadRecipe, "a recipe")


def check_precision(name: str) -> Precision:
    """`name` as a precision.

    Raises:
        UnknownPrecision: it is not one.
    """
    return UnknownPrecision.chosen(name, PRECISIONS)
