"""A study that was interrupted ends as one that was not, and what is damaged in its folder is made anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shvit_mobile.contracts.recipe import FLOAT_KINDS, PTQPassName, Recipe, get_overrides_path
from shvit_mobile.contracts.sensitivity import get_row_name
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.images.image_set import ImageSet, open_images
from shvit_mobile.quantize.calibrate import run_ptq_passes
from shvit_mobile.quantize.calibration_cache import CalibrationCache, CalibrationSettings
from shvit_mobile.quantize.overrides import CalibratedRecipe, ParameterOverrides, load_recipe
from shvit_mobile.quantize.sensitivity import SensitivityRow, measure_sensitivity
from tests.builders import (
    add_outliers,
    build_random_shvit,
    build_trained_model,
    draw_smooth_pixels,
    write_picture_folder,
)
from tests.programs import SMALL
from tests.quantize.builders import build_plain_recipe, list_layers

STEPS: tuple[PTQPassName, ...] = ("whole-pixels", "equalise", "round", "bias")
SETTINGS = CalibrationSettings("min-max", "affine", STEPS)
PLAIN = Recipe(precision="int8", float_kinds=FLOAT_KINDS, observer="min-max")


class Interrupted(Exception):
    """What a person's Ctrl-C is here."""


@pytest.fixture(scope="module")
def deployed() -> DeployForm:
    return to_deploy_form(
        build_trained_model(add_outliers(build_random_shvit(SMALL, seed=2), factor=64), size=(48, 48))
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return open_images(write_picture_folder(tmp_path_factory.mktemp("pictures"), count=9))


def calibrated(
    deployed: DeployForm, images: ImageSet, study: CalibrationCache, stop_after: int | None = None
) -> CalibratedRecipe:
    """The cached recipe, from where it was left; interrupted after `stop_after` passes, if given."""

    def each(recipe: Recipe, overrides: ParameterOverrides | None) -> None:
        study.save_recipe(recipe, overrides)
        if len(recipe.steps) == stop_after:
            raise Interrupted

    return run_ptq_passes(deployed, images, PLAIN, seed=0, steps=STEPS, previous=study.load_recipe(), on_recipe=each)


def contents(study: CalibrationCache) -> tuple[bytes, bytes]:
    return study.recipe_file.read_bytes(), get_overrides_path(study.recipe_file).read_bytes()


@pytest.fixture(scope="module")
def finished(deployed: DeployForm, images: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> CalibrationCache:
    study = CalibrationCache.open(deployed, images, SETTINGS, tmp_path_factory.mktemp("uninterrupted"))
    assert study.load_recipe() is None
    recipe, _ = calibrated(deployed, images, study)
    assert study.is_done(recipe)
    assert sum(gain.kept for gain in recipe.steps) >= 2, "nothing was found that could be lost"
    return study


@pytest.mark.parametrize("done", range(len(STEPS) + 1))
def test_interrupted_after_any_step_it_ends_with_the_same_bytes(
    done: int, deployed: DeployForm, images: ImageSet, finished: CalibrationCache, tmp_path: Path
) -> None:
    study = CalibrationCache.open(deployed, images, SETTINGS, tmp_path)
    with pytest.raises(Interrupted):
        calibrated(deployed, images, study, stop_after=done)
    left = study.load_recipe()
    assert left is not None
    assert len(left[0].steps) == done
    assert study.is_done(left[0]) == (done == len(STEPS))
    calibrated(deployed, images, study)
    assert contents(study) == contents(finished)


def test_a_cached_recipe_is_loaded_with_its_overrides(finished: CalibrationCache) -> None:
    cached = finished.load_recipe()
    assert cached is not None
    recipe, overrides = cached
    assert recipe == load_recipe(finished.recipe_file)[0]
    assert overrides is not None
    assert overrides.sha256 == recipe.corrections
    assert overrides.file_bytes == get_overrides_path(finished.recipe_file).read_bytes()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("damage", [cut, Path.unlink], ids=["cut", "lost"])
@pytest.mark.parametrize("corrections", [False, True])
def test_a_damaged_recipe_is_made_anew(
    corrections: bool, damage: object, deployed: DeployForm, finished: CalibrationCache, tmp_path: Path
) -> None:
    study = replace(finished, folder=tmp_path / "study")
    cached = finished.load_recipe()
    assert cached is not None
    study.save_recipe(*cached)
    damage(get_overrides_path(study.recipe_file) if corrections else study.recipe_file)
    assert study.load_recipe() is None
    study.save_recipe(*cached)
    assert contents(study) == contents(finished)


def test_another_setting_picture_or_model_is_another_folder(
    deployed: DeployForm, images: ImageSet, tmp_path: Path
) -> None:
    other = replace(deployed, trained=replace(deployed.trained, sha256="1" * 64))
    larger = replace(deployed.trained, preprocessing=replace(deployed.trained.preprocessing, size=(64, 48)))
    studies = [
        CalibrationCache.open(deployed, images, SETTINGS, tmp_path),
        CalibrationCache.open(deployed, images, replace(SETTINGS, observer="mse"), tmp_path),
        CalibrationCache.open(deployed, images, replace(SETTINGS, activations="symmetric"), tmp_path),
        CalibrationCache.open(deployed, images, replace(SETTINGS, steps=STEPS[:2]), tmp_path),
        CalibrationCache.open(deployed, images, replace(SETTINGS, steps=STEPS[::-1]), tmp_path),
        CalibrationCache.open(deployed, images.sample(8, 0), SETTINGS, tmp_path),
        CalibrationCache.open(other, images, SETTINGS, tmp_path),
        CalibrationCache.open(replace(deployed, trained=larger), images, SETTINGS, tmp_path),
        CalibrationCache.open(replace(deployed, input_domain="normalised"), images, SETTINGS, tmp_path),
    ]
    assert len({study.folder for study in studies}) == len(studies)
    assert CalibrationCache.open(deployed, images, SETTINGS, tmp_path) == studies[0]
    assert not any(study.folder.exists() for study in studies), "folders are made when something is kept"


def of_few_layers(deployed: DeployForm) -> Recipe:
    """int8 in the last layers alone: there is a row for each."""
    return build_plain_recipe(deployed).model_copy(update={"float_layers": list_layers(deployed.module)[:-5]})


def test_sensitivity_goes_on_where_it_was_left(deployed: DeployForm, tmp_path: Path) -> None:
    recipe, pictures = of_few_layers(deployed), [draw_smooth_pixels(4, (48, 48), seed=6)]
    whole = measure_sensitivity(deployed, recipe, pictures)
    study, asked = CalibrationCache(tmp_path / "study", ()), 0

    def keep(row: SensitivityRow) -> None:
        nonlocal asked
        asked += 1
        study.append_row(recipe, 4, row)
        if asked == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        measure_sensitivity(deployed, recipe, pictures, known_rows=study.load_rows(recipe, 4), on_row=keep)
    # The machine stopped in the middle of a line.
    line = study.get_rows_path(recipe, 4).read_text(encoding="utf-8").splitlines()[0]
    with study.get_rows_path(recipe, 4).open("a", encoding="utf-8") as file:
        file.write(line.replace(whole.layers[0].layer, "half")[: len(line) // 2] + "\n")
    known = study.load_rows(recipe, 4)
    assert len(known) == 3
    found = measure_sensitivity(deployed, recipe, pictures, known_rows=known, on_row=keep)
    assert found == whole
    assert asked == len(whole.layers) + len(whole.blocks), "no row is made twice"
    assert study.load_rows(recipe, 4) == {get_row_name(row): row for row in (*whole.layers, *whole.blocks)}
    assert study.load_sensitivity(recipe, 4) is None
    study.save_sensitivity(recipe, found, 4)
    assert study.load_sensitivity(recipe, 4) == whole


def test_rows_of_another_recipe_or_number_of_images_do_not_count(deployed: DeployForm, tmp_path: Path) -> None:
    recipe, study = of_few_layers(deployed), CalibrationCache(tmp_path / "study", ())
    row = measure_sensitivity(deployed, recipe, [draw_smooth_pixels(1, (48, 48))]).layers[0]
    study.append_row(recipe, 1, row)
    assert study.load_rows(recipe, 1) == {row.layer: row}
    assert not study.load_rows(recipe, 2)
    assert not study.load_rows(recipe.model_copy(update={"observer": "mse"}), 1)
