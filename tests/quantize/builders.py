"""What tests of corrections build from: recipes of static int8, plain and with every kind of correction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import FLOAT_KINDS, ActivationRange, Activations, Recipe
from shvit_mobile.deploy.equalization_groups import chains, scaled
from shvit_mobile.deploy.fold import DeployForm
from shvit_mobile.families.shvit import SHViT
from shvit_mobile.quantize.affine import channel_scales
from shvit_mobile.quantize.calibrate import observed
from shvit_mobile.quantize.layers import dense_convolutions
from shvit_mobile.quantize.overrides import Corrections, write
from tests.builders import smooth_pixels


def layers_of(module: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, _ in dense_convolutions(module))


@torch.no_grad()
def plain(deployed: DeployForm, module: SHViT | None = None, *, activations: Activations = "affine") -> Recipe:
    """int8 with the ranges of `module`, the deploy form itself if None, and no corrections."""
    ranges: dict[str, ActivationRange] = {}
    form = deployed.module if module is None else module
    with observed(form, ranges, "min-max", activations):
        form(smooth_pixels(6, deployed.trained.preprocessing.size, seed=11))
    return Recipe(precision="int8", float_kinds=FLOAT_KINDS, observer="min-max", activations=activations, ranges=ranges)


def with_corrections(deployed: DeployForm, *, activations: Activations = "affine") -> Recipe:
    """int8 with corrections of every kind, none of which would follow from the weights."""
    corrections = drawn(deployed)
    module = scaled(deployed.module, corrections.exponents)
    changed = write(module, corrections, layers_of(module))
    return plain(deployed, changed, activations=activations).made_of(corrections)


@torch.no_grad()
def drawn(deployed: DeployForm, seed: int = 5) -> Corrections:
    """Exponents from -2 to 2; weights rounded by lot in steps smaller or larger than usual; moved biases."""
    generator = torch.Generator().manual_seed(seed)
    exponents: dict[str, Tensor] = {}
    for chain in chains(deployed.module):
        count = len(deployed.module.get_submodule(chain.made.layer).weight[chain.made.channels])
        exponents[chain.name] = torch.randint(-2, 3, (count,), generator=generator, dtype=torch.int8)
    module = scaled(deployed.module, exponents)
    integers, scales, biases = {}, {}, {}
    for name, layer in dense_convolutions(module):
        usual = channel_scales(layer.weight)
        scales[name] = usual * torch.where(torch.arange(len(usual)) % 2 == 0, 0.95, 1.1)
        steps = layer.weight / scales[name].reshape(-1, 1, 1, 1)
        lots = torch.rand(steps.shape, generator=generator)
        integers[name] = (steps + 0.8 * (lots - 0.5)).round().clamp(-127, 127).to(torch.int8)
        assert layer.bias is not None
        biases[name] = layer.bias + 0.02 * layer.bias.std() * torch.randn(layer.bias.shape, generator=generator)
    mean = torch.tensor([120.0, 118.0, 110.0]) if deployed.takes == "pixels" else None
    return Corrections(exponents, integers, scales, biases, mean)
