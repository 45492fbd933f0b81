"""Boxes of a float model and of an artifact are counted over pictures, and held against those that pictures have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shvit_mobile.contracts.detection import Detection
from shvit_mobile.detection.average_precision import TrueBoxes, evaluate_boxes
from shvit_mobile.detection.decode import Boxes
from shvit_mobile.drift.box_drift import build_average_precision, build_box_agreement, select_true_boxes
from shvit_mobile.errors import BadImages
from shvit_mobile.images.image_set import ImageSet

DETECTION = Detection(strides=(16,), box_coding="distances")


def build_boxes(*boxes: tuple[float, float, float, float], scores: list[float]) -> Boxes:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return Boxes(corners, np.array(scores, np.float32), np.zeros(len(scores), np.int64))


A, B, C = (0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)
REFERENCE = [build_boxes(A, B, scores=[0.9, 0.8]), build_boxes(scores=[]), build_boxes(A, scores=[0.5])]
FOUND = [build_boxes(A, C, scores=[0.7, 0.6]), build_boxes(B, scores=[0.9]), build_boxes((0, 0, 10, 9), scores=[0.5])]


def test_agreement_is_the_share_of_boxes_that_both_find() -> None:
    agreement = build_box_agreement(REFERENCE, FOUND, DETECTION)
    assert (agreement.float_boxes, agreement.boxes, agreement.matched) == (3, 4, 2)
    assert agreement.agreement is not None
    assert agreement.agreement.value == pytest.approx(2 / 5)
    assert agreement.mean_iou == pytest.approx(0.95)
    assert agreement.max_score_difference == pytest.approx(0.2)
    assert agreement.score_threshold == 0.3


def test_a_stricter_contract_decides_which_boxes_there_are() -> None:
    strict = Detection(strides=(16,), box_coding="distances", score_threshold=0.75)
    agreement = build_box_agreement(REFERENCE, FOUND, strict)
    assert (agreement.score_threshold, agreement.float_boxes, agreement.boxes) == (0.75, 2, 1)


def test_without_boxes_there_is_no_agreement() -> None:
    nothing = [build_boxes(scores=[])] * 3
    agreement = build_box_agreement(nothing, nothing, DETECTION)
    assert (agreement.agreement, agreement.mean_iou, agreement.float_boxes) == (None, None, 0)


def test_average_precision_is_that_of_both_models() -> None:
    truth = [TrueBoxes(np.array([A, B], np.float32), np.zeros(2, np.int64)), *[build_true_boxes()] * 2]
    first, second = (evaluate_boxes(boxes, truth, 1) for boxes in (REFERENCE, FOUND))
    precision = build_average_precision(first, second)
    assert precision.true_boxes == 2
    assert precision.float_ap == pytest.approx(100)
    assert precision.ap < 60
    assert precision.drop == pytest.approx(precision.float_ap - precision.ap)
    assert precision.drop_interval[0] <= precision.drop <= precision.drop_interval[1]


def build_true_boxes(*boxes: tuple[float, float, float, float], size: tuple[int, int] | None = None) -> TrueBoxes:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return TrueBoxes(corners, np.zeros(len(boxes), np.int64), image_size=size)


def test_pictures_of_another_size_than_annotated_are_refused() -> None:
    file = Path("pictures/a.png")
    images = ImageSet(file.parent, (file,), true_boxes={file: build_true_boxes(A, size=(30, 40))})
    assert select_true_boxes(images, [(file, (30, 40))]) is not None
    with pytest.raises(BadImages, match=r"40 x 30 in the file"):
        select_true_boxes(images, [(file, (40, 30))])


def test_pictures_without_any_box_are_refused_and_pictures_without_annotations_have_no_truth() -> None:
    file = Path("pictures/a.png")
    with pytest.raises(BadImages):
        select_true_boxes(ImageSet(file.parent, (file,), true_boxes={file: build_true_boxes()}), [(file, (30, 40))])
    assert select_true_boxes(ImageSet(file.parent, (file,)), [(file, (30, 40))]) is None
