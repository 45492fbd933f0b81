"""What may be chosen of a Core ML package besides its precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shvit_mobile.deploy.coreml import LAYOUTS, Layout
from shvit_mobile.errors import NotAmong, WrongConfig
from shvit_mobile.quantize.recipe import Precision
from shvit_mobile.targets.options import TargetOptions

InputKind = Literal["image", "tensor"]
INPUT_NAMES: dict[InputKind, str] = {"image": "image", "tensor": "images"}
# The releases that run ML Programs, oldest first, as `coremltools.target` names them.
DEPLOYMENT_TARGETS: tuple[str, ...] = ("iOS15", "iOS16", "iOS17", "iOS18", "iOS26")
# The first release with the operators that a precision needs: compressed constants came with iOS 16, `quantize` and
# `dequantize` with iOS 17.
FIRST_TARGET: dict[Precision, str] = {"fp32": "iOS15", "fp16": "iOS15", "int8-weights": "iOS16", "int8": "iOS17"}


class UnknownDeploymentTarget(NotAmong):
    kind = "deployment target"


@dataclass(frozen=True)
class CoreMLOptions(TargetOptions):
    """Attributes:
        input: "image" for an app that hands over pictures (CVPixelBuffer, Vision), "tensor" for an MLMultiArray.
        deployment_target: the oldest iOS that must run the package; one of `DEPLOYMENT_TARGETS`. The macOS, watchOS,
            tvOS and visionOS of the same year run it too.
        classifier: give the label and the probabilities besides the logits.
        layout: how attention multiplies; see `shvit_mobile.deploy.coreml`.
        author, license, version, description: what Xcode shows; an empty version becomes the first digits of the
            checkpoint's SHA-256, an empty description is made from the model.

    Raises:
        UnknownDeploymentTarget: `deployment_target` is not one.
        WrongConfig: `input` or `layout` is none that there is.
    """

    input: InputKind = "image"
    deployment_target: str = "iOS17"
    classifier: bool = True
    layout: Layout = "matmul"
    author: str = ""
    license: str = ""
    version: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if self.deployment_target not in DEPLOYMENT_TARGETS:
            raise UnknownDeploymentTarget.among(self.deployment_target, DEPLOYMENT_TARGETS)
        if self.input not in INPUT_NAMES:
            raise WrongConfig(f"The input kind is '{self.input}'.", why=f"It is one of {', '.join(INPUT_NAMES)}.")
        if self.layout not in LAYOUTS:
            raise WrongConfig(f"The layout is '{self.layout}'.", why=f"It is one of {', '.join(LAYOUTS)}.")

    @property
    def suffix(self) -> str:
        return {"matmul": "", "einsum": "-einsum"}[self.layout]


def check_target(options: CoreMLOptions, precision: Precision) -> None:
    """Raises `WrongConfig` where the deployment target is too old for a precision."""
    first = FIRST_TARGET[precision]
    if DEPLOYMENT_TARGETS.index(options.deployment_target) < DEPLOYMENT_TARGETS.index(first):
        raise WrongConfig(
            f"{precision} does not run on {options.deployment_target}.",
            why=f"Core ML has its operators since {first}.",
            hint=f"Choose the deployment target {first} or later, or another precision.",
        )
