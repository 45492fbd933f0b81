"""ExecuTorch programs that tests share; each is lowered once per process, because lowering takes seconds."""

from __future__ import annotations

import atexit
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.manifest import Delegate
from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.families.shvit import SHViTConfig
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.targets.executorch import ExecuTorchOptions
from tests.builders import build_random_shvit, build_trained_model, draw_smooth_pixels, write_picture_folder

# One stage without attention and one with it contain every type of operator.
SMALL = SHViTConfig(
    dims=(32, 48), partial_dims=(12, 17), qk_dims=(8, 8), depths=(1, 1), block_types=("i", "s"), classes=7
)
SIZE = (65, 97)
# The int8 program keeps this layer in float.
FLOAT_LAYER = "stages.1.blocks.0.mixer.m.qkv"


@dataclass(frozen=True)
class LoweredProgram:
    deployed: DeployForm
    recipe: Recipe
    artifact: Artifact


@cache
def lower_program(
    precision: Precision,
    stem: Literal["plain", "space-to-depth"] = "plain",
    head: Literal["auto", "float", "int8-dynamic"] = "auto",
    delegate: Delegate = "xnnpack",
    float_dtype: Literal["fp32", "fp16"] = "fp32",
) -> LoweredProgram:
    """Lower the small model at an odd size to ExecuTorch in one precision."""
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    deployed = to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE))
    images = open_images(write_picture_folder(Path(folder.name, "pictures"), count=12, size=(80, 110)))
    recipe = calibrate_recipe(deployed, images, precision=precision, count=12)[0]
    if precision == "int8":
        recipe = recipe.model_copy(update={"float_layers": (FLOAT_LAYER,)})
    options = ExecuTorchOptions(delegate=delegate, stem=stem, head=head, float_dtype=float_dtype)
    place, unproven = Path(folder.name), delegate == "vulkan"
    artifact = lower(deployed, recipe, "executorch", place, options=options, allow_unproven=unproven)
    return LoweredProgram(deployed, recipe, artifact)


def draw_pictures(count: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Draw images for runners: uint8, shape (count, height, width, 3)."""
    pixels: NDArray[np.uint8] = draw_smooth_pixels(count, size, seed=3).permute(0, 2, 3, 1).to(torch.uint8).numpy()
    return pixels


@torch.no_grad()
def compute_float_logits(deployed: DeployForm, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the logits of the trained model before its BatchNorms are folded."""
    images = torch.from_numpy(deployed.trained.preprocessing.normalize(pixels))
    logits: NDArray[np.float32] = deployed.trained.model(images).numpy()
    return logits
