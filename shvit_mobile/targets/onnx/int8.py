"""Put layers of a float ONNX graph into int8, with QuantizeLinear and DequantizeLinear.

ONNX Runtime fuses int8 in this form: DequantizeLinear produces the activations, the weight and the bias, QuantizeLinear
takes the output, and everything between becomes one QLinearConv or QGemm. The bias of a MatMul is added in float.
`fusion.py` sees to it that layers in int8 are fused, and no others.
"""

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import ActivationRange, ActivationScheme
from shvit_mobile.deploy.wiring import get_layer_path
from shvit_mobile.quantize.affine import (
    ACTIVATION_MAX,
    ACTIVATION_MIN,
    AffineParameters,
    choose_affine_parameters,
    quantize_layer,
)
from shvit_mobile.quantize.layers import get_call_range
from shvit_mobile.targets.onnx.fusion import prepare_for_fusion

# Operators that only move or select values of their first input: `deploy.activations.MOVES`.
_MOVES = (
    *("Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"),
    *("Slice", "Gather", "Split", "MaxPool"),
)


def quantize_layers(
    graph: onnx.GraphProto,
    module: nn.Module,
    ranges: Mapping[str, ActivationRange],
    activations: ActivationScheme = "affine",
) -> None:
    """Put the layers named in `ranges` into int8, in place.

    A value that was dequantized, and perhaps moved since, is not rounded to other integers.

    Args:
        graph: A float graph with the values of its parameters, and nodes named by `names.name_nodes`.
        module: The module whose graph it is.
        ranges: The ranges of convolutions and linear layers by their path, and of their further calls.
        activations: How a range is divided into integers.

    Raises:
        ValueError: If the graph lacks a layer.
    """
    quantizer = _Quantizer(graph, module, ranges, activations)
    nodes = list(quantizer.rewrite())
    missing = sorted(set(map(get_layer_path, ranges)) - quantizer.done)
    if missing:
        raise ValueError(f"the graph has no layer {missing[0]}")
    constants = {constant.name: constant for constant in (*graph.initializer, *quantizer.constants)}
    nodes = prepare_for_fusion(nodes, constants)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    stored = [constant for name, constant in constants.items() if name in used]
    del graph.initializer[:]
    graph.initializer.extend(stored)


class _Quantizer:
    """One pass over the nodes of a graph, in execution order.

    Attributes:
        constants: The constants that the new nodes read.
        done: The paths of the layers that are now in int8.
    """

    def __init__(
        self,
        graph: onnx.GraphProto,
        module: nn.Module,
        ranges: Mapping[str, ActivationRange],
        activations: ActivationScheme,
    ) -> None:
        self.constants: list[onnx.TensorProto] = []
        self.done: set[str] = set()
        self._graph, self._module, self._ranges, self._activations = graph, module, ranges, activations
        self._outputs = {value.name for value in graph.output}
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        self._values = {constant.name: constant for constant in graph.initializer}
        # By layer and part: the constants of its calls, by their names.
        self._constants_of_layers: dict[str, dict[str, NDArray[Any]]] = {}
        # By the name of a float value: the call whose output it is, and its parameters in int8.
        self._pending: dict[str, tuple[str, AffineParameters]] = {}
        # By the name of a float value: the name of the value that takes its place.
        self._replaced: dict[str, str] = {}
        # By the name of a value that was dequantized, and of one that was moved since: its parameters.
        self._dequantized: dict[str, AffineParameters] = {}
        self._moved: dict[str, AffineParameters] = {}

    def rewrite(self) -> Iterator[onnx.NodeProto]:
        """Yield the nodes of the new graph."""
        for node in self._graph.node:
            node.input[:] = [self._replaced.get(name, name) for name in node.input]
            call = _get_call(node)
            path = get_layer_path(call)
            if path in self._ranges:
                self.done.add(path)
                yield from self._quantize_operands(node, call, get_call_range(self._ranges, call))
            elif node.op_type in _MOVES and (parameters := self._find_parameters(node.input[0])):
                self._moved.update(dict.fromkeys(node.output, parameters))
            if node.output[0] not in self._pending:
                yield node
                continue
            call, parameters = self._pending[node.output[0]]
            output = node.output[0]
            if output in self._outputs:
                node.output[0] = node.name
            value = node.output[0]
            if node.op_type == "Clip" and _is_saturation(self._read_limits(node), parameters):
                value = node.input[0]  # the integers end where it does
            else:
                yield node
            self._replaced[output] = output if output in self._outputs else f"{call}.output"
            yield from self._quantize_and_dequantize(value, self._replaced[output], parameters)

    def _quantize_operands(
        self, node: onnx.NodeProto, call: str, activation_range: ActivationRange
    ) -> Iterator[onnx.NodeProto]:
        """Yield the nodes that produce the operands of a layer in int8, and make it read them."""
        layer = self._module.get_submodule(get_layer_path(call))
        given = self._find_parameters(node.input[0])
        parameters = given or choose_affine_parameters(*activation_range.input, self._activations)
        if node.input[0] not in self._dequantized:
            yield from self._quantize_and_dequantize(node.input[0], f"{call}.input", parameters)
            node.input[0] = f"{call}.input"
        bias = _get_bias(layer) if len(node.input) > 2 else None
        quantized = quantize_layer(layer, bias, parameters)
        axis = _find_output_axis(node)
        stored = np.moveaxis(quantized.weight, 0, axis) if axis else quantized.weight
        yield self._dequantize_constant(call, "weight", stored, quantized.scales, axis)
        node.input[1] = f"{call}.weight.real"
        if quantized.bias is not None:
            yield self._dequantize_constant(call, "bias", quantized.bias, quantized.bias_scales, 0)
            node.input[2] = f"{call}.bias.real"
        output = node.output[0]
        if node.name != call:  # the node after it adds the bias
            output = self._users[output][0].output[0]
        follower = self._get_only_user(output)
        if follower is not None and self._read_limits(follower):
            output = follower.output[0]
        self._pending[output] = call, choose_affine_parameters(*activation_range.output, self._activations)

    def _quantize_and_dequantize(self, value: str, name: str, parameters: AffineParameters) -> Iterator[onnx.NodeProto]:
        """Yield the nodes that round a float value to integers and back; the result is called `name`."""
        scale = self._add_constant(f"{name}.scale", np.float32(parameters.scale))
        zero_point = self._add_constant(f"{name}.zero_point", np.int8(parameters.zero_point))
        yield helper.make_node("QuantizeLinear", [value, scale, zero_point], [f"{name}.int8"], f"{name}.int8")
        yield helper.make_node("DequantizeLinear", [f"{name}.int8", scale, zero_point], [name], name)
        self._dequantized[name] = parameters

    def _dequantize_constant(
        self, call: str, part: str, integers: NDArray[Any], scales: NDArray[Any], axis: int
    ) -> onnx.NodeProto:
        """Return the node that dequantizes a part of a layer, with a scale for each output channel."""
        stored = self._share_constant(call, f"{part}.{integers.dtype}", integers)
        scale = self._share_constant(call, f"{part}.scale", scales)
        name = f"{call}.{part}.real"
        return helper.make_node("DequantizeLinear", [stored, scale], [name], name, axis=axis)

    def _share_constant(self, call: str, part: str, values: NDArray[Any]) -> str:
        """Return the name of a constant of a layer's call, which equal ones of the layer's other calls share."""
        known = self._constants_of_layers.setdefault(f"{get_layer_path(call)}.{part}", {})
        for name, stored in known.items():
            if np.array_equal(stored, values):
                return name
        known[f"{call}.{part}"] = values
        return self._add_constant(f"{call}.{part}", values)

    def _add_constant(self, name: str, values: NDArray[Any] | np.generic) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _find_parameters(self, value: str) -> AffineParameters | None:
        """Return the parameters of the integers that a float value stands for; None if it is any number."""
        return self._dequantized.get(value) or self._moved.get(value)

    def _read_limits(self, node: onnx.NodeProto) -> tuple[float, float] | None:
        """Return the interval of an activation that only limits values; None for any other node."""
        if node.op_type == "Relu":
            return 0.0, inf
        if node.op_type != "Clip":
            return None
        ends = [self._values.get(name) for name in (*node.input[1:], "", "")[:2]]
        low, high = (None if end is None else float(numpy_helper.to_array(end)) for end in ends)
        return -inf if low is None else low, inf if high is None else high

    def _get_only_user(self, value: str) -> onnx.NodeProto | None:
        users = self._users.get(value, [])
        return users[0] if len(users) == 1 and value not in self._outputs else None


def _get_call(node: onnx.NodeProto) -> str:
    """Return the name of the call of a layer that a node computes; empty if it computes none."""
    if node.op_type == "MatMul":
        return node.name.removesuffix(".product")
    return node.name if node.op_type in ("Conv", "Gemm") else ""


def _is_saturation(limits: tuple[float, float] | None, parameters: AffineParameters) -> bool:
    """Return whether integers end where `limits` do, or before."""
    low, high = (end / parameters.scale + parameters.zero_point for end in limits or (-inf, inf))
    return low < ACTIVATION_MIN + 0.5 and high > ACTIVATION_MAX - 0.5


def _find_output_axis(node: onnx.NodeProto) -> int:
    """Return the axis of a weight that holds the output channels."""
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if node.op_type == "Conv" or transposed else 1


def _get_bias(layer: nn.Module) -> NDArray[Any]:
    return _convert_to_array(layer.get_parameter("bias"))


def _convert_to_array(tensor: Tensor) -> NDArray[Any]:
    """Convert a parameter to a float32 array."""
    values: NDArray[Any] = tensor.detach().cpu().float().numpy()
    return values
