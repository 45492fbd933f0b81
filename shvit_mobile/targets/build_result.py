"""The result of a target's `build`, from which `lower` writes the manifest."""

from dataclasses import dataclass, field
from typing import Any, Literal

from shvit_mobile.contracts.manifest import Delegation, InputContract, Inventory, OutputContract
from shvit_mobile.deploy.form import DeployForm

InputKind = Literal["image", "tensor"]


@dataclass(frozen=True)
class BuildResult:
    """Fields of the manifest; `versions` has the tools that this target used, `etrecord` the ETRecord if asked."""

    input: InputContract
    output: OutputContract
    inventory: Inventory
    versions: dict[str, str]
    options: dict[str, str | int | bool] = field(default_factory=dict)
    delegation: Delegation | None = None
    etrecord: Any = None


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
