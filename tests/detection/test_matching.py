"""Boxes of two models match one to one, by class and overlap, whichever comes first."""

from __future__ import annotations

import numpy as np
import pytest

from shvit_mobile.detection.decode import Boxes
from shvit_mobile.detection.matching import compute_ious, match_boxes


def build_boxes(*boxes: tuple[float, float, float, float], classes: list[int], scores: list[float]) -> Boxes:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return Boxes(corners, np.array(scores, np.float32), np.array(classes, np.int64))


def test_an_iou_is_the_shared_area_by_the_joint_one() -> None:
    one = np.array([[0, 0, 10, 10], [5, 5, 5, 9]], np.float32)
    other = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [5, 5, 5, 9]], np.float32)
    assert compute_ious(one, other) == pytest.approx(np.array([[1, 1 / 3, 0, 0], [0, 0, 0, 0]]))


def test_a_box_of_another_class_or_with_little_overlap_does_not_match() -> None:
    first = build_boxes((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), classes=[0, 0, 0], scores=[0.9, 0.8, 0.7])
    second = build_boxes((0, 0, 10, 8), (20, 0, 30, 10), (40, 0, 50, 4), classes=[0, 1, 0], scores=[0.85, 0.8, 0.7])
    found = match_boxes(first, second)
    assert (found.first, found.second) == (3, 3)
    assert found.ious == pytest.approx([0.8])
    assert found.score_differences == pytest.approx([0.05])


def test_each_box_is_in_one_pair_and_the_best_overlap_comes_first() -> None:
    """Two boxes of the second model overlap with the same one of the first; its own twin takes it."""
    first = build_boxes((0, 0, 10, 10), (0, 1, 10, 11), classes=[2, 2], scores=[0.9, 0.8])
    second = build_boxes((0, 1, 10, 11), classes=[2], scores=[0.4])
    found, turned = match_boxes(first, second), match_boxes(second, first)
    assert found.ious == pytest.approx([1.0])
    assert found.score_differences == pytest.approx([0.4])
    assert (turned.first, turned.second, turned.ious.tolist()) == (1, 2, found.ious.tolist())


def test_boxes_of_low_scores_are_not_compared() -> None:
    first = build_boxes((0, 0, 10, 10), (20, 0, 30, 10), classes=[0, 0], scores=[0.29, 0.31])
    second = build_boxes((0, 0, 10, 10), (20, 0, 30, 10), classes=[0, 0], scores=[0.31, 0.29])
    found = match_boxes(first, second)
    assert (found.first, found.second, len(found.ious)) == (1, 1, 0)
    assert len(match_boxes(first, second, score_threshold=0.2).ious) == 2


def test_pictures_without_boxes_have_no_pairs() -> None:
    nothing, one = build_boxes(classes=[], scores=[]), build_boxes((0, 0, 1, 1), classes=[0], scores=[0.9])
    assert (match_boxes(nothing, nothing).first, len(match_boxes(nothing, one).ious)) == (0, 0)
