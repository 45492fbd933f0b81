"""Quantize-dequantize fusion: one pass over memory for a `quantize` whose only user is a `dequantize`, not nine."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from shvit_mobile.runtimes.mil.operations import ProgramStep
from shvit_mobile.runtimes.mil.operators import OPERATORS, Operator
from shvit_mobile.runtimes.mil.quantization import QUANTIZED_DTYPES

# The number of elements that stay in the caches between operations.
BLOCK_ELEMENTS = 1 << 18
_SCALARS = ("scale", "zero_point")


def quantize_dequantize(input: Tensor, *, scale: Tensor, zero_point: Tensor, output_dtype: str, fp16: bool) -> Tensor:
    """Compute `dequantize(quantize(input))` with the same scalars in both, bit for bit.

    Every int8 value is exact in float, so subtracting the zero point from the limits equals subtracting it from the
    values.

    Args:
        input: Floats.
        scale: A scalar.
        zero_point: A scalar.
        output_dtype: "int8" or "uint8".
        fp16: Whether to round the result to fp16.
    """
    limits, zero = torch.iinfo(QUANTIZED_DTYPES[output_dtype]), int(zero_point)
    elements, result = input.reshape(-1), torch.empty(input.shape, dtype=input.dtype)
    for first in range(0, input.numel(), BLOCK_ELEMENTS):
        part = result.view(-1)[first : first + BLOCK_ELEMENTS]
        torch.div(elements[first : first + BLOCK_ELEMENTS], scale, out=part)
        part.round_().clamp_(limits.min - zero, limits.max - zero).mul_(scale)
        if fp16:
            part.copy_(part.half())
    return result


QUANTIZE_DEQUANTIZE = Operator.from_function(quantize_dequantize, exact=True)


def fuse_quantize_dequantize(
    steps: Iterable[ProgramStep], constants: Mapping[str, Any], kept: Iterable[str]
) -> list[ProgramStep]:
    """Fuse pairs of steps; values in `kept` are needed besides those that steps take."""
    steps = list(steps)
    uses = Counter(name for step in steps for name in step.uses) + Counter(kept)
    quantize_steps = {
        step.outputs[0].name: step
        for step in steps
        if step.operator is OPERATORS["quantize"] and uses[step.outputs[0].name] == 1
    }
    result: list[ProgramStep] = []
    fused = set()
    for step in steps:
        source = quantize_steps.get(str(dict(step.inputs).get("input")))
        if step.operator is OPERATORS["dequantize"] and source and _have_same_scalars(source, step, constants):
            result.append(_fuse_pair(source, step, constants))
            fused.add(source.outputs[0].name)
        else:
            result.append(step)
    return [step for step in result if step.outputs[0].name not in fused]


def _have_same_scalars(quantize_step: ProgramStep, dequantize_step: ProgramStep, constants: Mapping[str, Any]) -> bool:
    """Return whether both steps have the same parameters, and these are scalars."""
    steps = quantize_step, dequantize_step
    pairs = [[_get_scalar(step, name, constants) for step in steps] for name in _SCALARS]
    return all(a is not None and b is not None and torch.equal(a, b) for a, b in pairs)


def _get_scalar(step: ProgramStep, name: str, constants: Mapping[str, Any]) -> Tensor | None:
    """Return a scalar parameter, integers as int64; None if it is computed or has an axis."""
    source = dict(step.inputs).get(name)
    value = constants.get(str(source)) if source else step.fixed.get(name, torch.tensor(0))
    if not isinstance(value, Tensor) or value.ndim:
        return None
    return value if value.is_floating_point() else value.long()


def _fuse_pair(quantize_step: ProgramStep, dequantize_step: ProgramStep, constants: Mapping[str, Any]) -> ProgramStep:
    (output,) = dequantize_step.outputs
    scalars = {name: _get_scalar(dequantize_step, name, constants) for name in _SCALARS}
    return replace(
        dequantize_step,
        operator=QUANTIZE_DEQUANTIZE,
        fixed={**scalars, "output_dtype": quantize_step.fixed["output_dtype"], "fp16": output.rounded},
        inputs=(("input", dict(quantize_step.inputs)["input"]),),
        outputs=(replace(output, rounded=False),),
    )
