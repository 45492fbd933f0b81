"""Fake quantization: PyTorch simulates int8 on batches, rounding values to the integers that a target would hold.

`quantize.pt2e_graph` builds the graph that is lowered, for one image at a time; the simulation is for many trials.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import ActivationRange, ActivationScheme
from shvit_mobile.deploy.layers import CallCounts, get_layer
from shvit_mobile.deploy.wiring import Call, Wiring, get_layer_path
from shvit_mobile.quantize import affine
from shvit_mobile.quantize.layers import get_call_range

_ran = CallCounts()


class _Rounding(NamedTuple):
    """How a call of a layer rounds.

    Attributes:
        input: The parameters of its input; None if that is the output of an int8 layer, which is not rounded again.
        output: The parameters of its output.
        limits: The interval that the activation behind it keeps, which is part of the layer.
    """

    input: affine.AffineParameters | None
    output: affine.AffineParameters
    limits: tuple[float, float] | None


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
        ranges: The ranges of the int8 layers, by layer or call.
        activations: How int8 divides a range into integers.
        weights: Whether weights are rounded too.
    """
    simulation = deepcopy(module)
    for name in dict.fromkeys(map(get_layer_path, ranges)):
        layer = get_layer(simulation, name)
        if weights:
            integers, scales = affine.quantize_weight(layer.weight, affine.get_weight_scales(layer))
            layer.weight.copy_(affine.dequantize_weight(integers, scales))
        calls = [_choose_rounding(call, ranges, activations) for call in wiring.calls_of_layers[name]]
        layer.register_forward_pre_hook(partial(_round_input, calls))
        layer.register_forward_hook(partial(_round_output, calls))
    return simulation


def _choose_rounding(call: Call, ranges: Mapping[str, ActivationRange], activations: ActivationScheme) -> _Rounding:
    seen = get_call_range(ranges, call.name)
    limits = call.activation.limits if call.activation else None
    rounded = call.source is not None and get_layer_path(call.source) in ranges
    return _Rounding(
        None if rounded else affine.choose_affine_parameters(*seen.input, activations),
        affine.choose_affine_parameters(*seen.output, activations),
        limits,
    )


def _round_input(calls: list[_Rounding], layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    parameters = _ran.get_current(calls, layer).input
    return inputs if parameters is None else (_quantize_dequantize(inputs[0], parameters),)


def _round_output(calls: list[_Rounding], layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
    call = _ran.get_current(calls, layer)
    _ran.advance(layer)
    return _quantize_dequantize(output if call.limits is None else output.clamp(*call.limits), call.output)


def _quantize_dequantize(values: Tensor, parameters: affine.AffineParameters) -> Tensor:
    """Round values to the nearest numbers that `parameters` represent."""
    steps = (values * (1 / parameters.scale)).round_().add_(parameters.zero_point)
    return steps.clamp_(affine.ACTIVATION_MIN, affine.ACTIVATION_MAX).sub_(parameters.zero_point).mul_(parameters.scale)
