"""Sensitivity: each layer and each block alone in int8, and alone in float, judged by the logits.

What comes before a layer is the same whether or not that layer is in int8. So the float values and the int8 values of
all images go through the network once, part by part, and each trial runs only from the part on in which it differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.contracts.sensitivity import BlockSensitivity, LayerSensitivity, SensitivityReport
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadImages
from shvit_mobile.families.shvit import SHViT
from shvit_mobile.quantize.fake_quant import LayerConnections, fake_quantize, iterate_units
from shvit_mobile.quantize.layers import FIRST_LAYERS, PIXEL_MEAN_BUFFER, find_dense_convolutions, select_int8_ranges
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_equalization, apply_overrides

# Images that go through together: few enough for a processor's cache, and always as many, so that figures repeat.
BATCH = 8

SensitivityRow = LayerSensitivity | BlockSensitivity


@torch.inference_mode()
def measure_sensitivity(
    deployed: DeployForm,
    recipe: Recipe,
    images: Sequence[Tensor],
    *,
    overrides: ParameterOverrides | None = None,
    known_rows: Mapping[str, SensitivityRow] | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_row: Callable[[SensitivityRow], None] | None = None,
) -> SensitivityReport:
    """What each int8 layer of a recipe costs, and each block of them.

    Args:
        deployed: the model.
        recipe: A recipe of static int8. Layers that it keeps in float stay float throughout.
        images: Batches of input tensors of the deploy form, float32, shape (n, 3, height, width).
        overrides: The recipe's overrides, if it has any.
        known: rows of the same model, recipe and images that are done already, by layer and by block.
        progress: called with the number of rows done and their total.
        each: called with each row that was not known, as soon as it is done.

    Raises:
        BadRecipe: the recipe is of another precision or of another model.
        BadImages: there are none.
    """
    trials, rows = SensitivityTrials(deployed, recipe, overrides, images), dict(known_rows or {})
    for done, name in enumerate(trials.names):
        if progress is not None:
            progress(done, len(trials.names))
        if name not in rows:
            rows[name] = trials.measure_row(name)
            if on_row is not None:
                on_row(rows[name])
    if progress is not None:
        progress(len(trials.names), len(trials.names))
    return SensitivityReport(
        checkpoint_sha256=deployed.trained.sha256,
        recipe_sha256=recipe.sha256,
        images=len(trials.expected),
        int8_db=trials.int8.db,
        int8_kl=trials.int8.kl,
        layers=tuple(row for name in trials.layers if isinstance(row := rows[name], LayerSensitivity)),
        blocks=tuple(row for name in trials.blocks if isinstance(row := rows[name], BlockSensitivity)),
    )


@dataclass(frozen=True)
class LogitDistance:
    """How far logits are from the float model's: SQNR in dB, and mean divergence in nats."""

    db: float
    kl: float


class ActivationStream:
    """The values of all images on their way through a module."""

    def __init__(self, module: SHViT, images: Sequence[Tensor]) -> None:
        self.parts = [part for _, part in iterate_units(module)]
        self.values, self.position = list(images), 0

    def advance_to(self, position: int) -> Sequence[Tensor]:
        """What goes into the part of this number, batch by batch; there is no way back."""
        for part in self.parts[self.position : position]:
            for number, batch in enumerate(self.values):
                self.values[number] = part(batch)
        self.position = position
        return self.values


class SensitivityTrials:
    """Trials under way.

    Values of all images are held as the network goes, in float and in int8: at most, behind the stem's first layer,
    twice (dims[0] / 8) / 12 times what the images themselves take.

    Attributes:
        layers: those that the recipe has in int8, in the order of the data.
        blocks: the layers of each block, in the order of the data.
        names: of layers and blocks, in the order in which `row` may be asked for them.
        expected: the float model's logits, shape (images, classes).
        int8: how far from them the recipe as it is comes.
    """

    def __init__(
        self, deployed: DeployForm, recipe: Recipe, overrides: ParameterOverrides | None, images: Sequence[Tensor]
    ) -> None:
        if not sum(map(len, images)):
            raise BadImages("There are no images to measure sensitivity on.", why="Every figure is a mean over images.")
        self.deployed, self.recipe, self.overrides = deployed, recipe, overrides
        chosen = select_int8_ranges(deployed, recipe)
        self.layers = tuple(name for name, _ in find_dense_convolutions(deployed.module) if name in chosen)
        self.blocks = {block: tuple(layers) for block, layers in groupby(self.layers, key=get_block_name)}
        self.names = sorted([*self.blocks, *self.layers], key=lambda name: self.find_first_unit(self.get_layers(name)))
        self.wiring = LayerConnections.from_module(deployed.module)
        self.costs = count_macs_and_weights(deployed.module, images[0].shape[1:])
        batches = torch.split(torch.cat(list(images)), BATCH)
        module, int8 = apply_equalization(deployed, recipe, overrides).module, self.build_variant(self.layers)
        self.expected = compute_logits_from(module, batches)
        self.int8 = self.measure_distance(compute_logits_from(int8, batches))
        self.float_values, self.int8_values = ActivationStream(module, batches), ActivationStream(int8, batches)

    def measure_row(self, name: str) -> SensitivityRow:
        """The figures of a layer or of a block."""
        layers = self.get_layers(name)
        start, others = self.find_first_unit(layers), tuple(other for other in self.layers if other not in layers)
        alone = self.measure_distance(
            compute_logits_from(self.build_variant(layers), self.float_values.advance_to(start), start)
        )
        without = self.measure_distance(
            compute_logits_from(self.build_variant(others), self.int8_values.advance_to(start), start)
        )
        figures: dict[str, Any] = {
            "quantized_db": alone.db,
            "quantized_kl": alone.kl,
            "float_db": without.db,
            "float_kl": without.kl,
        }
        if name in self.blocks:
            return BlockSensitivity(block=name, layers=layers, **figures)
        macs, weights = self.costs[name]
        return LayerSensitivity(layer=name, macs=macs, weights=weights, **figures)

    def get_layers(self, name: str) -> tuple[str, ...]:
        """The layers of a block; a layer alone."""
        return self.blocks.get(name, (name,))

    def find_first_unit(self, layers: Sequence[str]) -> int:
        """The number of the first part in which it matters whether `layers` are in int8."""
        names = [name for name, _ in iterate_units(self.deployed.module)]
        # What is subtracted from pixels belongs to the layer behind it.
        changing = [*layers, *(PIXEL_MEAN_BUFFER for layer in layers if layer in FIRST_LAYERS)]
        return min(n for n, unit in enumerate(names) for layer in changing if f"{layer}.".startswith(f"{unit}."))

    def build_variant(self, layers: Sequence[str]) -> SHViT:
        """The model with these layers in int8 and all others in float."""
        rest = (*self.recipe.float_layers, *(name for name in self.layers if name not in layers))
        recipe = self.recipe.model_copy(update={"float_layers": rest})
        ranges = {name: self.recipe.ranges[name] for name in layers}
        module = apply_overrides(self.deployed, recipe, self.overrides).module
        return fake_quantize(module, ranges, recipe.activations, wiring=self.wiring)

    def measure_distance(self, logits: Tensor) -> LogitDistance:
        """How far `logits` are from the float model's."""
        return LogitDistance(sqnr(self.expected, logits), compute_mean_kl(self.expected, logits))


def compute_logits_from(module: SHViT, values: Sequence[Tensor], start: int = 0) -> Tensor:
    """Logits for what goes into the part of the number `start`, in batches: shape (images, classes)."""
    parts = [part for _, part in iterate_units(module)][start:]
    logits = []
    for batch in values:
        for part in parts:
            batch = part(batch)
        logits.append(module.head(batch.mean((2, 3), keepdim=True).flatten(1)))
    return torch.cat(logits)


def sqnr(expected: Tensor, actual: Tensor) -> float:
    """10 log10(sum r^2 / sum (r - a)^2) in dB, in float64; `inf` where they are equal."""
    expected, actual = expected.double(), actual.double()
    return float(10 * torch.log10(expected.square().sum() / (expected - actual).square().sum()))


def compute_mean_kl(expected: Tensor, actual: Tensor) -> float:
    """Mean of KL(softmax(r) || softmax(a)) over the images in nats, in float64; what is below zero counts as zero."""
    p, q = expected.double().log_softmax(1), actual.double().log_softmax(1)
    return float((p.exp() * (p - q)).sum(1).clamp(min=0).mean())


def count_macs_and_weights(module: SHViT, shape: Sequence[int]) -> dict[str, tuple[int, int]]:
    """Multiply-adds of an image of a shape and elements of the weight, of each dense convolution by name."""
    copy = deepcopy(module).to("meta")
    found: dict[str, tuple[int, int]] = {}

    def look(name: str, layer: nn.Conv2d, _: tuple[Tensor, ...], output: Tensor) -> None:
        weights = layer.weight.numel()
        found[name] = weights * prod(output.shape[2:]), weights

    for name, layer in find_dense_convolutions(copy):
        layer.register_forward_hook(partial(look, name))
    copy(torch.empty(1, *shape, device="meta"))
    return found


def get_block_name(layer: str) -> str:
    """The stem, what leads into a stage, or the block of a stage that a layer belongs to, by its name."""
    parts = layer.split(".")
    if parts[0] != "stages":
        return parts[0]
    return ".".join(parts[: 4 if parts[2] == "blocks" else 3])
