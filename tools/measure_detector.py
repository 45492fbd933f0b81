"""Measure the average precision of a detector on synthetic scenes of pictures and photos that it never saw.

    python tools/measure_detector.py --detector runs/detector/detector.safetensors --pictures cifar10/test
        --backgrounds photos/test --artifact artifacts/light_shvit_s1-detect-256-onnx-int8.onnx

Prints a line of JSON for the checkpoint and for each of its artifacts: COCO's average precision in percent, and what
was measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from detection_scenes import load_scenes
from numpy.typing import NDArray
from PIL import Image

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.detection.average_precision import TrueBoxes, compute_average_precision
from shvit_mobile.detection.decode import Boxes, decode_boxes
from shvit_mobile.families.detectors import load_detector
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.runtimes import open_runner

# Returns the maps of one picture from its pixels, uint8, shape (height, width, 3).
MapsFunction = Callable[[NDArray[np.uint8]], list[NDArray[np.float32]]]


def main(
    detector: Annotated[Path, typer.Option(help="The file of the detector.")],
    pictures: Annotated[Path, typer.Option(help="The folder of pictures in class folders.")],
    backgrounds: Annotated[Path, typer.Option(help="The folder of photos without these classes.")],
    artifact: Annotated[
        list[Path] | None, typer.Option(help="An artifact of it; give the option again for more.")
    ] = None,
    scenes: Annotated[int, typer.Option(help="The number of scenes.")] = 500,
    seed: Annotated[int, typer.Option(help="The seed of the scenes; training has 0.")] = 1,
) -> None:
    loaded = load_detector(detector)
    assert loaded.detection is not None
    preprocessing, levels = loaded.preprocessing, len(loaded.detection.strides)
    source = load_scenes(pictures, backgrounds, preprocessing.size[0], seed)
    if source.names != loaded.labels:
        raise SystemExit(f"error: the folders are {source.names}, and the detector has {loaded.labels}.")
    models = {detector.name: run_checkpoint(loaded)} | {
        path.name: run_artifact(path, loaded) for path in artifact or ()
    }
    found: dict[str, list[Boxes]] = {name: [] for name in models}
    truth = []
    for number in range(scenes):
        scene = source.draw(number)
        pixels = preprocessing.preprocess_image(Image.fromarray(scene.pixels))
        for name, run in models.items():
            maps = run(pixels)
            found[name].append(
                decode_boxes(maps[:levels], maps[levels:], loaded.detection, preprocessing, scene.pixels.shape[:2])
            )
        truth.append(TrueBoxes(scene.boxes, scene.classes))
    for name, boxes in found.items():
        print(json.dumps({"model": name, **measure_precision(boxes, truth, len(loaded.labels))}))


def run_checkpoint(loaded: TrainedModel) -> MapsFunction:
    """Return what computes the maps of a checkpoint."""

    @torch.inference_mode()
    def run(pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        images = torch.from_numpy(loaded.preprocessing.normalize(pixels[None]))
        return [one[0].numpy() for one in loaded.model(images)]

    return run


def run_artifact(path: Path, loaded: TrainedModel) -> MapsFunction:
    """Return what computes the maps of an artifact, which must be one of this checkpoint."""
    opened = Artifact.open(path)
    manifest = opened.manifest
    if manifest.model.checkpoint_sha256 != loaded.sha256 or manifest.preprocessing != loaded.preprocessing:
        raise SystemExit(f"error: {path.name} was exported from another checkpoint, or with other preprocessing.")
    runner = open_runner(opened)
    return lambda pixels: [one[0] for one in runner.run_outputs(pixels[None]).values()]


def measure_precision(found: Sequence[Boxes], truth: Sequence[TrueBoxes], classes: int) -> dict[str, float]:
    # With one class for all, only the boxes have to be right.
    alike = compute_average_precision(
        [replace(one, classes=np.zeros_like(one.classes)) for one in found],
        [replace(one, classes=np.zeros_like(one.classes)) for one in truth],
        1,
    )
    measured = compute_average_precision(found, truth, classes)
    result = {name: round(value, 2) for name, value in asdict(measured).items()}
    boxes = sum(len(one.classes) for one in truth)
    return {**result, "mean_without_classes": round(alike.mean, 2), "scenes": len(truth), "boxes": boxes}


if __name__ == "__main__":
    typer.run(main)
