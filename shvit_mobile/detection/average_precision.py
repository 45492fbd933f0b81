"""COCO's average precision of detected boxes, by pycocotools."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.detection.decode import Boxes
from shvit_mobile.errors import ShapeMismatch, ToolMissing


@dataclass(frozen=True)
class TrueBoxes:
    """The boxes that a picture has: corners, shape (boxes, 4) in pixels, and classes, shape (boxes,)."""

    corners: NDArray[np.float32]
    classes: NDArray[np.int64]


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


def compute_average_precision(found: Sequence[Boxes], truth: Sequence[TrueBoxes], classes: int) -> AveragePrecision:
    """Compare the boxes of pictures with those that they have.

    Args:
        found: For each picture the detected boxes; of more than 100 the first 100 count.
        truth: For each picture the true boxes.
        classes: The number of classes.

    Raises:
        ShapeMismatch: If the numbers of pictures differ.
        ToolMissing: If pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as reason:
        raise ToolMissing(
            "pycocotools is not installed.",
            why="It computes average precision.",
            hint="pip install pycocotools",
        ) from reason
    if len(found) != len(truth):
        raise ShapeMismatch(f"There are detected boxes of {len(found)} pictures and true boxes of {len(truth)}.")
    annotations = [
        {"image_id": image, "category_id": int(label), **_describe_box(corners)}
        for image, boxes in enumerate(truth)
        for corners, label in zip(boxes.corners, boxes.classes, strict=True)
    ]
    results = [
        {"image_id": image, "category_id": int(label), "score": float(score), **_describe_box(corners)}
        for image, boxes in enumerate(found)
        for corners, label, score in zip(boxes.corners, boxes.classes, boxes.scores, strict=True)
    ]
    if not annotations or not results:
        value = float("nan") if not annotations else 0.0
        return AveragePrecision(*[value] * 6)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        expected, actual = COCO(), COCO()
        for data, boxes in ((expected, annotations), (actual, results)):
            # 0 means "not matched" to pycocotools.
            data.dataset = {
                "images": [{"id": image} for image in range(len(truth))],
                "categories": [{"id": label} for label in range(classes)],
                "annotations": [{"id": number + 1, "iscrowd": 0, **box} for number, box in enumerate(boxes)],
            }
            data.createIndex()
        evaluation = COCOeval(expected, actual, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # -1 stands for nothing to find.
    values = [100 * float(value) if value >= 0 else float("nan") for value in evaluation.stats[:6]]
    return AveragePrecision(*values)


def _describe_box(corners: NDArray[np.float32]) -> dict[str, object]:
    left, top, right, bottom = (float(value) for value in corners)
    return {"bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)}
