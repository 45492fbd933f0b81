"""Measure what fine-tuning gains on a recipe that is poor on purpose, for docs/quantization.md.

    python tools/finetune_poor_recipe.py cifar10/train --count 400 --out runs/finetune

The ranges come from one image and are then shortened, so that most large values are cut off. Before and after, int8 is
compared with the float model on the 500 embedded test images, simulated and as an ONNX artifact.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.recipe import ActivationRange, Recipe
from shvit_mobile.demo import CALIBRATION_IMAGES, CHECKPOINT, TEST_IMAGES
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.drift.compare import FloatReference, compare, compute_float_reference
from shvit_mobile.drift.ladder import SimulatedRung, compare_simulated_rung
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.images.image_set import ImageSet, open_images
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quantize.finetune import FinetuneSettings, finetune_recipe
from shvit_mobile.quantize.observation import round_range
from shvit_mobile.quantize.overrides import CalibratedRecipe, save_recipe


def main(
    images: Annotated[Path, typer.Argument(metavar="DIR", help="Images to learn from, in a folder for each class.")],
    share: Annotated[float, typer.Option(help="The share of each range to keep.")] = 0.3,
    count: Annotated[int, typer.Option(help="The number of images, a fifth of them held out.")] = 400,
    epochs: int = 3,
    learning_rate: Annotated[
        float, typer.Option(help="The learning rate at the start, in int8 steps per update.")
    ] = 0.1,
    out: Path = Path("runs/finetune"),
) -> None:
    trained = load_checkpoint(CHECKPOINT)
    deployed = to_deploy_form(trained)
    tests = open_images(TEST_IMAGES, labels=trained.labels)
    measured, _ = calibrate_recipe(deployed, open_images(CALIBRATION_IMAGES), count=1)
    poor = narrow_ranges(measured, share, deployed.first_layers)
    training_images = open_images(images, labels=trained.labels)
    settings = FinetuneSettings(count=count, epochs=epochs, learning_rate=learning_rate)
    tuned = finetune_recipe(deployed, poor, training_images, settings, progress=print_progress)
    typer.echo(f"Held out, before: {tuned.before}; after: {tuned.after}", err=True)
    reference = compute_float_reference(trained, tests)
    print("| recipe | | top-1 % | drop, points | agreement % | SQNR dB |\n|---|---|---|---|---|---|")
    recipes: dict[str, CalibratedRecipe] = {"poor": (poor, None), "fine-tuned": (tuned.recipe, tuned.overrides)}
    for name, recipe in recipes.items():
        save_recipe(out / f"{name}.json", *recipe, overwrite=True)
        for how, row in measure_recipe(deployed, recipe, tests, reference, out / name):
            print(f"| {name} | {how} | {format_row(row)} |", flush=True)


def narrow_ranges(recipe: Recipe, share: float, first_layers: tuple[str, ...]) -> Recipe:
    """Return the recipe with a share of each range; the range of pixels stays."""

    def shorter(name: str, seen: ActivationRange) -> ActivationRange:
        low, high = (share * end for end in seen.input)
        given = seen.input if name in first_layers else round_range((low, high))
        return ActivationRange(input=given, output=round_range((share * seen.output[0], share * seen.output[1])))

    return recipe.model_copy(update={"ranges": {name: shorter(name, seen) for name, seen in recipe.ranges.items()}})


def measure_recipe(
    deployed: DeployForm, calibrated: CalibratedRecipe, images: ImageSet, reference: FloatReference, out: Path
) -> Iterator[tuple[str, DriftRow]]:
    trained, (recipe, overrides) = deployed.trained, calibrated
    rung = SimulatedRung("int8", trained.preprocessing, recipe, overrides)
    yield "simulated", compare_simulated_rung(rung, trained, images, reference)
    artifact = lower(deployed, recipe, "onnx", out, overrides=overrides, overwrite=True)
    yield "ONNX Runtime", compare(artifact, trained, images, reference=reference)


def format_row(row: DriftRow) -> str:
    top1 = f"{100 * row.top1.value:.1f} ({100 * row.top1.low:.1f}–{100 * row.top1.high:.1f})" if row.top1 else "–"
    drop = f"{row.top1_drop:.1f}" if row.top1_drop is not None else "–"
    return f"{top1} | {drop} | {100 * row.agreement.value:.1f} | {row.sqnr_db:.1f}"


def print_progress(what: str, done: int, total: int) -> None:
    if done == total:
        typer.echo(f"{what}: {total} images", err=True)


if __name__ == "__main__":
    typer.run(main)
