"""Average precision is COCO's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shvit_mobile.detection.average_precision import TrueBoxes, compute_average_precision
from shvit_mobile.detection.decode import Boxes
from shvit_mobile.errors import ShapeMismatch

TRUE = TrueBoxes(np.array([[0, 0, 50, 50], [60, 0, 160, 100]], np.float32), np.array([0, 1]))


def build_boxes(*boxes: tuple[float, float, float, float], classes: list[int], scores: list[float]) -> Boxes:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return Boxes(corners, np.array(scores, np.float32), np.array(classes, np.int64))


def test_the_true_boxes_have_100_percent() -> None:
    found = build_boxes((0, 0, 50, 50), (60, 0, 160, 100), classes=[0, 1], scores=[0.9, 0.8])
    result = compute_average_precision([found, found], [TRUE, TRUE], 3)
    assert (result.mean, result.at_50, result.medium, result.large) == pytest.approx((100, 100, 100, 100))
    assert math.isnan(result.small)


def test_a_box_counts_at_the_thresholds_that_it_reaches() -> None:
    """An IoU of 0.72 reaches five of the ten thresholds."""
    found = build_boxes((0, 0, 50, 36), (60, 0, 160, 72), classes=[0, 1], scores=[0.9, 0.8])
    result = compute_average_precision([found], [TRUE], 2)
    assert (result.mean, result.at_50, result.at_75) == pytest.approx((50, 100, 0))


def test_a_better_scored_wrong_box_and_a_wrong_class_cost_precision() -> None:
    found = build_boxes((0, 0, 50, 50), (200, 0, 210, 10), (60, 0, 160, 100), classes=[0, 0, 0], scores=[0.5, 0.9, 0.4])
    result = compute_average_precision([found], [TRUE], 2)
    assert result.mean == pytest.approx(25, abs=0.1)


def test_nothing_found_is_0_and_nothing_to_find_is_no_number() -> None:
    nothing, empty = build_boxes(classes=[], scores=[]), TrueBoxes(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    assert compute_average_precision([nothing], [TRUE], 2).mean == 0
    assert math.isnan(compute_average_precision([nothing], [empty], 2).mean)
    with pytest.raises(ShapeMismatch):
        compute_average_precision([nothing], [], 2)
