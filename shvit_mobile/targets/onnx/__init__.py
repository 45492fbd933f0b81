"""The ONNX target: write one `.onnx` file, in float or with QuantizeLinear and DequantizeLinear around int8 layers."""

from shvit_mobile.targets.onnx.build import PRECISIONS, ONNXOptions, build
from shvit_mobile.targets.onnx.inventory import read_inventory
from shvit_mobile.targets.onnx.opsets import OPSETS

__all__ = ["OPSETS", "PRECISIONS", "ONNXOptions", "build", "read_inventory"]
