"""The manifest beside every artifact: everything that an app, a runner or a report needs to know about it."""

from dataclasses import replace
from math import prod
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from shvit_mobile.contracts.detection import Detection
from shvit_mobile.contracts.document import Contract, Count, Document, FileName, SchemaVersion, Sha256
from shvit_mobile.contracts.drift_row import DriftRow, Execution
from shvit_mobile.contracts.input_layout import BLOCK_SIZE, InputLayout, count_blocks
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import INT8_ARITHMETIC, Precision, Recipe
from shvit_mobile.errors import BadArtifact, InvalidValue

# What a model computes: logits, feature maps, or the raw maps of a detector.
Task = Literal["classify", "features", "detect"]
TASKS: tuple[Task, ...] = get_args(Task)
Target = Literal["coreml", "executorch", "onnx", "litert", "coreai"]
TARGET_SUFFIXES: dict[Target, str] = {
    "coreml": ".mlpackage",
    "executorch": ".pte",
    "onnx": ".onnx",
    "litert": ".tflite",
    "coreai": ".aimodel",
}
# The order of targets on the ladder.
TARGET_ORDER: tuple[Target, ...] = ("onnx", "coreml", "executorch", "litert", "coreai")
# The targets that "all" leaves out, and why.
OPTIONAL_TARGETS: dict[Target, str] = {
    "litert": "it needs packages of its own",
    "coreai": "it is experimental",
}
ALL_TARGETS: tuple[Target, ...] = tuple(target for target in TARGET_SUFFIXES if target not in OPTIONAL_TARGETS)
# What runs an ExecuTorch program.
Delegate = Literal["xnnpack", "coreml", "vulkan"]
DELEGATES: tuple[Delegate, ...] = get_args(Delegate)
# The method of an ExecuTorch program for its first image size.
DEFAULT_METHOD = "forward"
# Those that nothing on this machine runs.
UNPROVEN_DELEGATES: tuple[Delegate, ...] = ("vulkan",)
# A target, and the delegate unless it is XNNPACK: precisions, tolerances, runners and names of files depend on both.
QualifiedTarget = Literal["coreml", "executorch", "executorch-coreml", "executorch-vulkan", "onnx", "litert", "coreai"]


def qualify_target(target: Target, delegate: Delegate | None) -> QualifiedTarget:
    """Return the qualified name of a target; `delegate` is None for targets without delegates."""
    names: dict[Delegate | None, QualifiedTarget] = {"coreml": "executorch-coreml", "vulkan": "executorch-vulkan"}
    return names.get(delegate, target)


PositiveCount = Annotated[int, Field(ge=1)]


class ArtifactFile(Contract):
    """The name, size and SHA-256 of an artifact; see `shvit_mobile.contracts.fingerprints`."""

    name: FileName
    bytes: Annotated[int, Field(ge=1)]
    sha256: Sha256


class ModelProvenance(Contract):
    """The model that the artifact was exported from; for the task "features", `classes` is 0."""

    variant: str
    classes: Count
    source: str
    dialect: str
    checkpoint_sha256: Sha256

    @property
    def family(self) -> Literal["shvit", "timm", "module"]:
        """The family; a SHViT has a variant's name, or "custom", and a detector its own name before that."""
        if self.dialect == "module":
            return "module"
        backbone = self.variant.removeprefix("light_").removeprefix("retinanet_")
        return "shvit" if backbone == "custom" or backbone.startswith("shvit") else "timm"

    @property
    def required_variant(self) -> str | None:
        """As what the checkpoint is loaded: "timm:" and timm's name; None for a SHViT, which is recognized."""
        return f"timm:{self.variant}" if self.family == "timm" else None


class InputContract(Contract):
    """The input of an artifact.

    Attributes:
        name: The name of the input in the artifact.
        kind: "image" if the runtime takes an image (Core ML), "tensor" if it takes numbers.
        values: "pixels" for 0 to 255 (the artifact normalizes), "normalised" for (pixel / 255 - mean) / std.
        shape: (batch, 3, height, width), or (batch, 12, block rows, block columns); batch 0 means dynamic.
        dtype: The dtype of the tensor; "uint8" for images.
        layout: "space-to-depth" if 2x2 blocks are stacked in channels: see `shvit_mobile.contracts.input_layout`.
        border: The value of the border in each color, for "space-to-depth".
    """

    name: Annotated[str, Field(min_length=1)]
    kind: Literal["image", "tensor"]
    values: Literal["pixels", "normalised"]
    shape: tuple[Count, Count, Count, Count]
    dtype: Literal["uint8", "float32", "float16"]
    layout: InputLayout = "image"
    border: tuple[float, float, float] | None = None

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if (self.kind == "image") != (self.dtype == "uint8"):
            raise ValueError(f"dtype: an input of the kind {self.kind} does not hold {self.dtype}")
        if (self.layout == "image") != (self.border is None):
            raise ValueError(f"border: the layout {self.layout} {'has no' if self.border else 'needs a'} border")
        return self

    def expect_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape, without the batch, of the input for images of `size`, (height, width)."""
        if self.layout == "image":
            return (3, *size)
        return (3 * BLOCK_SIZE**2, *map(count_blocks, size))


class OutputMap(Contract):
    """An output with a value for each channel and position: float32, shape (batch, channels, height, width).

    Attributes:
        name: Its name in the artifact.
        shape: (channels, height, width) for one image.
        stride: The distance of neighbouring positions, in pixels of the input.
    """

    name: Annotated[str, Field(min_length=1)]
    shape: tuple[PositiveCount, PositiveCount, PositiveCount]
    stride: PositiveCount


class OutputContract(Contract):
    """The outputs of an artifact.

    Attributes:
        logits: The name of a classifier's logits, float32, shape (batch, classes); None for other tasks.
        probabilities, label: Their names; only of Core ML classifiers.
        maps: The outputs of the other tasks, in the order in which the artifact returns them.
    """

    logits: Annotated[str, Field(min_length=1)] | None = None
    probabilities: str | None = None
    label: str | None = None
    maps: tuple[OutputMap, ...] = Field(default=(), exclude_if=lambda value: not value)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the outputs that are compared: of the logits, or of the maps."""
        return tuple(one.name for one in self.maps) if self.logits is None else (self.logits,)


class Inventory(Contract):
    """The contents of an artifact.

    Attributes:
        operators: The number of operators of each kind, by the target's names.
        weight_bytes: Bytes of constants by dtype.
        quantized_layers: The number of layers that compute with int8 activations and int8 weights.
    """

    operators: dict[str, Count]
    weight_bytes: dict[str, Count]
    quantized_layers: Count = 0


class Delegation(Contract):
    """The part of an ExecuTorch program that a backend runs."""

    backend: str
    delegates: Count
    delegated_operators: Count
    left_operators: dict[str, Count]

    @property
    def share(self) -> float:
        """The share of operators that are delegated, 0 to 1."""
        total = self.delegated_operators + sum(self.left_operators.values())
        return self.delegated_operators / total if total else 1.0


def find_golden_fault(logits: tuple[float, ...], classes: int, tolerance: float) -> str:
    """Return what is wrong with the logits of a picture and their tolerance; empty if nothing is."""
    if len(logits) != classes:
        return f"logits: there are {len(logits)} for {classes} classes"
    if classes > 1 and len(set(logits)) == 1:
        return "logits: they are all the same"
    # A correct kernel differs by a tenth of the largest logit of several pictures at most.
    if tolerance > max(1.0, *map(abs, logits)):
        return f"tolerance: with {tolerance:g}, any logits would pass"
    return ""


class OutputSamples(Contract):
    """The positions of a map whose values are stored: a whole map is too large for JSON.

    Attributes:
        name: The name of the output.
        positions: Places in the map, row by row: (channel * height + row) * width + column; in order.
        tolerance: The largest difference of a value that correct kernels of another machine may cause.
    """

    name: Annotated[str, Field(min_length=1)]
    positions: Annotated[tuple[Count, ...], Field(min_length=1)]
    tolerance: Annotated[float, Field(ge=0)]


class RampGolden(Contract):
    """What the artifact computed at export for the image of `shvit_mobile.images.ramp.draw_ramp`.

    Attributes:
        logits: Those of a classifier.
        sampled_outputs: Which values of maps are stored.
        sampled_values: These values, one output after the other.
        tolerance: The largest difference of a logit, or the largest tolerance of `sampled_outputs`.
    """

    picture: Literal["ramp"] = "ramp"
    logits: tuple[float, ...] = ()
    sampled_outputs: tuple[OutputSamples, ...] = Field(default=(), exclude_if=lambda value: not value)
    sampled_values: tuple[float, ...] = Field(default=(), exclude_if=lambda value: not value)
    how: Execution
    tolerance: Annotated[float, Field(ge=0)]


def find_samples_fault(samples: tuple[OutputSamples, ...], maps: tuple[OutputMap, ...]) -> str:
    """Return how stored positions contradict the outputs of an artifact; empty if they do not."""
    if [one.name for one in samples] != [one.name for one in maps]:
        return f"sampled_outputs: they are of {', '.join(one.name for one in samples) or 'nothing'}"
    for sampled, output in zip(samples, maps, strict=True):
        positions = sampled.positions
        if list(positions) != sorted(set(positions)) or positions[-1] >= prod(output.shape):
            return f"sampled_outputs: positions of {sampled.name} are outside of it, repeated or out of order"
    return ""


class InputSize(Contract):
    """One of several image sizes that an artifact takes: each has a method, and they share the weights.

    Attributes:
        size: (height, width) in pixels.
        method: The method of an ExecuTorch program, or the function of a Core ML package.
        golden: What it computed at export.
    """

    size: tuple[PositiveCount, PositiveCount]
    method: Annotated[str, Field(min_length=1)]
    golden: RampGolden | None = None


class GoldensFolder(Contract):
    """The name and SHA-256 of the folder of goldens beside the artifact: see `shvit_mobile.contracts.goldens`."""

    name: FileName
    sha256: Sha256


class Manifest(Document):
    """The manifest of an artifact: `ARTIFACT.manifest.json`.

    Version 1.0 has no `task`: all artifacts were classifiers. `labels` is empty for the task "features". `detection`
    says how the maps of a detector become boxes; other tasks have none.
    `sizes` lists the image sizes of an ExecuTorch program with several methods, or of a Core ML package with several
    functions, and is empty for one size. All other fields are about `preprocessing.size`, which is the first of them in
    the file; see `select_size`.
    """

    NAME = "manifest"
    ERROR = BadArtifact
    TITLE = "a manifest"

    schema_version: SchemaVersion = "1.1"
    kind: Literal["manifest"] = "manifest"
    artifact: ArtifactFile
    task: Task = "classify"
    target: Target
    precision: Precision
    model: ModelProvenance
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    input: InputContract
    output: OutputContract
    detection: Detection | None = Field(default=None, exclude_if=lambda value: value is None)
    recipe: Recipe
    options: dict[str, str | int | bool]
    versions: dict[str, str]
    inventory: Inventory
    delegation: Delegation | None = None
    golden: RampGolden | None = None
    goldens: GoldensFolder | None = None
    drift: DriftRow | None = None
    sizes: tuple[InputSize, ...] = Field(default=(), exclude_if=lambda value: not value)

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if fault := self._find_contradiction():
            raise ValueError(fault)
        return self

    def _find_contradiction(self) -> str:
        """Return the first field that contradicts another one, and how; empty if there is none."""
        classes, size = self.model.classes, self.preprocessing.size
        if not self.artifact.name.endswith(TARGET_SUFFIXES[self.target]):
            return f"artifact.name: {self.artifact.name} is no artifact of the target {self.target}"
        if self.recipe.precision != self.precision:
            return f"precision: it is {self.precision}, the recipe's {self.recipe.precision}"
        if len(self.labels) != classes:
            return f"labels: there are {len(self.labels)} for {classes} classes"
        if not all(label.strip() for label in self.labels) or (classes > 1 and len(set(self.labels)) == 1):
            return "labels: they do not tell the classes apart"
        if fault := self._find_output_contradiction():
            return fault
        if self.input.shape[1:] != self.input.expect_shape(size):
            return f"input.shape: {self.input.shape} does not fit images of {size[0]} x {size[1]}"
        if self.target != "coreml" and (self.input.kind == "image" or self.output.probabilities or self.output.label):
            return f"target: {self.target} takes no images and gives no labels"
        if (self.output.probabilities is None) != (self.output.label is None):
            return "output: a classifier gives probabilities and a label"
        if self.inventory.quantized_layers and self.precision not in INT8_ARITHMETIC:
            return f"inventory.quantized_layers: {self.precision} has none"
        if self.delegate not in (None, *DELEGATES):
            return f"options.delegate: {self.delegate} is no delegate"
        if self.delegation is not None and self.target != "executorch":
            return f"delegation: {self.target} has no delegates"
        for golden in (self.golden, *(one.golden for one in self.sizes)):
            if golden and (fault := self._find_golden_contradiction(golden)):
                return f"golden.{fault}"
        if fault := self._find_sizes_contradiction():
            return f"sizes: {fault}"
        return self._find_drift_contradiction()

    def _find_output_contradiction(self) -> str:
        output, size = self.output, self.preprocessing.size
        if (self.task == "features") != (self.model.classes == 0):
            return f"model.classes: {self.model.classes} contradict the task {self.task}"
        if self.task == "classify":
            return "" if output.logits and not output.maps else "output: a classifier gives logits and no maps"
        if output.logits or output.probabilities or output.label or not output.maps:
            return f"output: the task {self.task} gives maps and no logits"
        if len(set(output.names)) < len(output.names):
            return "output.maps: two have the same name"
        for one in output.maps:
            # Whether a last stride that is not whole counts depends on the padding.
            if any(
                abs(side * one.stride - pixels) >= one.stride for side, pixels in zip(one.shape[1:], size, strict=True)
            ):
                return f"output.maps: {one.name} does not have the stride {one.stride}"
        return self._find_detection_contradiction()

    def _find_sizes_contradiction(self) -> str:
        sizes, methods = ({getattr(one, name) for one in self.sizes} for name in ("size", "method"))
        if not self.sizes:
            return ""
        if self.target not in ("executorch", "coreml") or self.task != "classify":
            return f"{self.target} has one size for the task {self.task}"
        if not len(sizes) == len(methods) == len(self.sizes):
            return "two are the same, or have the same method"
        return "" if self.preprocessing.size in sizes else f"{self.preprocessing.size} is not among them"

    def _find_detection_contradiction(self) -> str:
        if (self.task == "detect") != (self.detection is not None):
            return f"detection: the task is {self.task}"
        if self.detection is None:
            return ""
        anchors, strides = self.detection.anchors, self.detection.strides
        expected = [(channels * anchors, stride) for channels in (self.model.classes, 4) for stride in strides]
        actual = [(one.shape[0], one.stride) for one in self.output.maps]
        return "" if actual == expected else f"output.maps: they are no scores and boxes of the strides {strides}"

    def _find_golden_contradiction(self, golden: RampGolden) -> str:
        if self.task == "classify" and not golden.sampled_outputs:
            return find_golden_fault(golden.logits, self.model.classes, golden.tolerance)
        if len(golden.sampled_values) != sum(len(one.positions) for one in golden.sampled_outputs):
            return "sampled_values: there is another number of positions"
        return find_samples_fault(golden.sampled_outputs, self.output.maps)

    def _find_drift_contradiction(self) -> str:
        if self.drift is None:
            return ""
        if self.drift.artifact_sha256 not in (None, self.artifact.sha256):
            return "drift.artifact_sha256: it was measured on another artifact"
        if self.drift.artifact != self.artifact.name:
            return f"drift.artifact: it is of {self.drift.artifact}"
        stated, known = (self.drift.target, self.drift.precision), (self.target, self.precision_name)
        return "" if stated == known else f"drift: it is of {' '.join(stated)}, not of {' '.join(known)}"

    @property
    def method(self) -> str:
        """The method of an ExecuTorch program, or the listed function of a package, for `preprocessing.size`."""
        return next((one.method for one in self.sizes if one.size == self.preprocessing.size), DEFAULT_METHOD)

    def select_size(self, size: tuple[int, int]) -> Self:
        """Return the manifest for another of its image sizes, with the golden of that size.

        The drift and the folder of goldens are those of the first size, and are left out.

        Raises:
            InvalidValue: If the artifact does not take this size.
        """
        if size == self.preprocessing.size:
            return self
        listed = {one.size: one for one in self.sizes}
        if size not in listed:
            sizes = ", ".join(f"{height}x{width}" for height, width in listed or [self.preprocessing.size])
            raise InvalidValue(
                f"{self.artifact.name} takes no images of {size[0]}x{size[1]}.",
                why=f"It takes {sizes}.",
                hint="Export it for this size, too.",
                parameter="size",
            )
        shape = (self.input.shape[0], *self.input.expect_shape(size))
        fields = {
            "preprocessing": replace(self.preprocessing, size=size),
            "input": self.input.model_copy(update={"shape": shape}),
            "golden": listed[size].golden,
        }
        return self.model_copy(update={**fields, "goldens": None, "drift": None})

    @property
    def output_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each output that is compared, without the batch, by name."""
        if self.output.logits is not None:
            return {self.output.logits: (self.model.classes,)}
        return {one.name: one.shape for one in self.output.maps}

    @property
    def delegate(self) -> Delegate | None:
        """What runs an ExecuTorch program; None for other targets."""
        # Earlier versions called the option `backend`.
        named = self.options.get("delegate", self.options.get("backend", "xnnpack"))
        return named if self.target == "executorch" else None  # type: ignore[return-value]

    @property
    def qualified_target(self) -> QualifiedTarget:
        return qualify_target(self.target, self.delegate)

    @property
    def is_coreml(self) -> bool:
        """Whether Core ML runs the artifact: it is a package, or a program with Core ML's delegate."""
        return self.qualified_target in ("coreml", "executorch-coreml")

    @property
    def is_unproven(self) -> bool:
        """Whether no computer that exports it can run the artifact, so that it was never compared with its model."""
        return self.delegate in UNPROVEN_DELEGATES

    @property
    def precision_name(self) -> str:
        """The precision, or "mixed" for int8 with layers in float; see `Recipe.precision_name`."""
        return self.recipe.precision_name
