"""What a layer costs in instructions is what a whole program executes more with that layer in float."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from shvit_mobile.contracts.budget_search import LayerCosts, SearchResult
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.drift.gates import Gate
from shvit_mobile.errors import UnknownChoice
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import ImageSet, open_images
from shvit_mobile.pipeline import layer_instructions
from shvit_mobile.pipeline.budget_search import compute_costs, search_recipe
from shvit_mobile.pipeline.layer_instructions import Emulation, open_emulation
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quantize.sensitivity import measure_sensitivity
from shvit_mobile.runtimes.arm64.cpus import is_arm64_host
from shvit_mobile.targets.executorch import ExecuTorchOptions, build
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder
from tests.programs import SMALL

SIZE = (64, 96)
STEM = ("patch_embed.0", "patch_embed.2", "patch_embed.4", "patch_embed.6")

pytestmark = [
    pytest.mark.arm64,
    pytest.mark.skipif(is_arm64_host(), reason="this machine is ARM64 itself: nothing is emulated"),
]


@dataclass(frozen=True)
class World:
    """A small model with its int8 recipe, and what each layer costs on the CPU dotprod."""

    deployed: DeployForm
    recipe: Recipe
    images: ImageSet
    costs: LayerCosts
    cache: Path
    emulation: Emulation

    def count(self, float_layers: Iterable[str]) -> int:
        """Count the instructions of the whole program with some layers in float."""
        recipe = self.recipe.model_copy(update={"float_layers": tuple(float_layers)})
        path = self.cache / "whole.pte"
        build(self.deployed, recipe, path, ExecuTorchOptions(head="float"))
        return self.emulation.count(path, (1, 3, *SIZE))

    def compute_costs(self) -> LayerCosts:
        batches = iterate_batches(self.images, self.deployed.trained.preprocessing, size=8)
        pixels = [self.deployed.prepare(batch.pixels) for batch in batches]
        report = measure_sensitivity(self.deployed, self.recipe, pixels)
        return compute_costs("arm64", report, self.deployed, self.recipe, cpu="dotprod", cache_folder=self.cache)

    def search(self, budget: Gate, costs: LayerCosts | None = None) -> SearchResult:
        batches = iterate_batches(self.images, self.deployed.trained.preprocessing, size=8)
        pixels = [self.deployed.prepare(batch.pixels) for batch in batches]
        report = measure_sensitivity(self.deployed, self.recipe, pixels)
        return search_recipe(self.deployed, self.recipe, report, self.images, budget, costs or "bytes")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    cache = tmp_path_factory.mktemp("cache")
    deployed = to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE))
    images = open_images(write_picture_folder(cache / "pictures", count=12, size=(80, 110)))
    recipe = calibrate_recipe(deployed, images, count=12)[0]
    empty = LayerCosts(of="bytes", layers={})
    unknown = World(deployed, recipe, images, empty, cache, open_emulation("dotprod"))
    return World(deployed, recipe, images, unknown.compute_costs(), cache, unknown.emulation)


def test_a_layer_costs_what_the_whole_program_executes_more_with_it_in_float(world: World) -> None:
    layers, base = world.costs.layers, world.count(())
    # The first layer has another form in int8; the second has int8 on both sides.
    for layer in STEM[:2]:
        assert world.count([layer]) - base == pytest.approx(layers[layer], rel=0.01)
    # Between two layers in float nothing is converted, which the sum does not know.
    assert world.count(layers) - base == pytest.approx(sum(layers.values()), rel=0.05)
    assert (world.costs.of, world.costs.cpu) == ("arm64", "dotprod")
    assert "XNNPACK" in (world.costs.engine or "")


def test_parts_that_are_alike_cost_the_same_and_nothing_is_counted_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = world.costs.layers
    for one in ("pw1", "pw2"):
        assert layers[f"stages.1.downsample.4.m.{one}"] == layers[f"stages.1.blocks.0.ffn.m.{one}"] > 0
    (file,) = world.cache.glob("instructions-*.jsonl")
    rows = file.read_text(encoding="utf-8").splitlines()
    assert len({*rows}) == len(rows) < 2 * len(layers)

    def never(*_: object) -> None:
        raise AssertionError("counted again what is in the cache")

    monkeypatch.setattr(layer_instructions, "count_instructions", never)
    assert world.compute_costs() == world.costs
    file.write_text("\n".join(rows[:-1]) + "\n" + rows[-1][:20], encoding="utf-8")
    with pytest.raises(AssertionError, match="counted again"):
        world.compute_costs()
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")


def test_the_recipe_for_the_fewest_instructions_executes_no_more_than_the_one_for_the_fewest_bytes(
    world: World,
) -> None:
    loosest = world.search(Gate(min_sqnr=0)).points[0].row.sqnr_db
    assert loosest is not None
    budget = Gate(min_sqnr=loosest + 2)
    for_bytes, for_phones = world.search(budget), world.search(budget, world.costs)
    assert for_bytes.float_layers
    assert for_bytes.float_layers != for_phones.float_layers
    base, bytes_count, phones_count = map(world.count, ((), for_bytes.float_layers, for_phones.float_layers))
    assert phones_count < bytes_count
    # The sum does not know what neighbors do: between two layers in float nothing is converted, and a relu, which int8
    # spares, returns. In a model as small as this one, that is as much as the layers themselves.
    assert abs(phones_count - base - for_phones.chosen.cost) <= 0.02 * base
    assert any("on the CPU dotprod" in note and "Instructions are not cycles" in note for note in for_phones.notes)


def test_an_unknown_cpu_is_refused() -> None:
    with pytest.raises(UnknownChoice, match="'m4' is not a CPU"):
        open_emulation("m4")


def test_the_cache_knows_the_cpu(world: World) -> None:
    assert len({open_emulation(cpu).sha256 for cpu in ("neon", "dotprod", "i8mm")}) == 3
    assert open_emulation("dotprod").sha256 == world.emulation.sha256
