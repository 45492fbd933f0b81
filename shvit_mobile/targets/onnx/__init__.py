"""The ONNX target: one `.onnx` file, float or with static int8 as QuantizeLinear and DequantizeLinear around layers."""

from shvit_mobile.targets.onnx.build import OPSETS, PRECISIONS, ONNXOptions, build
from shvit_mobile.targets.onnx.inventory import read_inventory

__all__ = ["OPSETS", "PRECISIONS", "ONNXOptions", "build", "read_inventory"]
