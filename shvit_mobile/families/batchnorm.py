"""A BatchNorm folded into the layer before it or behind it; all in the dtype of the weights."""

import torch
from torch import Tensor, nn

from shvit_mobile.errors import VerificationFailed

# A layer that multiplies its input by a weight, shape (out channels, ...).
WeightedLayer = nn.Conv1d | nn.Conv2d | nn.Linear


def compute_scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the scale and shift of a BatchNorm in eval mode, each of shape (channels,).

    Raises:
        VerificationFailed: If it has no running statistics.
    """
    mean, variance, weight, bias = (getattr(norm, name) for name in ("running_mean", "running_var", "weight", "bias"))
    if mean is None or variance is None:
        raise VerificationFailed(
            "A BatchNorm has no running statistics.", why="Without them its output depends on the batch."
        )
    scale = (1.0 if weight is None else weight) / torch.sqrt(variance + norm.eps)
    return scale, (-mean * scale if bias is None else bias - mean * scale)


@torch.no_grad()
def fold_into_layer_before(layer: WeightedLayer, norm: nn.Module) -> WeightedLayer:
    """Return the layer equal to `norm(layer(x))`: weights scaled per output channel, and a bias.

    Args:
        layer: A convolution or a linear layer.
        norm: A BatchNorm over its output channels.
    """
    scale, shift = compute_scale_and_shift(norm)
    fused, bias = _create_with_bias(layer)
    fused.weight.copy_(layer.weight * scale.reshape(-1, *[1] * (layer.weight.ndim - 1)))
    bias.copy_(shift if layer.bias is None else shift + layer.bias * scale)
    return fused


@torch.no_grad()
def fold_into_layer_behind(norm: nn.Module, layer: WeightedLayer) -> WeightedLayer:
    """Return the layer equal to `layer(norm(x))`: weights scaled per input channel, and the shifted bias.

    Args:
        norm: A BatchNorm over the layer's input channels.
        layer: A linear layer, or a convolution without padding and without groups.
    """
    scale, shift = compute_scale_and_shift(norm)
    fused, bias = _create_with_bias(layer)
    weight = layer.weight
    fused.weight.copy_(weight * scale.reshape(1, -1, *[1] * (weight.ndim - 2)))
    total = weight if weight.ndim == 2 else weight.flatten(2).sum(2)
    bias.copy_(total @ shift + (0 if layer.bias is None else layer.bias))
    return fused


def _create_with_bias(layer: WeightedLayer) -> tuple[WeightedLayer, Tensor]:
    """Create a convolution or a linear layer of the same shape with a bias, without values, and return both."""
    if isinstance(layer, nn.Linear):
        linear = nn.Linear(layer.in_features, layer.out_features).to(layer.weight)
        return linear, linear.bias
    create = nn.Conv1d if isinstance(layer, nn.Conv1d) else nn.Conv2d
    conv = create(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,  # type: ignore[arg-type]
        layer.stride,  # type: ignore[arg-type]
        layer.padding,  # type: ignore[arg-type]
        layer.dilation,  # type: ignore[arg-type]
        layer.groups,
        padding_mode=layer.padding_mode,
    ).to(layer.weight)
    return conv, conv.get_parameter("bias")
