"""The graph that is trained: the deploy form as a recipe lowers it, with gradients that pass every rounding.

It is torchao's path for quantization-aware training, annotated by the quantizer that lowering uses. What it computes is
what `quantize.simulate` computes with its corrections, and what a target then holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.parametrize import register_parametrization

from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.quantize.affine import WEIGHT_MAX, choose_affine_parameters, compute_channel_scales, get_weight_scales
from shvit_mobile.quantize.layers import select_int8_ranges
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_overrides
from shvit_mobile.quantize.pt2e_graph import FixedScalesObserver, RecipeQuantizer, create_weight_qspec
from shvit_mobile.quiet import silence_libraries

with silence_libraries():
    from torchao.quantization.pt2e import FakeQuantize, disable_observer
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
    from torchao.quantization.pt2e.quantizer import QuantizationSpec


@dataclass(frozen=True, eq=False)
class TrainingGraph:
    """What `build_training_graph` returns.

    Attributes:
        module: float32 images, shape (batch, 3, height, width), to logits; any batch.
        scales: of the weights of the layers that are trained, by layer, shape (out channels,).
        kept: what the recipe corrected before.
    """

    module: fx.GraphModule
    scales: dict[str, Tensor]
    base_overrides: ParameterOverrides

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is trained, counted in int8 steps."""
        return [parameter for parameter in self.module.parameters() if parameter.requires_grad]

    @torch.no_grad()
    def export_overrides(self) -> ParameterOverrides:
        """The integers, scales and biases that the graph computes with as it stands."""
        integers, biases = {}, {}
        for name, scales in self.scales.items():
            integers[name] = round_like_fake_quant(self.compute_parameter(name, "weight"), scales).cpu()
            biases[name] = self.compute_parameter(name, "bias").cpu()
        return replace(
            self.base_overrides,
            integers={**self.base_overrides.integers, **integers},
            scales={**self.base_overrides.scales, **{name: scales.cpu() for name, scales in self.scales.items()}},
            biases={**self.base_overrides.biases, **biases},
        )

    def compute_parameter(self, layer: str, parameter: str) -> Tensor:
        """A layer's weight or bias before it is rounded."""
        place = f"{layer}.parametrizations.{parameter}"
        steps: Tensor = self.module.get_parameter(f"{place}.original")
        return steps * self.module.get_buffer(f"{place}.0.scale")


class Int8StepParametrization(nn.Module):
    """A parameter that is learnt in int8 steps, as multiples of `scale`.

    Folding leaves channels and layers of which some are thousands of times larger than others. In steps they are alike,
    so that one learning rate fits all.
    """

    scale: Tensor

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)

    def forward(self, steps: Tensor) -> Tensor:
        return steps * self.scale

    def right_inverse(self, values: Tensor) -> Tensor:
        return values / self.scale


class TrainingQuantizer(RecipeQuantizer):
    """The recipe's annotations, with weights that stay rounded in training; torchao itself sees to activations."""

    def create_weight_qspec(self, layer: str) -> QuantizationSpec:
        observer = FixedScalesObserver.with_args(scales=self.scales[layer])
        return replace(
            create_weight_qspec(self.scales[layer]),
            observer_or_fake_quant_ctr=FakeQuantize.with_args(observer=observer),
        )


def build_training_graph(
    deployed: DeployForm,
    recipe: Recipe,
    overrides: ParameterOverrides | None = None,
    device: torch.device | None = None,
) -> TrainingGraph:
    """The graph of a static int8 recipe, in which weights and biases of int8 layers are trained.

    It begins where the recipe is: with its integers, or with the weights rounded. Scales and ranges stay as they are.

    Args:
        deployed: the model.
        recipe: A recipe of static int8.
        overrides: The recipe's overrides, if it has any.
        device: what to train on; the CPU if None.

    Raises:
        BadRecipe: the recipe is of another precision or of another model.
    """
    ranges = select_int8_ranges(deployed, recipe)
    form = deepcopy(apply_overrides(deployed, recipe, overrides).module).to(device)
    scales: dict[str, Tensor] = {}
    for name, seen in ranges.items():
        layer = form.get_submodule(name)
        if not isinstance(layer, nn.Conv2d) or layer.bias is None:
            raise TypeError(f"{name} is no convolution with a bias")
        carried = get_weight_scales(layer)
        scales[name] = (compute_channel_scales(layer.weight) if carried is None else carried).clone()
        step = choose_affine_parameters(*seen.output, recipe.activations).scale
        layer.requires_grad_(True)
        register_parametrization(layer, "weight", Int8StepParametrization(scales[name].reshape(-1, 1, 1, 1)))
        register_parametrization(layer, "bias", Int8StepParametrization(torch.full_like(layer.bias.detach(), step)))
    quantizer = TrainingQuantizer(set(ranges), recipe, set(), scales)
    graph = insert_fake_quant(form, quantizer, deployed.trained.preprocessing.size)
    return TrainingGraph(graph, scales, overrides or ParameterOverrides())


def insert_fake_quant(form: nn.Module, quantizer: RecipeQuantizer, size: Sequence[int]) -> fx.GraphModule:
    """The form as torchao's graph with a fake-quant module wherever the quantizer says, for any batch."""
    # Two images: a batch of one would be taken for a constant.
    example = next(form.parameters()).new_zeros(2, 3, *size)
    with silence_libraries():
        exported = torch.export.export(form, (example,), dynamic_shapes=({0: torch.export.Dim.AUTO},)).module()
        graph: fx.GraphModule = prepare_qat_pt2e(exported, quantizer)
    # Fake-quant modules take over their scales in a first pass. These are given: there is nothing to observe after it.
    with torch.no_grad():
        graph(example)
    graph.apply(disable_observer)
    return graph


def round_like_fake_quant(weight: Tensor, scales: Tensor) -> Tensor:
    """The integers, int8, that torchao's fake-quant makes of a weight: with its very operator, for ties' sake."""
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    values = torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -WEIGHT_MAX, WEIGHT_MAX)
    return (values / scales.reshape(-1, 1, 1, 1)).round().to(torch.int8)
