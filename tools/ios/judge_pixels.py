"""Compares Swift's and Python's pixels of the goldens' pictures, and the ONNX artifact's logits for them.

    python tools/ios/judge_pixels.py PIXELS MODELS ARTIFACT.onnx

PIXELS/MODEL/PICTURE.jpg.rgb contains the pixels that Swift's `Preprocessor` computed for a picture of
MODELS/MODEL/MODEL.goldens, which Python decoded. The check fails if the mean difference of a picture's pixels exceeds
1/255, if the artifact chooses another class for Swift's pixels, or if Swift's pixels are missing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.goldens import Goldens
from shvit_mobile.errors import ShvitError
from shvit_mobile.images.decode import decode_image
from shvit_mobile.runtimes import open_runner
from shvit_mobile.runtimes.runner import Runner

# The mean absolute difference of a picture, in steps of 0 to 255.
MAX_DIFFERENCE = 1.0


@dataclass(frozen=True)
class PixelComparison:
    """The comparison of a picture.

    Attributes:
        name: The model and the picture.
        difference: The mean difference of the pixels, in steps of 0 to 255.
        logits: The largest difference of a logit.
        swift: The class for Swift's pixels.
        python: The class for Python's pixels.
    """

    name: str
    difference: float
    logits: float
    swift: int
    python: int

    @property
    def passed(self) -> bool:
        return self.difference <= MAX_DIFFERENCE and self.swift == self.python


def compare_pixels(pixels: Path, models: Path, judge: Runner) -> Iterator[PixelComparison]:
    """Compare each golden of each model.

    Raises:
        ShvitError: If goldens cannot be read.
        FileNotFoundError: If Swift's pixels of a picture are missing.
    """
    for folder in sorted(models.glob("*/*.goldens")):
        goldens, model = Goldens.load(folder / "goldens.json"), folder.parent.name
        for golden in goldens.images:
            ours = goldens.preprocessing.preprocess_image(decode_image(folder / golden.image))
            data = (pixels / model / f"{golden.image}.rgb").read_bytes()
            theirs = np.frombuffer(data, np.uint8).reshape(ours.shape)
            logits = judge.run(np.stack([theirs, ours]))
            yield PixelComparison(
                name=f"{model}, {golden.image}",
                difference=float(np.abs(theirs.astype(int) - ours.astype(int)).mean()),
                logits=float(np.abs(logits[0] - logits[1]).max()),
                swift=int(logits[0].argmax()),
                python=int(logits[1].argmax()),
            )


def main() -> None:
    pixels, models, artifact = map(Path, sys.argv[1:])
    try:
        comparisons = list(compare_pixels(pixels, models, open_runner(Artifact.open(artifact))))
    except (ShvitError, FileNotFoundError) as reason:
        sys.exit(f"error: {reason}")
    if not comparisons:
        sys.exit(f"error: {models} contains no goldens.")
    worst = max(comparisons, key=lambda one: one.difference)
    same = sum(one.swift == one.python for one in comparisons)
    print(
        f"Swift's pixels of {len(comparisons)} goldens: largest mean difference {worst.difference:.4f} of 255 "
        f"(limit {MAX_DIFFERENCE:g}). {artifact.name}: same class for {same}, "
        f"largest logit difference {max(one.logits for one in comparisons):.2g}."
    )
    if failed := [one for one in comparisons if not one.passed]:
        sys.exit("\n".join(f"error: {one.name}: {one}" for one in failed))


if __name__ == "__main__":
    main()
