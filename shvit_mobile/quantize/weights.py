"""Weights alone made small: which of them a recipe stores as int8 or in a palette, and what is left of their values."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.families.shvit import SHViT
from shvit_mobile.quantize.affine import quantize_weight
from shvit_mobile.quantize.palette import palettize

# Weights up to this many elements stay fp16: scales and the alignment of one more blob eat most of what int8 saves.
MAX_UNCOMPRESSED_ELEMENTS = 2048
PALETTE_BITS: dict[Precision, int] = {"palette-8": 8, "palette-6": 6, "palette-4": 4}
WEIGHT_ONLY_PRECISIONS: tuple[Precision, ...] = ("int8-weights", *PALETTE_BITS)


@torch.no_grad()
def compress_weights(deployed: DeployForm, recipe: Recipe) -> SHViT:
    """A copy of the deploy form's module whose weights are what a recipe of `WEIGHT_ONLY_PRECISIONS` keeps of them; float32.

    One scale an output channel, or one palette a weight, of the weight in fp16, as it is stored.
    """
    module = deepcopy(deployed.module).float()
    for layer in select_compressed_layers(module, recipe):
        layer.weight.copy_(quantize_dequantize_weight(layer.weight.half(), recipe.precision))
    return module


def select_compressed_layers(module: nn.Module, recipe: Recipe) -> Iterator[nn.Conv2d | nn.Linear]:
    """The layers whose weights a recipe compresses: large ones, of kinds that it does not keep float."""
    for layer in module.modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear) or layer.weight.numel() <= MAX_UNCOMPRESSED_ELEMENTS:
            continue
        kind = "head" if isinstance(layer, nn.Linear) else "depthwise" if layer.groups > 1 else "dense"
        if kind not in recipe.float_kinds:
            yield layer


def quantize_dequantize_weight(weight: Tensor, precision: Precision) -> Tensor:
    """What is left of a weight in fp16, as float32 of the same shape."""
    if precision == "int8-weights":
        steps, scales = quantize_weight(weight)
        return steps * scales.reshape(-1, *[1] * (weight.ndim - 1))
    entries, places = palettize(weight.numpy(), PALETTE_BITS[precision])
    return torch.from_numpy(entries[places]).reshape(weight.shape).float()
