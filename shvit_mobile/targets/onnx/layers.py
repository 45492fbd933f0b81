"""Write a convolution or linear layer in ONNX, in float or in int8.

ONNX Runtime fuses int8 in this form: DequantizeLinear produces the activations, the weight and the bias, QuantizeLinear
takes the output, and everything between becomes one QLinearConv.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import ActivationRange, ActivationScheme
from shvit_mobile.deploy.layers import get_bias
from shvit_mobile.quantize.affine import AffineParameters, choose_affine_parameters, get_weight_scales, quantize_weight
from shvit_mobile.targets.onnx.graph import GraphBuilder, GraphValue

# A bias is int32 in units of the two scales. Half of the range leaves room for the sum of products.
_MAX_INT32_BIAS = 2**30


def add_float_convolution(graph: GraphBuilder, conv: nn.Conv2d, x: GraphValue, name: str, *, relu: bool) -> GraphValue:
    """Add a convolution in float32, with its ReLU if `relu`."""
    weight = graph.add_constant(f"{name}.weight", convert_to_array(conv.weight))
    bias = graph.add_constant(f"{name}.bias", convert_to_array(get_bias(conv)))
    return _add_convolution(graph, conv, x, weight, bias, name, relu=relu)


def add_int8_convolution(
    graph: GraphBuilder,
    conv: nn.Conv2d,
    x: GraphValue,
    name: str,
    activation_range: ActivationRange,
    activations: ActivationScheme,
    *,
    relu: bool,
) -> GraphValue:
    """Add a convolution in int8, with its ReLU before the output is quantized if `relu`."""
    # A dequantized value is not quantized again.
    parameters = x.affine or choose_affine_parameters(*activation_range.input, activations)
    x = _add_quantize_dequantize(graph, x, parameters, f"{name}.input")
    weight, scales = _quantize_convolution_weight(conv, parameters)
    bias_scales = scales * np.float32(parameters.scale)
    bias = np.rint(convert_to_array(get_bias(conv)).astype(np.float64) / bias_scales).astype(np.int32)
    y = _add_convolution(
        graph,
        conv,
        x,
        _add_dequantized_constant(graph, f"{name}.weight", weight, scales),
        _add_dequantized_constant(graph, f"{name}.bias", bias, bias_scales),
        name,
        relu=relu,
    )
    low, high = activation_range.output
    return _add_quantize_dequantize(
        graph, y, choose_affine_parameters(0.0 if relu else low, high, activations), f"{name}.output"
    )


def add_linear(graph: GraphBuilder, layer: nn.Linear, x: GraphValue, name: str) -> GraphValue:
    """Add a linear layer in float32."""
    weight = graph.add_constant(f"{name}.weight", convert_to_array(layer.weight))
    bias = graph.add_constant(f"{name}.bias", convert_to_array(layer.bias))
    return graph.add_node("Gemm", name, x, weight, bias, shape=(layer.out_features,), transB=1)


def convert_to_array(tensor: Tensor) -> NDArray[Any]:
    """Convert a parameter to a float32 array."""
    values: NDArray[Any] = tensor.detach().cpu().float().numpy()
    return values


def _add_convolution(
    graph: GraphBuilder, conv: nn.Conv2d, x: GraphValue, weight: str, bias: str, name: str, *, relu: bool
) -> GraphValue:
    if isinstance(conv.padding, str):
        raise TypeError(f"{name} pads by name")
    (top, left), (rows, columns), strides = conv.padding, conv.kernel_size, conv.stride
    _, height, width = x.shape
    shape = (
        conv.out_channels,
        (height + 2 * top - rows) // strides[0] + 1,
        (width + 2 * left - columns) // strides[1] + 1,
    )
    y = graph.add_node(
        "Conv",
        name,
        x,
        weight,
        bias,
        shape=shape,
        kernel_shape=(rows, columns),
        strides=strides,
        pads=(top, left, top, left),
        group=conv.groups,
    )
    return graph.add_node("Relu", f"{name}.relu", y) if relu else y


def _add_quantize_dequantize(graph: GraphBuilder, x: GraphValue, parameters: AffineParameters, name: str) -> GraphValue:
    """Quantize and dequantize `x`, unless it already has these parameters."""
    if x.affine == parameters:
        return x
    scale = graph.add_constant(f"{name}.scale", np.float32(parameters.scale))
    zero_point = graph.add_constant(f"{name}.zero_point", np.int8(parameters.zero_point))
    integers = graph.add_node("QuantizeLinear", f"{name}.int8", x, scale, zero_point)
    real = graph.add_node("DequantizeLinear", name, integers, scale, zero_point)
    return GraphValue(real.name, real.shape, parameters)


def _add_dequantized_constant(graph: GraphBuilder, name: str, integers: NDArray[Any], scales: NDArray[Any]) -> str:
    """Add constant integers and their dequantization with a scale for each output channel."""
    stored = graph.add_constant(f"{name}.{integers.dtype}", integers)
    scale = graph.add_constant(f"{name}.scale", scales)
    return graph.add_node("DequantizeLinear", name, stored, scale, shape=integers.shape, axis=0).name


def _quantize_convolution_weight(
    conv: nn.Conv2d, input_parameters: AffineParameters
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the integers of a weight and its scales, shape (out channels,).

    If a channel's weights are so small that its bias would not fit into int32 at their scale, it gets the scale that
    the bias needs, at which the weights become zero.
    """
    integers, scales = (part.cpu().numpy() for part in quantize_weight(conv.weight, get_weight_scales(conv)))
    needed = np.abs(convert_to_array(get_bias(conv))) / np.float32(input_parameters.scale * _MAX_INT32_BIAS)
    final = np.maximum(scales, needed)
    ratio = (scales / final).reshape(-1, 1, 1, 1)
    return np.rint(integers * ratio).astype(np.int8), final
