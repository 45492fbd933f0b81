"""What may be chosen of a Core ML package besides its precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.deploy.coreml_form import ATTENTION_LAYOUTS, AttentionLayout
from shvit_mobile.errors import InvalidConfig, UnknownChoice
from shvit_mobile.quantize.weights import WEIGHT_ONLY_PRECISIONS
from shvit_mobile.targets.target_options import TargetOptions

InputKind = Literal["image", "tensor"]
INPUT_NAMES: dict[InputKind, str] = {"image": "image", "tensor": "images"}
# The releases that run ML Programs, oldest first, as `coremltools.target` names them.
DEPLOYMENT_TARGETS: tuple[str, ...] = ("iOS15", "iOS16", "iOS17", "iOS18", "iOS26")
# The first release with the operators that a precision needs: compressed constants came with iOS 16, `quantize` and
# `dequantize` with iOS 17.
MIN_DEPLOYMENT_TARGETS: dict[Precision, str] = {
    "fp32": "iOS15",
    "fp16": "iOS15",
    "int8-weights": "iOS16",
    "palette-8": "iOS16",
    "palette-6": "iOS16",
    "palette-4": "iOS16",
    "int8": "iOS17",
}
# The first with several scales along a row of a weight, and several palettes to a weight.
MIN_DEPLOYMENT_TARGET_FOR_BLOCKS = "iOS18"


@dataclass(frozen=True)
class CoreMLOptions(TargetOptions):
    """Attributes:
        input: "image" for an app that hands over pictures (CVPixelBuffer, Vision), "tensor" for an MLMultiArray.
        deployment_target: the oldest iOS that must run the package; one of `DEPLOYMENT_TARGETS`. The macOS, watchOS,
            tvOS and visionOS of the same year run it too.
        classifier: give the label and the probabilities besides the logits.
        layout: how attention multiplies; see `shvit_mobile.deploy.coreml_form`.
        block: how many input channels share a scale under int8-weights, or output channels a palette; a weight whose
            channels it does not divide, and every weight where it is 0, has a scale an output channel, or one palette.
        author, license, version, description: what Xcode shows; an empty version becomes the first digits of the
            checkpoint's SHA-256, an empty description is made from the model.

    Raises:
        UnknownChoice: `deployment_target` is not one.
        InvalidConfig: `input` or `layout` is none that there is, or `block` is negative.
    """

    input: InputKind = "image"
    deployment_target: str = "iOS17"
    classifier: bool = True
    layout: AttentionLayout = "matmul"
    block: int = 0
    author: str = ""
    license: str = ""
    version: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if self.deployment_target not in DEPLOYMENT_TARGETS:
            raise UnknownChoice(self.deployment_target, DEPLOYMENT_TARGETS, "deployment target")
        if self.input not in INPUT_NAMES:
            raise InvalidConfig(f"The input kind is '{self.input}'.", why=f"It is one of {', '.join(INPUT_NAMES)}.")
        if self.layout not in ATTENTION_LAYOUTS:
            raise InvalidConfig(f"The layout is '{self.layout}'.", why=f"It is one of {', '.join(ATTENTION_LAYOUTS)}.")
        if self.block < 0:
            raise InvalidConfig(f"A block of {self.block} channels cannot be.", why="It is 1 or more; 0 is none.")

    @property
    def suffix(self) -> str:
        blocks = f"-block{self.block}" if self.block else ""
        return blocks + {"matmul": "", "einsum": "-einsum"}[self.layout]


def check_deployment_target(options: CoreMLOptions, precision: Precision) -> None:
    """Raises `InvalidConfig` where the deployment target is too old for a precision, or blocks mean nothing to it."""
    if options.block and precision not in WEIGHT_ONLY_PRECISIONS:
        raise InvalidConfig(
            f"{precision} has no blocks.",
            why=f"These have: {', '.join(WEIGHT_ONLY_PRECISIONS)}.",
            hint="Export those alone with --block, and the rest without it.",
        )
    first = MIN_DEPLOYMENT_TARGET_FOR_BLOCKS if options.block else MIN_DEPLOYMENT_TARGETS[precision]
    if DEPLOYMENT_TARGETS.index(options.deployment_target) < DEPLOYMENT_TARGETS.index(first):
        raise InvalidConfig(
            f"{precision}{' in blocks' if options.block else ''} does not run on {options.deployment_target}.",
            why=f"Core ML has its operators since {first}.",
            hint=f"Choose --deployment-target {first} or later, or another precision.",
        )
