"""The activation behind a layer, read from a graph of torch.export."""

import operator
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor, fx

from shvit_mobile.deploy.exporting import TRANSPARENT, get_operator_name

# What moves or selects values and changes none. XNNPACK does so with integers, and loads no program that rounds them to
# others behind it.
MOVES = (
    *("flatten", "reshape", "view", "_unsafe_view", "squeeze", "unsqueeze", "transpose", "permute"),
    *("slice", "narrow", "select", "split", "split_with_sizes", "chunk", "unbind", "max_pool2d"),
)
# Activations that only limit values, each with the limits it has without arguments.
_LIMITS = {"relu": (0.0, inf), "relu6": (0.0, 6.0), "hardtanh": (-1.0, 1.0)}
# Activations under which int8 steps are worth more in some places than in others. Sigmoid is not among them: SHViT has
# it behind a gate, and keeps the ranges that its recipes have.
_CURVES = ("gelu", "silu", "hardswish", "hardsigmoid", "mish", "leaky_relu", "elu")


@dataclass(frozen=True)
class Activation:
    """A function of each value of a tensor.

    Attributes:
        name: The name of its operator: "relu", "silu".
        arguments: What the operator takes after the values.
        keywords: The same, by name.
    """

    name: str
    arguments: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()

    @property
    def limits(self) -> tuple[float, float] | None:
        """The interval, for an activation that limits values to one; None for any other."""
        if self.name not in _LIMITS:
            return None
        low, high = dict(enumerate(self.arguments)), dict(self.keywords)
        defaults = _LIMITS[self.name]
        return (
            float(low.get(0, high.get("min_val", defaults[0]))),
            float(low.get(1, high.get("max_val", defaults[1]))),
        )

    def __call__(self, values: Tensor) -> Tensor:
        """Return the function of `values`, which do not change."""
        result: Tensor = getattr(torch.ops.aten, self.name)(values, *self.arguments, **dict(self.keywords))
        return result


def find_activation(node: fx.Node) -> tuple[fx.Node, Activation] | None:
    """Return the only user of a layer's output and its function, if it is an activation; None if not."""
    users = list(node.users)
    while len(users) == 1 and get_operator_name(users[0]) in TRANSPARENT:
        users = list(users[0].users)
    if len(users) != 1:
        return None
    name = get_operator_name(users[0]).removesuffix("_")
    if name not in _LIMITS and name not in _CURVES:
        return None
    return users[0], Activation(name, tuple(users[0].args[1:]), tuple(sorted(users[0].kwargs.items())))


def find_last_node(node: fx.Node) -> fx.Node:
    """Return the node whose value is a layer's output in int8.

    An activation that only limits values is part of the layer: integers have limits of their own.
    """
    found = find_activation(node)
    return node if found is None or found[1].limits is None else found[0]


def find_moved(value: Any) -> Any:
    """Return the value that another one holds in another shape or order."""
    while isinstance(value, fx.Node) and (
        value.target is operator.getitem or get_operator_name(value) in (*TRANSPARENT, *MOVES)
    ):
        value = value.args[0]
    return value
