"""Equalisation: the channels of a chain brought nearer to one size, so that one int8 scale serves them all.

After Nagel et al., 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", but by the sizes
that the values have on calibration images: weights have a scale a channel and their rounding is chosen afterwards, so
what counts is the one scale that all channels of a value share.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from shvit_mobile.deploy.equalization_groups import ChannelSlice, EqualizationGroup, find_equalization_groups
from shvit_mobile.families.shvit import SHViT

# How much of a channel's distance from the others is taken away, as a power: halves of it go to values and to weights.
BALANCE_POWER = 0.5
# Up to how far (a power of two) by that share; further out lies an outlier, and all that is further goes.
OUTLIER_LOG2_DISTANCE = 3.0
MAX_EXPONENT = 30


def compute_equalization_exponents(module: SHViT, magnitudes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The exponents of `shvit_mobile.deploy.equalization_groups.scale_channels` that bring the channels of each chain together.

    Args:
        module: the deploy form.
        sizes: the largest magnitude of each output channel of each convolution on calibration images, behind its relu
            where it has one; shape (channels,).
    """
    return {chain.name: compute_group_exponents(chain, magnitudes) for chain in find_equalization_groups(module)}


def compute_group_exponents(chain: EqualizationGroup, magnitudes: Mapping[str, Tensor]) -> Tensor:
    """int8, shape (channels,)."""
    made = select_magnitudes(chain.producer, magnitudes)
    if chain.inverse_producers:
        other = select_magnitudes(chain.inverse_producers[0], magnitudes)
        return round_exponents(torch.where((made > 0) & (other > 0), (other / made).log2() / 2, 0.0))
    moving = made > 0
    if not moving.any():
        return round_exponents(torch.zeros_like(made))
    distance = torch.where(moving, (made / made[moving].median()).log2(), -OUTLIER_LOG2_DISTANCE)
    usual = distance.clamp(-OUTLIER_LOG2_DISTANCE, OUTLIER_LOG2_DISTANCE)
    return round_exponents(-(BALANCE_POWER * usual + (distance - OUTLIER_LOG2_DISTANCE).clamp(min=0)))


def select_magnitudes(part: ChannelSlice, magnitudes: Mapping[str, Tensor]) -> Tensor:
    return magnitudes[part.layer][part.channels].double()


def round_exponents(exponents: Tensor) -> Tensor:
    return exponents.nan_to_num(0.0).round().clamp(-MAX_EXPONENT, MAX_EXPONENT).to(torch.int8)
