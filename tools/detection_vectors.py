"""Cases of the detection contract for `schemas/vectors/detection.json`: maps, and the boxes that they stand for.

The boxes are decoded and compared here one at a time, in plain Python that shares nothing with the implementations. A
case in which a last bit would decide is an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.detection import Detection
from shvit_mobile.contracts.preprocessing import Padding, Preprocessing

# What a value must differ by from the limit that it is compared with.
MARGIN = 1e-6


@dataclass(frozen=True)
class Case:
    """Raw values are drawn with this spread, and rounded to multiples of `step` so that several are equal."""

    name: str
    detection: Detection
    preprocessing: Preprocessing
    image_size: tuple[int, int]
    classes: int
    spread: float = 2.0
    mean_score: float = -3.0
    step: float = 0.001


POINTS = Detection(strides=(16, 32), box_coding="distances", center_offset=0.5)
RETINA = Detection(
    strides=(32, 64),
    box_coding="deltas",
    anchor_scales=(1.0, 2 ** (1 / 3), 2 ** (2 / 3)),
    anchor_ratios=(0.5, 1.0, 2.0),
)


def build(base: Detection, **changes: object) -> Detection:
    return Detection(**{**vars(base), **changes})  # type: ignore[arg-type]


def letterbox(size: tuple[int, int], padding: Padding) -> Preprocessing:
    return Preprocessing(size, 1.0, resize_mode="letterbox", padding=padding, padding_value=(124, 116, 104))


CASES = [
    Case("points, stretched", POINTS, Preprocessing((64, 96), 1.0, resize_mode="squash"), (123, 77), 3),
    Case("points, cropped", POINTS, Preprocessing((64, 64), 0.875), (150, 61), 2, mean_score=-2),
    Case("a side that is no multiple of the stride", POINTS, Preprocessing((50, 71), 0.9), (99, 99), 2),
    Case("anchors", RETINA, Preprocessing((96, 64), 1.0, resize_mode="squash"), (480, 640), 2, spread=1.5),
    Case(
        "anchors with means and deviations",
        build(RETINA, box_means=(0.1, -0.2, 0.05, 0.3), box_stds=(0.1, 0.2, 0.3, 0.4), center_offset=0.5),
        Preprocessing((64, 64), 0.9),
        (64, 200),
        2,
    ),
    Case("equal scores", POINTS, Preprocessing((96, 96), 1.0), (96, 96), 2, spread=1.0, mean_score=-1, step=0.5),
    Case(
        "few of many",
        build(POINTS, pre_nms_top_k=7, max_boxes=4, score_threshold=0.01, nms_iou=0.3),
        Preprocessing((96, 64), 1.0),
        (31, 200),
        3,
        mean_score=0,
    ),
    Case(
        "classes drop each other",
        build(POINTS, class_wise_nms=False, nms_iou=0.2),
        Preprocessing((64, 64), 1.0),
        (100, 100),
        4,
        mean_score=-1,
    ),
    Case("nothing found", POINTS, Preprocessing((64, 64), 1.0), (100, 100), 2, spread=0.1, mean_score=-6),
    Case("huge and tiny boxes", POINTS, Preprocessing((64, 64), 1.0), (640, 480), 1, spread=9, mean_score=-1),
    Case(
        "few of each level, none dropped",
        build(POINTS, pre_nms_top_k=5, nms_iou=1.0),
        Preprocessing((96, 96), 1.0),
        (50, 70),
        2,
        mean_score=0,
    ),
    Case("a letterbox of a wide picture", POINTS, letterbox((64, 80), "center"), (50, 101), 2, mean_score=-1),
    Case("a letterbox of a tall picture, padded at the end", RETINA, letterbox((64, 96), "end"), (97, 60), 2),
    Case("a very long picture", POINTS, Preprocessing((32, 64), 1.0), (9, 20_000), 2, mean_score=-1),
]


def build_detection_cases() -> list[dict[str, object]]:
    return [build_case(case, seed) for seed, case in enumerate(CASES)]


def build_case(case: Case, seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    detection, size = case.detection, case.preprocessing.size
    scores, boxes = [], []
    for stride in detection.strides:
        rows, columns = (math.ceil(side / stride) for side in size)
        for maps, channels, mean in ((scores, case.classes, case.mean_score), (boxes, 4, 0.0)):
            drawn = rng.normal(mean, case.spread, (channels * detection.anchors, rows, columns))
            maps.append(np.round(np.round(drawn / case.step) * case.step, 3).astype(np.float32))
    return {
        "name": case.name,
        "detection": vars(detection),
        "preprocessing": case.preprocessing.as_fields(),
        "image": {"height": case.image_size[0], "width": case.image_size[1]},
        "scores": [describe_map(one) for one in scores],
        "boxes": [describe_map(one) for one in boxes],
        "expected": list(find_boxes(case, scores, boxes)),
    }


def describe_map(values: NDArray[np.float32]) -> dict[str, object]:
    return {"shape": list(values.shape), "values": [round(float(value), 3) for value in values.ravel()]}


def find_boxes(
    case: Case, scores: list[NDArray[np.float32]], boxes: list[NDArray[np.float32]]
) -> Iterator[dict[str, object]]:
    """Yield the boxes of a case, best first."""
    detection = case.detection
    shown = find_shown_part(case)
    found = []
    for raw, coded, stride in zip(scores, boxes, detection.strides, strict=True):
        level = []
        _, rows, columns = raw.shape
        for row in range(rows):
            for column in range(columns):
                for anchor in range(detection.anchors):
                    for label in range(case.classes):
                        score = float(raw[anchor * case.classes + label, row, column])
                        probability = 1 / (1 + math.exp(-score))
                        check_margin(probability, detection.score_threshold)
                        if probability > detection.score_threshold:
                            values = [float(coded[4 * anchor + side, row, column]) for side in range(4)]
                            corners = decode(values, row, column, anchor, stride, detection)
                            level.append((score, probability, corners, label))
        # Python's sort is stable.
        found += sorted(level, key=lambda one: -one[0])[: detection.pre_nms_top_k]
    inside = [
        (
            score,
            probability,
            [min(max(v, least), most) for v, (least, most) in zip(box, shown * 2, strict=True)],
            label,
        )
        for score, probability, box, label in found
    ]
    ordered = sorted((one for one in inside if has_area(one[2])), key=lambda one: -one[0])
    kept: list[tuple[list[float], int]] = []
    for _, probability, box, label in ordered:
        rivals = [other for other, group in kept if group == label or not detection.class_wise_nms]
        if len(kept) < detection.max_boxes and not any(overlaps(box, other, detection.nms_iou) for other in rivals):
            kept.append((box, label))
            yield {"class": label, "score": probability, "corners": move_to_image(box, case)}


def overlaps(one: list[float], other: list[float], limit: float) -> bool:
    width, height = (min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis]) for axis in (0, 1))
    if width <= 0 or height <= 0:
        return False
    area, another = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    iou = width * height / (area + another - width * height)
    check_margin(iou, limit)
    return iou > limit


def decode(
    raw: list[float], row: int, column: int, anchor: int, stride: int, detection: Detection
) -> tuple[float, float, float, float]:
    a, b, c, d = (v * s + m for v, s, m in zip(raw, detection.box_stds, detection.box_means, strict=True))
    x, y = (column + detection.center_offset) * stride, (row + detection.center_offset) * stride

    def grow(value: float) -> float:
        return min(max(math.exp(value), 0.016), 62.5)

    if detection.box_coding == "distances":
        return x - stride * grow(a), y - stride * grow(b), x + stride * grow(c), y + stride * grow(d)
    scales = len(detection.anchor_scales)
    side = stride * detection.anchor_scales[anchor % scales]
    ratio = detection.anchor_ratios[anchor // scales]
    width, height = side / ratio**0.5, side * ratio**0.5
    x, y, wide, high = x + width * a, y + height * b, width * grow(c), height * grow(d)
    return x - wide / 2, y - high / 2, x + wide / 2, y + high / 2


def has_area(box: list[float]) -> bool:
    return box[2] > box[0] and box[3] > box[1]


def move_to_image(box: list[float], case: Case) -> list[float]:
    """Return where corners lie in the picture: undo the crop, the resize, and the cut of a very long picture."""
    size = case.image_size
    if case.name == "a very long picture":
        # 64 times the 64 columns that the crop shows, for 32 rows of 9.
        size = (9, 64 * 64 * 9 // 32)
    resized = case.preprocessing.compute_resized_size(*size)
    moved = []
    for index, value in enumerate(box):
        axis = 1 - index % 2
        origin = find_origin(resized[axis], case.preprocessing.size[axis], case.preprocessing.padding)
        place = (value + origin) * size[axis] / resized[axis] + (case.image_size[axis] - size[axis]) // 2
        moved.append(min(max(place, 0.0), float(case.image_size[axis])))
    return moved


def find_origin(resized: int, side: int, padding: Padding | None) -> int:
    """Return where the input begins in a side of the resized picture: below 0 if padding is before it."""
    if padding is None:
        return round((resized - side) / 2)
    return -((side - resized) // 2) if padding == "center" else 0


def find_shown_part(case: Case) -> list[tuple[float, float]]:
    """Return from where to where the input shows the picture, along columns and rows; the rest is padding."""
    preprocessing, (height, width) = case.preprocessing, case.preprocessing.size
    if preprocessing.padding is None:
        return [(0.0, width), (0.0, height)]
    scale = min(height / case.image_size[0], width / case.image_size[1])
    shown = []
    for side, picture in ((width, case.image_size[1]), (height, case.image_size[0])):
        resized = math.floor(picture * scale + 0.5)
        start = -find_origin(resized, side, preprocessing.padding)
        shown.append((float(start), float(start + resized)))
    return shown


def check_margin(value: float, limit: float) -> None:
    if abs(value - limit) < MARGIN:
        raise ValueError(f"a value is too near to {limit} to be the same in every language: choose another seed")
