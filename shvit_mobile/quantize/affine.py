"""The arithmetic of int8: which scale and zero point a range gets, and which scales a weight's channels get.

Every target takes its parameters from here, so that one recipe means the same numbers everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import ActivationScheme

# The buffer of a layer that carries its weight's scales; without it they follow from the weight.
WEIGHT_SCALE = "weight_scale"

ACTIVATION_MIN, ACTIVATION_MAX = -128, 127
WEIGHT_MAX = 127
# A layer that hardly moves must not get a scale so small that the ratio of scales in requantization leaves the
# kernels' range. The same floor as in the stock XNNPACK quantizer.
MIN_SCALE = 2.0**-12


@dataclass(frozen=True)
class AffineParameters:
    """real = scale * (integer - zero_point), integers in -128..127."""

    scale: float
    zero_point: int

    @property
    def low(self) -> float:
        """The smallest real number it can hold."""
        return self.scale * (ACTIVATION_MIN - self.zero_point)

    @property
    def high(self) -> float:
        """The largest real number it can hold."""
        return self.scale * (ACTIVATION_MAX - self.zero_point)


def choose_affine_parameters(low: float, high: float, activations: ActivationScheme = "affine") -> AffineParameters:
    """The parameters that spread the integers over [low, high], widened to hold zero, which they represent exactly.

    Args:
        low: the smallest value to be held.
        high: the largest.
        activations: "affine" for -128..127 from `low` to `high`, "symmetric" for -127..127 over the larger magnitude.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if activations == "symmetric":
        return AffineParameters(round_scale_to_fp32(max(-low, high) / ACTIVATION_MAX), 0)
    scale = round_scale_to_fp32((high - low) / (ACTIVATION_MAX - ACTIVATION_MIN))
    zero_point = round(ACTIVATION_MIN - low / scale)
    return AffineParameters(scale, min(max(zero_point, ACTIVATION_MIN), ACTIVATION_MAX))


def round_scale_to_fp32(scale: float) -> float:
    """A scale rounded to float32, as every runtime stores it: zero points must follow from the scale that is used."""
    return float(torch.tensor(max(scale, MIN_SCALE)).float())


def compute_channel_scales(weight: Tensor) -> Tensor:
    """The scale of each output channel of a weight, symmetric: float32, shape (out channels,).

    Args:
        weight: float, shape (out channels, ...).
    """
    largest = weight.detach().float().flatten(1).abs().amax(1)
    return (largest / WEIGHT_MAX).clamp(min=torch.finfo(torch.float32).eps)


def get_weight_scales(layer: nn.Module) -> Tensor | None:
    """The scales that a layer carries for its weight, float32, shape (out channels,); None where it carries none."""
    carried = getattr(layer, WEIGHT_SCALE, None)
    return None if carried is None else carried.float()


def quantize_weight(weight: Tensor, scales: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """A weight as integers in -127..127 (int8, the same shape) and the scale of each output channel.

    Args:
        weight: float, shape (out channels, ...).
        scales: float32, shape (out channels,); what follows from the weight if None.
    """
    scales = compute_channel_scales(weight) if scales is None else scales
    steps = weight.detach().float() / scales.reshape(-1, *[1] * (weight.ndim - 1))
    return steps.round().clamp(-WEIGHT_MAX, WEIGHT_MAX).to(torch.int8), scales
