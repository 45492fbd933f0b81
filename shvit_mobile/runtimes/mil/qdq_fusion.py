"""Joins `quantize` with the `dequantize` that alone takes its result: one pass over memory in place of nine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from shvit_mobile.runtimes.mil.operations import ProgramStep
from shvit_mobile.runtimes.mil.operators import OPERATORS, Operator
from shvit_mobile.runtimes.mil.quantization import QUANTIZED_DTYPES

# Elements that caches hold while one operation after the other goes over them.
BLOCK_ELEMENTS = 1 << 18
SCALARS = ("scale", "zero_point")


def quantize_dequantize(input: Tensor, *, scale: Tensor, zero_point: Tensor, output_dtype: str, half: bool) -> Tensor:
    """What `dequantize` makes of what `quantize` makes of `input`, both with the same scalars.

    The same numbers: within the limits of int8 every step is an integer that floats hold, so that the zero point may be
    taken off the limits rather than off the steps.

    Args:
        input: floats.
        scale, zero_point: without axes.
        output_dtype: "int8" or "uint8".
        half: whether the result is also rounded to fp16.
    """
    limits, zero = torch.iinfo(QUANTIZED_DTYPES[output_dtype]), int(zero_point)
    elements, result = input.reshape(-1), torch.empty(input.shape, dtype=input.dtype)
    for first in range(0, input.numel(), BLOCK_ELEMENTS):
        part = result.view(-1)[first : first + BLOCK_ELEMENTS]
        torch.div(elements[first : first + BLOCK_ELEMENTS], scale, out=part)
        part.round_().clamp_(limits.min - zero, limits.max - zero).mul_(scale)
        if half:
            part.copy_(part.half())
    return result


QUANTIZE_DEQUANTIZE = Operator.from_function(quantize_dequantize, exact=True)


def fuse_quantize_dequantize(
    steps: Iterable[ProgramStep], constants: Mapping[str, Any], kept: Iterable[str]
) -> list[ProgramStep]:
    """`steps` with their round trips joined; `kept` are values that are wanted besides those that steps take."""
    steps = list(steps)
    uses = Counter(name for step in steps for name in step.uses) + Counter(kept)
    there = {
        step.outputs[0].name: step
        for step in steps
        if step.operator is OPERATORS["quantize"] and uses[step.outputs[0].name] == 1
    }
    joined: list[ProgramStep] = []
    gone = set()
    for step in steps:
        way_there = there.get(str(dict(step.inputs).get("input")))
        if step.operator is OPERATORS["dequantize"] and way_there and have_same_scalars(way_there, step, constants):
            joined.append(fuse_pair(way_there, step, constants))
            gone.add(way_there.outputs[0].name)
        else:
            joined.append(step)
    return [step for step in joined if step.outputs[0].name not in gone]


def have_same_scalars(quantize_step: ProgramStep, dequantize_step: ProgramStep, constants: Mapping[str, Any]) -> bool:
    """Whether both ways have the same parameters, and each has one of them for all elements."""
    pairs = [
        (get_scalar(quantize_step, name, constants), get_scalar(dequantize_step, name, constants)) for name in SCALARS
    ]
    return all(a is not None and b is not None and torch.equal(a, b) for a, b in pairs)


def get_scalar(step: ProgramStep, name: str, constants: Mapping[str, Any]) -> Tensor | None:
    """A parameter of one element, in int64 where it is an integer; None where it is computed or goes along an axis."""
    source = dict(step.inputs).get(name)
    value = constants.get(str(source)) if source else step.fixed.get(name, torch.tensor(0))
    if not isinstance(value, Tensor) or value.ndim:
        return None
    return value if value.is_floating_point() else value.long()


def fuse_pair(quantize_step: ProgramStep, dequantize_step: ProgramStep, constants: Mapping[str, Any]) -> ProgramStep:
    (output,) = dequantize_step.outputs
    scalars = {name: get_scalar(dequantize_step, name, constants) for name in SCALARS}
    return replace(
        dequantize_step,
        operator=QUANTIZE_DEQUANTIZE,
        fixed={**scalars, "output_dtype": quantize_step.fixed["output_dtype"], "half": output.rounded},
        inputs=(("input", dict(quantize_step.inputs)["input"]),),
        outputs=(replace(output, rounded=False),),
    )
