"""Measures the drift of maps, and of the boxes that they stand for, in one pass over the images.

Of maps only sums are kept, because the maps of many images do not fit into memory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shvit_mobile.contracts.detection import Detection
from shvit_mobile.contracts.drift_row import (
    AveragePrecisionDrift,
    BoxAgreement,
    DriftRow,
    EmulatedCPU,
    Execution,
    MapDrift,
)
from shvit_mobile.contracts.image_use import SkippedImages
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.deploy.verification import list_tensors
from shvit_mobile.detection.average_precision import BoxEvaluation
from shvit_mobile.drift.box_drift import BoxComparison
from shvit_mobile.errors import BadArtifact, BadCheckpoint, BadImages, ShapeMismatch, ShvitError
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.batches import SkippedImage, group_undecodable, iterate_batches
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.metrics import compute_ratio_db
from shvit_mobile.progress import ProgressCallback
from shvit_mobile.threads import BATCH, choose_batch_size, map_in_order

# Returns the outputs, by name, of pixels, uint8, shape (images, height, width, 3).
OutputsFunction = Callable[[NDArray[np.uint8]], Mapping[str, NDArray[np.float32]]]
_IMAGES_AT_ONCE = 32


@dataclass(frozen=True)
class MapSource:
    """What computes the maps that are compared; the fields are those of a drift row.

    `detection` says how the maps of a detector become boxes, which are compared too.
    """

    artifact: str
    target: str
    precision: str
    execution: Execution
    engine: str
    run: OutputsFunction
    artifact_sha256: str | None = None
    cpu: EmulatedCPU | None = None
    detection: Detection | None = None


class MapErrors:
    """The sums over images from which the drift of one map follows."""

    def __init__(self) -> None:
        self._signal: Any = 0.0  # of each channel, as the next one
        self._noise: Any = 0.0
        self._cosines: list[float] = []
        self._largest = 0.0

    def update(self, reference: NDArray[np.float32], actual: NDArray[np.float32]) -> None:
        """Add some images.

        Args:
            reference: The float model's map, shape (images, channels, height, width).
            actual: The artifact's, same shape.
        """
        for expected, given in zip(reference, actual, strict=True):
            r, a = expected.reshape(len(expected), -1).astype(np.float64), given.reshape(len(given), -1)
            difference = r - a
            signal, noise = np.einsum("cp,cp->c", r, r), np.einsum("cp,cp->c", difference, difference)
            self._signal, self._noise = self._signal + signal, self._noise + noise
            self._largest = max(self._largest, float(np.abs(difference).max()))
            norms = float(np.sqrt(signal.sum())) * float(np.linalg.norm(a.astype(np.float64)))
            # Two maps of zeros are equal.
            cosine = float(np.einsum("cp,cp->", r, a)) / norms if norms else float(not np.any(difference))
            self._cosines.append(min(1.0, max(-1.0, cosine)))

    def build_drift(self, name: str) -> MapDrift:
        """Return the drift of all images that were added."""
        channels = [compute_ratio_db(*sums) for sums in zip(self._signal.tolist(), self._noise.tolist(), strict=True)]
        worst = int(np.argmin(channels))
        return MapDrift(
            name=name,
            sqnr_db=compute_ratio_db(float(self._signal.sum()), float(self._noise.sum())),
            cosine=float(np.mean(self._cosines)),
            worst_channel=worst,
            worst_channel_db=channels[worst],
            max_abs_error=self._largest,
        )


def compare_maps(
    sources: Sequence[MapSource],
    trained: TrainedModel,
    images: ImageSet,
    preprocessing: Preprocessing,
    names: Sequence[str],
    *,
    progress: ProgressCallback | None = None,
) -> tuple[list[DriftRow], tuple[SkippedImages, ...]]:
    """Compare the maps of several artifacts with those of their float model, in one pass over the images.

    Args:
        sources: The artifacts.
        trained: Their float model, which returns a tuple of maps.
        images: The images; classes are ignored, and boxes count for detectors.
        preprocessing: The preprocessing of the artifacts.
        names: The names of the maps.
        progress: Called with the files done and all files after each batch.

    Returns:
        A row for each source, and the images that could not be decoded.

    Raises:
        BadImages: If no image can be decoded, or the boxes of the images are of other images.
        BadArtifact: If a value of an artifact is not finite.
        BadCheckpoint: If a value of the float model is not finite.
        ShapeMismatch: If an artifact's map has another shape than the float model's.
        ToolMissing: If the images have boxes, and pycocotools is not installed.
    """
    boxes = BoxComparison([source.detection for source in sources], names, preprocessing)
    errors = [{name: MapErrors() for name in names} for _ in sources]
    count, skipped = 0, list[SkippedImage]()
    for chunk in iterate_batches(images, preprocessing, size=choose_batch_size(_IMAGES_AT_ONCE, preprocessing.size)):
        if len(chunk.pixels):
            reference = dict(zip(names, _run_float_model(trained, preprocessing, chunk.pixels), strict=True))
            _check_values(reference, reference, "The float model", BadCheckpoint)
            boxes.add_pictures(zip(chunk.files, chunk.sizes, strict=True), reference)
            for place, (source, sums) in enumerate(zip(sources, errors, strict=True)):
                outputs = source.run(chunk.pixels)
                _check_values(outputs, reference, source.artifact, BadArtifact)
                boxes.add_found(place, outputs)
                for name in names:
                    sums[name].update(reference[name], outputs[name])
        count += len(chunk.pixels)
        skipped += chunk.skipped
        if progress is not None:
            progress(count + len(skipped), len(images))
    if not count:
        raise BadImages("There are no images to compare on.", why="Every metric of drift is a mean over images.")
    groups = group_undecodable(images, skipped)
    figures = boxes.build_figures(images, len(trained.labels))
    rows = [
        _build_row(source, [sums[name].build_drift(name) for name in names], count, len(skipped), *found)
        for source, sums, found in zip(sources, errors, figures, strict=True)
    ]
    return rows, groups


def evaluate_float_detector(
    trained: TrainedModel, images: ImageSet, *, progress: ProgressCallback | None = None
) -> BoxEvaluation | None:
    """Hold the boxes of a float detector against those that the images have; None if these are not known.

    Args, raises: As for `compare_maps`.
    """
    names, preprocessing, done = trained.map_names, trained.preprocessing, 0
    boxes = BoxComparison([trained.detection], names, preprocessing)
    for chunk in iterate_batches(images, preprocessing, size=choose_batch_size(_IMAGES_AT_ONCE, preprocessing.size)):
        reference = dict(zip(names, _run_float_model(trained, preprocessing, chunk.pixels), strict=True))
        _check_values(reference, reference, "The float model", BadCheckpoint)
        boxes.add_pictures(zip(chunk.files, chunk.sizes, strict=True), reference)
        done += len(chunk.files) + len(chunk.skipped)
        if progress is not None:
            progress(done, len(images))
    return boxes.evaluate_float_model(images, len(trained.labels))


def _build_row(
    source: MapSource,
    maps: list[MapDrift],
    images: int,
    skipped: int,
    boxes: BoxAgreement | None,
    average_precision: AveragePrecisionDrift | None,
) -> DriftRow:
    return DriftRow(
        artifact=source.artifact,
        target=source.target,
        precision=source.precision,
        how=source.execution,
        engine=source.engine,
        artifact_sha256=source.artifact_sha256,
        cpu=source.cpu,
        images=images,
        skipped=skipped,
        sqnr_db=min(one.sqnr_db for one in maps),
        max_abs_error=max(one.max_abs_error for one in maps),
        maps=tuple(maps),
        boxes=boxes,
        average_precision=average_precision,
    )


@torch.inference_mode()
def _run_float_model(
    trained: TrainedModel, preprocessing: Preprocessing, pixels: NDArray[np.uint8]
) -> list[NDArray[np.float32]]:
    """Compute the maps of the float model, which is in eval mode, shape (images, channels, height, width) each."""
    batches = torch.split(
        torch.from_numpy(preprocessing.normalize(pixels)), choose_batch_size(BATCH, preprocessing.size)
    )
    parts = map_in_order(lambda batch: list_tensors(trained.model(batch)), batches)
    return [torch.cat(values).numpy() for values in zip(*parts, strict=True)]


def _check_values(
    outputs: Mapping[str, NDArray[np.float32]],
    reference: Mapping[str, NDArray[np.float32]],
    whose: str,
    error: type[ShvitError],
) -> None:
    for name, expected in reference.items():
        shape = outputs[name].shape if name in outputs else None
        if shape != expected.shape:
            raise ShapeMismatch(
                f"{whose}: {name} has the shape {shape}, the float model's {expected.shape}.",
                why="They were made for images of different sizes, or from different models.",
                hint="Export the artifact again.",
            )
        if not np.isfinite(outputs[name]).all():
            raise error(f"{whose}: values of {name} are not finite.", why="A value overflowed, or weights are damaged.")
