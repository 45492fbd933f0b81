"""Cross-layer equalization: the channels of a group get similar magnitudes, so that one int8 scale suits them all.

After Nagel et al., 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", but by the
magnitudes of activations on calibration images. Weights have a scale per channel, and their rounding is chosen later;
what matters is the one scale that all channels of an activation share.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from shvit_mobile.deploy.wiring import ChannelSlice, EqualizationGroup

# How much of a channel's distance from the others is removed, as a power: half of it moves to the weights.
_BALANCE_POWER = 0.5
# The distance, a power of two, up to which that holds; a channel beyond it is an outlier, and loses all of the excess.
OUTLIER_LOG2_DISTANCE = 3.0
MAX_EXPONENT = 30


def compute_equalization_exponents(
    groups: Sequence[EqualizationGroup], magnitudes: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Compute the exponents for `scale_channels` that give the channels of each group similar magnitudes.

    Args:
        groups: The groups.
        magnitudes: By layer, the largest magnitude of each output channel on calibration images, after the
            layer's relu if it has one; shape (channels,).
    """
    return {group.name: compute_group_exponents(group, magnitudes) for group in groups}


def compute_group_exponents(group: EqualizationGroup, magnitudes: Mapping[str, Tensor]) -> Tensor:
    """Compute the exponents of a group, int8, shape (channels,)."""
    producer = _select_magnitudes(group.producer, magnitudes)
    if group.inverse_producers:
        other = _select_magnitudes(group.inverse_producers[0], magnitudes)
        return _round_exponents(torch.where((producer > 0) & (other > 0), (other / producer).log2() / 2, 0.0))
    moving = producer > 0
    if not moving.any():
        return _round_exponents(torch.zeros_like(producer))
    distance = torch.where(moving, (producer / producer[moving].median()).log2(), -OUTLIER_LOG2_DISTANCE)
    usual = distance.clamp(-OUTLIER_LOG2_DISTANCE, OUTLIER_LOG2_DISTANCE)
    return _round_exponents(-(_BALANCE_POWER * usual + (distance - OUTLIER_LOG2_DISTANCE).clamp(min=0)))


def _select_magnitudes(part: ChannelSlice, magnitudes: Mapping[str, Tensor]) -> Tensor:
    return magnitudes[part.layer][part.channels].double()


def _round_exponents(exponents: Tensor) -> Tensor:
    return exponents.nan_to_num(0.0).round().clamp(-MAX_EXPONENT, MAX_EXPONENT).to(torch.int8)
