"""What a target reports of the artifact it has just written; `lower` makes the manifest out of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from shvit_mobile.contracts.manifest import Delegation, InputContract, Inventory, OutputContract


@dataclass(frozen=True)
class BuildResult:
    """Attributes as in `Manifest`; `versions` of the tools that this target used."""

    input: InputContract
    output: OutputContract
    inventory: Inventory
    versions: dict[str, str]
    options: dict[str, str | int | bool] = field(default_factory=dict)
    delegation: Delegation | None = None
