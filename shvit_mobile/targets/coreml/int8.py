"""Write int8 into a converted float program: `quantize` and `dequantize` exactly where the recipe says.

coremltools first converts the program in float, because its passes do not simplify a graph that already contains int8:
transposes and pairs remain. After this module only one pass runs, which removes the unused float weights.
"""

from collections import Counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shvit_mobile.contracts.recipe import ActivationRange, Recipe
from shvit_mobile.deploy.exporting import get_module_path
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.wiring import get_layer_path, name_call
from shvit_mobile.errors import VerificationFailed
from shvit_mobile.quantize.affine import AffineParameters, choose_affine_parameters, get_weight_scales, quantize_weight
from shvit_mobile.quantize.layers import get_call_range, select_int8_ranges

# The suffix that coremltools adds to the names of operators in fp16.
FP16_NAME_SUFFIX = "_cast_fp16"
# The suffix that it adds to the names of weights in fp16.
FP16_WEIGHT_SUFFIX = "_to_fp16"
# Activations that only limit values.
_LIMITS = ("relu", "relu6", "clip")
# Operators that only move or select values of their input: `deploy.activations.MOVES`.
_MOVES = (
    *("reshape", "transpose", "squeeze", "expand_dims"),
    *("slice_by_index", "slice_by_size", "split", "max_pool"),
)


def write_int8(mil: Any, program: torch.export.ExportedProgram, deployed: DeployForm, recipe: Recipe) -> None:
    """Give every layer with a range in the recipe int8 weights and int8 activations, in place.

    A layer's output is quantized after the ReLU or ReLU6 behind it. A value between two int8 layers has the parameters
    of the first, also if it is moved in between. The calls of a layer share its weight.

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
    if missing := sorted(set(map(get_layer_path, ranges)) - {name for name, _ in operators}):
        raise VerificationFailed(
            f"coremltools' program has no operator for {missing[0]}.",
            why="shvit-mobile writes int8 layer by layer, by their names.",
            hint="Report it with the output of: shvit-mobile doctor --json",
        )
    with function, _open_unknown_scope():
        weights: dict[str, Any] = {}
        counts = Counter[str]()
        for name, operator in operators:
            if name in ranges:
                counts[name] += 1
                writer = _Int8LayerWriter(function, operator, name if counts[name] == 1 else f"{name}.{counts[name]}")
                if name not in weights:
                    weights[name] = writer.build_weight(deployed.module.get_submodule(name))
                operator.set_inputs(weight=weights[name])
                writer.write_activations(get_call_range(ranges, name_call(name, counts[name])), recipe)


def _open_unknown_scope() -> Any:
    """Mark new operators as without a torch source inside the context; coremltools requires a source for each."""
    from coremltools.converters.mil import Builder
    from coremltools.converters.mil.mil.scope import ScopeInfo, ScopeSource

    sources = ScopeSource.EXIR_STACK_TRACE, ScopeSource.EXIR_DEBUG_HANDLE
    return Builder.scope(*(ScopeInfo(source=source, data=[None]) for source in sources))


def _find_layers(function: Any, program: torch.export.ExportedProgram) -> list[tuple[str, Any]]:
    """Return the convolutions and linear layers of a converted program, each with its layer, in execution order.

    An operator is known by its weight, because passes of coremltools replace linear layers by others with new names;
    where its weight was computed from the layer's, by the node it came from.
    """
    weights = {
        f"{name}{FP16_WEIGHT_SUFFIX}": path.rpartition(".")[0].removeprefix("module.")
        for name, path in program.graph_signature.inputs_to_parameters.items()
    }
    calls = (node for node in program.graph.nodes if node.op == "call_function")
    layers = {node.name: get_module_path(node).removeprefix("module.") for node in calls}
    operators = (operator for operator in function.operations if operator.op_type in ("conv", "linear"))
    found = []
    for operator in operators:
        by_node = layers.get(operator.name.removesuffix(FP16_NAME_SUFFIX))
        if (name := weights.get(operator.weight.name, by_node)) is not None:
            found.append((name, operator))
    return found


def _find_dequantize(value: Any) -> Any | None:
    """Return the operator that dequantized a value, which may have been moved since; None if it is any number."""
    while value.op is not None and value.op.op_type in _MOVES:
        value = value.op.x
    return value.op if value.op is not None and value.op.op_type == "dequantize" else None


class _Int8LayerWriter:
    """Writes int8 around one layer; enter the function as a context first."""

    def __init__(self, function: Any, operator: Any, name: str) -> None:
        from coremltools.converters.mil import Builder

        self.function, self.operator, self.name, self.mb = function, operator, name, Builder

    def build_weight(self, layer: nn.Module) -> Any:
        """Return the layer's weight as int8 constants with an fp16 scale for each output channel."""
        weight = layer.get_parameter("weight")
        integers, scales = (part.cpu().numpy() for part in quantize_weight(weight, get_weight_scales(layer)))
        if integers.shape != tuple(self.operator.weight.shape):
            raise VerificationFailed(
                f"The weight of {self.name} has the shape {tuple(self.operator.weight.shape)} in coremltools' program.",
                why=f"In the model it is {integers.shape}.",
            )
        return self.add_weight_decompression(integers, scales.astype(np.float16))

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
        """Quantize the input of the layer, unless it already is, and the output after the activation that limits it."""
        source = _find_dequantize(self.operator.x)
        if source is None or source is not self.operator.x.op:
            parameters = choose_affine_parameters(*activation_range.input, recipe.activations)
            if source is not None:
                zero_point = 0 if source.zero_point is None else int(source.zero_point.val)
                parameters = AffineParameters(float(source.scale.val), zero_point)
            self.operator.set_inputs(
                x=self.add_quantize_dequantize(self.operator.x, parameters, self.operator, "input")
            )
        last = self.operator.outputs[0]
        if len(last.child_ops) == 1 and last.child_ops[0].op_type in _LIMITS:
            last = last.child_ops[0].outputs[0]
        parameters = choose_affine_parameters(*activation_range.output, recipe.activations)
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
