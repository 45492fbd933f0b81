"""Scaling of the channels of equalization groups, which leaves the model's logits the same.

Factors are powers of two: the float model's logits stay the same to the bit. In int8, where all channels of an
activation share one scale, they change much. `shvit_mobile.deploy.wiring` finds the groups.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from shvit_mobile.deploy.layers import get_layer
from shvit_mobile.deploy.wiring import ChannelSlice, EqualizationGroup


@torch.no_grad()
def scale_channels(
    module: nn.Module, groups: Sequence[EqualizationGroup], exponents: Mapping[str, Tensor]
) -> nn.Module:
    """Return a copy of a deploy form whose channels are scaled by 2**exponent; its logits are the same.

    Args:
        module: The deploy form.
        groups: Its equalization groups.
        exponents: By the name of a group, integers, shape (channels,); other groups are not scaled.

    Raises:
        ValueError: If the module has no such group.
    """
    changed = deepcopy(module)
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
    layer = get_layer(module, part.layer)
    rows = factors.to(layer.weight)
    layer.weight[part.channels] *= rows.reshape(-1, *[1] * (layer.weight.ndim - 1))
    if layer.bias is not None:
        layer.bias[part.channels] *= rows


def _scale_input_channels(module: nn.Module, part: ChannelSlice, factors: Tensor) -> None:
    layer = get_layer(module, part.layer)
    columns = factors.to(layer.weight)
    if isinstance(layer, nn.Linear) or layer.groups == 1:
        layer.weight[:, part.channels] *= columns.reshape(-1, *[1] * (layer.weight.ndim - 2))
    else:
        layer.weight[part.channels] *= columns.reshape(-1, *[1] * (layer.weight.ndim - 1))
