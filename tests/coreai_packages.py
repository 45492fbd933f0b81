"""Core AI packages that tests share; each is lowered once per process."""

from __future__ import annotations

import atexit
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from shvit_mobile.contracts.manifest import TARGET_SUFFIXES
from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.quantize.calibrate import calibrate_recipe
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder
from tests.programs import FLOAT_LAYER, SIZE, SMALL, LoweredProgram

needs_coreai = pytest.mark.skipif(find_spec("coreai_torch") is None, reason="coreai-torch is not installed")
EVERY_TARGET = [
    pytest.param(target, marks=needs_coreai) if target == "coreai" else target for target in TARGET_SUFFIXES
]


@cache
def lower_package(precision: Precision) -> LoweredProgram:
    """Lower the small model at an odd size to Core AI in one precision."""
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    deployed = to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE))
    images = open_images(write_picture_folder(Path(folder.name, "pictures"), count=12, size=(80, 110)))
    recipe = calibrate_recipe(deployed, images, precision=precision, count=12)[0]
    if precision == "int8":
        recipe = recipe.model_copy(update={"float_layers": (FLOAT_LAYER,)})
    return LoweredProgram(deployed, recipe, lower(deployed, recipe, "coreai", Path(folder.name)))
