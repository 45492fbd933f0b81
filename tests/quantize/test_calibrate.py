"""Calibration: the same images and settings give the same recipe."""

from __future__ import annotations

import torch

from shvit_mobile.demo import CALIBRATION_IMAGES, CHECKPOINT
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.images.image_set import open_images
from shvit_mobile.quantize.calibrate import calibrate_recipe


def test_a_recipe_does_not_depend_on_how_many_threads_made_it() -> None:
    deployed, images = to_deploy_form(load_checkpoint(CHECKPOINT)), open_images(CALIBRATION_IMAGES)
    recipes = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        recipes.append(calibrate_recipe(deployed, images, precision="int8", count=4)[0])
    assert recipes[0] == recipes[1]
