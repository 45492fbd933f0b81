"""Equalisation: the channels of a chain brought nearer to one size, so that one int8 scale serves them all.

After Nagel et al., 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", but by the sizes
that the values have on calibration images: weights have a scale a channel and their rounding is chosen afterwards, so
what counts is the one scale that all channels of a value share.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from shvit_mobile.deploy.equalization_groups import Chain, Part, chains
from shvit_mobile.families.shvit import SHViT

# How much of a channel's distance from the others is taken away, as a power: halves of it go to values and to weights.
SHARE = 0.5
# Up to how far (a power of two) by that share; further out lies an outlier, and all that is further goes.
USUAL = 3.0
LARGEST_EXPONENT = 30


def exponents(module: SHViT, sizes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The exponents of `shvit_mobile.deploy.equalization_groups.scaled` that bring the channels of each chain together.

    Args:
        module: the deploy form.
        sizes: the largest magnitude of each output channel of each convolution on calibration images, behind its relu
            where it has one; shape (channels,).
    """
    return {chain.name: of_chain(chain, sizes) for chain in chains(module)}


def of_chain(chain: Chain, sizes: Mapping[str, Tensor]) -> Tensor:
    """int8, shape (channels,)."""
    made = of_part(chain.made, sizes)
    if chain.against:
        other = of_part(chain.against[0], sizes)
        return whole(torch.where((made > 0) & (other > 0), (other / made).log2() / 2, 0.0))
    moving = made > 0
    if not moving.any():
        return whole(torch.zeros_like(made))
    distance = torch.where(moving, (made / made[moving].median()).log2(), -USUAL)
    usual = distance.clamp(-USUAL, USUAL)
    return whole(-(SHARE * usual + (distance - USUAL).clamp(min=0)))


def of_part(part: Part, sizes: Mapping[str, Tensor]) -> Tensor:
    return sizes[part.layer][part.channels].double()


def whole(exponents: Tensor) -> Tensor:
    return exponents.nan_to_num(0.0).round().clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT).to(torch.int8)
