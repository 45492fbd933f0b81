"""Batching rules: how an operator of a program for one image runs many images at once.

A tensor is *batched* if its declared shape begins with 1 and, when n images run at once, has n rows there: row i is the
value for image i alone. A rule checks one use of an operator before it runs: either its results are batched where its
inputs are, perhaps with some constants changed, or it raises `NotBatchable`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class NotBatchable(Exception):
    """The reason why many images cannot run at once; the executor catches it."""


@dataclass(frozen=True)
class BatchOperand:
    """An input tensor of an operator: its declared shape, -1 where unknown, and whether it is batched."""

    shape: tuple[int, ...]
    batched: bool


@dataclass(frozen=True)
class OperatorUse:
    """One use of an operator.

    Attributes:
        keywords: Its constants by name; missing ones have MIL's defaults.
        operands: The tensors of each input; more than one only if the input takes several.
        results: The declared shapes of its results.
    """

    keywords: Mapping[str, Any]
    operands: Mapping[str, tuple[BatchOperand, ...]]
    results: tuple[tuple[int, ...], ...]

    def get_shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an input that takes one tensor."""
        return self.operands[name][0].shape

    def is_batched(self, name: str) -> bool:
        """Return whether any tensor of an input is batched."""
        return any(operand.batched for operand in self.operands.get(name, ()))


# Returns the constants to change; raises `NotBatchable`.
BatchingRule = Callable[[OperatorUse], dict[str, Any]]
# The tensor that an operator transforms; the others are its parameters.
_MAIN_INPUTS = ("x", "input")


def batch_elementwise(use: OperatorUse) -> dict[str, Any]:
    """Allow elementwise operators on batched tensors of one rank, and on constants that are equal for all rows."""
    operands = [operand for several in use.operands.values() for operand in several]
    rank = max(len(operand.shape) for operand in operands)
    for operand in operands:
        if operand.batched and len(operand.shape) != rank:
            raise NotBatchable(f"lays the rows of {operand.shape} along another axis of {rank}")
        if not operand.batched and len(operand.shape) == rank and operand.shape[0] != 1:
            raise NotBatchable(f"takes the constant {operand.shape}, which has rows of its own")
    return {}


def batch_main_input(use: OperatorUse) -> dict[str, Any]:
    """Allow operators on the axes after the first, if only the main input depends on the image."""
    for name in use.operands:
        if name not in _MAIN_INPUTS and use.is_batched(name):
            raise NotBatchable(f"computes its '{name}' from the image")
    return {}


def make_trailing_rule(count: int) -> BatchingRule:
    """Return a rule for operators along the last `count` axes: the first axis must not be among them."""

    def rule(use: OperatorUse) -> dict[str, Any]:
        if len(use.get_shape("x")) <= count:
            raise NotBatchable(f"works along all axes of {use.get_shape('x')}")
        return batch_main_input(use)

    return rule


def make_axis_rule(keyword: str, default: Sequence[int] | None = None) -> BatchingRule:
    """Return a rule for operators along the axes in `keyword`, None for all: the first axis must not be among them."""

    def rule(use: OperatorUse) -> dict[str, Any]:
        given = use.keywords.get(keyword)
        axes = default if given is None else [given] if isinstance(given, int) else given
        rank = len(next(use.get_shape(name) for name in _MAIN_INPUTS if name in use.operands))
        if axes is None or any(axis % rank == 0 for axis in axes):
            raise NotBatchable(f"works along the rows: its {keyword} is {given}")
        return batch_main_input(use)

    return rule


batch_single_axis = make_axis_rule("axis", (-1,))
batch_last_axis = make_trailing_rule(1)


def batch_reshape(use: OperatorUse) -> dict[str, Any]:
    """Leave the first axis open and state the others, because only one may be open."""
    (result,) = use.results
    if -1 in result[1:]:
        raise NotBatchable(f"gives the shape {result}, which is known at run time only")
    return {"shape": [-1, *result[1:]]}


def batch_transpose(use: OperatorUse) -> dict[str, Any]:
    perm = use.keywords["perm"]
    if perm[0] % len(perm) != 0:
        raise NotBatchable(f"moves the rows: its perm is {perm}")
    return {}


def batch_expand_dims(use: OperatorUse) -> dict[str, Any]:
    axes, (result,) = use.keywords["axes"], use.results
    if any(axis % len(result) == 0 for axis in axes):
        raise NotBatchable(f"puts an axis before the rows: its axes are {axes}")
    return {}


def batch_concat(use: OperatorUse) -> dict[str, Any]:
    if not all(operand.batched for operand in use.operands["values"]):
        raise NotBatchable("takes a constant")
    return batch_single_axis(OperatorUse(use.keywords, {"x": use.operands["values"]}, use.results))


def batch_stack(use: OperatorUse) -> dict[str, Any]:
    axis, (result,) = use.keywords["axis"], use.results
    if not all(operand.batched for operand in use.operands["values"]):
        raise NotBatchable("takes a constant")
    if axis % len(result) == 0:
        raise NotBatchable(f"puts an axis before the rows: its axis is {axis}")
    return {}


def batch_tile(use: OperatorUse) -> dict[str, Any]:
    if use.keywords["reps"][0] != 1:
        raise NotBatchable(f"repeats the rows: its reps are {use.keywords['reps']}")
    return {}


def batch_pad(use: OperatorUse) -> dict[str, Any]:
    pad = use.keywords["pad"]
    if len(pad) == 2 * len(use.get_shape("x")) and any(pad[:2]):
        raise NotBatchable(f"pads the rows: its pad is {pad}")
    return {}


def batch_gather(use: OperatorUse) -> dict[str, Any]:
    """Allow the same places in each row, and rows of places in one table."""
    axis, rank = use.keywords.get("axis", 0), len(use.get_shape("x"))
    if use.keywords.get("batch_dims"):
        raise NotBatchable("takes other places for each row")
    if use.is_batched("indices") and (use.is_batched("x") or axis % rank):
        raise NotBatchable("computes its 'indices' from the image")
    if use.is_batched("x") and axis % rank == 0:
        raise NotBatchable(f"works along the rows: its axis is {axis}")
    return {}


def batch_gather_along_axis(use: OperatorUse) -> dict[str, Any]:
    make_axis_rule("axis", (0,))(OperatorUse(use.keywords, {"x": use.operands["x"]}, use.results))
    return batch_elementwise(use)


def batch_slice_by_index(use: OperatorUse) -> dict[str, Any]:
    """Take all rows instead of one."""
    rank = len(use.get_shape("x"))
    if (use.keywords.get("squeeze_mask") or [False])[0]:
        raise NotBatchable("takes away the axis of rows")
    masks = {name: list(use.keywords.get(name) or [False] * rank) for name in ("begin_mask", "end_mask")}
    stride = list(use.keywords.get("stride") or [1] * rank)
    return {name: [True, *mask[1:]] for name, mask in masks.items()} | {"stride": [1, *stride[1:]]}


def batch_slice_by_size(use: OperatorUse) -> dict[str, Any]:
    return {"begin": [0, *use.keywords["begin"][1:]], "size": [-1, *use.keywords["size"][1:]]}


def batch_matmul(use: OperatorUse) -> dict[str, Any]:
    """Allow rows of vectors times one matrix, and products of matrices with leading rows."""
    x, y = use.get_shape("x"), use.get_shape("y")
    vectors = len(x) == 2 and len(y) <= 2 and not use.is_batched("y") and not use.keywords.get("transpose_x")
    if vectors:
        return {}
    for name in ("x", "y"):
        if use.is_batched(name) and len(use.get_shape(name)) < 3:
            raise NotBatchable(f"sums over the rows of its '{name}' {use.get_shape(name)}")
    return batch_elementwise(use)


def batch_einsum(use: OperatorUse) -> dict[str, Any]:
    """Allow equations whose batch letter comes first in each batched tensor and in the result, and nowhere else."""
    equation = use.keywords["equation"].replace(" ", "")
    inputs, _, result = equation.partition("->")
    terms, values = inputs.split(","), use.operands["values"]
    rows = {term[0] for term, value in zip(terms, values, strict=True) if value.batched and term}
    row = rows.pop() if len(rows) == 1 else ""
    expected = [value.batched for value in values]
    actual = [row in term for term in terms] if row else []
    once = all(term.count(row) <= 1 for term in (*terms, result)) if row else False
    if actual != expected or not once or not result.startswith(row):
        raise NotBatchable(f"has rows within '{equation}'")
    return {}
