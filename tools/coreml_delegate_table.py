"""Measure ExecuTorch programs for Core ML: the rows of a table of docs/benchmarks.md.

    python tools/coreml_delegate_table.py --out build/coreml-delegate

The demo model is compared on its test images. The variants have random weights, as `tools/random_networks.py` draws
them, and are compared on pictures that did not calibrate them. int8 is plain: no PTQ passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, cast

import compatibility_table as compatibility
import torch
import typer

from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.demo import CALIBRATION_IMAGES, CHECKPOINT, TEST_IMAGES
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.images.image_set import open_images
from shvit_mobile.metrics import sqnr
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.runtimes import open_runner
from shvit_mobile.targets.executorch import ExecuTorchOptions

DEMO = "demo"
MODELS = (DEMO, "shvit_s1", "shvit_s2", "shvit_s3", "shvit_s4")
PRECISIONS: tuple[Precision, ...] = ("fp16", "int8", "int8-weights", "palette-8", "palette-6")


def main(
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and artifacts.")],
    models: Annotated[str, typer.Option(help="Models, separated by commas.")] = ",".join(MODELS),
    precisions: Annotated[str, typer.Option(help="Precisions, separated by commas.")] = ",".join(PRECISIONS),
    count: Annotated[int, typer.Option(help="Number of images to compare on.")] = 64,
) -> None:
    """Print a row for each model and precision."""
    for model in models.split(","):
        for row in measure(model, [cast(Precision, name) for name in precisions.split(",")], out, count):
            print(f"| {' | '.join(row)} |", flush=True)


def measure(model: str, precisions: list[Precision], out: Path, count: int) -> Iterator[tuple[str, ...]]:
    """Yield the model, the precision, megabytes, delegates, operators left outside, and the SQNR in dB."""
    place = compatibility.Place(out, model)
    trained = load_checkpoint(str(CHECKPOINT)) if model == DEMO else compatibility.load_model(place)
    deployed, calibration = to_deploy_form(trained), open_images(CALIBRATION_IMAGES)
    pixels = compatibility.load_pixels(trained.preprocessing, open_images(TEST_IMAGES).sample(count, 0))
    with torch.no_grad():
        reference = torch.cat([deployed.run(image[None]) for image in pixels]).numpy()
    for precision in precisions:
        recipe, _ = calibrate_recipe(deployed, calibration, precision=precision, count=128 if model == DEMO else 16)
        options = ExecuTorchOptions(delegate="coreml")
        artifact = lower(deployed, recipe, "executorch", place.folder, options=options, overwrite=True, has_gate=True)
        delegation = artifact.manifest.delegation
        assert delegation is not None
        decibels = sqnr(reference, open_runner(artifact).run(pixels))
        megabytes, left = artifact.manifest.artifact.bytes / 1e6, sum(delegation.left_operators.values())
        yield model, precision, f"{megabytes:.2f}", str(delegation.delegates), str(left), f"{decibels:.1f}"


if __name__ == "__main__":
    typer.run(main)
