"""Convert a program for one image into one for many, if each of its operators allows it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from shvit_mobile.runtimes.mil.batching_rules import BatchOperand, NotBatchable, OperatorUse
from shvit_mobile.runtimes.mil.operations import ProgramStep


def batch_steps(
    steps: Iterable[ProgramStep],
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Iterable[str],
    constants: Mapping[str, Any],
) -> tuple[ProgramStep, ...]:
    """Return `steps` with the constants for many images; run them with a number of rows.

    Args:
        steps: The steps of the program for one image; each depends on an input.
        inputs: The declared shapes of the inputs.
        outputs: The names of the program's outputs.
        constants: The values that depend on no input.

    Raises:
        NotBatchable: If an operator, an input or an output needs one image at a time; says which and why.
    """
    if fixed := [name for name in outputs if name in constants]:
        raise NotBatchable(f"The output '{fixed[0]}' depends on no input.")
    shapes = {name: _check_single_row(shape, f"The input '{name}'") for name, shape in inputs.items()}
    batched = []
    for step in steps:
        try:
            rule = step.operator.batching_rule
            if rule is None:
                raise NotBatchable("It has no rule for many images.")
            batched.append(replace(step, fixed=step.fixed | rule(_describe_use(step, shapes, constants))))
            shapes |= {
                output.name: _check_single_row(output.shape, f"Its result '{output.name}'")
                for output in step.outputs
                if output.dtype is not None
            }
        except NotBatchable as reason:
            raise NotBatchable(f"{step.title}: {reason}") from None
    return tuple(batched)


def _describe_use(
    step: ProgramStep, batched_shapes: Mapping[str, tuple[int, ...]], constants: Mapping[str, Any]
) -> OperatorUse:
    operands: dict[str, tuple[BatchOperand, ...]] = {
        name: (BatchOperand(tuple(value.shape), False),)
        for name, value in step.fixed.items()
        if isinstance(value, Tensor)
    }
    for name, source in step.inputs:
        sources = [source] if isinstance(source, str) else source
        operands[name] = tuple(
            BatchOperand(batched_shapes[s] if s in batched_shapes else tuple(constants[s].shape), s in batched_shapes)
            for s in sources
        )
    keywords = {name: value for name, value in step.fixed.items() if name in step.operator.keywords}
    return OperatorUse(keywords, operands, tuple(output.shape for output in step.outputs))


def _check_single_row(shape: tuple[int, ...], subject: str) -> tuple[int, ...]:
    """Return `shape`; raise `NotBatchable` unless it has one row."""
    if shape[:1] != (1,):
        raise NotBatchable(f"{subject} has the shape {shape}, without a first axis of one.")
    return shape
