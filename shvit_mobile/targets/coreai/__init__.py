"""The Core AI target, experimental: write an `.aimodel` package, in float or with the recipe's int8."""

from shvit_mobile.targets.coreai.build import PRECISIONS, CoreAIOptions, build
from shvit_mobile.targets.coreai.inventory import read_inventory

__all__ = ["PRECISIONS", "CoreAIOptions", "build", "read_inventory"]
