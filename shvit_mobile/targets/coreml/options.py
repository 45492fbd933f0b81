"""The options of a Core ML package besides its precision."""

from dataclasses import dataclass

from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.deploy.coreml_form import ATTENTION_LAYOUTS, AttentionLayout
from shvit_mobile.errors import ConflictingParameters, InvalidValue, NotSupported, parse_choice
from shvit_mobile.quantize.weights import WEIGHT_ONLY_PRECISIONS
from shvit_mobile.targets.build_result import InputKind
from shvit_mobile.targets.target_options import TargetOptions

INPUT_NAMES: dict[InputKind, str] = {"image": "image", "tensor": "images"}
# The releases that run ML Programs, oldest first, as `coremltools.target` names them.
DEPLOYMENT_TARGETS: tuple[str, ...] = ("iOS15", "iOS16", "iOS17", "iOS18", "iOS26")
# The first release with the operators of a precision: compressed constants need iOS 16; `quantize` and `dequantize`,
# iOS 17.
_MIN_DEPLOYMENT_TARGETS: dict[Precision, str] = {
    "fp32": "iOS15",
    "fp16": "iOS15",
    "int8-weights": "iOS16",
    "palette-8": "iOS16",
    "palette-6": "iOS16",
    "palette-4": "iOS16",
    "int8": "iOS17",
}
# The first with several scales per row of a weight, and several palettes per weight.
_MIN_DEPLOYMENT_TARGET_FOR_BLOCKS = "iOS18"


@dataclass(frozen=True)
class CoreMLOptions(TargetOptions):
    """Options of the Core ML target.

    Attributes:
        input: "image" for an app that passes images (CVPixelBuffer, Vision), "tensor" for an MLMultiArray.
        deployment_target: The oldest iOS that must run the package; one of `DEPLOYMENT_TARGETS`. The macOS, watchOS,
            tvOS and visionOS of the same year run it too.
        classifier: Whether a classifier returns the label and the probabilities besides the logits.
        layout: The matrix products of attention; see `shvit_mobile.deploy.coreml_form`.
        block: The number of input channels per scale under int8-weights, or of output channels per palette; 0 for one
            scale per output channel, or one palette per weight. Weights that it does not divide use 0.
        author: Shown by Xcode.
        license: Shown by Xcode.
        version: Shown by Xcode (default: the first digits of the checkpoint's SHA-256).
        description: Shown by Xcode (default: a sentence about the model).

    Raises:
        UnknownChoice: If `deployment_target`, `input` or `layout` is unknown.
        InvalidValue: If `block` is negative.
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
        parse_choice(self.deployment_target, DEPLOYMENT_TARGETS, "deployment target")
        parse_choice(self.input, INPUT_NAMES, "input kind")
        parse_choice(self.layout, ATTENTION_LAYOUTS, "attention layout")
        if self.block < 0:
            raise InvalidValue(f"A block cannot have {self.block} channels.", why="Minimum: 0.", parameter="block")

    @property
    def suffix(self) -> str:
        blocks = f"-block{self.block}" if self.block else ""
        return blocks + {"matmul": "", "einsum": "-einsum"}[self.layout]

    def check_precision(self, precision: Precision) -> None:
        """Check that a precision has blocks, if they are set, and runs on the deployment target.

        Raises:
            ConflictingParameters: If the precision has no blocks.
            NotSupported: If the deployment target is too old.
        """
        if self.block and precision not in WEIGHT_ONLY_PRECISIONS:
            raise ConflictingParameters(
                f"{precision} has no blocks.",
                why=f"Precisions with blocks: {', '.join(WEIGHT_ONLY_PRECISIONS)}.",
                hint="Export those with `block`, and the other precisions separately.",
                parameter="block",
            )
        first = _MIN_DEPLOYMENT_TARGET_FOR_BLOCKS if self.block else _MIN_DEPLOYMENT_TARGETS[precision]
        if DEPLOYMENT_TARGETS.index(self.deployment_target) < DEPLOYMENT_TARGETS.index(first):
            raise NotSupported(
                f"{precision}{' in blocks' if self.block else ''} does not run on {self.deployment_target}.",
                why=f"Core ML has its operators since {first}.",
                hint=f"Set `deployment_target='{first}'` or later, or choose another precision.",
                parameter="deployment_target",
            )
