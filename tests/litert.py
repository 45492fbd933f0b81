"""LiteRT artifacts that tests share; each is lowered once per process, because a conversion takes seconds."""

from __future__ import annotations

import atexit
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.quantize.calibrate import calibrate_recipe
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder
from tests.programs import FLOAT_LAYER, SIZE, SMALL, LoweredProgram


@cache
def build_deploy_form() -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE))


@cache
def lower_model(precision: Precision) -> LoweredProgram:
    """Lower the small model at an odd size to LiteRT in one precision; int8 keeps a layer in float."""
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    deployed = build_deploy_form()
    images = open_images(write_picture_folder(Path(folder.name, "pictures"), count=12, size=(80, 110)))
    recipe = calibrate_recipe(deployed, images, precision=precision, count=12)[0]
    if precision == "int8":
        recipe = recipe.model_copy(update={"float_layers": (FLOAT_LAYER,)})
    return LoweredProgram(deployed, recipe, lower(deployed, recipe, "litert", Path(folder.name)))
