"""Checks an artifact against its goldens as the phone apps do: preprocessing and inference separately."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact, get_goldens_path, read_goldens
from shvit_mobile.contracts.device_report import GoldenCheck
from shvit_mobile.contracts.goldens import GoldenImage, Goldens
from shvit_mobile.contracts.manifest import OutputSamples
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadArtifact
from shvit_mobile.images.decode import decode_image
from shvit_mobile.metrics import compare_top1_classes, sqnr
from shvit_mobile.runtimes.runner import Runner


def check_goldens(artifact: Artifact, runner: Runner) -> GoldenCheck:
    """Compare the pixels of the golden images and the outputs for the golden pixels with the stored ones.

    Args:
        artifact: An artifact with its goldens.
        runner: The loaded artifact, or one that should return the same outputs.

    Raises:
        BadArtifact: If the goldens are missing, changed, of another artifact, or of another size or other classes.
    """
    goldens, folder = read_goldens(artifact), get_goldens_path(artifact.path)
    stored = [_read_stored_pixels(folder, image, goldens.preprocessing) for image in goldens.images]
    expected = np.array([image.expected for image in goldens.images], np.float32)
    own = [goldens.preprocessing.preprocess_image(decode_image(folder / image.image)) for image in goldens.images]
    actual = np.concatenate(
        [select_values(runner.run_outputs(pixels[None]), goldens.sampled_outputs) for pixels in stored]
    )
    return build_golden_check(goldens, max(map(compute_mean_difference, own, stored)), expected, actual)


def select_values(outputs: Mapping[str, NDArray[np.float32]], samples: Sequence[OutputSamples]) -> NDArray[np.float32]:
    """Return what goldens hold of the outputs of images: logits, or the values of maps at some positions.

    Args:
        outputs: By name, shape (images, *shape).
        samples: The positions of each output; empty for a classifier, whose only output is the logits.

    Returns:
        shape (images, values), one output after the other.
    """
    if not samples:
        (logits,) = outputs.values()
        return logits
    flat = {name: values.reshape(len(values), -1) for name, values in outputs.items()}
    return np.concatenate([flat[one.name][:, list(one.positions)] for one in samples], axis=1)


def build_golden_check(
    goldens: Goldens, pixels_difference: float, expected: NDArray[np.float32], actual: NDArray[np.float32]
) -> GoldenCheck:
    """Build the check from the differences.

    Args:
        goldens: The goldens, with their tolerances.
        pixels_difference: The mean difference of the worst image, in steps of 0 to 255.
        expected: The goldens' logits, shape (images, classes), or values of maps, shape (images, values).
        actual: Those of the artifact, same shape.
    """
    if not np.isfinite(actual).all():
        noun = "values" if goldens.sampled_outputs else "logits"
        raise BadArtifact(f"The artifact's {noun} are not finite.", why="Its goldens are finite.")
    ends = np.cumsum([len(one.positions) for one in goldens.sampled_outputs])[:-1]
    parts = list(zip(*(np.split(values, ends, axis=1) for values in (expected, actual)), strict=True))
    tolerances = [one.tolerance for one in goldens.sampled_outputs] or [goldens.tolerance]
    differences = [float(np.abs(theirs - ours).max()) for ours, theirs in parts]
    # Of several outputs, the one that is furthest beyond its tolerance.
    largest, tolerance = max(zip(differences, tolerances, strict=True), key=lambda pair: pair[0] / max(pair[1], 1e-30))
    return GoldenCheck(
        images=len(goldens.images),
        preprocessing_passed=pixels_difference <= goldens.pixels_tolerance,
        pixels_difference=pixels_difference,
        inference_passed=largest <= tolerance,
        largest_difference=largest,
        tolerance=tolerance,
        sqnr_db=min(sqnr(*part) for part in parts),
        same_class=None if goldens.sampled_outputs else int(compare_top1_classes(expected, actual).sum()),
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
    values = f"largest difference {check.largest_difference:.2g} of {check.tolerance:.2g} allowed"
    noun = "logits" if check.same_class is not None else "values of maps"
    parts = (("pixels", pixels, check.preprocessing_passed), (noun, values, check.inference_passed))
    text = "; ".join(f"{name} {words}{'' if passed else ' (failed)'}" for name, words, passed in parts)
    agreed = "" if check.same_class is None else f"; the same class on {check.same_class} of {check.images}"
    return f"{text}{agreed}"
