"""The manifest beside every artifact: everything that an app, a runner or a report needs to know about it."""

from typing import Literal

from shvit_mobile.contracts.document import Contract, Count, Document, Sha256
from shvit_mobile.contracts.drift_row import DriftRow, Execution
from shvit_mobile.contracts.input_layout import InputLayout
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.errors import BadArtifact

Target = Literal["coreml", "executorch", "onnx"]
TARGET_SUFFIXES: dict[Target, str] = {"coreml": ".mlpackage", "executorch": ".pte", "onnx": ".onnx"}


class ArtifactFile(Contract):
    """The name, size and SHA-256 of an artifact; see `shvit_mobile.contracts.fingerprints`."""

    name: str
    bytes: Count
    sha256: Sha256


class ModelProvenance(Contract):
    """The model that the artifact was exported from."""

    variant: str
    classes: int
    source: str
    dialect: str
    checkpoint_sha256: Sha256


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

    name: str
    kind: Literal["image", "tensor"]
    values: Literal["pixels", "normalised"]
    shape: tuple[int, int, int, int]
    dtype: str
    layout: InputLayout = "image"
    border: tuple[float, float, float] | None = None


class OutputContract(Contract):
    """The names of the outputs; only Core ML classifiers have `probabilities` and `label`."""

    logits: str
    probabilities: str | None = None
    label: str | None = None


class Inventory(Contract):
    """The contents of an artifact.

    Attributes:
        operators: The number of operators of each kind, by the target's names.
        weight_bytes: Bytes of constants by dtype.
        quantized_layers: The number of layers that compute with int8 activations and int8 weights.
    """

    operators: dict[str, int]
    weight_bytes: dict[str, int]
    quantized_layers: int = 0


class Delegation(Contract):
    """The part of an ExecuTorch program that a backend runs."""

    backend: str
    delegates: int
    delegated_operators: int
    left_operators: dict[str, int]

    @property
    def share(self) -> float:
        """The share of operators that are delegated, 0 to 1."""
        total = self.delegated_operators + sum(self.left_operators.values())
        return self.delegated_operators / total if total else 1.0


class RampGolden(Contract):
    """The logits that the artifact computed at export for the image of `shvit_mobile.images.ramp.draw_ramp`."""

    picture: Literal["ramp"] = "ramp"
    logits: tuple[float, ...]
    how: Execution
    tolerance: float


class GoldensFolder(Contract):
    """The name and SHA-256 of the folder of goldens beside the artifact: see `shvit_mobile.contracts.goldens`."""

    name: str
    sha256: Sha256


class Manifest(Document):
    """The manifest of an artifact: `ARTIFACT.manifest.json`."""

    NAME = "manifest"
    ERROR = BadArtifact
    TITLE = "a manifest"

    kind: Literal["manifest"] = "manifest"
    artifact: ArtifactFile
    target: Target
    precision: Precision
    model: ModelProvenance
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    input: InputContract
    output: OutputContract
    recipe: Recipe
    options: dict[str, str | int | bool]
    versions: dict[str, str]
    inventory: Inventory
    delegation: Delegation | None = None
    golden: RampGolden | None = None
    goldens: GoldensFolder | None = None
    drift: DriftRow | None = None

    @property
    def precision_name(self) -> str:
        """The precision, or "mixed" for int8 with layers in float; see `Recipe.precision_name`."""
        return self.recipe.precision_name
