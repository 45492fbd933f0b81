"""Put layers of a float LiteRT model into int8, with the recipe's own integers, scales and ranges.

The interpreter computes a convolution or a linear layer in int8 if its input, weight and output are int8 and its bias
is int32. A value that only float operators read is dequantized behind the layer, and one that no layer has computed is
quantized in front of it. What the converter multiplied into a weight (`folds.py`) becomes operators of its own again:
the integers and the ranges are the recipe's.
"""

from collections.abc import Mapping
from copy import copy
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from shvit_mobile.contracts.recipe import ActivationRange, ActivationScheme
from shvit_mobile.deploy.wiring import get_layer_path
from shvit_mobile.quantize.affine import AffineParameters, choose_affine_parameters, quantize_layer
from shvit_mobile.quantize.layers import get_call_range
from shvit_mobile.targets.litert.editing import GraphEditor
from shvit_mobile.targets.litert.flatbuffer import OperatorView, iterate_graph, load_schema, read_values
from shvit_mobile.targets.litert.folds import (
    Folds,
    arrange_weight,
    build_layer_error,
    find_folds,
    get_output_axis,
    read_parameter,
)

INT8 = ".int8"
# Operators that only move or select values of their first input.
_MOVES = ("RESHAPE", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "SQUEEZE", "EXPAND_DIMS", "MAX_POOL_2D")
# The first versions of operators that take int8.
_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 5, "PAD": 2, "MAX_POOL_2D": 2, "DEQUANTIZE": 2}


def quantize_layers(
    model: Any,
    module: nn.Module,
    ranges: Mapping[str, ActivationRange],
    activations: ActivationScheme = "affine",
) -> None:
    """Put the layers named in `ranges` into int8, in place.

    A value that was dequantized, and perhaps moved since, is not rounded to other integers.

    Args:
        model: A float model whose tensors have the names that `convert_module` gives them.
        module: The module that was converted.
        ranges: The ranges of convolutions and linear layers by their path, and of their further calls.
        activations: How a range is divided into integers.

    Raises:
        NotSupported: If the converter made something else of a layer than an operator with the layer's weight, apart
            from what `find_folds` finds.
    """
    quantizer = _Quantizer(model, module, ranges, activations)
    for view in list(iterate_graph(model)):
        quantizer.rewrite(view)
    missing = sorted(set(map(get_layer_path, ranges)) - quantizer.done)
    if missing:
        raise build_layer_error(missing[0], "it is no operator of its own in the converted model")
    quantizer.editor.finish()


class _Quantizer:
    """One pass over the operators of a model, in execution order.

    Attributes:
        editor: The new graph.
        done: The paths of the layers that are now in int8.
    """

    def __init__(
        self,
        model: Any,
        module: nn.Module,
        ranges: Mapping[str, ActivationRange],
        activations: ActivationScheme,
    ) -> None:
        self.editor = GraphEditor(model)
        self.done: set[str] = set()
        self._module, self._ranges, self._activations = module, ranges, activations
        self._producers: dict[int, OperatorView] = {}
        # By a float tensor: its integers and their parameters.
        self._integers: dict[int, tuple[int, AffineParameters]] = {}
        # By the layer, the parameters of its input and the place of its weight in the float model.
        self._weights: dict[tuple[str, AffineParameters, int], tuple[int, int]] = {}
        # By the place of a weight in the float model: its integers and scales, and their tensor.
        self._stored: dict[int, tuple[NDArray[np.int8], NDArray[np.float32], int]] = {}

    def rewrite(self, view: OperatorView) -> None:
        """Add an operator, in int8 if it is one of the layers."""
        call = view.outputs[0].name.decode().removesuffix(view.activation)
        path = get_layer_path(call)
        if view.is_layer and path in self._ranges:
            self._add_layer(view, call, get_call_range(self._ranges, call))
            self.done.add(path)
        else:
            self.editor.operators.append(view.operator)
        self._producers |= {int(index): view for index in view.operator.outputs}

    def _add_layer(self, view: OperatorView, call: str, activation_range: ActivationRange) -> None:
        image, output = int(view.operator.inputs[0]), int(view.operator.outputs[0])
        editor, folds = self.editor, find_folds(view, self._module, get_layer_path(call))
        if folds.norm is not None:
            image = self._add_norm(image, folds.norm, call)
        parameters = self._find_parameters(image, call) or choose_affine_parameters(
            *activation_range.input, self._activations
        )
        weight, bias = self._add_weight(view, get_layer_path(call), parameters, folds)
        results = choose_affine_parameters(*activation_range.output, self._activations)
        operator = copy(view.operator)
        operator.inputs = [self._get_integers(image, parameters, call), weight, bias]
        operator.opcodeIndex = editor.find_code(view.kind, _VERSIONS[view.kind])
        unscaled = output
        if folds.factors is not None:
            operator.builtinOptions = copy(operator.builtinOptions)
            operator.builtinOptions.fusedActivationFunction = 0
            unscaled = editor.add_tensor(f"{call}.unscaled", view.outputs[0].shape, np.dtype(np.float32))
        operator.outputs = [self._add_integers(unscaled, results)]
        editor.operators.append(operator)
        editor.add_operator("DEQUANTIZE", operator.outputs, [unscaled], version=_VERSIONS["DEQUANTIZE"])
        if folds.factors is not None:
            factors = editor.add_constant(f"{call}.factors", folds.factors)
            options = editor.add_arithmetic("MUL", [unscaled, factors], output)
            options.fusedActivationFunction = view.activation_number

    def _add_norm(self, value: int, norm: nn.Module, call: str) -> int:
        """Add the factors and summands of a norm in front of a layer, and return the tensor that the layer takes."""
        shape = self.editor.graph.tensors[value].shape
        kinds: dict[str, Literal["MUL", "ADD"]] = {"weight": "MUL", "bias": "ADD"}
        for name, kind in kinds.items():
            if (constant := read_parameter(norm, name)) is not None:
                place = self.editor.add_constant(f"{call}.norm.{name}", constant)
                result = self.editor.add_tensor(f"{call}.norm.{kind.lower()}", shape, np.dtype(np.float32))
                self.editor.add_arithmetic(kind, [value, place], result)
                value = result
        return value

    def _find_parameters(self, tensor: int, call: str) -> AffineParameters | None:
        """Return the parameters of the integers that a float tensor stands for; None if it is any number."""
        if tensor in self._integers:
            return self._integers[tensor][1]
        producer = self._producers.get(tensor)
        if producer is None or not (producer.kind in _MOVES or _is_padding(producer, call)):
            return None
        return self._find_parameters(int(producer.operator.inputs[0]), call)

    def _get_integers(self, tensor: int, parameters: AffineParameters, call: str) -> int:
        """Return the tensor with the integers of a float tensor, which has `parameters`."""
        if tensor in self._integers and self._integers[tensor][1] == parameters:
            return self._integers[tensor][0]
        producer = self._producers.get(tensor)
        # A border is added to integers, which are a quarter as large; zero is exact.
        is_moved = producer is not None and producer.kind in _MOVES and self._find_parameters(tensor, call) is not None
        if producer is None or not (is_moved or _is_padding(producer, call)):
            integers = self._add_integers(tensor, parameters)
            self.editor.add_operator("QUANTIZE", [tensor], [integers])
            return integers
        operator = copy(producer.operator)
        operator.inputs = [self._get_integers(int(operator.inputs[0]), parameters, call), *operator.inputs[1:]]
        operator.outputs = [self._add_integers(tensor, parameters)]
        operator.opcodeIndex = self.editor.find_code(producer.kind, _VERSIONS.get(producer.kind, 1))
        self.editor.operators.append(operator)
        return int(operator.outputs[0])

    def _add_integers(self, tensor: int, parameters: AffineParameters) -> int:
        """Add the int8 tensor that stands for a float tensor."""
        original = self.editor.graph.tensors[tensor]
        integers = self.editor.add_tensor(original.name.decode() + INT8, original.shape, np.dtype(np.int8))
        self.editor.set_quantization(integers, np.array([parameters.scale], np.float32), [parameters.zero_point])
        self._integers[tensor] = integers, parameters
        return integers

    def _add_weight(self, view: OperatorView, path: str, parameters: AffineParameters, folds: Folds) -> tuple[int, int]:
        """Add a layer's weight in int8 and its bias in int32, and return their tensors; -1 for no bias."""
        key = path, parameters, int(view.operator.inputs[1])
        if key in self._weights:
            return self._weights[key]
        axis = get_output_axis(view)
        quantized = quantize_layer(self._module.get_submodule(path), folds.bias, parameters)
        editor = self.editor
        integers = arrange_weight(quantized.weight, view.inputs[1].shape, axis)
        tensors = self._share_weight(key[2], f"{path}.weight{INT8}", integers, quantized.scales, axis), -1
        if quantized.bias is not None:
            tensors = tensors[0], editor.add_constant(f"{path}.bias.int32", quantized.bias)
            scales = quantized.bias_scales
            editor.set_quantization(tensors[1], scales, np.zeros(len(scales), np.int64))
        self._weights[key] = tensors
        return tensors

    def _share_weight(
        self, place: int, name: str, integers: NDArray[np.int8], scales: NDArray[np.float32], axis: int
    ) -> int:
        """Return the tensor of a weight in int8, which the calls of a layer share unless a bias needs other scales."""
        if place in self._stored:
            known, their_scales, tensor = self._stored[place]
            if np.array_equal(known, integers) and np.array_equal(their_scales, scales):
                return tensor
        tensor = self.editor.add_constant(name, integers)
        self.editor.set_quantization(tensor, scales, np.zeros(len(scales), np.int64), axis)
        self._stored[place] = integers, scales, tensor
        return tensor


def halve_constants(model: Any, *, minimum: int = 1024) -> None:
    """Store constants in half precision, in place; the interpreter converts them to float32 when it loads them.

    Args:
        model: A float model.
        minimum: The number of values from which on a constant is converted. Smaller ones, such as biases, take no room.
    """
    editor = GraphEditor(model)
    operators = list(model.subgraphs[0].operators)
    read = {int(index) for operator in operators for index in operator.inputs if index >= 0}
    for index in sorted(read):
        tensor = editor.graph.tensors[index]
        if tensor.type != load_schema().TensorType.FLOAT32 or not editor.is_constant(index):
            continue
        values = read_values(model, tensor)
        with np.errstate(over="ignore"):
            halved = values.astype(np.float16)
        if values.size < minimum or not np.isfinite(halved).all():
            continue
        constant = editor.add_constant(f"{tensor.name.decode()}.fp16", halved)
        tensor.buffer = 0
        editor.add_operator("DEQUANTIZE", [constant], [index], version=3)
    editor.operators += operators
    editor.finish()


def _is_padding(producer: OperatorView, call: str) -> bool:
    """Return whether an operator is the padding of a layer, which the converter takes out of it."""
    return producer.kind == "PAD" and producer.outputs[0].name.decode().partition("#")[0] == f"{call}.pad"
