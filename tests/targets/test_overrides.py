"""Artifacts of a recipe with corrections hold the very integers that were chosen, and keep them beside the recipe."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor

from shvit_mobile.contracts.artifact import Artifact, get_recipe_path
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.recipe import Recipe, get_overrides_path
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.drift.compare import compute_float_reference
from shvit_mobile.drift.ladder import build_simulation, list_simulated_rungs
from shvit_mobile.drift.ladder import compare_simulated_rung as on_rung
from shvit_mobile.drift.layer_drift import compare_layers
from shvit_mobile.errors import BadRecipe, OutputExists
from shvit_mobile.images.image_set import ImageSet, open_images
from shvit_mobile.pipeline.lower import check_artifact_overwrite, lower
from shvit_mobile.quantize.overrides import ParameterOverrides, load_artifact_overrides, load_recipe
from shvit_mobile.runtimes import open_runner
from shvit_mobile.targets.coreml.spec.package import MLPackage, find_entry_block
from shvit_mobile.targets.coreml.spec.values import decode_constant
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder
from tests.coreai_packages import EVERY_TARGET
from tests.programs import SMALL, draw_pictures
from tests.quantize.builders import build_overridden_recipe, build_plain_recipe, simulate_int8

SIZE = (48, 64)
FIRST = "patch_embed.0"
# As a recipe may ask.
KEPT = "stages.1.blocks.0.mixer.m.qkv"


@pytest.fixture(scope="module")
def deployed() -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE))


@pytest.fixture(scope="module")
def calibrated(deployed: DeployForm) -> tuple[Recipe, ParameterOverrides]:
    recipe, overrides = build_overridden_recipe(deployed)
    return recipe.model_copy(update={"float_layers": (KEPT,)}), overrides


@pytest.fixture(scope="module")
def recipe(calibrated: tuple[Recipe, ParameterOverrides]) -> Recipe:
    return calibrated[0]


@pytest.fixture(scope="module")
def overrides(calibrated: tuple[Recipe, ParameterOverrides]) -> ParameterOverrides:
    return calibrated[1]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return open_images(write_picture_folder(tmp_path_factory.mktemp("pictures"), count=3))


@pytest.fixture(scope="module")
def artifacts(
    deployed: DeployForm, recipe: Recipe, overrides: ParameterOverrides, tmp_path_factory: pytest.TempPathFactory
):
    """The artifact for a target, made once."""
    return cache(lambda target: lower(deployed, recipe, target, tmp_path_factory.mktemp(target), overrides=overrides))


def select_integers(overrides: ParameterOverrides) -> dict[str, Tensor]:
    return {name: integers for name, integers in overrides.integers.items() if name != KEPT}


def test_onnx_stores_the_chosen_integers_scales_and_biases(artifacts, overrides: ParameterOverrides) -> None:
    held = {each.name: numpy_helper.to_array(each) for each in onnx.load(artifacts("onnx").path).graph.initializer}
    for name, integers in select_integers(overrides).items():
        np.testing.assert_array_equal(held[f"{name}.weight.int8"], integers.numpy())
        np.testing.assert_array_equal(held[f"{name}.weight.scale"], overrides.scales[name].numpy())
        steps = held[f"{name}.bias.scale"]
        wanted = overrides.biases[name].numpy()
        np.testing.assert_allclose(held[f"{name}.bias.int32"] * steps, wanted, rtol=1e-6, atol=0.6 * steps.max())
    assert f"{KEPT}.weight.int8" not in held


def test_core_ml_stores_the_chosen_integers_and_scales(artifacts, overrides: ParameterOverrides) -> None:
    package = MLPackage(artifacts("coreml").path)
    held = {
        each.outputs[0].name: each
        for each in find_entry_block(package)[1].operations
        if each.type.startswith("constexpr")
    }
    assert len(held) == len(select_integers(overrides))
    for name, integers in select_integers(overrides).items():
        operation = held[f"{name}.weight".replace(".", "_")]
        stored = decode_constant(operation.attributes["quantized_data"], package, torch.float32)
        assert torch.equal(stored, integers), name
        scales = decode_constant(operation.attributes["scale"], package, torch.float32)
        assert torch.equal(scales, overrides.scales[name].half().float())


def test_executorch_stores_the_chosen_integers(artifacts, overrides: ParameterOverrides) -> None:
    program = artifacts("executorch").path.read_bytes()
    for name, integers in select_integers(overrides).items():
        if name == FIRST:  # in pairs of pixels of three rows, with zeros beside the first pixel of a window
            first, second, third = integers.transpose(1, 2).unbind(-1)
            pairs = [torch.stack([torch.zeros_like(first), first], -1), torch.stack([second, third], -1)]
            assert torch.stack(pairs, 1).contiguous().numpy().tobytes() in program
            continue
        # Channels last, as XNNPACK wants them.
        assert integers.permute(0, 2, 3, 1).contiguous().numpy().tobytes() in program, name
        if integers.numel() > 64:
            assert (-integers).permute(0, 2, 3, 1).contiguous().numpy().tobytes() not in program


@pytest.mark.parametrize("target", EVERY_TARGET)
def test_every_target_agrees_with_the_simulation(
    target: Target, artifacts, deployed: DeployForm, recipe: Recipe, overrides: ParameterOverrides
) -> None:
    pixels = draw_pictures(6, SIZE)
    actual = torch.from_numpy(open_runner(artifacts(target)).run(pixels))
    given = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        expected, reference = simulate_int8(deployed, recipe, overrides)(given), deployed.module(given)
        without = simulate_int8(deployed, build_plain_recipe(deployed))(given)
    distance = float((actual - expected).norm())
    # Runtimes compute in other orders, and Core ML in half precision: some values fall to the next integer.
    assert distance < 0.5 * float((expected - reference).norm())
    assert distance < 0.5 * float((expected - without).norm())


@pytest.mark.parametrize("target", EVERY_TARGET)
def test_the_corrections_lie_beside_the_recipe(target: Target, artifacts, recipe: Recipe) -> None:
    path = artifacts(target).path
    beside = path.parent / f"{path.stem}.recipe.safetensors"
    assert get_overrides_path(get_recipe_path(path)) == beside
    assert compute_sha256(beside) == recipe.corrections == Recipe.load(get_recipe_path(path)).corrections
    assert len(list(path.parent.iterdir())) == 5


def test_the_recipe_beside_an_artifact_makes_it_again(artifacts, deployed: DeployForm, tmp_path: Path) -> None:
    first = artifacts("onnx")
    recipe, overrides = load_recipe(get_recipe_path(first.path))
    again = lower(deployed, recipe, "onnx", tmp_path, overrides=overrides)
    assert again.path.read_bytes() == first.path.read_bytes()
    for beside in (get_recipe_path, lambda path: get_overrides_path(get_recipe_path(path))):
        assert beside(again.path).read_bytes() == beside(first.path).read_bytes()


def test_a_recipe_without_its_own_overrides_is_not_lowered(
    deployed: DeployForm, recipe: Recipe, overrides: ParameterOverrides, tmp_path: Path
) -> None:
    for others in (None, replace(overrides, means={})):
        with pytest.raises(BadRecipe):
            lower(deployed, recipe, "onnx", tmp_path / "new", overrides=others)
        assert not (tmp_path / "new").exists()


def test_overrides_of_a_replaced_artifact_are_removed(
    deployed: DeployForm, recipe: Recipe, overrides: ParameterOverrides, tmp_path: Path
) -> None:
    first = lower(deployed, recipe, "onnx", tmp_path, overrides=overrides)
    beside = get_overrides_path(get_recipe_path(first.path))
    assert beside.exists()
    without = build_plain_recipe(deployed).model_copy(update={"float_layers": recipe.float_layers})
    with pytest.raises(OutputExists):
        lower(deployed, without, "onnx", tmp_path)
    assert beside.exists()
    other = lower(deployed, without, "onnx", tmp_path, overwrite=True)
    assert not beside.exists()
    assert Artifact.open(other.path).manifest.recipe.corrections is None


@pytest.mark.parametrize("with_others", [False, True])
def test_a_file_in_the_corrections_place_is_not_taken_away_unasked(
    with_others: bool,
    deployed: DeployForm,
    calibrated: tuple[Recipe, ParameterOverrides],
    tmp_path: Path,
) -> None:
    chosen, overrides = calibrated if with_others else (build_plain_recipe(deployed), None)
    artifact = tmp_path / f"custom-48x64-onnx-{chosen.precision_name}.onnx"
    get_overrides_path(get_recipe_path(artifact)).write_bytes(b"somebody's weights")
    with pytest.raises(OutputExists, match=r"recipe\.safetensors already exists"):
        check_artifact_overwrite(artifact, overwrite=False)
    with pytest.raises(OutputExists, match=r"recipe\.safetensors already exists"):
        lower(deployed, chosen, "onnx", tmp_path, overrides=overrides)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"somebody's weights"]
    check_artifact_overwrite(artifact, overwrite=True)


def test_an_opened_artifact_finds_its_overrides(
    artifacts, deployed: DeployForm, recipe: Recipe, overrides: ParameterOverrides
) -> None:
    opened = Artifact.open(artifacts("onnx").path)
    assert opened.manifest.recipe == recipe
    pixels = draw_pictures(2, SIZE)
    np.testing.assert_array_equal(
        build_simulation(deployed, opened.manifest.recipe, load_artifact_overrides(opened))(pixels)["logits"],
        build_simulation(deployed, recipe, overrides)(pixels)["logits"],
    )


def test_the_ladder_computes_with_them(artifacts, deployed: DeployForm, images: ImageSet) -> None:
    opened, model = Artifact.open(artifacts("onnx").path), deployed.trained
    _, rung = list_simulated_rungs([opened])
    row = on_rung(rung, model, images, compute_float_reference(model, images))
    assert row.precision == "mixed"
    assert row.how == "simulated"
    assert row.sqnr_db > 10


@pytest.mark.parametrize("target", ["onnx", "coreml"])
def test_layers_are_compared_as_large_as_the_artifact_has_them(
    target: Target, artifacts, deployed: DeployForm, images: ImageSet
) -> None:
    report = compare_layers(Artifact.open(artifacts(target).path), deployed.trained, images.sample(2, 0))
    # Channels of other sizes than the float model's would be off by their own size and more.
    assert min(row.forced_db for row in report.rows) > 10


def test_an_artifact_that_was_moved_without_them_says_so(
    artifacts, deployed: DeployForm, images: ImageSet, tmp_path: Path
) -> None:
    for path in artifacts("onnx").path.parent.iterdir():
        if path.suffix != ".safetensors":
            (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    moved = Artifact.open(tmp_path / artifacts("onnx").path.name)
    with pytest.raises(BadRecipe, match=r"there is no .*recipe\.safetensors"):
        compare_layers(moved, deployed.trained, images)
    assert open_runner(moved).run(draw_pictures(1, SIZE)).shape == (1, 7), "it answers all the same"
