"""An artifact against its goldens, as the phone apps do it: preprocessing apart from inference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact, get_goldens_path
from shvit_mobile.contracts.device_report import GoldenCheck
from shvit_mobile.contracts.goldens import GoldenImage, Goldens, read_goldens
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadArtifact
from shvit_mobile.images.decode import decode_image
from shvit_mobile.metrics import compare_top1_classes, sqnr
from shvit_mobile.runtimes.runner import Runner


def check_goldens(artifact: Artifact, runner: Runner) -> GoldenCheck:
    """What comes of the artifact's goldens here: of their pictures our own pixels, of their pixels the runner's logits.

    Args:
        artifact: with its goldens beside it.
        runner: what is to answer; of this artifact, or of one that should do as well.

    Raises:
        BadArtifact: the goldens are missing, were changed, are another artifact's, or of another size or other classes.
    """
    goldens, folder = read_goldens(artifact), get_goldens_path(artifact.path)
    stored = [read_stored_pixels(folder, image, goldens.preprocessing) for image in goldens.images]
    expected = np.array([image.logits for image in goldens.images], np.float32)
    own = [goldens.preprocessing.preprocess_image(decode_image(folder / image.image)) for image in goldens.images]
    logits = np.concatenate([runner.run(pixels[None]) for pixels in stored])
    return build_golden_check(goldens, max(map(compute_mean_difference, own, stored)), expected, logits)


def build_golden_check(
    goldens: Goldens, pixels_difference: float, expected: NDArray[np.float32], logits: NDArray[np.float32]
) -> GoldenCheck:
    """The check, of what was found.

    Args:
        goldens: with the tolerances.
        pixels_difference: of the worst picture, in steps of 0 to 255.
        expected: the goldens' logits, shape (images, classes).
        logits: what came here, of the same shape.
    """
    if not np.isfinite(logits).all():
        raise BadArtifact("The artifact gives logits that are not finite.", why="Its goldens are.")
    largest = float(np.abs(logits - expected).max())
    return GoldenCheck(
        images=len(goldens.images),
        preprocessing_passed=pixels_difference <= goldens.pixels_tolerance,
        pixels_difference=pixels_difference,
        inference_passed=largest <= goldens.tolerance,
        largest_difference=largest,
        tolerance=goldens.tolerance,
        sqnr_db=sqnr(expected, logits),
        same_class=int(compare_top1_classes(expected, logits).sum()),
    )


def read_stored_pixels(folder: Path, image: GoldenImage, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The pixels in a file of the goldens: uint8, shape (height, width, 3).

    Raises:
        BadArtifact: they are not as many as `preprocessing` makes.
    """
    shape = (*preprocessing.size, 3)
    flat = np.fromfile(folder / image.pixels, np.uint8)
    if flat.size != np.prod(shape):
        raise BadArtifact(f"{folder / image.pixels} holds {flat.size} bytes.", why=f"The model takes {shape}.")
    return flat.reshape(shape)


def compute_mean_difference(own: NDArray[np.uint8], stored: NDArray[np.uint8]) -> float:
    """The mean absolute difference of some pixels, in steps of 0 to 255."""
    return float(np.abs(own.astype(np.int16) - stored).mean())


def format_golden_check(check: GoldenCheck) -> str:
    """The check in a line: what is off, if anything is."""
    pixels = "equal" if check.pixels_difference == 0 else f"{check.pixels_difference:.2g} of 255 apart on average"
    marks = [("pixels", pixels, check.preprocessing_passed)]
    largest = f"largest difference {check.largest_difference:.2g} of {check.tolerance:.2g} allowed"
    marks.append(("logits", largest, check.inference_passed))
    told = "; ".join(f"{name} {words}{'' if passed else ' (failed)'}" for name, words, passed in marks)
    return f"{told}; the same class on {check.same_class} of {check.images}"
