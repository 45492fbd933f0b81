"""COCO's average precision of detected boxes, by pycocotools, and how far it may be off for want of pictures."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.detection.decode import Boxes
from shvit_mobile.errors import ShapeMismatch, ToolMissing

# Samples of the pictures, drawn with replacement, from which an interval follows.
_RESAMPLES = 500
# COCO's levels of recall and thresholds of the IoU.
_RECALLS, _IOUS = np.linspace(0, 1, 101), np.linspace(0.5, 0.95, 10)


@dataclass(frozen=True)
class TrueBoxes:
    """The boxes that a picture has.

    Attributes:
        corners: Left, top, right and bottom in pixels, shape (boxes, 4).
        classes: The class of each, shape (boxes,).
        crowds: Whether a box stands for a crowd, shape (boxes,): what is found in it is neither right nor wrong, as in
            COCO (default: none does).
        image_size: (height, width) of the picture, as its annotations say; None if they do not.
    """

    corners: NDArray[np.float32]
    classes: NDArray[np.int64]
    crowds: NDArray[np.bool_] | None = None
    image_size: tuple[int, int] | None = None

    @property
    def is_crowd(self) -> NDArray[np.bool_]:
        """`crowds`, or an array without any."""
        return np.zeros(len(self.classes), np.bool_) if self.crowds is None else self.crowds


@dataclass(frozen=True)
class AveragePrecision:
    """Average precision in percent, the mean over classes; NaN where there is nothing to find.

    Attributes:
        mean: The mean over the IoU thresholds 0.5, 0.55 to 0.95: COCO's primary metric.
        at_50, at_75: At one IoU threshold.
        small, medium, large: `mean` of boxes below 32 x 32 pixels, from there to 96 x 96, and above.
    """

    mean: float
    at_50: float
    at_75: float
    small: float
    medium: float
    large: float


@dataclass(frozen=True, eq=False)
class _ClassMatches:
    """What was found of one class, best score first.

    Attributes:
        pictures: The picture of each detected box, shape (boxes,).
        hits: Whether it is a true box, at each IoU threshold, shape (thresholds, boxes).
        counts: Whether it counts at all, same shape: not what lies in a crowd.
        truths: The true boxes of each picture, shape (pictures,).
    """

    pictures: NDArray[np.int64]
    hits: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    truths: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BoxEvaluation:
    """The boxes of a model, held against the true ones.

    Attributes:
        precision: The average precision.
        pictures: The number of pictures.
        true_boxes: The number of true boxes, without those of crowds.
    """

    precision: AveragePrecision
    pictures: int
    true_boxes: int
    _classes: tuple[_ClassMatches, ...]

    def compute_weighted(self, weights: NDArray[np.int64]) -> float:
        """Compute `precision.mean` if each picture were there several times.

        Args:
            weights: How often each picture counts, shape (pictures,).

        Returns:
            Percent; NaN if no true box counts.
        """
        values = []
        for one in self._classes:
            truths = int((one.truths * weights).sum())
            if not truths:
                continue
            times = weights[one.pictures] * one.counts
            found, right = np.cumsum(times, axis=1), np.cumsum(times * one.hits, axis=1)
            # Copies of a picture have equal scores. Counted together, they reach the same highest precisions, unless
            # the picture itself has a right and a wrong box of one class and one score.
            precisions = np.maximum.accumulate((right / np.maximum(found, 1))[:, ::-1], axis=1)[:, ::-1]
            recalls = right / truths
            steps = [np.searchsorted(recall, _RECALLS, side="left") for recall in recalls]
            reached = [
                precision[step[step < len(precision)]] for precision, step in zip(precisions, steps, strict=True)
            ]
            values.append(sum(float(one.sum()) for one in reached) / (len(recalls) * len(_RECALLS)))
        return 100 * float(np.mean(values)) if values else float("nan")

    @cached_property
    def resampled(self) -> NDArray[np.float64]:
        """`precision.mean` of samples of the pictures, drawn with replacement; the same samples for all models."""
        rng = np.random.default_rng(0)
        shares = np.full(self.pictures, 1 / self.pictures)
        samples = (rng.multinomial(self.pictures, shares) for _ in range(_RESAMPLES))
        return np.array([self.compute_weighted(sample) for sample in samples])


def compute_drop_interval(reference: BoxEvaluation, actual: BoxEvaluation) -> tuple[float, float]:
    """Compute the 95% interval of the points of AP that a model loses against another, on the same pictures.

    It is the bootstrap's percentile interval: pictures are drawn with replacement, the same for both models, so that
    what makes a picture hard for both does not widen it. It has no width where the models do not differ at all.

    Returns:
        (low, high) in points of `AveragePrecision.mean`; it contains the measured drop.

    Raises:
        ShapeMismatch: If the numbers of pictures differ.
    """
    if reference.pictures != actual.pictures:
        raise ShapeMismatch(f"One model saw {reference.pictures} pictures, and the other {actual.pictures}.")
    drops = reference.resampled - actual.resampled
    drop = reference.precision.mean - actual.precision.mean
    low, high = np.nanpercentile(drops, (2.5, 97.5)).tolist()
    return min(low, drop), max(high, drop)


def compute_average_precision(found: Sequence[Boxes], truth: Sequence[TrueBoxes], classes: int) -> AveragePrecision:
    """Compare the boxes of pictures with those that they have; arguments and errors as for `evaluate_boxes`."""
    return evaluate_boxes(found, truth, classes).precision


def evaluate_boxes(found: Sequence[Boxes], truth: Sequence[TrueBoxes], classes: int) -> BoxEvaluation:
    """Compare the boxes of pictures with those that they have.

    Args:
        found: For each picture the detected boxes; of more than 100 the first 100 count.
        truth: For each picture the true boxes.
        classes: The number of classes.

    Raises:
        ShapeMismatch: If the numbers of pictures differ.
        ToolMissing: If pycocotools is not installed.
    """
    check_pycocotools()
    if len(found) != len(truth):
        raise ShapeMismatch(f"There are detected boxes of {len(found)} pictures and true boxes of {len(truth)}.")
    annotations = [
        {"image_id": image, "category_id": int(label), "iscrowd": int(crowd), **_describe_box(corners)}
        for image, boxes in enumerate(truth)
        for corners, label, crowd in zip(boxes.corners, boxes.classes, boxes.is_crowd, strict=True)
    ]
    results = [
        {"image_id": image, "category_id": int(label), "iscrowd": 0, "score": float(score), **_describe_box(corners)}
        for image, boxes in enumerate(found)
        for corners, label, score in zip(boxes.corners, boxes.classes, boxes.scores, strict=True)
    ]
    count = sum(not one["iscrowd"] for one in annotations)
    if not count:
        return BoxEvaluation(AveragePrecision(*[float("nan")] * 6), len(truth), 0, ())
    evaluation = _run_pycocotools(annotations, results, len(truth), classes)
    # -1 stands for nothing to find.
    values = [100 * float(value) if value >= 0 else float("nan") for value in evaluation.stats[:6]]
    # By class, area and picture: the first area is all of them.
    areas, pictures = len(evaluation.params.areaRng), len(truth)
    by_class = (evaluation.evalImgs[label * areas * pictures :][:pictures] for label in range(classes))
    return BoxEvaluation(AveragePrecision(*values), pictures, count, tuple(map(_collect_matches, by_class)))


def check_pycocotools() -> None:
    """Raise `ToolMissing` if pycocotools is not installed."""
    try:
        import pycocotools.cocoeval  # noqa: F401
    except ImportError as reason:
        raise ToolMissing(
            "pycocotools is not installed.",
            why="It computes average precision.",
            hint='pip install "shvit-mobile[detection]"',
        ) from reason


def _run_pycocotools(
    annotations: list[dict[str, Any]], results: list[dict[str, Any]], pictures: int, classes: int
) -> Any:
    """Return pycocotools' evaluation, with its summary computed."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        expected, actual = COCO(), COCO()
        for data, boxes in ((expected, annotations), (actual, results)):
            data.dataset = {
                "images": [{"id": image} for image in range(pictures)],
                "categories": [{"id": label} for label in range(classes)],
                # 0 means "not matched" to pycocotools.
                "annotations": [{"id": number + 1, **box} for number, box in enumerate(boxes)],
            }
            data.createIndex()
        evaluation = COCOeval(expected, actual, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def _collect_matches(pictures: Sequence[dict[str, Any] | None]) -> _ClassMatches:
    """Return what pycocotools matched of one class; None is a picture without it."""
    known = [(number, one) for number, one in enumerate(pictures) if one is not None]
    truths = np.zeros(len(pictures), np.int64)
    for number, one in known:
        truths[number] = np.count_nonzero(one["gtIgnore"] == 0)
    if not known:
        nothing = np.zeros((len(_IOUS), 0), np.bool_)
        return _ClassMatches(np.zeros(0, np.int64), nothing, nothing, truths)
    scores = np.concatenate([one["dtScores"] for _, one in known])
    order = np.argsort(-scores, kind="stable")
    images = np.repeat([number for number, _ in known], [len(one["dtScores"]) for _, one in known])
    hits, ignored = (np.concatenate([one[key] for _, one in known], axis=1) for key in ("dtMatches", "dtIgnore"))
    return _ClassMatches(images[order], hits[:, order] > 0, ignored[:, order] == 0, truths)


def _describe_box(corners: NDArray[np.float32]) -> dict[str, object]:
    left, top, right, bottom = (float(value) for value in corners)
    return {"bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)}
