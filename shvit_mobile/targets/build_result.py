"""The result of a target's `build`, from which `lower` writes the manifest."""

from dataclasses import dataclass, field
from typing import Any, Literal

from shvit_mobile.contracts.manifest import Delegation, InputContract, InputSize, Inventory, OutputContract
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.families.trained_model import TrainedModel

InputKind = Literal["image", "tensor"]


@dataclass(frozen=True)
class BuildResult:
    """Fields of the manifest; `versions` has the tools that this target used, `etrecord` the ETRecord if asked.

    `sizes` has the image sizes of a program with several methods or functions.
    """

    input: InputContract
    output: OutputContract
    inventory: Inventory
    versions: dict[str, str]
    options: dict[str, str | int | bool] = field(default_factory=dict)
    delegation: Delegation | None = None
    etrecord: Any = None
    sizes: tuple[InputSize, ...] = ()


def describe_model(trained: TrainedModel) -> str:
    """Describe a model and its task for people who open a file: "shvit_s1 with 10 classes"."""
    counted = f"with {len(trained.labels)} classes" if trained.labels else "without classes"
    return f"{trained.variant} {counted}" if trained.task == "classify" else f"{trained.variant}, {trained.task}"


def describe_outputs(output: OutputContract) -> dict[str, str]:
    """Describe each output that is compared, by name, for people who open a file."""
    if output.logits is not None:
        return {output.logits: "before softmax"}
    return {one.name: f"{'x'.join(map(str, one.shape))}, stride {one.stride}" for one in output.maps}


def build_input_contract(
    deployed: DeployForm, name: str, *, kind: InputKind = "tensor", batch: int = 1
) -> InputContract:
    """Return the contract of an artifact that takes the deploy form's input; a `batch` of 0 means any number."""
    return InputContract(
        name=name,
        kind=kind,
        values=deployed.input_domain,
        shape=(batch, 3, *deployed.trained.preprocessing.size),
        dtype="uint8" if kind == "image" else "float32",
    )
