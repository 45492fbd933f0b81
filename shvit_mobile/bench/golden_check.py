"""Checks an artifact against its goldens as the phone apps do: preprocessing and inference separately."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact, get_goldens_path, read_goldens
from shvit_mobile.contracts.device_report import GoldenCheck
from shvit_mobile.contracts.goldens import GoldenImage, Goldens
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadArtifact
from shvit_mobile.images.decode import decode_image
from shvit_mobile.metrics import compare_top1_classes, sqnr
from shvit_mobile.runtimes.runner import Runner


def check_goldens(artifact: Artifact, runner: Runner) -> GoldenCheck:
    """Compare the pixels of the golden images and the logits for the golden pixels with the stored ones.

    Args:
        artifact: An artifact with its goldens.
        runner: The loaded artifact, or one that should return the same logits.

    Raises:
        BadArtifact: If the goldens are missing, changed, of another artifact, or of another size or other classes.
    """
    goldens, folder = read_goldens(artifact), get_goldens_path(artifact.path)
    stored = [_read_stored_pixels(folder, image, goldens.preprocessing) for image in goldens.images]
    expected = np.array([image.logits for image in goldens.images], np.float32)
    own = [goldens.preprocessing.preprocess_image(decode_image(folder / image.image)) for image in goldens.images]
    logits = np.concatenate([runner.run(pixels[None]) for pixels in stored])
    return build_golden_check(goldens, max(map(compute_mean_difference, own, stored)), expected, logits)


def build_golden_check(
    goldens: Goldens, pixels_difference: float, expected: NDArray[np.float32], logits: NDArray[np.float32]
) -> GoldenCheck:
    """Build the check from the differences.

    Args:
        goldens: The goldens, with their tolerances.
        pixels_difference: The mean difference of the worst image, in steps of 0 to 255.
        expected: The goldens' logits, shape (images, classes).
        logits: The artifact's logits, same shape.
    """
    if not np.isfinite(logits).all():
        raise BadArtifact("The artifact's logits are not finite.", why="Its goldens are finite.")
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


def _read_stored_pixels(folder: Path, image: GoldenImage, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Read the pixels of a golden: uint8, shape (height, width, 3).

    Raises:
        BadArtifact: If their number is wrong.
    """
    shape = (*preprocessing.size, 3)
    flat = np.fromfile(folder / image.pixels, np.uint8)
    if flat.size != np.prod(shape):
        raise BadArtifact(f"{folder / image.pixels} holds {flat.size} bytes.", why=f"The model takes {shape}.")
    return flat.reshape(shape)


def compute_mean_difference(own: NDArray[np.uint8], stored: NDArray[np.uint8]) -> float:
    """Compute the mean absolute difference of pixels, in steps of 0 to 255."""
    return float(np.abs(own.astype(np.int16) - stored).mean())


def format_golden_check(check: GoldenCheck) -> str:
    """Return the check in one line."""
    pixels = "equal" if check.pixels_difference == 0 else f"{check.pixels_difference:.2g} of 255 apart on average"
    logits = f"largest difference {check.largest_difference:.2g} of {check.tolerance:.2g} allowed"
    parts = (("pixels", pixels, check.preprocessing_passed), ("logits", logits, check.inference_passed))
    text = "; ".join(f"{name} {words}{'' if passed else ' (failed)'}" for name, words, passed in parts)
    return f"{text}; the same class on {check.same_class} of {check.images}"
