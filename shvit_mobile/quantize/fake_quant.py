"""Fake quantization: PyTorch simulates int8 on batches, rounding values to the integers that a target would hold.

`quantize.pt2e_graph` builds the graph that is lowered, for one image at a time; the simulation is for many trials.
"""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import ActivationRange, ActivationScheme
from shvit_mobile.deploy.layers import get_layer
from shvit_mobile.deploy.wiring import Wiring
from shvit_mobile.quantize import affine


@torch.no_grad()
def fake_quantize(
    module: nn.Module,
    wiring: Wiring,
    ranges: dict[str, ActivationRange],
    activations: ActivationScheme = "affine",
    *,
    weights: bool = True,
) -> nn.Module:
    """Return a copy of `module` that rounds inputs, outputs and weights of the layers of `ranges` to int8.

    Args:
        module: The deploy form.
        wiring: Its wiring.
        ranges: The ranges of the int8 layers.
        activations: How int8 divides a range into integers.
        weights: Whether weights are rounded too.
    """
    simulation = deepcopy(module)
    for name, seen in ranges.items():
        layer = get_layer(simulation, name)
        if weights:
            integers, scales = affine.quantize_weight(layer.weight, affine.get_weight_scales(layer))
            layer.weight.copy_(affine.dequantize_weight(integers, scales))
        # The output of an int8 layer is not rounded a second time.
        if wiring.sources.get(name) not in ranges:
            parameters = affine.choose_affine_parameters(*seen.input, activations)
            layer.register_forward_pre_hook(partial(_round_input, parameters))
        low, high = seen.output
        relu = name in wiring.layers_before_relu
        output = affine.choose_affine_parameters(0.0 if relu else low, high, activations)
        layer.register_forward_hook(partial(_round_output, output, relu))
    return simulation


def _round_input(parameters: affine.AffineParameters, _: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (_quantize_dequantize(inputs[0], parameters),)


def _round_output(
    parameters: affine.AffineParameters, relu: bool, _: nn.Module, __: tuple[Tensor, ...], output: Tensor
) -> Tensor:
    return _quantize_dequantize(output.relu() if relu else output, parameters)


def _quantize_dequantize(values: Tensor, parameters: affine.AffineParameters) -> Tensor:
    """Round values to the nearest numbers that `parameters` represent."""
    steps = (values * (1 / parameters.scale)).round_().add_(parameters.zero_point)
    return steps.clamp_(affine.ACTIVATION_MIN, affine.ACTIVATION_MAX).sub_(parameters.zero_point).mul_(parameters.scale)
