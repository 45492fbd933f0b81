"""A right artifact passes its goldens on other kernels, and a wrong one fails them, in every precision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from shvit_mobile.bench.golden_check import (
    build_golden_check,
    check_goldens,
    compute_mean_difference,
    format_golden_check,
)
from shvit_mobile.contracts.artifact import Artifact, get_goldens_path, read_goldens
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.demo import CALIBRATION_IMAGES
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadArtifact
from shvit_mobile.families.shvit import SHViTConfig
from shvit_mobile.images.decode import decode_image
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.goldens import load_default_golden_images, preprocess_golden_images
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.runtimes import open_runner
from shvit_mobile.runtimes.mil.program import CoreMLProgram
from shvit_mobile.runtimes.runner import Runner
from tests.builders import build_random_shvit, build_trained_model

# A layer whose weights are so many times what they should be. The less a tolerance can tell apart, the larger it is.
CASES = [
    ("onnx", "fp32", 1.005),
    ("coreml", "fp16", 1.05),
    ("executorch", "int8", 1.05),
    ("onnx", "int8", 1.2),
    ("coreml", "int8", 1.3),
    pytest.param("coreml", "int8-weights", 1.05, marks=pytest.mark.slow),
]
LAYER = "stages.1.blocks.0.ffn.m.pw1"
SMALL = SHViTConfig(
    dims=(16, 24), partial_dims=(8, 9), qk_dims=(8, 8), depths=(1, 1), block_types=("i", "s"), classes=7
)


@dataclass
class PerturbedRunner:
    """A runner that is handed other pixels, or answers otherwise."""

    runner: Runner
    pixels: Literal["right", "swapped"] = "right"
    execution: Execution = "native"
    engine: str = "made in a test"

    def run_outputs(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        return self.runner.run_outputs(pixels if self.pixels == "right" else np.ascontiguousarray(pixels[..., ::-1]))

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.run_outputs(pixels)["logits"]


def build_deploy_form(*, normalised: bool = True, scale: float = 1.0) -> DeployForm:
    """Always the same weights; without normalisation or with one layer scaled if asked for."""
    right = build_trained_model(build_random_shvit(SMALL, seed=1), size=(48, 64))
    if not normalised:
        bare = replace(right.preprocessing, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        right = replace(right, preprocessing=bare)
    deployed = to_deploy_form(right)
    with torch.no_grad():
        deployed.module.get_submodule(LAYER).weight.mul_(scale)  # type: ignore[operator]
    return deployed


@pytest.fixture(scope="module")
def int8() -> Recipe:
    return calibrate_recipe(build_deploy_form(), open_images(CALIBRATION_IMAGES), count=16)[0]


@pytest.mark.parametrize(("target", "precision", "scale"), CASES, ids=lambda value: str(value))
def test_a_wrong_artifact_fails_the_goldens_of_the_right_one(
    target: Target, precision: Precision, scale: float, int8: Recipe, tmp_path: Path
) -> None:
    recipe = int8 if precision == "int8" else calibrate_recipe(build_deploy_form(), precision=precision)[0]
    right = lower(build_deploy_form(), recipe, target, tmp_path / "right")
    runner = open_runner(right)
    passed = check_goldens(right, runner)
    assert passed.passed
    assert (passed.images, passed.same_class, passed.pixels_difference) == (5, 5, 0)
    assert passed.largest_difference < 0.01 * passed.tolerance
    assert not check_goldens(right, PerturbedRunner(runner, "swapped")).inference_passed
    for name, wrong in {"bare": build_deploy_form(normalised=False), "scaled": build_deploy_form(scale=scale)}.items():
        # Other pixels need other ranges: with the right model's, no artifact of the bare one is written.
        fitting = calibrate_recipe(wrong, open_images(CALIBRATION_IMAGES), count=16)[0]
        ranged = fitting if precision == "int8" and name == "bare" else recipe
        check = check_goldens(right, open_runner(lower(wrong, ranged, target, tmp_path / name)))
        assert check.preprocessing_passed, "the fault is not in the pixels"
        assert not check.inference_passed, f"{name}: {format_golden_check(check)}"


@pytest.fixture(scope="module")
def packages(int8: Recipe, tmp_path_factory: pytest.TempPathFactory) -> list[Artifact]:
    folder = tmp_path_factory.mktemp("packages")
    return [lower(build_deploy_form(), recipe, "coreml", folder) for recipe in (Recipe(precision="fp16"), int8)]


@dataclass
class Float32Runner:
    """A package run in float32 throughout, as a processor does that keeps what it sums."""

    program: CoreMLProgram
    artifact: Artifact
    execution: Execution = "reference"
    engine: str = "float32"

    def run_outputs(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        logits = self.program({self.artifact.manifest.input.name: pixels})["logits"]
        return {"logits": np.asarray(logits, np.float32).reshape(len(pixels), -1)}

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.run_outputs(pixels)["logits"]


def test_a_right_package_passes_where_nothing_is_rounded_to_fp16(packages: list[Artifact]) -> None:
    for package in packages:
        check = check_goldens(package, Float32Runner(CoreMLProgram(package.path, mode="fp32"), package))
        assert check.passed, format_golden_check(check)
        assert check.largest_difference > 0, "these are other kernels"


@pytest.mark.parametrize(
    "wrong",
    [
        {"interpolation": "bilinear"},
        {"interpolation": "lanczos"},
        {"interpolation": "nearest"},
        {"crop_ratio": 1.0},
        {"channel_order": "bgr"},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(224, 224), (192, 160)])
def test_wrong_preprocessing_is_past_the_pixels_tolerance(size: tuple[int, int], wrong: dict[str, object]) -> None:
    preprocessing = Preprocessing(size=size)
    stored = preprocess_golden_images(load_default_golden_images(), preprocessing)
    other = preprocess_golden_images(load_default_golden_images(), replace(preprocessing, **wrong))  # type: ignore[arg-type]
    assert max(map(compute_mean_difference, other, stored)) > 1.9


def test_pixels_and_logits_are_judged_apart(packages: list[Artifact]) -> None:
    goldens = read_goldens(packages[0])
    logits = np.array([image.logits for image in goldens.images], np.float32)
    off = build_golden_check(goldens, 1.5, logits, logits)
    assert (off.preprocessing_passed, off.inference_passed, off.passed) == (False, True, False)
    assert format_golden_check(off).startswith(
        "pixels 1.5 of 255 apart on average (failed); logits largest difference 0 of"
    )
    far = build_golden_check(goldens, 0.0, logits, logits + 1.01 * np.float32(goldens.tolerance))
    assert (far.preprocessing_passed, far.inference_passed) == (True, False)
    assert "allowed (failed)" in format_golden_check(far)
    with pytest.raises(BadArtifact, match="not finite"):
        build_golden_check(goldens, 0.0, logits, np.full_like(logits, np.nan))


def test_the_pixels_are_made_of_the_jpeg_itself(packages: list[Artifact]) -> None:
    """Were the stored pixels compared with themselves, a wrong decoder would pass."""
    folder, goldens = get_goldens_path(packages[0].path), read_goldens(packages[0])
    shifted = [
        np.roll(goldens.preprocessing.preprocess_image(decode_image(folder / image.image)), 3, 1)
        for image in goldens.images
    ]
    stored = [np.fromfile(folder / image.pixels, np.uint8).reshape(48, 64, 3) for image in goldens.images]
    assert min(map(compute_mean_difference, shifted, stored)) > 1
