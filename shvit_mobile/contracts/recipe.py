"""The recipe: the precision of each layer, and the ranges of int8; one recipe suits every target.

It is written beside each artifact. With its overrides and the checkpoint it is enough to build the artifact again:
lowering reads ranges from the recipe and needs no images.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from shvit_mobile.contracts.document import Contract, Count, Document, JsonFloat, Proportion, Sha256
from shvit_mobile.contracts.image_use import ImageUse
from shvit_mobile.errors import BadRecipe

Precision = Literal["fp32", "fp16", "int8", "int8-dynamic", "int8-weights", "palette-8", "palette-6", "palette-4"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# The precisions whose layers multiply int8 by int8.
INT8_ARITHMETIC: tuple[Precision, ...] = ("int8", "int8-dynamic")
PALETTE_PRECISIONS: tuple[Precision, ...] = ("palette-8", "palette-6", "palette-4")
# How a range is derived from the observed values: see `shvit_mobile.quantize.observers`.
ObserverName = Literal["min-max", "percentile", "mse"]
OBSERVERS: tuple[ObserverName, ...] = get_args(ObserverName)
# How int8 divides a range: from end to end, or symmetrically around zero.
ActivationScheme = Literal["affine", "symmetric"]
ACTIVATION_SCHEMES: tuple[ActivationScheme, ...] = get_args(ActivationScheme)
# Improvements of int8 that keep no layer in float: see `shvit_mobile.quantize.passes`.
PTQPassName = Literal["whole-pixels", "equalise", "clip", "round", "bias"]
PTQ_PASSES: tuple[PTQPassName, ...] = get_args(PTQPassName)
# The names that people read and type. Recipes keep the names above, which earlier recipes and the phone apps have.
PASS_NAMES: dict[PTQPassName, str] = {
    "whole-pixels": "exact-input",
    "equalise": "equalize",
    "clip": "clip-weights",
    "round": "gptq",
    "bias": "bias-correction",
}

# These stay float: on a trained SHViT int8 would lose 20 dB of the logits for 0.6% of the multiply-adds. Input and
# output of a depthwise convolution hold the outliers of the residual stream, and the head's folded BatchNorm gives
# nearly constant channels huge weights.
FLOAT_KINDS: tuple[str, ...] = ("head", "depthwise", "residual-add", "attention", "norm", "squeeze-excite-gate")

# A depthwise weight with its identity has one element far from all others, and a head's channels differ a hundredfold:
# one palette suits neither. On the demo model they would lose 3 dB under palette-4, for 1% of the bytes.
PALETTE_FLOAT_KINDS: tuple[str, ...] = ("head", "depthwise")


# Near the largest float32, products of scales overflow.
_MAX_ACTIVATION = 1e30


def _check_range(ends: tuple[float, float]) -> tuple[float, float]:
    low, high = ends
    if not -_MAX_ACTIVATION <= low <= high <= _MAX_ACTIVATION:
        raise ValueError(f"{low:g} to {high:g} is no range of values, lowest first")
    return ends


Range = Annotated[tuple[float, float], AfterValidator(_check_range)]


class ActivationRange(Contract):
    """The ranges of a layer's input and output (after its relu, if it has one); int8 always represents zero too."""

    input: Range
    output: Range


class CalibrationImages(Contract):
    """The images that the ranges were measured on.

    Attributes:
        source: The folder's name, without its path.
        count: The number of images.
        sha256: Of the bytes of the sampled files, in order.
        seed: The seed of the sampling.
        variants: The number of variants that were added to a few images.
        use: How many images there were, and which were not used; None in recipes of earlier versions.
    """

    source: str
    count: Count
    sha256: Sha256
    seed: int
    variants: Count = 0
    use: ImageUse | None = None


class PTQPassGain(Contract):
    """A PTQ pass, and its gain on calibration images that it did not learn from.

    Attributes:
        step: Its name, one of `PTQ_PASSES`.
        before_db, after_db: SQNR of the logits without and with it.
        kept: Whether it is part of the recipe.
    """

    step: PTQPassName
    before_db: JsonFloat
    after_db: JsonFloat
    kept: bool


class EvalMetrics(Contract):
    """The drift of int8 from the float model on some images.

    Attributes:
        agreement: The share of images for which both predict the same class.
        sqnr_db: SQNR of the logits.
        top1: The share of images for which int8 predicts the right class.
    """

    agreement: Proportion
    sqnr_db: JsonFloat
    top1: Proportion

    def is_better_than(self, other: EvalMetrics) -> bool:
        """Compare agreement, and SQNR if that is equal."""
        return (self.agreement, self.sqnr_db) > (other.agreement, other.sqnr_db)


class FineTuning(Contract):
    """How the overrides were trained.

    Attributes:
        images: The images they were trained on.
        held_out: The number of further images that chose the epoch.
        epochs: The number of epochs.
        learning_rate: The initial learning rate, in int8 steps per update.
        before, after: The metrics on the held-out images before and after training.
    """

    images: CalibrationImages
    held_out: Count
    epochs: Count
    learning_rate: Annotated[float, Field(ge=0)]
    before: EvalMetrics
    after: EvalMetrics


class Recipe(Document):
    """The precision of each layer, and the ranges of int8.

    Attributes:
        precision: The precision of all layers that are no exception. "int8" is static: weights per output channel,
            symmetric, in -127..127; activations per tensor. "int8-dynamic" has the same weights, and measures the range
            of an activation on each image. "int8-weights" quantizes weights only; "palette-4" and its kin store weights
            as indices of 4 (6, 8) bits into a palette of values.
        float_kinds: Kinds of operators that stay float under int8, or whose weights are not compressed.
        float_layers: Further layers that stay float under int8, by their names in the deploy form.
        observer: How ranges were derived from values; None if there are none.
        activations: "affine" for static int8 in -128..127 with a zero point, "symmetric" for one without.
        ranges: The ranges of all layers that int8 quantizes, by their names in the deploy form. A layer that runs
            several times may have others for its further calls, by the names of the calls: "layer@2".
        calibration: The images behind `ranges`; None if the precision needs none.
        corrections: The SHA-256 of the parameter overrides, a file beside the recipe; None if it has none.
        steps: The PTQ passes that were tried, in order, with their gains.
        finetuning: How the overrides were trained; None if they were not.
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

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.precision != "int8" and (self.ranges or self.calibration or self.corrections or self.observer):
            raise ValueError(f"ranges, and what belongs to them, are for static int8, not for {self.precision}")
        unknown = set(self.float_kinds) - set(FLOAT_KINDS)
        if unknown:
            raise ValueError(f"float_kinds: '{min(unknown)[:40]}' is no kind of operator: {', '.join(FLOAT_KINDS)}")
        if len(set(self.float_layers)) < len(self.float_layers):
            raise ValueError("float_layers: it names a layer twice")
        if self.finetuning and not self.corrections:
            raise ValueError("finetuning: it trains overrides, and corrections names none")
        return self

    @property
    def precision_name(self) -> str:
        """The name in files, tables and reports: "mixed" for static int8 with layers in float, or the precision."""
        return "mixed" if self.precision == "int8" and self.float_layers else self.precision

    @property
    def sha256(self) -> str:
        """The SHA-256 of its JSON."""
        return sha256(self.to_json().encode()).hexdigest()


def get_overrides_path(recipe: Path) -> Path:
    """Return the path of the parameter overrides of the recipe at `recipe`."""
    return recipe.with_suffix(".safetensors")
