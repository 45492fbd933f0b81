"""Write int8 so that ONNX Runtime fuses the layers that are in int8, and leaves those that are in float.

Two of ONNX Runtime's passes (1.32) do otherwise on the graphs of many families:

- On x86, uint8 takes the place of int8 between QuantizeLinear and its only DequantizeLinear. A value with several
  readers has several, and stays int8. The layers at both ends of it then have one type before and the other behind
  them, and run in float. In uint8, with 128 added to the zero point, no value changes its type.
- A float convolution between DequantizeLinear and QuantizeLinear, perhaps with Relu or Clip behind it, gets int8
  weights with one scale for all channels, which costs accuracy. If it has an activation, they are dequantized on every
  run. The pass takes only inputs whose scale is one number, so these convolutions have one for each channel.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

# The layers whose float weights ONNX Runtime makes int8, and what may stand behind them.
_LAYERS, _LIMITS = ("Conv", "Gemm"), ("Relu", "Clip")


def prepare_for_fusion(nodes: Sequence[onnx.NodeProto], constants: dict[str, onnx.TensorProto]) -> list[onnx.NodeProto]:
    """Return the nodes of a graph whose float layers stay float, with uint8 for int8 where it is needed.

    Args:
        nodes: The nodes, in execution order, with int8 between QuantizeLinear and DequantizeLinear. Their inputs may
            change.
        constants: The constants by name; some change, and some are added.
    """
    readers = _collect_readers(nodes)
    shared = any(
        node.op_type == "QuantizeLinear" and any(len(readers[name]) > 1 for name in _list_dequantized(node, readers))
        for node in nodes
    )
    kept = _find_float_layers(nodes, constants, readers)
    if not shared and not kept:
        return list(nodes)
    for name in {node.input[2] for node in nodes if node.op_type == "QuantizeLinear"}:
        zero_point = numpy_helper.to_array(constants[name]).astype(np.int16) + 128
        constants[name] = numpy_helper.from_array(zero_point.astype(np.uint8), name)
    return list(_give_own_inputs(nodes, kept, constants))


def _collect_readers(nodes: Iterable[onnx.NodeProto]) -> dict[str, list[onnx.NodeProto]]:
    """Return, by the name of a value, the nodes that read it."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in [*node.output, *node.input]:
            readers.setdefault(name, [])
        for name in set(node.input):
            readers[name].append(node)
    return readers


def _list_dequantized(quantize: onnx.NodeProto, readers: Mapping[str, list[onnx.NodeProto]]) -> list[str]:
    return [reader.output[0] for reader in readers[quantize.output[0]] if reader.op_type == "DequantizeLinear"]


def _find_float_layers(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, onnx.TensorProto],
    readers: Mapping[str, list[onnx.NodeProto]],
) -> dict[str, onnx.NodeProto]:
    """Return, by the names of float layers whose weights would become int8, what dequantizes the input of each."""
    producers = {node.output[0]: node for node in nodes if node.op_type == "DequantizeLinear"}
    found = {}
    for node in nodes:
        if node.op_type not in _LAYERS or node.input[0] not in producers or node.input[1] not in constants:
            continue
        behind = readers[node.output[0]]
        while len(behind) == 1 and behind[0].op_type in _LIMITS:
            behind = readers[behind[0].output[0]]
        if Counter(reader.op_type for reader in behind) == {"QuantizeLinear": 1}:
            found[node.name] = producers[node.input[0]]
    return found


def _give_own_inputs(
    nodes: Iterable[onnx.NodeProto], kept: Mapping[str, onnx.NodeProto], constants: dict[str, onnx.TensorProto]
) -> Iterable[onnx.NodeProto]:
    """Yield the nodes; before each layer in `kept` one that dequantizes its input with a scale for each channel."""
    for node in nodes:
        if node.name in kept:
            channels = _count_input_channels(node, numpy_helper.to_array(constants[node.input[1]]))
            integers, *parameters = kept[node.name].input
            name = f"{node.name}.input"
            repeated = []
            for kind, parameter in zip(("scale", "zero_point"), parameters, strict=True):
                values = np.full(channels, numpy_helper.to_array(constants[parameter]))
                constants[f"{name}.{kind}"] = numpy_helper.from_array(values, f"{name}.{kind}")
                repeated.append(f"{name}.{kind}")
            yield helper.make_node("DequantizeLinear", [integers, *repeated], [name], name, axis=1)
            node.input[0] = name
        yield node


def _count_input_channels(layer: onnx.NodeProto, weight: NDArray[Any]) -> int:
    attributes = {attribute.name: attribute.i for attribute in layer.attribute}
    if layer.op_type == "Gemm":
        return int(weight.shape[1 if attributes.get("transB") else 0])
    return int(weight.shape[1]) * attributes.get("group", 1)
