"""Chains: channels that one layer makes and another takes, with nothing between that minds how large they are.

A relu, a gate and a weighted mean over positions carry a positive factor through. So a channel may be made larger by
one layer and taken smaller by the next, which changes nothing in float and a great deal in int8, where all channels of
a value share one scale. Factors are powers of two: the float model keeps its very bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from shvit_mobile.families.shvit import FeedForward, PatchMerging, SHViT, SingleHeadAttention

Kind = Literal["stem", "feed-forward", "merging", "attention"]


@dataclass(frozen=True)
class Part:
    """Some channels of a layer: those from `start` up to `stop`, all others if None."""

    layer: str
    start: int = 0
    stop: int | None = None

    @property
    def channels(self) -> slice:
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Chain:
    """Channels that belong to the layers at their ends alone.

    Attributes:
        kind: of the part of the network they lie in.
        made: which output channels they are.
        taken: as which input channels they are read.
        against: output channels that are multiplied by them, and so have to shrink as they grow.
    """

    kind: Kind
    made: Part
    taken: tuple[Part, ...] = ()
    against: tuple[Part, ...] = field(default=())

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers at its ends."""
        return tuple(part.layer for part in (self.made, *self.taken, *self.against))

    @property
    def name(self) -> str:
        return self.made.layer if not self.made.start else f"{self.made.layer}[{self.made.start}:]"


def chains(module: SHViT) -> Iterator[Chain]:
    """Those of a deploy form, in the order of the data."""
    layers = [f"patch_embed.{name}" for name, layer in module.patch_embed.named_children() if is_conv(layer)]
    for made, taken in pairwise(layers):
        yield Chain("stem", Part(made), (Part(taken),))
    for name, part in module.named_modules():
        if isinstance(part, FeedForward):
            yield Chain("feed-forward", Part(f"{name}.pw1"), (Part(f"{name}.pw2"),))
        elif isinstance(part, PatchMerging):
            yield Chain("merging", Part(f"{name}.conv1"), (Part(f"{name}.conv2"),))
            yield Chain("merging", Part(f"{name}.conv2"), (Part(f"{name}.se.fc1"), Part(f"{name}.conv3")))
            yield Chain("merging", Part(f"{name}.se.fc1"), (Part(f"{name}.se.fc2"),))
        elif isinstance(part, SingleHeadAttention):
            qk, partial = part.qk_dim, part.partial_dim
            query, key = Part(f"{name}.qkv", 0, qk), Part(f"{name}.qkv", qk, 2 * qk)
            yield Chain("attention", query, against=(key,))
            yield Chain(
                "attention", Part(f"{name}.qkv", 2 * qk, 2 * qk + partial), (Part(f"{name}.proj.1", 0, partial),)
            )


def is_conv(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d)


@torch.no_grad()
def scaled(module: SHViT, exponents: Mapping[str, Tensor]) -> SHViT:
    """A copy of a deploy form whose channels are 2**exponent times as large along each chain; its answers are the same.

    Args:
        module: the deploy form.
        exponents: whole numbers, shape (channels,), by the names of `chains`; a chain that is missing stays.

    Raises:
        ValueError: exponents are of a chain that the module has not.
    """
    changed, found = deepcopy(module), list(chains(module))
    strange = sorted(set(exponents) - {chain.name for chain in found})
    if strange:
        raise ValueError(f"there is no chain {strange[0]}")
    for chain in found:
        if chain.name in exponents:
            factors = torch.exp2(exponents[chain.name].double())
            scale_made(changed, chain.made, factors)
            for part in chain.against:
                scale_made(changed, part, 1 / factors)
            for part in chain.taken:
                scale_taken(changed, part, 1 / factors)
    return changed


def scale_made(module: nn.Module, part: Part, factors: Tensor) -> None:
    layer = conv(module, part)
    rows = factors.to(layer.weight)
    layer.weight[part.channels] *= rows[:, None, None, None]
    if layer.bias is not None:
        layer.bias[part.channels] *= rows


def scale_taken(module: nn.Module, part: Part, factors: Tensor) -> None:
    layer = conv(module, part)
    columns = factors.to(layer.weight)
    if layer.groups == 1:
        layer.weight[:, part.channels] *= columns[:, None, None]
    else:
        layer.weight[part.channels] *= columns[:, None, None, None]


def conv(module: nn.Module, part: Part) -> nn.Conv2d:
    layer = module.get_submodule(part.layer)
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"{part.layer} is no convolution")
    return layer
