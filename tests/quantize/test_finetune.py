"""Fine-tuning teaches int8 to live with poor ranges, and its recipe lowers to the very numbers that were trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shvit_mobile.contracts.recipe import PTQ_PASSES, ActivationRange, ActivationScheme, EvalMetrics, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadImages, BadRecipe, InvalidConfig
from shvit_mobile.families.shvit import SHViTConfig
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import ImageSet, open_images
from shvit_mobile.metrics import sqnr
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quantize.finetune import (
    FinetuneResult,
    FinetuneSettings,
    compute_metrics,
    finetune_recipe,
    split_held_out,
)
from shvit_mobile.quantize.layers import select_int8_layers
from shvit_mobile.quantize.overrides import ParameterOverrides, load_recipe, save_recipe
from shvit_mobile.quantize.passes import PTQPassManager
from shvit_mobile.quantize.qat_graph import build_training_graph
from shvit_mobile.runtimes import open_runner
from tests.builders import build_random_shvit, build_trained_model, draw_smooth_pixels, write_picture_folder
from tests.quantize.builders import link_overrides, simulate_int8

SMALL = SHViTConfig(
    dims=(16, 24), partial_dims=(8, 9), qk_dims=(8, 8), depths=(1, 1), block_types=("i", "s"), classes=7
)
SIZE = (64, 48)
SETTINGS = FinetuneSettings(epochs=2, batch=8, learning_rate=0.2)


@pytest.fixture(scope="module")
def deployed() -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE))


@pytest.fixture(scope="module")
def images(deployed: DeployForm, tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    labels = deployed.trained.labels
    folder = write_picture_folder(tmp_path_factory.mktemp("pictures"), count=42, classes=labels)
    return open_images(folder, labels=labels)


@pytest.fixture(scope="module")
def recipe(deployed: DeployForm, images: ImageSet) -> Recipe:
    """What one image shows, and most of that cut off."""
    measured = calibrate_recipe(deployed, images, count=1)[0]
    return measured.model_copy(update={"ranges": {name: narrow_range(seen) for name, seen in measured.ranges.items()}})


def narrow_range(seen: ActivationRange) -> ActivationRange:
    return ActivationRange(input=seen.input, output=(0.4 * seen.output[0], 0.4 * seen.output[1]))


@pytest.fixture(scope="module")
def tuned(deployed: DeployForm, recipe: Recipe, images: ImageSet) -> FinetuneResult:
    return finetune_recipe(deployed, recipe, images, SETTINGS)


@pytest.fixture(scope="module")
def improved(deployed: DeployForm) -> tuple[Recipe, ParameterOverrides]:
    """A recipe with overrides of every kind."""
    pixels = draw_smooth_pixels(8, SIZE).permute(0, 2, 3, 1).numpy().astype(np.uint8)
    *_, (attempt, gains) = PTQPassManager(deployed, pixels).run_passes(PTQ_PASSES)
    recipe = Recipe(precision="int8", ranges=dict(attempt.ranges), steps=gains)
    return link_overrides(recipe, attempt.overrides), attempt.overrides


def measure_sqnr(deployed: DeployForm, recipe: Recipe, overrides: ParameterOverrides | None = None) -> float:
    """SQNR of simulated int8 on images that nothing was trained on."""
    pixels = draw_smooth_pixels(16, SIZE, seed=9)
    with torch.no_grad():
        expected, actual = deployed.module(pixels), simulate_int8(deployed, recipe, overrides)(pixels)
    return sqnr(expected.numpy(), actual.numpy())


def test_the_loss_falls_and_a_damaged_recipe_gets_better(
    deployed: DeployForm, recipe: Recipe, tuned: FinetuneResult
) -> None:
    assert tuned.epochs[1].loss < tuned.epochs[0].loss
    assert tuned.is_improvement
    assert tuned.after.sqnr_db > tuned.before.sqnr_db + 1
    assert measure_sqnr(deployed, tuned.recipe, tuned.overrides) > measure_sqnr(deployed, recipe) + 1


def test_the_number_of_threads_changes_no_bit(
    deployed: DeployForm, recipe: Recipe, images: ImageSet, tuned: FinetuneResult
) -> None:
    torch.set_num_threads(3)
    again = finetune_recipe(deployed, recipe, images, SETTINGS)
    assert again.recipe == tuned.recipe
    assert again.epochs == tuned.epochs


@pytest.mark.parametrize("activations", ["affine", "symmetric"])
def test_the_graph_computes_what_a_corrected_recipe_simulates(
    deployed: DeployForm, improved: tuple[Recipe, ParameterOverrides], activations: ActivationScheme
) -> None:
    recipe, overrides = improved
    recipe = recipe.model_copy(update={"activations": activations, "float_layers": ("patch_embed.2",)})
    graph, pixels = build_training_graph(deployed, recipe, overrides), draw_smooth_pixels(5, SIZE, seed=3)
    with torch.no_grad():
        expected = simulate_int8(deployed, recipe, overrides)(pixels)
        for some in (slice(0, 1), slice(0, 5)):
            torch.testing.assert_close(graph.module(pixels[some]), expected[some], rtol=0, atol=1e-4)


def test_corrections_are_what_the_graph_computes_with_after_its_last_update(
    deployed: DeployForm, improved: tuple[Recipe, ParameterOverrides]
) -> None:
    graph, pixels = build_training_graph(deployed, *improved), draw_smooth_pixels(5, SIZE, seed=3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        before = graph.module(pixels)
        for parameter in graph.parameters:
            parameter += 2 * torch.randn(parameter.shape, generator=generator)
        moved = graph.module(pixels)
        trained = graph.export_overrides()
        assert (moved - before).abs().max() > 0.01
        simulated = simulate_int8(deployed, link_overrides(improved[0], trained), trained)
        torch.testing.assert_close(moved, simulated(pixels), rtol=0, atol=1e-4)


def test_every_int8_layer_is_trained_and_nothing_else(deployed: DeployForm, recipe: Recipe) -> None:
    kept = "stages.1.blocks.0.ffn.m.pw1"
    assert kept in recipe.ranges, "a layer of the model"
    graph = build_training_graph(deployed, recipe.model_copy(update={"float_layers": (kept,)}))
    graph.module(draw_smooth_pixels(2, SIZE)).square().sum().backward()
    moved = {name for name, parameter in graph.module.named_parameters() if parameter.grad is not None}
    layers = select_int8_layers(deployed, recipe) - {kept}
    assert moved == {f"{layer}.parametrizations.{part}.original" for layer in layers for part in ("weight", "bias")}


def test_the_recipe_lowers_to_what_was_trained(
    deployed: DeployForm, recipe: Recipe, tuned: FinetuneResult, tmp_path: Path
) -> None:
    save_recipe(tmp_path / "recipe-finetuned.json", tuned.recipe, tuned.overrides)
    read = load_recipe(tmp_path / "recipe-finetuned.json")
    artifact = lower(deployed, read[0], "onnx", tmp_path, overrides=read[1])
    pixels = draw_smooth_pixels(8, SIZE, seed=4)
    with torch.no_grad():
        expected, poor = (simulate_int8(deployed, *one)(pixels).numpy() for one in (read, (recipe, None)))
    actual = open_runner(artifact).run(pixels.permute(0, 2, 3, 1).to(torch.uint8).numpy())
    apart_by = float(np.abs(actual - expected).max())
    assert apart_by < 0.02 * float(np.abs(expected).max())
    assert apart_by < 0.1 * float(np.abs(actual - poor).max()), "the artifact is the trained one"


def test_one_seed_gives_the_same_bytes_and_another_others(
    deployed: DeployForm, recipe: Recipe, images: ImageSet, tuned: FinetuneResult
) -> None:
    again = finetune_recipe(deployed, recipe, images, SETTINGS)
    assert again.recipe.to_json() == tuned.recipe.to_json()
    assert again.overrides.file_bytes == tuned.overrides.file_bytes
    other = finetune_recipe(deployed, recipe, images, replace(SETTINGS, seed=1, flip=True))
    assert other.recipe.corrections != tuned.recipe.corrections


def test_the_best_epoch_is_kept_and_written_down(deployed: DeployForm, recipe: Recipe, images: ImageSet) -> None:
    wild = finetune_recipe(deployed, recipe, images, replace(SETTINGS, epochs=3, learning_rate=3.0))
    best = max(wild.epochs, key=lambda epoch: (epoch.metrics.agreement, epoch.metrics.sqnr_db))
    assert wild.epochs[wild.best] == best
    told = wild.recipe.finetuning
    assert told is not None
    assert (told.epochs, told.after, told.held_out, told.images.count) == (wild.best + 1, best.metrics, 8, 34)
    learn, held = split_held_out(images.sample(1000, 0))
    assert told.images.sha256 == learn.compute_sha256()
    assert not set(learn.files) & set(held.files)


def test_what_was_kept_is_not_what_came_after(deployed: DeployForm, recipe: Recipe, images: ImageSet) -> None:
    """The corrections of the best epoch, measured anew, stand where that epoch stood."""
    wild = finetune_recipe(deployed, recipe, images, replace(SETTINGS, epochs=3, learning_rate=3.0))
    again = finetune_recipe(deployed, wild.recipe, images, replace(SETTINGS, epochs=1), overrides=wild.overrides)
    assert again.before == wild.after


def test_agreement_comes_before_sqnr() -> None:
    near, far = EvalMetrics(agreement=0.99, sqnr_db=20, top1=0.9), EvalMetrics(agreement=0.98, sqnr_db=30, top1=0.9)
    assert near.is_better_than(far)
    assert not far.is_better_than(near)
    assert not near.is_better_than(near)
    assert near.model_copy(update={"sqnr_db": 21}).is_better_than(near)


def test_a_model_that_takes_normalised_pixels_is_given_them(images: ImageSet) -> None:
    outside = to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE), normalise=False)
    poor = calibrate_recipe(outside, images, count=1)[0]
    tuned = finetune_recipe(outside, poor, images, replace(SETTINGS, epochs=1))
    preprocessing = outside.trained.preprocessing
    (held,) = iterate_batches(split_held_out(images.sample(SETTINGS.count, SETTINGS.seed))[1], preprocessing)
    values = torch.from_numpy(preprocessing.normalize(held.pixels))
    with torch.no_grad():
        seen = compute_metrics(
            simulate_int8(outside, poor)(values), outside.module(values), torch.from_numpy(held.labels)
        )
    assert tuned.before == seen


def test_pictures_that_cannot_be_decoded_are_counted(deployed: DeployForm, recipe: Recipe, tmp_path: Path) -> None:
    labels = deployed.trained.labels
    folder = write_picture_folder(tmp_path, count=14, classes=labels)
    (folder / labels[0] / "broken.jpg").write_bytes(b"no picture")
    tuned = finetune_recipe(deployed, recipe, open_images(folder, labels=labels), replace(SETTINGS, epochs=1))
    assert tuned.skipped == 1


def test_what_cannot_be_fine_tuned_is_refused(
    deployed: DeployForm, recipe: Recipe, images: ImageSet, tmp_path: Path
) -> None:
    with pytest.raises(BadRecipe, match="The recipe's precision is int8-dynamic"):
        finetune_recipe(deployed, calibrate_recipe(deployed, precision="int8-dynamic")[0], images)
    with pytest.raises(BadRecipe, match="keeps every layer in float"):
        finetune_recipe(deployed, recipe.model_copy(update={"float_layers": tuple(recipe.ranges)}), images)
    other = to_deploy_form(build_trained_model(build_random_shvit(replace(SMALL, depths=(2, 1))), size=SIZE))
    with pytest.raises(BadRecipe, match=r"does not fit custom: it has no range of stages\.0\.blocks\.1"):
        finetune_recipe(other, recipe, images)
    with pytest.raises(BadImages, match="have no labels"):
        finetune_recipe(deployed, recipe, replace(images, labels=None))
    with pytest.raises(BadImages, match="are not the model's"):
        finetune_recipe(deployed, recipe, replace(images, classes=("other",) * 7))
    with pytest.raises(BadImages, match="There are 9 images"):
        finetune_recipe(deployed, recipe, images.select(range(9)))
    with pytest.raises(InvalidConfig, match="abacus"):
        finetune_recipe(deployed, recipe, images, FinetuneSettings(device="abacus"))
    with pytest.raises(InvalidConfig, match="nan"):
        FinetuneSettings(learning_rate=float("nan"))
    with pytest.raises(InvalidConfig, match="128"):
        FinetuneSettings(learning_rate=128)
    with pytest.raises(InvalidConfig, match="`epochs` is 0"):
        FinetuneSettings(epochs=0)
