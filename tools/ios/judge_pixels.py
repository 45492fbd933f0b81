"""Judges the pixels that Swift made of goldens' pictures by the ONNX artifact's answers, beside Python's own pixels.

    python tools/ios/judge_pixels.py PIXELS MODELS ARTIFACT.onnx

PIXELS/MODEL/PICTURE.jpg.rgb is what Swift's `Preprocessor` made of a picture of MODELS/MODEL/MODEL.goldens, which
Python decoded for it; Python prepares the same. It fails where the pixels of a picture differ by more than 1/255 on
average, where the artifact, given one and the other, chooses another class, or where Swift's pixels are missing.
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

# Mean absolute difference of a picture, in steps of 0 to 255: 1/255 where pixels are of 0 to 1.
MAX_DIFFERENCE = 1.0


@dataclass(frozen=True)
class PixelComparison:
    """What was found of a picture.

    Attributes:
        difference: mean, of pixels, in steps of 0 to 255.
        logits: the largest difference of any.
        swift, python: the class that the artifact chooses for the pixels of each.
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
    """Each golden picture of each model.

    Raises:
        ShvitError: goldens cannot be read.
        FileNotFoundError: Swift made nothing of a picture.
    """
    for folder in sorted(models.glob("*/*.goldens")):
        goldens, model = Goldens.load(folder / "goldens.json"), folder.parent.name
        for golden in goldens.images:
            ours = goldens.preprocessing.preprocess_image(decode_image(folder / golden.image))
            made = (pixels / model / f"{golden.image}.rgb").read_bytes()
            theirs = np.frombuffer(made, np.uint8).reshape(ours.shape)
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
        found = list(compare_pixels(pixels, models, open_runner(Artifact.open(artifact))))
    except (ShvitError, FileNotFoundError) as reason:
        sys.exit(f"error: {reason}")
    if not found:
        sys.exit(f"error: {models} holds no goldens.")
    worst = max(found, key=lambda one: one.difference)
    same = sum(one.swift == one.python for one in found)
    print(
        f"Swift's pixels of {len(found)} golden pictures: the worst differs by {worst.difference:.4f} of 255 on "
        f"average, and {MAX_DIFFERENCE:g} is allowed; {artifact.name} chooses the same class for {same}, "
        f"and no logit differs by more than {max(one.logits for one in found):.2g}."
    )
    if failed := [one for one in found if not one.passed]:
        sys.exit("\n".join(f"error: {one.name}: {one}" for one in failed))


if __name__ == "__main__":
    main()
