"""Fake quantization: PyTorch simulates int8 on batches, rounding values to the integers that a target would hold.

`quantize.pt2e_graph` builds the graph that is lowered, for one image at a time; the simulation is for many trials.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, fx, nn

from shvit_mobile.contracts.recipe import ActivationRange, ActivationScheme
from shvit_mobile.deploy.layers import get_convolution
from shvit_mobile.families.shvit import SHViT
from shvit_mobile.quantize import affine
from shvit_mobile.quantize.layers import find_layers_before_relu


@torch.no_grad()
def fake_quantize(
    module: SHViT,
    ranges: dict[str, ActivationRange],
    activations: ActivationScheme = "affine",
    *,
    weights: bool = True,
    wiring: LayerConnections | None = None,
) -> SHViT:
    """Return a copy of `module` that rounds inputs, outputs and weights of the layers of `ranges` to int8.

    Args:
        module: The deploy form.
        ranges: The ranges of the int8 layers.
        activations: How int8 divides a range into integers.
        weights: Whether weights are rounded too.
        wiring: The connections of the module, if you have them from another module of the same form.
    """
    simulation, wiring = deepcopy(module), wiring or LayerConnections.from_module(module)
    for name, seen in ranges.items():
        layer = get_convolution(simulation, name)
        if weights:
            integers, scales = affine.quantize_weight(layer.weight, affine.get_weight_scales(layer))
            layer.weight.copy_(affine.dequantize_weight(integers, scales))
        # The output of an int8 layer is not rounded a second time.
        if wiring.sources.get(name) not in ranges:
            parameters = affine.choose_affine_parameters(*seen.input, activations)
            layer.register_forward_pre_hook(partial(_round_input, parameters))
        low, high = seen.output
        relu = name in wiring.relus
        output = affine.choose_affine_parameters(0.0 if relu else low, high, activations)
        layer.register_forward_hook(partial(_round_output, output, relu))
    return simulation


@dataclass(frozen=True)
class LayerConnections:
    """How the layers of a deploy form are connected.

    Attributes:
        relus: The layers whose output is used by a relu only.
        sources: By layer, the layer whose output it takes, directly or through a relu.
    """

    relus: Set[str]
    sources: Mapping[str, str]

    @classmethod
    def from_module(cls, module: SHViT) -> LayerConnections:
        return cls(find_layers_before_relu(module), find_source_layers(module))


def find_source_layers(module: SHViT) -> dict[str, str]:
    """Return, by layer, the layer whose output it takes, directly or through a relu."""
    layers = dict(module.named_modules())
    sources = {}
    for node in fx.symbolic_trace(module).graph.nodes:
        if node.op != "call_module" or not isinstance(layers[str(node.target)], nn.Conv2d):
            continue
        source = node.args[0]
        while _is_relu(source, layers):
            source = source.args[0]
        if source.op == "call_module" and isinstance(layers[str(source.target)], nn.Conv2d):
            sources[str(node.target)] = str(source.target)
    return sources


def _is_relu(node: fx.Node, layers: dict[str, nn.Module]) -> bool:
    return node.target == "relu" or (node.op == "call_module" and isinstance(layers[str(node.target)], nn.ReLU))


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


def iterate_units(module: SHViT) -> Iterator[tuple[str, nn.Module]]:
    """Yield the units of a SHViT before its pooling in execution order; each takes the output of the one before."""
    for name, layer in module.patch_embed.named_children():
        yield f"patch_embed.{name}", layer
    for index, stage in module.stages.named_children():
        for name, layer in stage.get_submodule("downsample").named_children():
            yield f"stages.{index}.downsample.{name}", layer
        for number, block in stage.get_submodule("blocks").named_children():
            for name, layer in block.named_children():
                yield f"stages.{index}.blocks.{number}.{name}", layer
