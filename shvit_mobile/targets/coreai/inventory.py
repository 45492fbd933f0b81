"""Read the inventory of an `.aimodel` package: operators, weights and int8 layers."""

from contextlib import closing
from pathlib import Path

from shvit_mobile.contracts.manifest import Inventory
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.targets.coreai.process import CoreAIProcess


def read_inventory(path: AnyPath) -> Inventory:
    """Count the operators without constants, the bytes of weights by dtype, and the int8 layers.

    A composite operator, such as a layer norm, counts as one, whatever it consists of.

    Raises:
        BadArtifact: If it is no `.aimodel` package, or is damaged.
        ToolMissing: If coreai-core is not installed.
    """
    with closing(CoreAIProcess(Path(path), "inspect")) as process:
        return Inventory(**process.facts)
