"""A model that is hard to quantize on purpose: the steps hold the budget, and without them it is not held."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hard_checkpoint import add_outliers

from shvit_mobile.contracts.recipe import PTQPassName, Recipe
from shvit_mobile.demo import CALIBRATION_IMAGES, CHECKPOINT, TEST_IMAGES
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import open_images
from shvit_mobile.metrics import sqnr
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quantize.overrides import CalibratedRecipe
from tests.builders import build_random_shvit, build_trained_model, draw_smooth_pixels
from tests.quantize.builders import link_overrides, simulate_int8

STEPS: tuple[PTQPassName, ...] = ("equalise", "round")


@pytest.mark.parametrize("size", [(64, 64), (49, 71)])
def test_the_hard_model_answers_as_before(size: tuple[int, int]) -> None:
    model = build_random_shvit()
    hard, images = add_outliers(model), draw_smooth_pixels(2, size) / 255
    with torch.inference_mode():
        easy, answers = model(images), hard(images)
    assert any(not torch.equal(a, b) for a, b in zip(model.parameters(), hard.parameters(), strict=True))
    torch.testing.assert_close(answers, easy, rtol=1e-4, atol=1e-4)


def test_on_a_tiny_model_the_steps_make_up_for_the_outliers() -> None:
    pixels = draw_smooth_pixels(24, (64, 64)).permute(0, 2, 3, 1).numpy().astype(np.uint8)
    hard = to_deploy_form(build_trained_model(add_outliers(build_random_shvit())))
    plain, better = (measure_sqnr(hard, run_passes_on(hard, pixels, steps), pixels) for steps in ((), STEPS))
    assert better > plain + 10


def run_passes_on(deployed: DeployForm, pixels: np.ndarray, steps: tuple[PTQPassName, ...]) -> CalibratedRecipe:
    from shvit_mobile.quantize.passes import PTQPassManager

    under_way = PTQPassManager(deployed, pixels, observer="min-max")
    *_, (attempt, gains) = under_way.run_passes(steps)
    recipe = Recipe(precision="int8", ranges=dict(attempt.ranges), observer="min-max", steps=gains)
    return link_overrides(recipe, attempt.overrides), attempt.overrides


def measure_sqnr(deployed: DeployForm, calibrated: CalibratedRecipe, pixels: np.ndarray) -> float:
    with torch.inference_mode():
        actual = simulate_int8(deployed, *calibrated)(deployed.prepare(pixels))
    return sqnr(deployed.run(pixels).numpy(), actual.numpy())


@pytest.mark.slow
def test_on_the_demo_model_plain_int8_loses_20_points_and_the_steps_at_most_one() -> None:
    model = load_checkpoint(CHECKPOINT)
    hard = to_deploy_form(build_trained_model(add_outliers(model.model), size=model.preprocessing.size))
    calibration = open_images(CALIBRATION_IMAGES)
    test = open_images(TEST_IMAGES, labels=model.labels)
    truth = np.array(test.labels)
    pixels = [batch.pixels for batch in iterate_batches(test, model.preprocessing, size=25)]

    def top1(module: torch.nn.Module) -> float:
        with torch.inference_mode():
            answers = np.concatenate([module(hard.prepare(some)).argmax(1).numpy() for some in pixels])
        return 100 * float((answers == truth).mean())

    whole = top1(hard.module)
    plain = top1(simulate_int8(hard, *calibrate_recipe(hard, calibration, count=64)))
    ours = top1(simulate_int8(hard, *calibrate_recipe(hard, calibration, count=64, observer="mse", steps=STEPS)))
    assert whole - plain >= 20
    assert whole - ours <= 1
