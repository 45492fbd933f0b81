"""Matches the boxes that two models find in one picture, without labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.detection.decode import Boxes

# What an app would draw. Boxes of lower scores are many, and appear and vanish with the last bits of a score.
SCORE_THRESHOLD = 0.3
IOU_THRESHOLD = 0.5


@dataclass(frozen=True)
class BoxMatches:
    """Boxes of two models that stand for the same object in a picture.

    Attributes:
        first, second: The number of boxes of each model whose score is above the threshold.
        ious: The intersection over union of each pair, float64, shape (pairs,).
        score_differences: The magnitude of the difference of their scores, float64, shape (pairs,).
    """

    first: int
    second: int
    ious: NDArray[np.float64]
    score_differences: NDArray[np.float64]


def match_boxes(first: Boxes, second: Boxes, *, score_threshold: float = SCORE_THRESHOLD) -> BoxMatches:
    """Match the boxes of two models one to one.

    Boxes with a score above the threshold are matched if they have the same class and an IoU of at least 0.5. Pairs are
    taken from the highest IoU to the lowest, and each box is in one pair at most, so that neither model comes first.
    """
    ones, others = (_select(boxes, boxes.scores > score_threshold) for boxes in (first, second))
    overlaps = compute_ious(ones.corners, others.corners)
    overlaps[ones.classes[:, None] != others.classes[None, :]] = 0
    rows, columns = np.nonzero(overlaps >= IOU_THRESHOLD)
    order = np.argsort(-overlaps[rows, columns], kind="stable")
    pairs: dict[int, int] = {}
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in pairs and column not in pairs.values():
            pairs[row] = column
    kept, partners = list(pairs.keys()), list(pairs.values())
    return BoxMatches(
        first=len(ones.scores),
        second=len(others.scores),
        ious=overlaps[kept, partners],
        score_differences=np.abs(ones.scores[kept].astype(np.float64) - others.scores[partners]),
    )


def compute_ious(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute the intersection over union of each box with each other one.

    Args:
        first: Left, top, right and bottom, shape (boxes, 4).
        second: As `first`, shape (others, 4).

    Returns:
        Shape (boxes, others); 0 for boxes without an area.
    """
    one, other = first.astype(np.float64)[:, None], second.astype(np.float64)[None]
    sides = np.maximum(np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2]), 0)
    shared = sides.prod(axis=2)
    joint = sum((box[..., 2:] - box[..., :2]).prod(axis=2) for box in (one, other)) - shared
    return np.divide(shared, joint, out=np.zeros_like(shared), where=joint > 0)


def _select(boxes: Boxes, chosen: NDArray[np.bool_]) -> Boxes:
    return Boxes(boxes.corners[chosen], boxes.scores[chosen], boxes.classes[chosen])
