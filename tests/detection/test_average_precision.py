"""Average precision is COCO's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shvit_mobile.detection.average_precision import (
    TrueBoxes,
    compute_average_precision,
    compute_drop_interval,
    evaluate_boxes,
)
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


def draw_pictures(count: int, noise: float, seed: int) -> tuple[list[Boxes], list[TrueBoxes]]:
    """Pictures with a few boxes of four classes, and what a model with some noise finds; pictures share scores."""
    truth_rng, rng = np.random.default_rng(7), np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(count):
        number = int(truth_rng.integers(0, 5))
        corner, side = truth_rng.uniform(0, 200, (number, 2)), truth_rng.uniform(20, 90, (number, 2))
        corners, classes = np.concatenate([corner, corner + side], axis=1), truth_rng.integers(0, 4, number)
        truth.append(TrueBoxes(corners.astype(np.float32), classes, truth_rng.random(number) < 0.1))
        moved = np.concatenate([corners, corners]) + rng.normal(0, noise, (2 * number, 4))
        scores = rng.permutation(10)[: 2 * number] / 10
        found.append(Boxes(moved.astype(np.float32), scores.astype(np.float32), np.concatenate([classes, classes])))
    return found, truth


@pytest.mark.parametrize("seed", [0, 1])
def test_the_weighted_precision_is_that_of_pycocotools(seed: int) -> None:
    """With a weight of one for each picture, and with copies of pictures in their place."""
    found, truth = draw_pictures(17, 6.0, seed)
    evaluation = evaluate_boxes(found, truth, 5)
    assert 5 < evaluation.precision.mean < 95
    assert evaluation.compute_weighted(np.ones(17, np.int64)) == pytest.approx(evaluation.precision.mean, abs=1e-9)
    weights = np.random.default_rng(seed).integers(0, 4, 17)
    copies = [index for index, weight in enumerate(weights) for _ in range(weight)]
    copied = compute_average_precision([found[i] for i in copies], [truth[i] for i in copies], 5)
    assert evaluation.compute_weighted(weights) == pytest.approx(copied.mean, abs=1e-9)


def test_what_is_found_in_a_crowd_is_neither_right_nor_wrong() -> None:
    crowd = TrueBoxes(
        np.array([[0, 0, 50, 50], [100, 100, 300, 300]], np.float32), np.array([0, 0]), np.array([False, True])
    )
    found = build_boxes((120, 120, 160, 160), (0, 0, 50, 50), classes=[0, 0], scores=[0.9, 0.5])
    assert compute_average_precision([found], [crowd], 1).mean == pytest.approx(100)
    assert evaluate_boxes([found], [crowd], 1).true_boxes == 1


def test_the_interval_of_a_drop_holds_it_and_has_no_width_between_equal_models() -> None:
    found, truth = draw_pictures(40, 2.0, 0)
    worse, _ = draw_pictures(40, 8.0, 0)
    better, actual = evaluate_boxes(found, truth, 4), evaluate_boxes(worse, truth, 4)
    low, high = compute_drop_interval(better, actual)
    drop = better.precision.mean - actual.precision.mean
    assert 0 < low < drop < high < 100
    assert compute_drop_interval(actual, better) == pytest.approx((-high, -low))
    assert compute_drop_interval(better, better) == (0, 0)
    with pytest.raises(ShapeMismatch):
        compute_drop_interval(better, evaluate_boxes(found[:3], truth[:3], 4))
