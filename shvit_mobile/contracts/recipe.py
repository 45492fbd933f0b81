"""The recipe: what precision where, and the ranges behind it; one recipe serves every target.

It is written beside each artifact as `recipe.json` and, with the checkpoint, is enough to build the artifact again:
lowering reads ranges from the recipe and never looks at an image.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from shvit_mobile.contracts.document import Contract, Count, Document, JsonFloat, Proportion, Sha256
from shvit_mobile.errors import BadRecipe, parse_choice

Precision = Literal["fp32", "fp16", "int8", "int8-dynamic", "int8-weights", "palette-8", "palette-6", "palette-4"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# Those whose layers multiply int8 by int8.
INT8_ARITHMETIC: tuple[Precision, ...] = ("int8", "int8-dynamic")
# What static int8 is called where a recipe makes exceptions of some layers.
MIXED = "mixed"
PALETTE_PRECISIONS: tuple[Precision, ...] = ("palette-8", "palette-6", "palette-4")
# How the range of a value follows from what was seen of it: see `shvit_mobile.quantize.observers`.
ObserverName = Literal["min-max", "percentile", "mse"]
OBSERVERS: tuple[ObserverName, ...] = get_args(ObserverName)
# How int8 spreads over a range: from end to end, or to either side of zero alike.
ActivationScheme = Literal["affine", "symmetric"]
ACTIVATION_SCHEMES: tuple[ActivationScheme, ...] = get_args(ActivationScheme)
# What may be done for a better int8 before any layer is given up; see `shvit_mobile.quantize.passes`.
PTQPassName = Literal["whole-pixels", "equalise", "clip", "round", "bias"]
PTQ_PASSES: tuple[PTQPassName, ...] = get_args(PTQPassName)
# What people call the passes; recipes keep the names above, which the phone apps and earlier recipes know.
PASS_NAMES: dict[PTQPassName, str] = {
    "whole-pixels": "exact-input",
    "equalise": "equalize",
    "clip": "clip-weights",
    "round": "gptq",
    "bias": "bias-correction",
}

# Why these stay float: on a trained SHViT they cost 20 dB of the logits for 0.6% of the multiply-adds. A depthwise
# convolution carries the residual stream with its outliers in and out, and the head's folded BatchNorm gives nearly
# dead channels huge weights.
FLOAT_KINDS: tuple[str, ...] = ("head", "depthwise", "residual-add", "attention", "norm", "squeeze-excite-gate")

# A depthwise weight with its identity has one element far from all others, and a head's channels differ a hundredfold:
# one palette for all serves neither. On the demo model they cost 3 dB under palette-4 and are 1% of the bytes.
PALETTE_FLOAT_KINDS: tuple[str, ...] = ("head", "depthwise")


class ActivationRange(Contract):
    """What a layer's input and output (after its relu, where it has one) are to hold; zero is held besides."""

    input: tuple[float, float]
    output: tuple[float, float]


class CalibrationImages(Contract):
    """Which images the ranges were measured on.

    Attributes:
        source: the folder's name, without its path.
        count: how many images.
        sha256: over the bytes of the chosen files, in order.
        seed: of the choice.
        variants: how many variants of them were looked at besides, where they are few.
    """

    source: str
    count: Count
    sha256: Sha256
    seed: int
    variants: Count = 0


class PTQPassGain(Contract):
    """One step towards a better int8, and what it gained on calibration images that it did not see.

    Attributes:
        step: its name in `PTQ_PASSES`.
        before_db, after_db: SQNR of the logits without it and with it.
        kept: whether it is in the recipe.
    """

    step: PTQPassName
    before_db: JsonFloat
    after_db: JsonFloat
    kept: bool


class EvalMetrics(Contract):
    """How near int8 is to the float model on some images.

    Attributes:
        agreement: the share of images on which both choose the same class.
        sqnr_db: of the logits.
        top1: the share of images on which int8 chooses the right class.
    """

    agreement: Proportion
    sqnr_db: JsonFloat
    top1: Proportion

    def is_better_than(self, other: EvalMetrics) -> bool:
        """By agreement, and by SQNR where that is equal."""
        return (self.agreement, self.sqnr_db) > (other.agreement, other.sqnr_db)


class FineTuning(Contract):
    """How the corrections were trained.

    Attributes:
        images: what they were trained on.
        held_out: how many images judged, which were not trained on.
        epochs: how often all images had been seen by then.
        learning_rate: at the start, in int8 steps an update.
        before, after: how near int8 was to the float model without the training and with it.
    """

    images: CalibrationImages
    held_out: Count
    epochs: Count
    learning_rate: float
    before: EvalMetrics
    after: EvalMetrics


class Recipe(Document):
    """What precision where.

    Attributes:
        precision: of everything that is not an exception. "int8" is static: weights per output channel, symmetric,
            in -127..127; activations per tensor. "int8-dynamic" has the same weights, and takes the range of an
            activation from each image anew. "int8-weights" quantizes weights alone; "palette-4" and its kin store a
            weight as indices of so many bits into a palette of its values.
        float_kinds: kinds of operator that stay float under int8, or whose weights stay as they are.
        float_layers: further layers, by their names in the deploy form, that stay float under int8.
        observer: how ranges come from values; None where there are none.
        activations: "affine" for static int8 in -128..127 with a zero point, "symmetric" for one without.
        ranges: of every layer that int8 quantizes, by its name in the deploy form.
        calibration: the images behind `ranges`; None where the precision needs none.
        corrections: the SHA-256 of the file beside the recipe with changed parameters; None where none are.
        steps: what was tried for a better int8, in order, and what came of it.
        finetuning: how the corrections were trained; None where they were not.
    """

    NAME = "recipe"
    ERROR = BadRecipe
    TITLE = "a recipe"

    kind: Literal["recipe"] = "recipe"
    precision: Precision
    float_kinds: tuple[str, ...] = ()
    float_layers: tuple[str, ...] = ()
    observer: ObserverName | None = None
    activations: ActivationScheme = "affine"
    ranges: dict[str, ActivationRange] = Field(default_factory=dict)
    calibration: CalibrationImages | None = None
    corrections: Sha256 | None = None
    steps: tuple[PTQPassGain, ...] = ()
    finetuning: FineTuning | None = None

    @property
    def precision_name(self) -> str:
        """What files, tables and reports call it: "mixed" for static int8 with layers in float, else the precision."""
        return MIXED if self.precision == "int8" and self.float_layers else self.precision

    @property
    def sha256(self) -> str:
        """Of what is written of it."""
        return sha256(self.to_json().encode()).hexdigest()


def get_overrides_path(recipe: Path) -> Path:
    """Return the path of the parameter overrides of the recipe at `recipe`."""
    return recipe.with_suffix(".safetensors")


def parse_precision(name: str) -> Precision:
    """`name` as a precision.

    Raises:
        UnknownChoice: it is not one.
    """
    return parse_choice(name, PRECISIONS, "precision")
