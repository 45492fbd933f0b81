"""Measure the average precision of a light detector on synthetic scenes of pictures and photos that it never saw.

    python tools/measure_detector.py --detector runs/detector/detector.safetensors --pictures cifar10/test
        --backgrounds photos/test

Prints one line of JSON: COCO's average precision in percent, and what was measured.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from detection_scenes import load_scenes
from PIL import Image

from shvit_mobile.detection.average_precision import TrueBoxes, compute_average_precision
from shvit_mobile.detection.decode import decode_boxes
from shvit_mobile.families.detectors import load_detector


def main(
    detector: Annotated[Path, typer.Option(help="The file of the detector.")],
    pictures: Annotated[Path, typer.Option(help="The folder of pictures in class folders.")],
    backgrounds: Annotated[Path, typer.Option(help="The folder of photos without these classes.")],
    scenes: Annotated[int, typer.Option(help="The number of scenes.")] = 500,
    seed: Annotated[int, typer.Option(help="The seed of the scenes; training has 0.")] = 1,
) -> None:
    loaded = load_detector(detector)
    preprocessing, levels = loaded.preprocessing, len(loaded.detection.strides)
    source = load_scenes(pictures, backgrounds, preprocessing.size[0], seed)
    if source.names != loaded.labels:
        raise SystemExit(f"error: the folders are {source.names}, and the detector has {loaded.labels}.")
    found, truth = [], []
    for number in range(scenes):
        scene = source.draw(number)
        pixels = preprocessing.preprocess_image(Image.fromarray(scene.pixels))
        with torch.inference_mode():
            maps = [one[0].numpy() for one in loaded.model(torch.from_numpy(preprocessing.normalize(pixels[None])))]
        found.append(
            decode_boxes(maps[:levels], maps[levels:], loaded.detection, preprocessing, scene.pixels.shape[:2])
        )
        truth.append(TrueBoxes(scene.boxes, scene.classes))
    # With one class for all, only the boxes have to be right.
    alike = compute_average_precision(
        [replace(one, classes=np.zeros_like(one.classes)) for one in found],
        [replace(one, classes=np.zeros_like(one.classes)) for one in truth],
        1,
    )
    measured = compute_average_precision(found, truth, len(loaded.labels))
    result = {name: round(value, 2) for name, value in asdict(measured).items()}
    boxes = sum(len(one.classes) for one in truth)
    print(json.dumps({**result, "mean_without_classes": round(alike.mean, 2), "scenes": scenes, "boxes": boxes}))


if __name__ == "__main__":
    typer.run(main)
