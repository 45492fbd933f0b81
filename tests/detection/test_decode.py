"""Maps of detectors become the boxes that the contract says, as in the apps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shvit_mobile.contracts.detection import Detection
from shvit_mobile.contracts.preprocessing import Padding, Preprocessing
from shvit_mobile.detection.decode import Boxes, decode_boxes
from shvit_mobile.errors import ShapeMismatch

VECTORS = Path(__file__).parents[2] / "schemas" / "vectors" / "detection.json"
CASES = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]
POINT = Detection(strides=(32,), box_coding="distances", center_offset=0.5, nms_iou=0.3)
INPUT = Preprocessing((32, 64), 1.0, resize_mode="squash")


def build_contract(kind: type[Any], fields: dict[str, Any]) -> Any:
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})


def read_map(stored: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(stored["values"], np.float32).reshape(stored["shape"])


def decode_two(scores: tuple[float, float], distances: tuple[float, float], **changes: Any) -> Boxes:
    """Decode two positions side by side, the one at (16, 16) and the other at (48, 16), with equal distances."""
    raw = np.array(scores, np.float32).reshape(1, 1, 2)
    coded = np.log(np.array([distances] * 4, np.float32) / 32).reshape(4, 1, 2)
    return decode_boxes([raw], [coded], replace(POINT, **changes), INPUT, (32, 64))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_boxes_are_those_of_the_vectors(case: dict[str, Any]) -> None:
    height, width = case["image"]["height"], case["image"]["width"]
    found = decode_boxes(
        [read_map(one) for one in case["scores"]],
        [read_map(one) for one in case["boxes"]],
        build_contract(Detection, case["detection"]),
        build_contract(Preprocessing, case["preprocessing"]),
        (height, width),
    )
    expected = case["expected"]
    assert found.classes.tolist() == [one["class"] for one in expected]
    np.testing.assert_allclose(found.scores, [one["score"] for one in expected], rtol=0, atol=1e-6)
    corners = np.array([one["corners"] for one in expected]).reshape(-1, 4)
    np.testing.assert_allclose(found.corners, corners, rtol=0, atol=1e-4 * max(height, width))


@pytest.mark.parametrize(("padding", "left"), [("end", 0), ("center", 16)])
def test_nothing_is_found_in_the_padding_of_a_letterbox(padding: Padding, left: int) -> None:
    # The picture, 32 x 16, is as large as in the input of 32 x 64 and lies in 32 of its columns, enlarged twice.
    letterbox = Preprocessing((32, 64), 1.0, resize_mode="letterbox", padding=padding, padding_value=(0, 0, 0))
    raw = np.array([2.0, 1.0], np.float32).reshape(1, 1, 2)

    def decode(distance: float) -> Boxes:
        coded = np.full((4, 1, 2), np.log(distance / 32), np.float32)
        return decode_boxes([raw], [coded], replace(POINT, nms_iou=1.0), letterbox, (16, 16))

    # Around (16, 16) and (48, 16), 10 pixels each way; the picture's columns are 0 to 32 or 16 to 48.
    places = [[max(6, left) - left, 6, min(26, left + 32) - left, 26], [max(38, left) - left, 6, left + 32 - left, 26]]
    inside = [np.array(place) / 2 for place in places if place[2] > place[0]]
    found = decode(10).corners
    assert len(found) == len(inside) == (1 if padding == "end" else 2)
    np.testing.assert_allclose(found, inside, atol=1e-5)


def test_the_vectors_have_every_option_and_boxes() -> None:
    found = {(case["detection"]["box_coding"], case["preprocessing"]["resize_mode"]) for case in CASES}
    assert found == {(coding, mode) for coding in ("deltas", "distances") for mode in ("cover", "squash", "letterbox")}
    assert {case["detection"]["class_wise_nms"] for case in CASES} == {True, False}
    assert sum(len(case["expected"]) > 3 for case in CASES) >= 8


def test_a_box_lies_around_its_position_in_pixels_of_the_picture() -> None:
    raw, coded = np.array([[[3.0, -9.0]]], np.float32), np.zeros((4, 1, 2), np.float32)
    coded[:, 0, 0] = np.log(np.array([4, 8, 12, 16]) / 32)
    found = decode_boxes([raw], [coded], POINT, INPUT, (320, 320))
    # The picture is 5 times as wide and 10 times as high as the input; the position is at (16, 16).
    np.testing.assert_allclose(found.corners, [[60, 80, 140, 320]], rtol=1e-6)
    np.testing.assert_allclose(found.scores, [1 / (1 + np.exp(-3))], rtol=1e-6)


def test_of_equal_scores_the_first_position_is_kept() -> None:
    assert decode_two((1, 1), (30, 40)).corners.tolist() == [[0, 0, 46, 32]]
    assert decode_two((1, 1.001), (30, 40)).corners.tolist() == [[8, 0, 64, 32]]


def test_a_box_that_is_dropped_drops_no_other() -> None:
    """Of three boxes in a chain, the middle one is dropped and the last one stays."""
    raw = np.array([[[3.0, 2.0, 1.0]]], np.float32)
    coded = np.full((4, 1, 3), np.log(24 / 32), np.float32)
    found = decode_boxes([raw], [coded], replace(POINT, nms_iou=0.1), replace(INPUT, size=(32, 96)), (32, 96))
    assert found.corners[:, 0].tolist() == [0, 56]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_give_no_box_outside_of_the_picture(value: float) -> None:
    raw = np.array([[[2.0, 1.0]]], np.float32)
    coded = np.full((4, 1, 2), value, np.float32)
    coded[:, 0, 1] = -3
    found = decode_boxes([raw], [coded], POINT, INPUT, (32, 64))
    assert np.isfinite(found.corners).all()
    assert len(found.corners) == (1 if np.isnan(value) else 2)
    raw[0, 0, 0] = np.nan
    assert decode_boxes([raw], [coded], POINT, INPUT, (32, 64)).scores.tolist() == pytest.approx([1 / (1 + np.exp(-1))])


@pytest.mark.parametrize(
    ("score_shapes", "box_shapes"),
    [
        ([], []),
        ([(2, 1, 2)], [(4, 1, 2), (4, 1, 2)]),
        ([(2, 2, 2)], [(4, 1, 2)]),
        ([(2, 1, 2)], [(8, 1, 2)]),
        ([(0, 1, 2)], [(4, 1, 2)]),
        ([(1, 2, 1, 2)], [(4, 1, 2)]),
    ],
)
def test_maps_that_do_not_fit_the_contract_are_refused(score_shapes: list[Any], box_shapes: list[Any]) -> None:
    scores, boxes = ([np.zeros(shape, np.float32) for shape in shapes] for shapes in (score_shapes, box_shapes))
    with pytest.raises(ShapeMismatch):
        decode_boxes(scores, boxes, POINT, INPUT, (32, 64))
