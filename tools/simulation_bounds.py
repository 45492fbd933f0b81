"""Measure how far artifacts with int8 or compressed weights are from PyTorch's simulation of their recipes.

    make demo
    python tools/simulation_bounds.py artifacts/demo [--seeds 3]

The bounds in `shvit_mobile/targets/tolerances.py` are based on it. Distances are root mean squares over the logits of
the pictures that every new artifact is verified on, as a share of the simulation's own distance from the float model
("of the noise") and of the float model's logits. Random models are small SHViTs whose BatchNorms are far from the
identity, calibrated on other pictures than they are verified on. Widths are those of a recipe's ranges relative to the
ones of the layers on these pictures: the smallest, the median and the largest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import nn

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.manifest import TARGET_SUFFIXES
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import ActivationRange, Precision, Recipe
from shvit_mobile.demo import CALIBRATION_IMAGES, CHECKPOINT
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.drift.ladder import build_simulation
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.families.shvit import SHViT, SHViTConfig
from shvit_mobile.families.shvit_family import SHVIT
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.image_set import open_images
from shvit_mobile.images.ramp import draw_ramp
from shvit_mobile.pipeline.goldens import load_default_golden_images, preprocess_golden_images
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quantize.observation import observe_ranges
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_overrides, load_artifact_overrides
from shvit_mobile.runtimes import open_runner
from shvit_mobile.targets.capabilities import NEAREST_PRECISIONS

SMALL = SHViTConfig(dims=(16, 24, 32), partial_dims=(8, 9, 12), qk_dims=(8, 8, 8), depths=(1, 2, 1), classes=7)
PRECISIONS: tuple[Precision, ...] = ("int8", "int8-dynamic", "int8-weights", "palette-8", "palette-6", "palette-4")


def main(
    folder: Annotated[Path, typer.Argument(help="The folder that `make demo` wrote.")],
    seeds: Annotated[int, typer.Option(help="The number of random models.")] = 3,
) -> None:
    print("| model | artifact | noise, dB | of the noise | of the logits | widths |\n|---|---|---|---|---|---|")
    deployed = to_deploy_form(load_checkpoint(CHECKPOINT))
    paths = [path for path in sorted(folder.glob("*int8*.*")) if path.suffix in (".onnx", ".pte", ".mlpackage")]
    for path in paths:
        artifact = Artifact.open(path)
        print_row("demo", deployed, artifact, load_artifact_overrides(artifact))
    for seed in range(seeds):
        for classes in (7, 1000):
            trained = draw_model(seed, classes)
            for name, artifact, overrides in export_random(to_deploy_form(trained)):
                print_row(f"random {seed}, {classes} classes{name}", to_deploy_form(trained), artifact, overrides)


def print_row(name: str, deployed: DeployForm, artifact: Artifact, overrides: ParameterOverrides | None) -> None:
    pixels, recipe, runner = draw_pictures(deployed), artifact.manifest.recipe, open_runner(artifact)
    simulate = build_simulation(deployed, recipe, overrides)
    expected = np.concatenate([deployed.run(image[None]).numpy() for image in pixels])
    simulated = np.concatenate([simulate(image[None])["logits"] for image in pixels])
    actual = np.concatenate([runner.run(image[None]) for image in pixels])
    noise, error, signal = (compute_rms(one) for one in (simulated - expected, actual - simulated, expected))
    print(
        f"| {name} | {artifact.manifest.target} {recipe.precision} | {20 * np.log10(signal / noise):.1f} "
        f"| {error / noise:.3f} | {error / signal:.4f} | {format_widths(deployed, recipe, overrides, pixels)} |",
        flush=True,
    )


def compute_rms(values: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))


def draw_pictures(deployed: DeployForm) -> NDArray[np.uint8]:
    """Return the pictures that `lower` verifies an artifact on."""
    preprocessing = deployed.trained.preprocessing
    goldens = preprocess_golden_images(load_default_golden_images(), preprocessing)
    return np.concatenate([draw_ramp(preprocessing.size), goldens])


@torch.inference_mode()
def format_widths(
    deployed: DeployForm, recipe: Recipe, overrides: ParameterOverrides | None, pixels: NDArray[np.uint8]
) -> str:
    """Return the smallest, the median and the largest width of the recipe's ranges."""
    if not recipe.ranges:
        return ""
    seen: dict[str, ActivationRange] = {}
    module = apply_overrides(deployed, recipe, overrides).module
    with observe_ranges(module, deployed.wiring, seen):
        module(deployed.prepare(pixels))
    pairs = [
        (getattr(recipe.ranges[name], end), getattr(seen[name], end)) for name in seen for end in ("input", "output")
    ]
    widths = [compute_width(*ours) / max(compute_width(*theirs), 1e-9) for ours, theirs in pairs]
    return f"{min(widths):.2g} {np.median(widths):.2g} {max(widths):.2g}"


def compute_width(low: float, high: float) -> float:
    return max(high, 0.0) - min(low, 0.0)


def export_random(deployed: DeployForm) -> Iterator[tuple[str, Artifact, ParameterOverrides | None]]:
    """Yield artifacts of a model in every precision and target, with and without PTQ passes."""
    images = open_images(CALIBRATION_IMAGES).sample(32, 0)
    with TemporaryDirectory() as folder:
        recipes = [("", calibrate_recipe(deployed, images, precision=precision)) for precision in PRECISIONS]
        recipes.append((", passes", calibrate_recipe(deployed, images, steps=("equalise", "round", "bias"))))
        recipes.append((", mse", calibrate_recipe(deployed, images, observer="mse", activations="symmetric")))
        for number, (name, (recipe, overrides)) in enumerate(recipes):
            for target in TARGET_SUFFIXES:
                if recipe.precision not in NEAREST_PRECISIONS[target]:
                    out = Path(folder, str(number))
                    yield name, lower(deployed, recipe, target, out, overrides=overrides, has_gate=True), overrides


@torch.no_grad()
def draw_model(seed: int, classes: int) -> TrainedModel:
    """Return a random SHViT whose BatchNorms do something and whose activations stay moderate."""
    generator = torch.Generator().manual_seed(seed)
    model = SHViT(replace(SMALL, classes=classes)).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (2 / parameter[0].numel()) ** 0.5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            count = module.num_features
            module.weight.copy_(0.3 + 0.6 * torch.rand(count, generator=generator))
            module.bias.copy_(0.2 * torch.randn(count, generator=generator))
            module.running_mean.copy_(0.2 * torch.randn(count, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(count, generator=generator))
    return TrainedModel(
        model=model,
        family=SHVIT,
        variant="random",
        dialect="shvit-mobile",
        labels=tuple(f"class {index}" for index in range(classes)),
        preprocessing=Preprocessing(size=(64, 64)),
        source="made here",
        sha256="0" * 64,
    )


if __name__ == "__main__":
    typer.run(main)
