"""Measures the drift of a detector's boxes: what it shares with the float model, and how well both find true boxes."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.detection import Detection
from shvit_mobile.contracts.drift_row import AveragePrecisionDrift, BoxAgreement
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.detection.average_precision import BoxEvaluation, TrueBoxes, compute_drop_interval, evaluate_boxes
from shvit_mobile.detection.decode import Boxes, decode_boxes
from shvit_mobile.detection.matching import IOU_THRESHOLD, SCORE_THRESHOLD, match_boxes
from shvit_mobile.drift.intervals import compute_wilson_interval
from shvit_mobile.errors import BadImages
from shvit_mobile.images.image_set import ImageSet

Outputs = Mapping[str, NDArray[np.float32]]
_Picture = tuple[Path, tuple[int, int]]


class BoxComparison:
    """The boxes of a float model and of artifacts, over all pictures.

    Args:
        detections: How the maps of each artifact become boxes; None for one that is no detector.
        names: The names of the maps: the scores of each stride, then the boxes.
        preprocessing: How the pictures become the model's input.
    """

    def __init__(
        self, detections: Sequence[Detection | None], names: Sequence[str], preprocessing: Preprocessing
    ) -> None:
        self._detections, self._names, self._preprocessing = tuple(detections), tuple(names), preprocessing
        self._pictures: list[_Picture] = []
        self._float: dict[Detection, list[Boxes]] = {one: [] for one in detections if one is not None}
        self._found: list[list[Boxes]] = [[] for _ in detections]

    def add_pictures(self, pictures: Iterable[_Picture], reference: Outputs) -> None:
        """Add some pictures, each a file with the (height, width) of the upright picture, and the float model's maps.

        Args:
            pictures: The pictures.
            reference: The maps by name, shape (pictures, channels, rows, columns) each.
        """
        done = len(self._pictures)
        self._pictures += pictures
        sizes = [size for _, size in self._pictures[done:]]
        for detection, boxes in self._float.items():
            boxes += decode_batch(reference, self._names, detection, self._preprocessing, sizes)

    def add_found(self, place: int, outputs: Outputs) -> None:
        """Add the maps of the artifact at `place` for the pictures that were added last."""
        detection, found = self._detections[place], self._found[place]
        if detection is not None:
            sizes = [size for _, size in self._pictures[len(found) :]]
            found += decode_batch(outputs, self._names, detection, self._preprocessing, sizes)

    def build_figures(
        self, images: ImageSet, classes: int
    ) -> list[tuple[BoxAgreement | None, AveragePrecisionDrift | None]]:
        """Return the figures of each artifact.

        Args:
            images: The set that the pictures are from, with their boxes if these are known.
            classes: The number of classes.

        Raises:
            BadImages: As `select_true_boxes`.
            ToolMissing: If boxes are known, and pycocotools is not installed.
        """
        truth = select_true_boxes(images, self._pictures) if self._float else None
        references = {one: evaluate_boxes(boxes, truth, classes) for one, boxes in self._float.items() if truth}
        figures: list[tuple[BoxAgreement | None, AveragePrecisionDrift | None]] = []
        for detection, found in zip(self._detections, self._found, strict=True):
            if detection is None:
                figures.append((None, None))
                continue
            agreement = build_box_agreement(self._float[detection], found, detection)
            precision = (
                build_average_precision(references[detection], evaluate_boxes(found, truth, classes)) if truth else None
            )
            figures.append((agreement, precision))
        return figures

    def evaluate_float_model(self, images: ImageSet, classes: int) -> BoxEvaluation | None:
        """Hold the float model's boxes against the true ones; None if these are not known. Raises: see above."""
        truth = select_true_boxes(images, self._pictures)
        return evaluate_boxes(next(iter(self._float.values())), truth, classes) if truth else None


def decode_batch(
    outputs: Outputs,
    names: Sequence[str],
    detection: Detection,
    preprocessing: Preprocessing,
    sizes: Sequence[tuple[int, int]],
) -> list[Boxes]:
    """Decode the boxes of some pictures.

    Args:
        outputs: The maps by name, shape (pictures, channels, rows, columns) each.
        names: Their names: the scores of each stride, then the boxes.
        detection: How they become boxes.
        preprocessing: How the pictures became the model's input.
        sizes: (height, width) of each upright picture.
    """
    levels = len(detection.strides)
    maps = [outputs[name] for name in names]
    return [
        decode_boxes(
            [one[index] for one in maps[:levels]], [one[index] for one in maps[levels:]], detection, preprocessing, size
        )
        for index, size in enumerate(sizes)
    ]


def build_box_agreement(reference: Sequence[Boxes], found: Sequence[Boxes], detection: Detection) -> BoxAgreement:
    """Return how many boxes a float model and an artifact share, without labels.

    Args:
        reference: The boxes of the float model, for each picture.
        found: Those of the artifact.
        detection: How they were decoded: a score threshold above that of `match_boxes` counts instead.
    """
    threshold = max(SCORE_THRESHOLD, detection.score_threshold)
    matches = [match_boxes(*pair, score_threshold=threshold) for pair in zip(reference, found, strict=True)]
    first, second = sum(one.first for one in matches), sum(one.second for one in matches)
    ious, differences = (
        np.concatenate(parts) for parts in zip(*((one.ious, one.score_differences) for one in matches), strict=True)
    )
    either = first + second - len(ious)
    return BoxAgreement(
        score_threshold=threshold,
        iou_threshold=IOU_THRESHOLD,
        float_boxes=first,
        boxes=second,
        matched=len(ious),
        agreement=compute_wilson_interval(len(ious), either) if either else None,
        mean_iou=min(1.0, float(ious.mean())) if len(ious) else None,
        max_score_difference=float(differences.max()) if len(ious) else None,
    )


def build_average_precision(reference: BoxEvaluation, actual: BoxEvaluation) -> AveragePrecisionDrift:
    """Return the average precision of a float model and of an artifact, on the same pictures with true boxes."""
    return AveragePrecisionDrift(
        true_boxes=reference.true_boxes,
        ap=actual.precision.mean,
        float_ap=reference.precision.mean,
        ap50=actual.precision.at_50,
        float_ap50=reference.precision.at_50,
        drop=reference.precision.mean - actual.precision.mean,
        drop_interval=compute_drop_interval(reference, actual),
    )


def select_true_boxes(images: ImageSet, pictures: Sequence[_Picture]) -> list[TrueBoxes] | None:
    """Return the true boxes of pictures, each a file with the (height, width) of the upright picture; None without any.

    Raises:
        BadImages: If no box is on any of these pictures, or a picture has another size than its annotations say.
    """
    if images.true_boxes is None:
        return None
    truth = [images.true_boxes[file] for file, _ in pictures]
    for boxes, (file, size) in zip(truth, pictures, strict=True):
        if boxes.image_size is not None and boxes.image_size != size:
            annotated = f"{boxes.image_size[1]} x {boxes.image_size[0]}"
            raise BadImages(
                f"{file} has {size[1]} x {size[0]} pixels, and {annotated} in the file of its boxes.",
                why="Boxes are in pixels of the upright picture, after its EXIF orientation is applied.",
                hint="Give the pictures that were annotated, or correct width, height and boxes.",
                parameter="labels_coco",
            )
    if all(one.is_crowd.all() for one in truth):
        raise BadImages(
            f"None of the {len(pictures)} pictures that are used has a box.",
            why="Without a true box there is no average precision.",
            hint="Use more pictures: `validation_count`.",
            parameter="labels_coco",
        )
    return truth
