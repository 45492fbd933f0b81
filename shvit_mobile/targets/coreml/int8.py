"""int8 written into a converted float program: `quantize` and `dequantize` exactly where the recipe wants them.

The program is converted in float first, so that coremltools' own passes find what they know how to simplify; a graph
that comes with int8 in it keeps transposes and pairs that nothing takes out again. What is put in here stays: the one
pass behind it drops the float weights, which nothing takes any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shvit_mobile.contracts.recipe import ActivationRange, Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import VerificationFailed
from shvit_mobile.quantize.affine import AffineParameters, choose_affine_parameters, get_weight_scales, quantize_weight
from shvit_mobile.quantize.layers import find_layer_name, select_int8_ranges

# What coremltools adds to the name of an operator that it turns to half precision.
FP16_NAME_SUFFIX = "_cast_fp16"


def write_int8(mil: Any, program: torch.export.ExportedProgram, deployed: DeployForm, recipe: Recipe) -> None:
    """Gives every layer that the recipe has a range of int8 weights and int8 activations, in place.

    A layer's output becomes int8 behind its relu, where it has one. What comes out of one int8 layer and goes into
    another is int8 once, in the parameters of the first.

    Args:
        mil: coremltools' program in fp16, as its passes leave it.
        program: what it was converted from; it says which operator is which layer.
        deployed: where the weights are, in float32.
        recipe: the ranges.

    Raises:
        BadRecipe: the recipe's layers are not the model's.
        ProofFailed: a layer is not in the program, or not where it was expected.
    """
    ranges = select_int8_ranges(deployed, recipe)
    function = mil.functions["main"]
    found = find_convolutions(function, program)
    if lost := sorted(ranges.keys() - found.keys()):
        raise VerificationFailed(
            f"coremltools' program has no operator of {lost[0]}.",
            why="int8 is written layer by layer, by their names.",
            hint="Please report it with the output of: shvit-mobile doctor --json",
        )
    with function, open_unknown_scope():
        for name, conv in found.items():
            if name in ranges:
                writer = Int8LayerWriter(function, conv, name)
                writer.write_weight(deployed.module.get_submodule(name))
                writer.write_activations(ranges[name], recipe)


def open_unknown_scope() -> Any:
    """While open, new operators come from no line of torch: coremltools wants to know of each operator where from."""
    from coremltools.converters.mil import Builder
    from coremltools.converters.mil.mil.scope import ScopeInfo, ScopeSource

    sources = ScopeSource.EXIR_STACK_TRACE, ScopeSource.EXIR_DEBUG_HANDLE
    return Builder.scope(*(ScopeInfo(source=source, data=[None]) for source in sources))


def find_convolutions(function: Any, program: torch.export.ExportedProgram) -> dict[str, Any]:
    """The convolutions of a converted program by the names of their layers, in the order they run."""
    names = map_nodes_to_layers(program)
    made = ((operator.name.removesuffix(FP16_NAME_SUFFIX), operator) for operator in function.operations)
    return {names[name]: operator for name, operator in made if operator.op_type == "conv" and name in names}


def map_nodes_to_layers(program: torch.export.ExportedProgram) -> Mapping[str, str]:
    """The layer in the deploy form that each node of an exported program came from."""
    calls = (node for node in program.graph.nodes if node.op == "call_function")
    return {node.name: find_layer_name(node).removeprefix("module.") for node in calls}


class Int8LayerWriter:
    """Writes int8 around one convolution; open the function as a block first."""

    def __init__(self, function: Any, conv: Any, name: str) -> None:
        from coremltools.converters.mil import Builder

        self.function, self.conv, self.name, self.mb = function, conv, name, Builder

    def write_weight(self, layer: nn.Module) -> None:
        """int8 constants in place of the layer's weight, with a scale in fp16 for each output channel."""
        weight = layer.get_parameter("weight")
        integers, scales = (part.cpu().numpy() for part in quantize_weight(weight, get_weight_scales(layer)))
        if integers.shape != tuple(self.conv.weight.shape):
            raise VerificationFailed(
                f"The weight of {self.name} has the shape {tuple(self.conv.weight.shape)} in coremltools' program.",
                why=f"In the model it is {integers.shape}.",
            )
        self.conv.set_inputs(weight=self.add_weight_decompression(integers, scales.astype(np.float16)))

    def add_weight_decompression(self, integers: NDArray[np.int8], scales: NDArray[np.float16]) -> Any:
        from coremltools import target

        name = f"{self.name}.weight"
        if self.function.opset_version >= target.iOS18:
            shape = (-1, *[1] * (integers.ndim - 1))
            return self.mb.constexpr_blockwise_shift_scale(
                data=integers, scale=scales.reshape(shape), before_op=self.conv, name=name
            )
        return self.mb.constexpr_affine_dequantize(
            quantized_data=integers, zero_point=np.int8(0), scale=scales, axis=0, before_op=self.conv, name=name
        )

    def write_activations(self, seen: ActivationRange, recipe: Recipe) -> None:
        """int8 before the convolution, if it is not there already, and behind it or its relu."""
        if self.conv.x.op is None or self.conv.x.op.op_type != "dequantize":
            given = choose_affine_parameters(*seen.input, recipe.activations)
            self.conv.set_inputs(x=self.add_quantize_dequantize(self.conv.x, given, self.conv, "input"))
        last, (low, high) = self.conv.outputs[0], seen.output
        if [follower.op_type for follower in last.child_ops] == ["relu"]:
            last, low = last.child_ops[0].outputs[0], 0.0
        made = self.add_quantize_dequantize(
            last, choose_affine_parameters(low, high, recipe.activations), self.find_next_user(last), "output"
        )
        self.function.replace_uses_of_var_after_op(anchor_op=made.op, old_var=last, new_var=made)

    def add_quantize_dequantize(self, value: Any, parameters: AffineParameters, before: Any, what: str) -> Any:
        """`value` rounded to the integers of `parameters` and read back, ahead of the operator `before`."""
        name = f"{self.name}.{what}"
        constants: dict[str, np.generic] = {"scale": np.float16(parameters.scale)}
        # An absent zero point is 0, and one operand less.
        if parameters.zero_point:
            constants["zero_point"] = np.int8(parameters.zero_point)
        common = {
            kind: self.mb.const(val=number, before_op=before, name=f"{name}.{kind}")
            for kind, number in constants.items()
        }
        integers = self.mb.quantize(input=value, output_dtype="int8", before_op=before, name=f"{name}.int8", **common)
        return self.mb.dequantize(input=integers, before_op=before, name=name, **common)

    def find_next_user(self, value: Any) -> Any:
        """The first operator in the program that takes a value."""
        return next(operator for operator in self.function.operations if operator in value.child_ops)
