"""The embedded model as programs, which several files run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.demo import CALIBRATION_IMAGES, CHECKPOINT
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.defaults import CALIBRATION_COUNT
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.quantize.calibrate import calibrate_recipe

Lowered = Callable[[Precision], Artifact]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Lowered:
    """The embedded model, lowered to ExecuTorch in one precision."""
    folder = tmp_path_factory.mktemp("demo")
    deployed = to_deploy_form(load_checkpoint(CHECKPOINT))

    @cache
    def lowered(precision: Precision) -> Artifact:
        images = open_images(CALIBRATION_IMAGES)
        recipe = calibrate_recipe(deployed, images, precision=precision, count=CALIBRATION_COUNT)[0]
        return lower(deployed, recipe, "executorch", folder)

    return lowered
