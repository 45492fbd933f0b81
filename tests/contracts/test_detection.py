"""The detection contract refuses values that mean nothing, and orders anchors like mmdet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shvit_mobile.contracts.detection import Detection
from shvit_mobile.errors import InvalidValue, UnknownChoice

POINTS = Detection(strides=(16, 32, 64), box_coding="distances", center_offset=0.5)
ANCHORS = Detection(strides=(8, 16), box_coding="deltas", anchor_scales=(4.0, 8.0), anchor_ratios=(0.25, 1.0, 4.0))


def test_anchors_are_ordered_by_ratio_and_have_the_same_area() -> None:
    assert ANCHORS.anchors == 6
    sizes = ANCHORS.list_anchor_sizes(8)
    assert sizes == [(64, 16), (128, 32), (32, 32), (64, 64), (16, 64), (32, 128)]
    assert POINTS.anchors == 1
    assert POINTS.list_anchor_sizes(16) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strides", ()),
        ("strides", (32, 16)),
        ("strides", (16, 16)),
        ("strides", (0,)),
        ("center_offset", float("nan")),
        ("anchor_scales", (1.0,)),
        ("box_means", (0.0, 0.0, 0.0)),
        ("box_stds", (0.0, 1.0, 1.0, 1.0)),
        ("score_threshold", 0.0),
        ("score_threshold", 1.0),
        ("pre_nms_top_k", 0),
        ("nms_iou", 1.5),
        ("max_boxes", 0),
    ],
)
def test_values_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidValue) as caught:
        replace(POINTS, **{name: value})
    assert caught.value.parameter == name


def test_deltas_need_anchors() -> None:
    with pytest.raises(InvalidValue) as caught:
        replace(ANCHORS, anchor_ratios=())
    assert caught.value.parameter == "anchor_ratios"
    with pytest.raises(UnknownChoice):
        replace(ANCHORS, box_coding="corners")
