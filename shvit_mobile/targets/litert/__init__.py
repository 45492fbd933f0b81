"""The LiteRT target: write one `.tflite` file, in float, with weights in half precision, or with layers in int8."""

from shvit_mobile.targets.litert.build import PRECISIONS, LiteRTOptions, build
from shvit_mobile.targets.litert.inventory import read_inventory

__all__ = ["PRECISIONS", "LiteRTOptions", "build", "read_inventory"]
