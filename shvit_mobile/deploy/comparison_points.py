"""Comparison points: the layers that every form and target keeps: convolutions, linear layers and residual sums.

Each runtime has its own operators for a norm, a split or the attention product. The values between these layers stay
the same, so two forms of a model can be compared there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import nn

from shvit_mobile.families.shvit import Residual

ComparisonPointKind = Literal["conv", "linear", "residual"]
_COMPARISON_POINT_KINDS: dict[type[nn.Module], ComparisonPointKind] = {
    nn.Conv2d: "conv",
    nn.Linear: "linear",
    Residual: "residual",
}


@dataclass(frozen=True)
class ComparisonPoint:
    """A layer at which forms can be compared.

    Attributes:
        name: Its name in the deploy form.
        kind: The kind of layer.
        weight_shape: The shape of its weight; empty for a residual sum.
    """

    name: str
    kind: ComparisonPointKind
    weight_shape: tuple[int, ...]


def find_comparison_points(module: nn.Module, name: str = "") -> Iterator[ComparisonPoint]:
    """Yield the comparison points of a deploy form in execution order."""
    for child, layer in module.named_children():
        yield from find_comparison_points(layer, f"{name}.{child}" if name else child)
    if type(module) in _COMPARISON_POINT_KINDS:
        weight = getattr(module, "weight", None)
        yield ComparisonPoint(
            name, _COMPARISON_POINT_KINDS[type(module)], () if weight is None else tuple(weight.shape)
        )
