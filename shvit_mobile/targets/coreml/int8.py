"""Write int8 into a converted float program: `quantize` and `dequantize` exactly where the recipe says.

coremltools first converts the program in float, because its passes do not simplify a graph that already contains int8:
transposes and pairs remain. After this module only one pass runs, which removes the unused float weights.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shvit_mobile.contracts.recipe import ActivationRange, Recipe
from shvit_mobile.deploy.exporting import get_module_path
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import VerificationFailed
from shvit_mobile.quantize.affine import AffineParameters, choose_affine_parameters, get_weight_scales, quantize_weight
from shvit_mobile.quantize.layers import select_int8_ranges

# The suffix that coremltools adds to the names of operators in fp16.
FP16_NAME_SUFFIX = "_cast_fp16"


def write_int8(mil: Any, program: torch.export.ExportedProgram, deployed: DeployForm, recipe: Recipe) -> None:
    """Give every layer with a range in the recipe int8 weights and int8 activations, in place.

    A layer's output is quantized after its ReLU if it has one. A value between two int8 layers is quantized once, with
    the parameters of the first.

    Args:
        mil: coremltools' program in fp16, after its passes.
        program: The exported program, which maps operators to layers.
        deployed: The model with float32 weights.
        recipe: The ranges.

    Raises:
        BadRecipe: If the recipe's layers are not the model's.
        VerificationFailed: If a layer is missing in the program, or has another shape.
    """
    ranges = select_int8_ranges(deployed, recipe)
    function = mil.functions["main"]
    operators = _find_layers(function, program)
    if missing := sorted(ranges.keys() - operators.keys()):
        raise VerificationFailed(
            f"coremltools' program has no operator for {missing[0]}.",
            why="shvit-mobile writes int8 layer by layer, by their names.",
            hint="Report it with the output of: shvit-mobile doctor --json",
        )
    with function, _open_unknown_scope():
        for name, operator in operators.items():
            if name in ranges:
                writer = _Int8LayerWriter(function, operator, name)
                writer.write_weight(deployed.module.get_submodule(name))
                writer.write_activations(ranges[name], recipe)


def _open_unknown_scope() -> Any:
    """Mark new operators as without a torch source inside the context; coremltools requires a source for each."""
    from coremltools.converters.mil import Builder
    from coremltools.converters.mil.mil.scope import ScopeInfo, ScopeSource

    sources = ScopeSource.EXIR_STACK_TRACE, ScopeSource.EXIR_DEBUG_HANDLE
    return Builder.scope(*(ScopeInfo(source=source, data=[None]) for source in sources))


def _find_layers(function: Any, program: torch.export.ExportedProgram) -> dict[str, Any]:
    """Return the convolutions and linear layers of a converted program by layer, in execution order."""
    calls = (node for node in program.graph.nodes if node.op == "call_function")
    layers = {node.name: get_module_path(node).removeprefix("module.") for node in calls}
    named = ((operator.name.removesuffix(FP16_NAME_SUFFIX), operator) for operator in function.operations)
    return {
        layers[name]: operator for name, operator in named if operator.op_type in ("conv", "linear") and name in layers
    }


class _Int8LayerWriter:
    """Writes int8 around one layer; enter the function as a context first."""

    def __init__(self, function: Any, operator: Any, name: str) -> None:
        from coremltools.converters.mil import Builder

        self.function, self.operator, self.name, self.mb = function, operator, name, Builder

    def write_weight(self, layer: nn.Module) -> None:
        """Replace the layer's weight by int8 constants with an fp16 scale for each output channel."""
        weight = layer.get_parameter("weight")
        integers, scales = (part.cpu().numpy() for part in quantize_weight(weight, get_weight_scales(layer)))
        if integers.shape != tuple(self.operator.weight.shape):
            raise VerificationFailed(
                f"The weight of {self.name} has the shape {tuple(self.operator.weight.shape)} in coremltools' program.",
                why=f"In the model it is {integers.shape}.",
            )
        self.operator.set_inputs(weight=self.add_weight_decompression(integers, scales.astype(np.float16)))

    def add_weight_decompression(self, integers: NDArray[np.int8], scales: NDArray[np.float16]) -> Any:
        from coremltools import target

        name = f"{self.name}.weight"
        if self.function.opset_version >= target.iOS18:
            shape = (-1, *[1] * (integers.ndim - 1))
            return self.mb.constexpr_blockwise_shift_scale(
                data=integers, scale=scales.reshape(shape), before_op=self.operator, name=name
            )
        return self.mb.constexpr_affine_dequantize(
            quantized_data=integers, zero_point=np.int8(0), scale=scales, axis=0, before_op=self.operator, name=name
        )

    def write_activations(self, activation_range: ActivationRange, recipe: Recipe) -> None:
        """Quantize the input of the layer, unless it already is, and the output after the ReLU."""
        if self.operator.x.op is None or self.operator.x.op.op_type != "dequantize":
            parameters = choose_affine_parameters(*activation_range.input, recipe.activations)
            self.operator.set_inputs(
                x=self.add_quantize_dequantize(self.operator.x, parameters, self.operator, "input")
            )
        last, (low, high) = self.operator.outputs[0], activation_range.output
        if [follower.op_type for follower in last.child_ops] == ["relu"]:
            last, low = last.child_ops[0].outputs[0], 0.0
        parameters = choose_affine_parameters(low, high, recipe.activations)
        user = next(operator for operator in self.function.operations if operator in last.child_ops)
        output = self.add_quantize_dequantize(last, parameters, user, "output")
        self.function.replace_uses_of_var_after_op(anchor_op=output.op, old_var=last, new_var=output)

    def add_quantize_dequantize(self, value: Any, parameters: AffineParameters, before: Any, what: str) -> Any:
        """Quantize and dequantize `value` before the operator `before`."""
        name = f"{self.name}.{what}"
        constants: dict[str, np.generic] = {"scale": np.float16(parameters.scale)}
        # Without a zero point it is 0, and there is one operand less.
        if parameters.zero_point:
            constants["zero_point"] = np.int8(parameters.zero_point)
        common = {
            kind: self.mb.const(val=number, before_op=before, name=f"{name}.{kind}")
            for kind, number in constants.items()
        }
        integers = self.mb.quantize(input=value, output_dtype="int8", before_op=before, name=f"{name}.int8", **common)
        return self.mb.dequantize(input=integers, before_op=before, name=name, **common)
