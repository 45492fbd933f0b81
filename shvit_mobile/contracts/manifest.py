"""The manifest beside every artifact: all that an app, a runner or a reader needs to know about it."""

from __future__ import annotations

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
    """The artifact's name, its bytes and its SHA-256 as `shvit_mobile.contracts.fingerprints` takes it."""

    name: str
    bytes: Count
    sha256: Sha256


class ModelProvenance(Contract):
    """Which model it was made from."""

    variant: str
    classes: int
    source: str
    dialect: str
    checkpoint_sha256: Sha256


class InputContract(Contract):
    """How the artifact takes images.

    Attributes:
        name: of the input in the artifact.
        kind: "image" where the runtime takes an encoded picture's pixels itself (Core ML), else "tensor".
        values: "pixels" for 0 to 255 (normalisation is inside), "normalised" for (pixel / 255 - mean) / std.
        shape: (batch, 3, height, width), or (batch, 12, blocks down, blocks across); a batch of 0 is dynamic.
        dtype: of the tensor; "uint8" for images.
        layout: "space-to-depth" where 2x2 blocks lie stacked in channels: see `shvit_mobile.contracts.input_layout`.
        border: under "space-to-depth", what the border holds in each colour.
    """

    name: str
    kind: Literal["image", "tensor"]
    values: Literal["pixels", "normalised"]
    shape: tuple[int, int, int, int]
    dtype: str
    layout: InputLayout = "image"
    border: tuple[float, float, float] | None = None


class OutputContract(Contract):
    """The outputs by name; `probabilities` and `label` only where the artifact is a Core ML classifier."""

    logits: str
    probabilities: str | None = None
    label: str | None = None


class Inventory(Contract):
    """What is inside.

    Attributes:
        operators: how many of each kind, as the target names them.
        weight_bytes: bytes of constants by dtype; under int8 most of them are int8.
        quantized_layers: layers whose arithmetic takes int8 activations and int8 weights.
    """

    operators: dict[str, int]
    weight_bytes: dict[str, int]
    quantized_layers: int = 0


class Delegation(Contract):
    """How much of an ExecuTorch program a backend took."""

    backend: str
    delegates: int
    delegated_operators: int
    left_operators: dict[str, int]

    @property
    def share(self) -> float:
        """Delegated operators over all operators, 0 to 1."""
        total = self.delegated_operators + sum(self.left_operators.values())
        return self.delegated_operators / total if total else 1.0


class RampGolden(Contract):
    """The artifact's logits for the picture that `shvit_mobile.images.ramp.draw_ramp` draws, as they came out here."""

    picture: Literal["ramp"] = "ramp"
    logits: tuple[float, ...]
    how: Execution
    tolerance: float


class GoldensFolder(Contract):
    """The folder of goldens beside the artifact, and the SHA-256 of it: see `shvit_mobile.contracts.goldens`."""

    name: str
    sha256: Sha256


class Manifest(Document):
    """The whole manifest; `artifact.manifest.json`."""

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
        """As `Recipe.precision_name`: "mixed" where `precision` is "int8" and the recipe keeps layers in float."""
        return self.recipe.precision_name
