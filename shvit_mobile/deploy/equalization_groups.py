"""Equalization groups: channels between a producer and its consumers that can be scaled without changing the model.

A relu, a gate and a weighted mean over positions are linear in a positive factor. So the producer may scale a channel
up and the consumers scale it down. That changes nothing in float, and much in int8, where all channels of an
activation share one scale. Factors are powers of two: the float model's logits stay the same to the bit.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from shvit_mobile.deploy.layers import get_convolution
from shvit_mobile.families.shvit import FeedForward, PatchMerging, SHViT, SingleHeadAttention

GroupKind = Literal["stem", "feed-forward", "merging", "attention"]


@dataclass(frozen=True)
class ChannelSlice:
    """The channels of a layer from `start` to `stop` (default: the last)."""

    layer: str
    start: int = 0
    stop: int | None = None

    @property
    def channels(self) -> slice:
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class EqualizationGroup:
    """Channels that only their producer and consumers use.

    Attributes:
        kind: The part of the network.
        producer: The output channels of the layer that computes them.
        consumers: The input channels of the layers that read them.
        inverse_producers: Output channels that are multiplied with them, and so are scaled by the inverse.
    """

    kind: GroupKind
    producer: ChannelSlice
    consumers: tuple[ChannelSlice, ...] = ()
    inverse_producers: tuple[ChannelSlice, ...] = field(default=())

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers of the group."""
        return tuple(part.layer for part in (self.producer, *self.consumers, *self.inverse_producers))

    @property
    def name(self) -> str:
        return self.producer.layer if not self.producer.start else f"{self.producer.layer}[{self.producer.start}:]"


def find_equalization_groups(module: SHViT) -> Iterator[EqualizationGroup]:
    """Yield the groups of a deploy form in execution order."""
    layers = [
        f"patch_embed.{name}" for name, layer in module.patch_embed.named_children() if isinstance(layer, nn.Conv2d)
    ]
    for producer, consumer in pairwise(layers):
        yield EqualizationGroup("stem", ChannelSlice(producer), (ChannelSlice(consumer),))
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


@torch.no_grad()
def scale_channels(module: SHViT, exponents: Mapping[str, Tensor]) -> SHViT:
    """Return a copy of a deploy form whose channels are scaled by 2**exponent; its logits are the same.

    Args:
        module: The deploy form.
        exponents: By the name of a group, integers, shape (channels,); other groups are not scaled.

    Raises:
        ValueError: If the module has no such group.
    """
    changed, groups = deepcopy(module), list(find_equalization_groups(module))
    unknown = sorted(set(exponents) - {group.name for group in groups})
    if unknown:
        raise ValueError(f"there is no equalization group {unknown[0]}")
    for group in groups:
        if group.name in exponents:
            factors = torch.exp2(exponents[group.name].double())
            _scale_output_channels(changed, group.producer, factors)
            for part in group.inverse_producers:
                _scale_output_channels(changed, part, 1 / factors)
            for part in group.consumers:
                _scale_input_channels(changed, part, 1 / factors)
    return changed


def _scale_output_channels(module: nn.Module, part: ChannelSlice, factors: Tensor) -> None:
    layer = get_convolution(module, part.layer)
    rows = factors.to(layer.weight)
    layer.weight[part.channels] *= rows[:, None, None, None]
    if layer.bias is not None:
        layer.bias[part.channels] *= rows


def _scale_input_channels(module: nn.Module, part: ChannelSlice, factors: Tensor) -> None:
    layer = get_convolution(module, part.layer)
    columns = factors.to(layer.weight)
    if layer.groups == 1:
        layer.weight[:, part.channels] *= columns[:, None, None]
    else:
        layer.weight[part.channels] *= columns[:, None, None, None]
