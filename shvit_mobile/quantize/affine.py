"""The arithmetic of int8: the scale and zero point of a range, and the scales of a weight's channels.

Every target takes its parameters from here, so that one recipe means the same numbers everywhere.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import ActivationScheme

# The buffer of a layer that holds the scales of its weight; a layer without it uses `compute_channel_scales`.
WEIGHT_SCALE = "weight_scale"

ACTIVATION_MIN, ACTIVATION_MAX = -128, 127
WEIGHT_MAX = 127
# A nearly constant activation must not get a scale so small that the ratio of scales in requantization exceeds the
# kernels' range. XNNPACK's own quantizer has the same minimum.
MIN_SCALE = 2.0**-12
# A bias is int32 in units of the two scales. Half of the range leaves room for the sum of products.
_MAX_INT32_BIAS = 2**30


@dataclass(frozen=True)
class AffineParameters:
    """real = scale * (integer - zero_point), integers in -128..127."""

    scale: float
    zero_point: int


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """The parameters of a layer in int8.

    Attributes:
        weight: int8, shape (out channels, in channels, ...).
        scales: The scale of each output channel, float32, shape (out channels,).
        bias: int32, shape (out channels,); None if the layer has none.
        bias_scales: The scales of the weight times that of the input, float32, shape (out channels,).
    """

    weight: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.int32] | None
    bias_scales: NDArray[np.float32]


def choose_affine_parameters(low: float, high: float, activations: ActivationScheme = "affine") -> AffineParameters:
    """Return the parameters that divide [low, high], extended to contain zero, into integers; zero is exact.

    Args:
        low: The smallest value.
        high: The largest value.
        activations: "affine" for -128..127 from `low` to `high`, "symmetric" for -127..127 over the larger magnitude.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if activations == "symmetric":
        return AffineParameters(_round_scale_to_fp32(max(-low, high) / ACTIVATION_MAX), 0)
    scale = _round_scale_to_fp32((high - low) / (ACTIVATION_MAX - ACTIVATION_MIN))
    zero_point = round(ACTIVATION_MIN - low / scale)
    return AffineParameters(scale, min(max(zero_point, ACTIVATION_MIN), ACTIVATION_MAX))


def _round_scale_to_fp32(scale: float) -> float:
    """Round a scale to float32, as runtimes store it: the zero point depends on the scale that is used."""
    return float(np.float32(max(scale, MIN_SCALE)))


def compute_channel_scales(weight: Tensor) -> Tensor:
    """Compute the symmetric scale of each output channel of a weight: float32, shape (out channels,).

    Args:
        weight: Float, shape (out channels, ...).
    """
    largest = weight.detach().float().flatten(1).abs().amax(1)
    return (largest / WEIGHT_MAX).clamp(min=torch.finfo(torch.float32).eps)


def get_weight_scales(layer: nn.Module) -> Tensor | None:
    """Return the scales that a layer holds for its weight, float32, shape (out channels,); None if it holds none."""
    carried = getattr(layer, WEIGHT_SCALE, None)
    return None if carried is None else carried.float()


def quantize_weight(weight: Tensor, scales: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Quantize a weight to integers in -127..127 (int8, the same shape) and the scale of each output channel.

    Args:
        weight: Float, shape (out channels, ...).
        scales: float32, shape (out channels,) (default: `compute_channel_scales`).
    """
    scales = compute_channel_scales(weight) if scales is None else scales
    steps = weight.detach().float() / reshape_to_rows(scales, weight)
    return steps.round().clamp(-WEIGHT_MAX, WEIGHT_MAX).to(torch.int8), scales


def quantize_layer(layer: nn.Module, bias: NDArray[Any] | None, input_parameters: AffineParameters) -> QuantizedLayer:
    """Quantize the weight and the bias of a layer.

    If a channel's weights are so small that its bias would not fit into int32 at their scale, it gets the scale that
    the bias needs, at which the weights become zero.

    Args:
        layer: It has a weight, and may hold the scales of it.
        bias: Its bias, float32, shape (out channels,); None if it has none.
        input_parameters: The parameters of its input.
    """
    weight = layer.get_parameter("weight")
    integers, scales = (part.cpu().numpy() for part in quantize_weight(weight, get_weight_scales(layer)))
    if bias is None:
        return QuantizedLayer(integers, scales, None, scales * np.float32(input_parameters.scale))
    needed = np.abs(bias) / np.float32(input_parameters.scale * _MAX_INT32_BIAS)
    final = np.maximum(scales, needed)
    ratio = (scales / final).reshape(-1, *[1] * (integers.ndim - 1))
    bias_scales = final * np.float32(input_parameters.scale)
    rounded = np.rint(bias.astype(np.float64) / bias_scales).astype(np.int32)
    return QuantizedLayer(np.rint(integers * ratio).astype(np.int8), final, rounded, bias_scales)


def dequantize_weight(integers: Tensor, scales: Tensor) -> Tensor:
    """Return the weight, float32, that integers and the scales of their output channels represent."""
    return integers * reshape_to_rows(scales, integers)


def reshape_to_rows(scales: Tensor, weight: Tensor) -> Tensor:
    """Return the scales of output channels in the shape that multiplies a weight, (out channels, 1, ...)."""
    return scales.reshape(-1, *[1] * (weight.ndim - 1))
