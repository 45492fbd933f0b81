"""The graph for quantization-aware training: the deploy form as it is lowered, with gradients through every rounding.

It is torchao's graph, annotated by the quantizer that lowering uses. It computes what `quantize.fake_quant` computes
with its overrides, and what a target then holds.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.parametrize import register_parametrization

from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.exporting import export_model
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.layers import get_bias, get_layer
from shvit_mobile.deploy.wiring import get_layer_path
from shvit_mobile.quantize.affine import (
    WEIGHT_MAX,
    choose_affine_parameters,
    compute_channel_scales,
    get_weight_scales,
    reshape_to_rows,
)
from shvit_mobile.quantize.layers import select_int8_ranges
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_overrides
from shvit_mobile.quantize.pt2e_graph import RecipeQuantizer
from shvit_mobile.quiet import silence_libraries

with silence_libraries():
    from torchao.quantization.pt2e import FakeQuantize, disable_observer
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
    from torchao.quantization.pt2e.quantizer import QuantizationSpec


@dataclass(frozen=True, eq=False)
class TrainingGraph:
    """The result of `build_training_graph`.

    Attributes:
        module: float32 images, shape (batch, 3, height, width), to logits; any batch.
        scales: By trained layer, the scales of its weight, shape (out channels,).
        base_overrides: The overrides of the recipe before training.
    """

    module: fx.GraphModule
    scales: dict[str, Tensor]
    base_overrides: ParameterOverrides

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The trained parameters, in int8 steps."""
        return [parameter for parameter in self.module.parameters() if parameter.requires_grad]

    @torch.no_grad()
    def export_overrides(self) -> ParameterOverrides:
        """Return the integers, scales and biases that the graph now computes with."""
        integers, biases = {}, {}
        for name, scales in self.scales.items():
            integers[name] = _round_like_fake_quant(self.compute_parameter(name, "weight"), scales).cpu()
            biases[name] = self.compute_parameter(name, "bias").cpu()
        return replace(
            self.base_overrides,
            integers={**self.base_overrides.integers, **integers},
            scales={**self.base_overrides.scales, **{name: scales.cpu() for name, scales in self.scales.items()}},
            biases={**self.base_overrides.biases, **biases},
        )

    def compute_parameter(self, layer: str, parameter: str) -> Tensor:
        """Compute a layer's weight or bias before it is rounded."""
        place = f"{layer}.parametrizations.{parameter}"
        steps: Tensor = self.module.get_parameter(f"{place}.original")
        return steps * self.module.get_buffer(f"{place}.0.scale")


class _Int8StepParametrization(nn.Module):
    """A parameter that is trained in int8 steps, as a multiple of `scale`.

    After folding, some channels and layers are thousands of times larger than others. In steps they are alike, so that
    one learning rate suits all.
    """

    scale: Tensor

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)

    def forward(self, steps: Tensor) -> Tensor:
        return steps * self.scale

    def right_inverse(self, values: Tensor) -> Tensor:
        return values / self.scale


class _TrainingQuantizer(RecipeQuantizer):
    """A quantizer that keeps weights rounded in training; torchao does so for activations."""

    def create_weight_qspec(self, layer: str) -> QuantizationSpec:
        qspec = super().create_weight_qspec(layer)
        rounding = FakeQuantize.with_args(observer=qspec.observer_or_fake_quant_ctr)
        return replace(qspec, observer_or_fake_quant_ctr=rounding)


def build_training_graph(
    deployed: DeployForm,
    recipe: Recipe,
    overrides: ParameterOverrides | None = None,
    device: torch.device | None = None,
) -> TrainingGraph:
    """Build the graph of a static int8 recipe, in which weights and biases of int8 layers are trained.

    Training starts at the recipe's integers, or at the rounded weights. Scales and ranges do not change.

    Args:
        deployed: The model.
        recipe: A recipe of static int8.
        overrides: The recipe's overrides, if it has any.
        device: The device to train on (default: the CPU).

    Raises:
        BadRecipe: If the recipe has another precision or belongs to another model.
    """
    ranges = select_int8_ranges(deployed, recipe)
    form = deepcopy(apply_overrides(deployed, recipe, overrides).module).to(device)
    scales: dict[str, Tensor] = {}
    layers = dict.fromkeys(map(get_layer_path, ranges))
    for name in layers:
        layer = get_layer(form, name)
        carried = get_weight_scales(layer)
        scales[name] = (compute_channel_scales(layer.weight) if carried is None else carried).clone()
        step = choose_affine_parameters(*ranges[name].output, recipe.activations).scale
        layer.requires_grad_(True)
        register_parametrization(layer, "weight", _Int8StepParametrization(reshape_to_rows(scales[name], layer.weight)))
        bias_steps = torch.full_like(get_bias(layer).detach(), step)
        register_parametrization(layer, "bias", _Int8StepParametrization(bias_steps))
    quantizer = _TrainingQuantizer(set(layers), recipe, set(), scales)
    graph = _insert_fake_quant(form, quantizer, deployed.trained.preprocessing.size)
    return TrainingGraph(graph, scales, overrides or ParameterOverrides())


def _insert_fake_quant(form: nn.Module, quantizer: RecipeQuantizer, size: Sequence[int]) -> fx.GraphModule:
    """Convert the form to torchao's graph, with a fake-quant module at each annotation, for any batch."""
    # A batch of one would become a constant of the graph.
    example = next(form.parameters()).new_zeros(2, 3, *size)
    with silence_libraries():
        exported = export_model(form, example, dynamic_shapes=({0: torch.export.Dim.AUTO},))
        graph: fx.GraphModule = prepare_qat_pt2e(exported.module(), quantizer)
    # Fake-quant modules adopt their scales, which are fixed, in a first pass; later passes observe nothing.
    with torch.no_grad():
        graph(example)
    graph.apply(disable_observer)
    return graph


def _round_like_fake_quant(weight: Tensor, scales: Tensor) -> Tensor:
    """Round a weight to integers, int8, with torchao's own operator, so that ties are rounded the same way."""
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    values = torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -WEIGHT_MAX, WEIGHT_MAX)
    return (values / reshape_to_rows(scales, weight)).round().to(torch.int8)
