"""Draw the scenes of the demo's detector: 500 to measure on and 100 to calibrate int8 on, with the demo's own pictures.

    python tools/embed_demo_scenes.py

Behind the pictures are drawn clouds, because the photos of its training do not come with the project.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from detection_scenes import load_scenes
from write_detection_scenes import write_scenes

from shvit_mobile.demo import CALIBRATION_IMAGES, DEMO_FOLDER, DETECTOR, TEST_IMAGES
from shvit_mobile.families.detectors import load_detector

# Training has 0.
SEED = 1


def main(
    out: Annotated[Path, typer.Option(help="The folder for `test` and `calibration`.")] = DEMO_FOLDER / "scenes",
) -> None:
    size = load_detector(DETECTOR).preprocessing.size[0]
    for name, pictures, count in (("test", TEST_IMAGES, 500), ("calibration", CALIBRATION_IMAGES, 100)):
        write_scenes(load_scenes(pictures, None, size, SEED), count, out / name, ".jpg")


if __name__ == "__main__":
    typer.run(main)
