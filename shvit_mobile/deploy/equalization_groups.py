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

GroupKind = Literal["stem", "feed-forward", "merging", "attention"]


@dataclass(frozen=True)
class ChannelSlice:
    """Some channels of a layer: those from `start` up to `stop`, all others if None."""

    layer: str
    start: int = 0
    stop: int | None = None

    @property
    def channels(self) -> slice:
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class EqualizationGroup:
    """Channels that belong to the layers at their ends alone.

    Attributes:
        kind: of the part of the network they lie in.
        made: which output channels they are.
        taken: as which input channels they are read.
        against: output channels that are multiplied by them, and so have to shrink as they grow.
    """

    kind: GroupKind
    producer: ChannelSlice
    consumers: tuple[ChannelSlice, ...] = ()
    inverse_producers: tuple[ChannelSlice, ...] = field(default=())

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers at its ends."""
        return tuple(part.layer for part in (self.producer, *self.consumers, *self.inverse_producers))

    @property
    def name(self) -> str:
        return self.producer.layer if not self.producer.start else f"{self.producer.layer}[{self.producer.start}:]"


def find_equalization_groups(module: SHViT) -> Iterator[EqualizationGroup]:
    """Those of a deploy form, in the order of the data."""
    layers = [f"patch_embed.{name}" for name, layer in module.patch_embed.named_children() if is_conv(layer)]
    for made, taken in pairwise(layers):
        yield EqualizationGroup("stem", ChannelSlice(made), (ChannelSlice(taken),))
    for name, part in module.named_modules():
        if isinstance(part, FeedForward):
            yield EqualizationGroup("feed-forward", ChannelSlice(f"{name}.pw1"), (ChannelSlice(f"{name}.pw2"),))
        elif isinstance(part, PatchMerging):
            yield EqualizationGroup("merging", ChannelSlice(f"{name}.conv1"), (ChannelSlice(f"{name}.conv2"),))
            yield EqualizationGroup(
                "merging",
                ChannelSlice(f"{name}.conv2"),
                (ChannelSlice(f"{name}.se.fc1"), ChannelSlice(f"{name}.conv3")),
            )
            yield EqualizationGroup("merging", ChannelSlice(f"{name}.se.fc1"), (ChannelSlice(f"{name}.se.fc2"),))
        elif isinstance(part, SingleHeadAttention):
            qk, partial = part.qk_dim, part.partial_dim
            query, key = ChannelSlice(f"{name}.qkv", 0, qk), ChannelSlice(f"{name}.qkv", qk, 2 * qk)
            yield EqualizationGroup("attention", query, inverse_producers=(key,))
            yield EqualizationGroup(
                "attention",
                ChannelSlice(f"{name}.qkv", 2 * qk, 2 * qk + partial),
                (ChannelSlice(f"{name}.proj.1", 0, partial),),
            )


def is_conv(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d)


@torch.no_grad()
def scale_channels(module: SHViT, exponents: Mapping[str, Tensor]) -> SHViT:
    """A copy of a deploy form whose channels are 2**exponent times as large along each chain; its answers are the same.

    Args:
        module: the deploy form.
        exponents: whole numbers, shape (channels,), by the names of `find_equalization_groups`; a chain that is missing stays.

    Raises:
        ValueError: exponents are of a chain that the module has not.
    """
    changed, found = deepcopy(module), list(find_equalization_groups(module))
    strange = sorted(set(exponents) - {chain.name for chain in found})
    if strange:
        raise ValueError(f"there is no chain {strange[0]}")
    for chain in found:
        if chain.name in exponents:
            factors = torch.exp2(exponents[chain.name].double())
            scale_output_channels(changed, chain.producer, factors)
            for part in chain.inverse_producers:
                scale_output_channels(changed, part, 1 / factors)
            for part in chain.consumers:
                scale_input_channels(changed, part, 1 / factors)
    return changed


def scale_output_channels(module: nn.Module, part: ChannelSlice, factors: Tensor) -> None:
    layer = get_convolution(module, part)
    rows = factors.to(layer.weight)
    layer.weight[part.channels] *= rows[:, None, None, None]
    if layer.bias is not None:
        layer.bias[part.channels] *= rows


def scale_input_channels(module: nn.Module, part: ChannelSlice, factors: Tensor) -> None:
    layer = get_convolution(module, part)
    columns = factors.to(layer.weight)
    if layer.groups == 1:
        layer.weight[:, part.channels] *= columns[:, None, None]
    else:
        layer.weight[part.channels] *= columns[:, None, None, None]


def get_convolution(module: nn.Module, part: ChannelSlice) -> nn.Conv2d:
    layer = module.get_submodule(part.layer)
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"{part.layer} is no convolution")
    return layer
