"""Turns a program made for one image into one for many, where each of its operators allows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from shvit_mobile.runtimes.mil.batching_rules import NotByRow, Operand, Use
from shvit_mobile.runtimes.mil.operations import Step

Shapes = dict[str, tuple[int, ...]]


def by_rows(
    steps: Iterable[Step], inputs: Mapping[str, tuple[int, ...]], outputs: Iterable[str], constants: Mapping[str, Any]
) -> tuple[Step, ...]:
    """`steps` with their constants changed as many images need it; they are then run with a number of rows.

    Args:
        steps: of the program made for one image; each depends on an input.
        inputs: the declared shapes of the inputs.
        outputs: the names of the program's outputs.
        constants: the values that depend on no input.

    Raises:
        NotByRow: an operator, an input or an output needs one image at a time; it says which and why.
    """
    if fixed := [name for name in outputs if name in constants]:
        raise NotByRow(f"The output '{fixed[0]}' depends on no input.")
    made: Shapes = {}
    for name, shape in inputs.items():
        made[name] = one_row(shape, f"The input '{name}'")
    changed = []
    for step in steps:
        try:
            changed.append(replace(step, fixed=step.fixed | changes(step, made, constants)))
            made |= {
                output.name: one_row(output.shape, f"Its result '{output.name}'")
                for output in step.outputs
                if output.dtype is not None
            }
        except NotByRow as reason:
            raise NotByRow(f"{step.title}: {reason}") from None
    return tuple(changed)


def changes(step: Step, made: Shapes, constants: Mapping[str, Any]) -> dict[str, Any]:
    """What a step's operator changes in its constants."""
    rule = step.operator.by_row
    if rule is None:
        raise NotByRow("It has no rule for many images.")
    return rule(use_of(step, made, constants))


def use_of(step: Step, made: Shapes, constants: Mapping[str, Any]) -> Use:
    operands: dict[str, tuple[Operand, ...]] = {
        name: (Operand(tuple(value.shape), False),) for name, value in step.fixed.items() if isinstance(value, Tensor)
    }
    for name, source in step.inputs:
        sources = [source] if isinstance(source, str) else source
        operands[name] = tuple(
            Operand(made[s], True) if s in made else Operand(tuple(constants[s].shape), False) for s in sources
        )
    keywords = {name: value for name, value in step.fixed.items() if name in step.operator.keywords}
    return Use(keywords, operands, tuple(output.shape for output in step.outputs))


def one_row(shape: tuple[int, ...], what: str) -> tuple[int, ...]:
    """`shape`, which must have one row."""
    if shape[:1] != (1,):
        raise NotByRow(f"{what} has the shape {shape}, without a first axis of one.")
    return shape
