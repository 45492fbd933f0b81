"""Sensitivity: what a layer costs is what the whole model says with that layer alone changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from math import log10
from pathlib import Path

import pytest
import torch
from torch import Tensor

from shvit_mobile.contracts.recipe import ActivationRange, Recipe
from shvit_mobile.contracts.sensitivity import BlockSensitivity, LayerSensitivity, SensitivityReport, get_row_name
from shvit_mobile.deploy.equalization_groups import scale_channels
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadImages, BadRecipe, BadReport
from shvit_mobile.families.shvit import SHViT
from shvit_mobile.metrics import compute_mean_kl, sqnr
from shvit_mobile.quantize.affine import compute_channel_scales, quantize_weight
from shvit_mobile.quantize.layers import find_dense_layers
from shvit_mobile.quantize.observation import observe_ranges
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_equalization
from shvit_mobile.quantize.sensitivity import SensitivityRow, measure_sensitivity
from tests.builders import TINY, build_random_shvit, build_trained_model, draw_smooth_pixels
from tests.quantize.builders import link_overrides, simulate_int8

ODD = (65, 47)
# Of a layer that a test does not look at.
PLACEHOLDER = LayerSensitivity(
    layer="", macs=0, weights=0, quantized_db=0.0, quantized_kl=0.0, float_db=0.0, float_kl=0.0
)


@dataclass(frozen=True, eq=False)
class SensitivityCase:
    """A model, a recipe for it, and images in two batches."""

    deployed: DeployForm
    recipe: Recipe
    overrides: ParameterOverrides | None
    images: tuple[Tensor, ...]

    def measured(self, **options: object) -> SensitivityReport:
        return measure_sensitivity(self.deployed, self.recipe, self.images, overrides=self.overrides, **options)

    def naive(self, int8: set[str]) -> tuple[float, float]:
        """SQNR and divergence where these layers are in int8 and no others, by running all of it."""
        images = torch.cat(self.images)
        recipe = self.recipe.model_copy(update={"float_layers": tuple(self.recipe.ranges.keys() - int8)})
        with torch.inference_mode():
            expected = apply_equalization(self.deployed, self.recipe, self.overrides).module(images).numpy()
            actual = simulate_int8(self.deployed, recipe, self.overrides)(images).numpy()
        return sqnr(expected, actual), compute_mean_kl(expected, actual)


@cache
def build_case(
    variant: str = "tiny", size: tuple[int, int] = ODD, *, changed: bool = False, kept: float = 1.0
) -> SensitivityCase:
    model = build_random_shvit(TINY) if variant == "tiny" else build_random_shvit(variant, classes=10)
    deployed = to_deploy_form(build_trained_model(model, size=size))
    images = tuple(torch.split(draw_smooth_pixels(11, size), 6))
    corrections = build_every_override(deployed.module) if changed else ParameterOverrides()
    module = scale_channels(deployed.module, deployed.wiring.groups, corrections.exponents)
    ranges: dict[str, ActivationRange] = {}
    with observe_ranges(module, deployed.wiring, ranges), torch.inference_mode():
        for batch in images:
            module(batch)
    # A layer's output narrower than the next one's input: then it matters that a value is rounded once.
    clipped = {
        name: ActivationRange(input=seen.input, output=(kept * seen.output[0], kept * seen.output[1]))
        for name, seen in ranges.items()
    }
    recipe = Recipe(precision="int8", ranges=clipped)
    if not changed:
        return SensitivityCase(deployed, recipe, None, images)
    return SensitivityCase(deployed, link_overrides(recipe, corrections), corrections, images)


@cache
def measure_usual_case() -> SensitivityReport:
    """Of the usual case."""
    return build_case().measured()


def build_every_override(module: SHViT) -> ParameterOverrides:
    """Corrections of every kind, each large enough to be missed."""
    layers = dict(find_dense_layers(module))
    first, second = "patch_embed.0", "patch_embed.2"
    scales = compute_channel_scales(layers[second].weight) * 0.8
    return ParameterOverrides(
        exponents={first: torch.arange(layers[first].out_channels, dtype=torch.int8) % 4 - 1},
        integers={second: quantize_weight(layers[second].weight, scales)[0]},
        scales={second: scales},
        biases={
            first: layers[first].bias + 0.05,
            "stages.1.downsample.2.conv3": layers["stages.1.downsample.2.conv3"].bias + 0.05,
        },
        means={"patch_embed.centre.mean": torch.full((3,), 100.0)},
    )


def is_close(found: SensitivityRow, alone: tuple[float, float], without: tuple[float, float]) -> bool:
    figures = (found.quantized_db, found.quantized_kl, found.float_db, found.float_kl)
    return figures == pytest.approx((*alone, *without), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(("tiny", ODD, False), id="tiny"),
        pytest.param(("tiny", (64, 96), True), id="tiny-corrected"),
        pytest.param(("shvit_s1", (47, 65), False), id="shvit_s1", marks=pytest.mark.slow),
        pytest.param(("shvit_s2", (33, 64), True), id="shvit_s2-corrected", marks=pytest.mark.slow),
    ],
)
def test_each_row_is_what_the_whole_model_says(made: tuple[str, tuple[int, int], bool]) -> None:
    variant, size, changed = made
    of = build_case(variant, size, changed=changed, kept=0.8)
    names = list(of.recipe.ranges)
    chosen = (
        {*names[:2], *names[4::7], "stages.1.downsample.2.conv3"} if variant == "tiny" else {names[0], *names[8::16]}
    )
    done = {name: PLACEHOLDER.model_copy(update={"layer": name}) for name in names if name not in chosen}
    found = of.measured(known_rows=done)
    assert (found.int8_db, found.int8_kl) == pytest.approx(of.naive(set(names)), rel=1e-6, abs=1e-6)
    for row in found.layers:
        assert row.layer in done or is_close(row, of.naive({row.layer}), of.naive(set(names) - {row.layer})), row
    for block in (found.blocks[0], found.blocks[2]):
        assert is_close(block, of.naive(set(block.layers)), of.naive(set(names) - set(block.layers))), block


def test_layers_and_blocks_are_those_of_the_model_in_its_order() -> None:
    of, found = build_case(), measure_usual_case()
    dense = dict(find_dense_layers(of.deployed.module))
    assert [row.layer for row in found.layers] == list(dense)
    assert [row.weights for row in found.layers] == [layer.weight.numel() for layer in dense.values()]
    assert [layer for block in found.blocks for layer in block.layers] == list(dense)
    assert [block.block for block in found.blocks] == [
        *("patch_embed", "stages.0.blocks.0", "stages.1.downsample", "stages.1.blocks.0", "stages.1.blocks.1"),
        *("stages.2.downsample", "stages.2.blocks.0"),
    ]


def test_multiply_adds_are_those_of_an_image() -> None:
    macs = {row.layer: row.macs for row in measure_usual_case().layers}
    assert macs["patch_embed.0"] == 33 * 24 * 2 * 3 * 3 * 3
    assert macs["patch_embed.6"] == 5 * 3 * 16 * 8 * 3 * 3
    assert macs["stages.1.downsample.2.se.fc1"] == 64 * 16


def test_a_layer_with_an_absurd_range_is_the_worst_from_either_end() -> None:
    of, wrong = build_case(), "stages.1.blocks.1.ffn.m.pw1"
    sensible = of.recipe.ranges[wrong]
    ranges = {**of.recipe.ranges, wrong: ActivationRange(input=sensible.input, output=(0.0, 3000.0))}
    found = replace(of, recipe=of.recipe.model_copy(update={"ranges": ranges})).measured()
    assert min(found.layers, key=lambda row: row.quantized_db).layer == wrong
    assert max(found.layers, key=lambda row: row.quantized_kl).layer == wrong
    assert max(found.layers, key=lambda row: row.float_db).layer == wrong
    assert min(found.layers, key=lambda row: row.float_kl).layer == wrong
    assert min(found.blocks, key=lambda row: row.quantized_db).block == "stages.1.blocks.1"
    assert max(found.blocks, key=lambda row: row.float_db).block == "stages.1.blocks.1"


def test_noise_of_single_layers_adds_up_to_that_of_all() -> None:
    found = measure_usual_case()
    together = sum(10 ** (-row.quantized_db / 10) for row in found.layers)
    assert -10 * log10(together) == pytest.approx(found.int8_db, abs=1.5)


def test_a_layer_that_the_recipe_keeps_in_float_stays_so_and_has_no_row() -> None:
    of, kept = build_case(), ("patch_embed.2", "stages.0.blocks.0.ffn.m.pw1", "stages.0.blocks.0.ffn.m.pw2")
    found = replace(of, recipe=of.recipe.model_copy(update={"float_layers": kept})).measured()
    rest = set(of.recipe.ranges) - set(kept)
    assert {row.layer for row in found.layers} == rest
    assert "stages.0.blocks.0" not in {block.block for block in found.blocks}
    row = next(row for row in found.layers if row.layer == "patch_embed.4")
    assert is_close(row, of.naive({"patch_embed.4"}), of.naive(rest - {"patch_embed.4"}))
    assert found.int8_db == pytest.approx(of.naive(rest)[0], rel=1e-6)


class Interrupted(Exception):
    pass


def test_an_interrupted_run_goes_on_to_the_same_document() -> None:
    of, kept, later = build_case(), dict[str, SensitivityRow](), list[str]()

    def keep(row: SensitivityRow) -> None:
        kept[get_row_name(row)] = row
        if len(kept) == 9:
            raise Interrupted

    with pytest.raises(Interrupted):
        of.measured(on_row=keep)
    assert {type(row) for row in kept.values()} == {LayerSensitivity, BlockSensitivity}
    again = of.measured(known_rows=kept, on_row=lambda row: later.append(get_row_name(row)))
    assert again == measure_usual_case()
    assert sorted([*kept, *later]) == sorted(map(get_row_name, (*again.layers, *again.blocks)))


def test_what_is_known_is_not_measured_again() -> None:
    found = measure_usual_case()
    known = {get_row_name(row): row for row in (*found.layers, *found.blocks)}
    changed = found.layers[3].model_copy(update={"quantized_db": 1.25})
    assert build_case().measured(known_rows={**known, changed.layer: changed}).layers[3] == changed


def test_progress_goes_from_nothing_to_all_rows() -> None:
    told: list[tuple[int, int]] = []
    known = {row.layer: row for row in measure_usual_case().layers}
    found = build_case().measured(known_rows=known, progress=lambda done, total: told.append((done, total)))
    total = len(found.layers) + len(found.blocks)
    assert told == [(done, total) for done in range(total + 1)]


def test_the_document_says_what_it_was_measured_with(tmp_path: Path) -> None:
    found = measure_usual_case()
    assert (found.images, found.checkpoint_sha256) == (11, "0" * 64)
    known = {get_row_name(row): row for row in (*found.layers, *found.blocks)}
    other = replace(build_case(), recipe=build_case().recipe.model_copy(update={"observer": "mse"})).measured(
        known_rows=known
    )
    assert other.recipe_sha256 != found.recipe_sha256
    file = tmp_path / "sensitivity.json"
    file.write_text(found.to_json(), encoding="utf-8")
    assert SensitivityReport.load(file) == found
    file.write_text(found.to_json().replace('"images": 11', '"images": 0'), encoding="utf-8")
    with pytest.raises(BadReport, match="images"):
        SensitivityReport.load(file)


def test_without_images_or_int8_there_is_nothing_to_measure() -> None:
    of = build_case()
    with pytest.raises(BadImages, match="no images"):
        replace(of, images=()).measured()
    with pytest.raises(BadRecipe, match="fp16"):
        replace(of, recipe=Recipe(precision="fp16")).measured()
