"""Recipes of static int8 for tests: plain ones, and ones with parameter overrides of every kind."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import FLOAT_KINDS, ActivationRange, ActivationScheme, Recipe
from shvit_mobile.deploy.equalization_groups import scale_channels
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.quantize.affine import compute_channel_scales
from shvit_mobile.quantize.fake_quant import fake_quantize
from shvit_mobile.quantize.layers import find_dense_layers, select_int8_ranges
from shvit_mobile.quantize.observation import observe_ranges
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_overrides, override_parameters
from tests.builders import draw_smooth_pixels


def list_layers(module: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, _ in find_dense_layers(module))


@torch.no_grad()
def build_plain_recipe(
    deployed: DeployForm, module: nn.Module | None = None, *, activations: ActivationScheme = "affine"
) -> Recipe:
    """int8 with the ranges of `module`, the deploy form itself if None, and no overrides."""
    ranges: dict[str, ActivationRange] = {}
    form = deployed.module if module is None else module
    with observe_ranges(form, deployed.wiring, ranges, "min-max", activations):
        form(draw_smooth_pixels(6, deployed.trained.preprocessing.size, seed=11))
    return Recipe(precision="int8", float_kinds=FLOAT_KINDS, observer="min-max", activations=activations, ranges=ranges)


def build_overridden_recipe(
    deployed: DeployForm, *, activations: ActivationScheme = "affine"
) -> tuple[Recipe, ParameterOverrides]:
    """int8 with overrides of every kind, none of which would follow from the weights."""
    overrides = draw_overrides(deployed)
    scaled = deployed.replace_module(scale_channels(deployed.module, deployed.wiring.groups, overrides.exponents))
    changed = override_parameters(scaled, overrides, list_layers(scaled.module))
    return link_overrides(build_plain_recipe(deployed, changed, activations=activations), overrides), overrides


def simulate_int8(deployed: DeployForm, recipe: Recipe, overrides: ParameterOverrides | None = None) -> nn.Module:
    """A module that simulates the recipe: float32 images, shape (batch, 3, height, width), to logits."""
    ranges = select_int8_ranges(deployed, recipe)
    module = apply_overrides(deployed, recipe, overrides).module
    return fake_quantize(module, deployed.wiring, ranges, recipe.activations)


def link_overrides(recipe: Recipe, overrides: ParameterOverrides) -> Recipe:
    """The recipe with the SHA-256 of `overrides`."""
    return recipe.model_copy(update={"corrections": overrides.sha256})


@torch.no_grad()
def draw_overrides(deployed: DeployForm, seed: int = 5) -> ParameterOverrides:
    """Exponents from -2 to 2; weights rounded by lot in steps smaller or larger than usual; moved biases."""
    generator = torch.Generator().manual_seed(seed)
    exponents: dict[str, Tensor] = {}
    for chain in deployed.wiring.groups:
        count = len(deployed.module.get_submodule(chain.producer.layer).weight[chain.producer.channels])
        exponents[chain.name] = torch.randint(-2, 3, (count,), generator=generator, dtype=torch.int8)
    module = scale_channels(deployed.module, deployed.wiring.groups, exponents)
    integers, scales, biases = {}, {}, {}
    for name, layer in find_dense_layers(module):
        usual = compute_channel_scales(layer.weight)
        scales[name] = usual * torch.where(torch.arange(len(usual)) % 2 == 0, 0.95, 1.1)
        steps = layer.weight / scales[name].reshape(-1, 1, 1, 1)
        lots = torch.rand(steps.shape, generator=generator)
        integers[name] = (steps + 0.8 * (lots - 0.5)).round().clamp(-127, 127).to(torch.int8)
        assert layer.bias is not None
        biases[name] = layer.bias + 0.02 * layer.bias.std() * torch.randn(layer.bias.shape, generator=generator)
    means = {} if deployed.mean_name is None else {deployed.mean_name: torch.tensor([120.0, 118.0, 110.0])}
    return ParameterOverrides(exponents, integers, scales, biases, means)
