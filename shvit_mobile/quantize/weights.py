"""Weight compression: the weights that a recipe stores as int8 or in a palette, and their values after that."""

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import PALETTE_PRECISIONS, Precision, Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.quantize.affine import dequantize_weight, quantize_weight
from shvit_mobile.quantize.palette import palettize

# Weights up to this size stay fp16: scales and the alignment of another blob cost most of what int8 saves.
MAX_UNCOMPRESSED_ELEMENTS = 2048
PALETTE_BITS: dict[Precision, int] = {name: int(name.removeprefix("palette-")) for name in PALETTE_PRECISIONS}
WEIGHT_ONLY_PRECISIONS: tuple[Precision, ...] = ("int8-weights", *PALETTE_BITS)


@torch.no_grad()
def compress_weights(deployed: DeployForm, recipe: Recipe) -> nn.Module:
    """Return a float32 copy of the module with its weights compressed by a recipe of `WEIGHT_ONLY_PRECISIONS`.

    Each output channel has a scale, or each weight a palette, computed from the weight in fp16, as it is stored.
    """
    module = deepcopy(deployed.module).float()
    for layer in _select_compressed_layers(module, recipe):
        layer.weight.copy_(_quantize_dequantize_weight(layer.weight.half(), recipe.precision))
    return module


def _select_compressed_layers(module: nn.Module, recipe: Recipe) -> Iterator[nn.Conv2d | nn.Linear]:
    """Yield the layers whose weights a recipe compresses: large ones, of kinds that it does not keep float."""
    for layer in module.modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear) or layer.weight.numel() <= MAX_UNCOMPRESSED_ELEMENTS:
            continue
        kind = "head" if isinstance(layer, nn.Linear) else "depthwise" if layer.groups > 1 else "dense"
        if kind not in recipe.float_kinds:
            yield layer


def _quantize_dequantize_weight(weight: Tensor, precision: Precision) -> Tensor:
    """Compress a weight in fp16 and return its values as float32 of the same shape."""
    if precision == "int8-weights":
        return dequantize_weight(*quantize_weight(weight))
    entries, places = palettize(weight.numpy(), PALETTE_BITS[precision])
    return torch.from_numpy(entries[places]).reshape(weight.shape).float()
