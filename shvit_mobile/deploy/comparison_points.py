"""The places that every form and every target keeps: convolutions, linear layers and residual sums.

A norm, a split or the attention product is written differently for each runtime, and may become one operator or ten.
What these layers take and give stays the same numbers, so they are where two forms of one model can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import nn

from shvit_mobile.families.shvit import Residual

ComparisonPointKind = Literal["conv", "linear", "residual"]
COMPARISON_POINT_KINDS: dict[type[nn.Module], ComparisonPointKind] = {
    nn.Conv2d: "conv",
    nn.Linear: "linear",
    Residual: "residual",
}


@dataclass(frozen=True)
class ComparisonPoint:
    """One of them.

    Attributes:
        name: in the deploy form.
        kind: of layer.
        weight: the shape of its weight; empty for a residual sum.
    """

    name: str
    kind: ComparisonPointKind
    weight_shape: tuple[int, ...]


def find_comparison_points(module: nn.Module, name: str = "") -> Iterator[ComparisonPoint]:
    """Those of a deploy form, in the order of the data: each takes something of the one before it."""
    for child, layer in module.named_children():
        yield from find_comparison_points(layer, f"{name}.{child}" if name else child)
    if type(module) in COMPARISON_POINT_KINDS:
        weight = getattr(module, "weight", None)
        yield ComparisonPoint(name, COMPARISON_POINT_KINDS[type(module)], () if weight is None else tuple(weight.shape))
