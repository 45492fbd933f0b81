"""The options of a Core ML package besides its precision."""

from dataclasses import dataclass

from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.deploy.coreml_form import ATTENTION_LAYOUTS, AttentionLayout
from shvit_mobile.errors import ConflictingParameters, InvalidValue, NotSupported, parse_choice
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.quantize.weights import WEIGHT_ONLY_PRECISIONS
from shvit_mobile.targets.build_result import InputKind
from shvit_mobile.targets.image_sizes import check_more_sizes, check_sized_model, format_sizes_suffix
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
# The first with several functions in a package.
_MIN_DEPLOYMENT_TARGET_FOR_SIZES = "iOS18"
_DEFAULT_DEPLOYMENT_TARGET = "iOS17"


@dataclass(frozen=True)
class CoreMLOptions(TargetOptions):
    """Options of the Core ML target.

    Attributes:
        input: "image" for an app that passes images (CVPixelBuffer, Vision), "tensor" for an MLMultiArray.
        deployment_target: The oldest iOS that must run the package; one of `DEPLOYMENT_TARGETS` (default: iOS17, and
            iOS18 with `more_sizes`). The macOS, watchOS, tvOS and visionOS of the same year run it too.
        classifier: Whether a classifier returns the label and the probabilities besides the logits.
        layout: The matrix products of attention; see `shvit_mobile.deploy.coreml_form`.
        block: The number of input channels per scale under int8-weights, or of output channels per palette; 0 for one
            scale per output channel, or one palette per weight. Weights that it does not divide use 0.
        more_sizes: Other image sizes, (height, width), that the package of a classifier takes beside the model's own.
            Each has a function, `main_HEIGHTxWIDTH`, and all of them share the weights.
        author: Shown by Xcode.
        license: Shown by Xcode.
        version: Shown by Xcode (default: the first digits of the checkpoint's SHA-256).
        description: Shown by Xcode (default: a sentence about the model).

    Raises:
        UnknownChoice: If `deployment_target`, `input` or `layout` is unknown.
        InvalidValue: If `block` is negative, or a size is out of range or given twice.
        ConflictingParameters: If `more_sizes` is given with a deployment target before iOS18.
    """

    input: InputKind = "image"
    deployment_target: str = ""
    classifier: bool = True
    layout: AttentionLayout = "matmul"
    block: int = 0
    more_sizes: tuple[tuple[int, int], ...] = ()
    author: str = ""
    license: str = ""
    version: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if not self.deployment_target:
            default = _MIN_DEPLOYMENT_TARGET_FOR_SIZES if self.more_sizes else _DEFAULT_DEPLOYMENT_TARGET
            object.__setattr__(self, "deployment_target", default)
        parse_choice(self.deployment_target, DEPLOYMENT_TARGETS, "deployment target")
        parse_choice(self.input, INPUT_NAMES, "input kind")
        parse_choice(self.layout, ATTENTION_LAYOUTS, "attention layout")
        if self.block < 0:
            raise InvalidValue(f"A block cannot have {self.block} channels.", why="Minimum: 0.", parameter="block")
        check_more_sizes(self.more_sizes)
        if self.more_sizes and self._is_older_than(_MIN_DEPLOYMENT_TARGET_FOR_SIZES):
            raise ConflictingParameters(
                f"`more_sizes` is given with `deployment_target={self.deployment_target}`.",
                why="Each size is a function of the package, and Core ML has several since "
                f"{_MIN_DEPLOYMENT_TARGET_FOR_SIZES}.",
                hint="Leave one of them out, or export a package for each size.",
                parameter="more_sizes",
            )

    @property
    def suffix(self) -> str:
        blocks = f"-block{self.block}" if self.block else ""
        return blocks + {"matmul": "", "einsum": "-einsum"}[self.layout] + format_sizes_suffix(self.more_sizes)

    def check_model(self, trained: TrainedModel) -> None:
        """Raise `InvalidConfig` if the model cannot be exported for more than one size, or has one of them."""
        check_sized_model(trained, self.more_sizes)

    def _is_older_than(self, release: str) -> bool:
        return DEPLOYMENT_TARGETS.index(self.deployment_target) < DEPLOYMENT_TARGETS.index(release)

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
        if self._is_older_than(first):
            raise NotSupported(
                f"{precision}{' in blocks' if self.block else ''} does not run on {self.deployment_target}.",
                why=f"Core ML has its operators since {first}.",
                hint=f"Set `deployment_target='{first}'` or later, or choose another precision.",
                parameter="deployment_target",
            )
