"""Sensitivity: the drift of the logits with one layer or block in int8, and with only that one in float.

The values before a layer do not depend on whether it is in int8. So the float values and the int8 values of all images
pass through the network once, unit by unit, and each trial starts at the first unit in which it differs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.contracts.sensitivity import BlockSensitivity, LayerSensitivity, SensitivityReport
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.verification import list_tensors
from shvit_mobile.deploy.wiring import get_layer_path
from shvit_mobile.errors import BadImages
from shvit_mobile.families.family import ModelUnit
from shvit_mobile.metrics import compute_mean_kl
from shvit_mobile.progress import ProgressCallback
from shvit_mobile.quantize.fake_quant import fake_quantize
from shvit_mobile.quantize.layers import find_dense_layers, select_int8_ranges
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_equalization, apply_overrides
from shvit_mobile.quantize.passes import compute_output_sqnr
from shvit_mobile.threads import choose_batch_size, map_in_order

# Images in a batch: few enough for a processor's cache, and always the same number, so that results are reproducible.
_BATCH = 8

SensitivityRow = LayerSensitivity | BlockSensitivity


@torch.inference_mode()
def measure_sensitivity(
    deployed: DeployForm,
    recipe: Recipe,
    images: Sequence[Tensor],
    *,
    overrides: ParameterOverrides | None = None,
    known_rows: Mapping[str, SensitivityRow] | None = None,
    progress: ProgressCallback | None = None,
    on_row: Callable[[SensitivityRow], None] | None = None,
) -> SensitivityReport:
    """Measure what each int8 layer of a recipe costs, and each block of them.

    Args:
        deployed: The model.
        recipe: A recipe of static int8. Layers that it keeps in float stay float throughout.
        images: Batches of input tensors of the deploy form, float32, shape (n, 3, height, width).
        overrides: The recipe's overrides, if it has any.
        known_rows: Rows of the same model, recipe and images from before, by layer and by block.
        progress: Called with the rows that are done and their total.
        on_row: Called with each new row.

    Raises:
        BadRecipe: If the recipe has another precision or belongs to another model.
        BadImages: If there are no images.
    """
    trials, rows = _SensitivityTrials(deployed, recipe, overrides, images), dict(known_rows or {})
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
        images=len(trials.reference_outputs[0]),
        int8_db=trials.int8.db,
        int8_kl=trials.int8.kl,
        layers=tuple(row for name in trials.layers if isinstance(row := rows[name], LayerSensitivity)),
        blocks=tuple(row for name in trials.blocks if isinstance(row := rows[name], BlockSensitivity)),
    )


@dataclass(frozen=True)
class _OutputDistance:
    """The distance of outputs from the float model's: SQNR in dB, and of logits mean KL divergence in nats."""

    db: float
    kl: float | None


class _ActivationStream:
    """The values of all images, which pass through the units of a module."""

    def __init__(self, units: Sequence[ModelUnit], images: Sequence[Tensor]) -> None:
        self.units = [unit for _, unit in units]
        self.values: list[Any] = list(images)
        self.position = 0

    def advance_to(self, position: int) -> Sequence[Any]:
        """Return the input of the unit at `position`, in batches; positions must not decrease."""
        for unit in self.units[self.position : position]:
            for number, values in enumerate(map_in_order(unit, list(self.values))):
                self.values[number] = values
        self.position = position
        return self.values


class _SensitivityTrials:
    """The trials of a sensitivity measurement.

    The values of all images are held in memory, in float and in int8: at most, after the stem's first layer, twice
    (dims[0] / 8) / 12 times the size of the images.

    Attributes:
        layers: The int8 layers of the recipe, in execution order.
        blocks: The layers of each block, in execution order.
        names: The layers and blocks, in the order in which `measure_row` must be called.
        reference_outputs: The float model's logits, shape (images, classes), or its maps.
        int8: The distance of the whole recipe's outputs.
    """

    def __init__(
        self, deployed: DeployForm, recipe: Recipe, overrides: ParameterOverrides | None, images: Sequence[Tensor]
    ) -> None:
        if not sum(map(len, images)):
            raise BadImages("There are no images to measure sensitivity on.", why="Each value is a mean over images.")
        self.deployed, self.recipe, self.overrides = deployed, recipe, overrides
        chosen = select_int8_ranges(deployed, recipe)
        self.layers = tuple(name for name, _ in find_dense_layers(deployed.module) if name in chosen)
        self.blocks = {
            block: tuple(layers) for block, layers in groupby(self.layers, key=deployed.trained.family.get_block)
        }
        self.names = sorted([*self.blocks, *self.layers], key=lambda name: self.find_first_unit(self.get_layers(name)))
        self.costs = _count_macs_and_weights(deployed)
        joined = torch.cat(list(images))
        batches = torch.split(joined, choose_batch_size(_BATCH, (joined.shape[2], joined.shape[3])))
        reference = self.list_units(apply_equalization(deployed, recipe, overrides).module)
        int8 = self.list_units(self.build_variant(self.layers))
        self.reference_outputs = _compute_outputs_from(reference, batches)
        self.int8 = self.measure_distance(_compute_outputs_from(int8, batches))
        self.float_values, self.int8_values = _ActivationStream(reference, batches), _ActivationStream(int8, batches)

    def measure_row(self, name: str) -> SensitivityRow:
        """Measure a layer or a block."""
        layers = self.get_layers(name)
        start, others = self.find_first_unit(layers), tuple(other for other in self.layers if other not in layers)
        alone = self.measure_distance(
            _compute_outputs_from(
                self.list_units(self.build_variant(layers))[start:], self.float_values.advance_to(start)
            )
        )
        without = self.measure_distance(
            _compute_outputs_from(
                self.list_units(self.build_variant(others))[start:], self.int8_values.advance_to(start)
            )
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
        """Return the layers of a block, or a layer alone."""
        return self.blocks.get(name, (name,))

    def find_first_unit(self, layers: Sequence[str]) -> int:
        """Return the position of the first unit whose output depends on whether `layers` are in int8."""
        names = [name for name, _ in self.list_units(self.deployed.module)]
        # The subtraction of the mean belongs to the first layers.
        takes_image = not set(layers).isdisjoint(self.deployed.first_layers)
        changing = [*layers, *([self.deployed.mean_name] if takes_image and self.deployed.mean_name else [])]
        return min(
            n for n, unit in enumerate(names) for layer in changing if not unit or f"{layer}.".startswith(f"{unit}.")
        )

    def list_units(self, module: nn.Module) -> list[ModelUnit]:
        """Return the units of the deploy form, or of a variant of it."""
        return self.deployed.trained.family.list_units(module)

    def build_variant(self, layers: Sequence[str]) -> nn.Module:
        """Return the model with these layers in int8 and all others in float."""
        rest = (*self.recipe.float_layers, *(name for name in self.layers if name not in layers))
        recipe = self.recipe.model_copy(update={"float_layers": rest})
        ranges = {name: seen for name, seen in self.recipe.ranges.items() if get_layer_path(name) in layers}
        module = apply_overrides(self.deployed, recipe, self.overrides).module
        return fake_quantize(module, self.deployed.wiring, ranges, recipe.activations)

    def measure_distance(self, outputs: Sequence[Tensor]) -> _OutputDistance:
        """Compare `outputs` with the float model's; of several maps, the worst counts."""
        decibels = min(map(compute_output_sqnr, self.reference_outputs, outputs))
        is_classifier = self.deployed.trained.task == "classify"
        kl = compute_mean_kl(self.reference_outputs[0].numpy(), outputs[0].numpy()) if is_classifier else None
        return _OutputDistance(decibels, kl)


def _compute_outputs_from(units: Sequence[ModelUnit], values: Sequence[Any]) -> tuple[Tensor, ...]:
    """Compute the outputs from batches of the input of the first of the remaining `units`."""

    def compute_outputs(batch: Any) -> tuple[Tensor, ...]:
        for _, unit in units:
            batch = unit(batch)
        return list_tensors(batch)

    return tuple(map(torch.cat, zip(*map_in_order(compute_outputs, values), strict=True)))


def _count_macs_and_weights(deployed: DeployForm) -> dict[str, tuple[int, int]]:
    """Count, for each layer, the multiply-adds of an image, in all its calls, and the elements of the weight."""
    counts: dict[str, tuple[int, int]] = {}
    for call in deployed.wiring.calls:
        name, weights = call.layer, prod(call.weight_shape)
        counts[name] = counts.get(name, (0, 0))[0] + weights * call.positions, weights
    return counts
