"""The Core ML target: convert a deploy form and a recipe to an ML Program in an `.mlpackage`."""

from shvit_mobile.targets.coreml.build import PRECISIONS, build
from shvit_mobile.targets.coreml.convert import make_labels_unique
from shvit_mobile.targets.coreml.inventory import read_inventory
from shvit_mobile.targets.coreml.options import DEPLOYMENT_TARGETS, CoreMLOptions

__all__ = [
    "DEPLOYMENT_TARGETS",
    "PRECISIONS",
    "CoreMLOptions",
    "build",
    "make_labels_unique",
    "read_inventory",
]
