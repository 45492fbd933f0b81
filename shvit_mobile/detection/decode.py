"""Boxes from the raw maps of a detector, by the detection contract: the reference of the apps' implementations.

Everything is computed in float64, in the order that `docs/guides/detection.md` states, so that implementations in other
languages differ by the last bits of exp at most. `schemas/vectors/detection.json` has cases for every language.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.detection import MAX_LOG_SCALE, Detection
from shvit_mobile.contracts.preprocessing import ImageMap, Preprocessing
from shvit_mobile.errors import ShapeMismatch


@dataclass(frozen=True)
class Boxes:
    """The boxes of a picture, best first.

    Attributes:
        corners: Left, top, right and bottom, float32, shape (boxes, 4).
        scores: 0 to 1, float32, shape (boxes,).
        classes: The class of each, int64, shape (boxes,).
    """

    corners: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


def decode_boxes(
    scores: Sequence[NDArray[np.float32]],
    boxes: Sequence[NDArray[np.float32]],
    detection: Detection,
    preprocessing: Preprocessing,
    image_size: tuple[int, int],
) -> Boxes:
    """Decode the maps of one picture and suppress boxes that overlap with better ones.

    Args:
        scores: The raw scores of each level, shape (anchors * classes, rows, columns).
        boxes: The coded boxes of each level, shape (anchors * 4, rows, columns).
        detection: How they are coded, and which are kept.
        preprocessing: How the picture became the model's input.
        image_size: (height, width) of the upright picture in pixels.

    Returns:
        Boxes in pixels of the picture.

    Raises:
        ShapeMismatch: If the shapes of the maps do not fit the contract.
    """
    classes = _check_shapes(scores, boxes, detection, preprocessing.size)
    levels = [
        _decode_level(raw, coded, stride, classes, detection)
        for raw, coded, stride in zip(scores, boxes, detection.strides, strict=True)
    ]
    raw, corners, labels = (np.concatenate(parts) for parts in zip(*levels, strict=True))
    image = preprocessing.compute_image_map(*image_size)
    # Nothing is found in the padding of a letterbox.
    low, high = (np.array([image.columns[end], image.rows[end]] * 2) for end in (0, 1))
    corners = np.clip(corners, low, high)
    # Not a number compares as false.
    has_area = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    raw, corners, labels = raw[has_area], corners[has_area], labels[has_area]
    # Stable: equal scores keep the order of levels, rows, columns, anchors and classes.
    order = np.argsort(-raw, kind="stable")
    raw, corners, labels = raw[order], corners[order], labels[order]
    kept = suppress_overlapping(corners, labels if detection.class_wise_nms else np.zeros_like(labels), detection)
    return Boxes(
        corners=_move_to_image(corners[kept], image),
        scores=(1 / (1 + np.exp(-raw[kept]))).astype(np.float32),
        classes=labels[kept],
    )


def _check_shapes(
    scores: Sequence[NDArray[np.float32]],
    boxes: Sequence[NDArray[np.float32]],
    detection: Detection,
    size: tuple[int, int],
) -> int:
    """Return the number of classes, or raise `ShapeMismatch`."""
    levels, anchors = len(detection.strides), detection.anchors
    if len(scores) != levels or len(boxes) != levels:
        raise ShapeMismatch(
            f"There are {len(scores)} maps of scores and {len(boxes)} of boxes.",
            why=f"The contract has {levels} strides, and each has one map of either.",
        )
    channels = scores[0].shape[0] if scores[0].ndim == 3 else 0
    for raw, coded, stride in zip(scores, boxes, detection.strides, strict=True):
        shape = tuple(-(-side // stride) for side in size)
        if raw.shape != (channels, *shape) or channels < 1 or channels % anchors:
            raise ShapeMismatch(
                f"The scores of stride {stride} have the shape {raw.shape}.",
                why=f"It is (a multiple of {anchors} that all strides share, {shape[0]}, {shape[1]}).",
            )
        if coded.shape != (4 * anchors, *shape):
            raise ShapeMismatch(
                f"The boxes of stride {stride} have the shape {coded.shape}.",
                why=f"It is ({4 * anchors}, {shape[0]}, {shape[1]}).",
            )
    return channels // anchors


def _decode_level(
    scores: NDArray[np.float32], boxes: NDArray[np.float32], stride: int, classes: int, detection: Detection
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return raw scores, corners and classes of the best scores of a level, best first."""
    anchors, columns = detection.anchors, scores.shape[2]
    # By row, column, anchor and class: (positions, anchors * classes).
    flat = scores.transpose(1, 2, 0).reshape(-1).astype(np.float64)
    found = np.flatnonzero(flat > detection.raw_score_threshold)
    found = found[np.argsort(-flat[found], kind="stable")][: detection.pre_nms_top_k]
    place, label = np.divmod(found, classes)
    position, anchor = np.divmod(place, anchors)
    row, column = np.divmod(position, columns)
    coded = boxes.transpose(1, 2, 0).reshape(-1, 4)[place].astype(np.float64)
    values = coded * np.array(detection.box_stds) + np.array(detection.box_means)
    x, y = ((index + detection.center_offset) * stride for index in (column, row))
    if detection.box_coding == "distances":
        left, top, right, bottom = (stride * _exp(values[:, side]) for side in range(4))
        corners = np.stack([x - left, y - top, x + right, y + bottom], axis=1)
    else:
        sizes = np.array(detection.list_anchor_sizes(stride))[anchor]
        width, height = (sizes[:, axis] * _exp(values[:, 2 + axis]) for axis in range(2))
        x, y = x + sizes[:, 0] * values[:, 0], y + sizes[:, 1] * values[:, 1]
        corners = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
    return flat[found], corners, label


def _exp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(np.clip(values, -MAX_LOG_SCALE, MAX_LOG_SCALE))


def suppress_overlapping(
    corners: NDArray[np.float64], groups: NDArray[np.int64], detection: Detection
) -> NDArray[np.int64]:
    """Return the indices of the boxes to keep, at most `max_boxes`: greedy non-maximum suppression.

    Args:
        corners: Left, top, right and bottom of boxes that have an area, best first, shape (boxes, 4).
        groups: Only boxes of the same group drop each other, shape (boxes,).
        detection: The limits.
    """
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    waiting = np.arange(len(corners))
    kept: list[int] = []
    while len(waiting) and len(kept) < detection.max_boxes:
        best, waiting = int(waiting[0]), waiting[1:]
        kept.append(best)
        low = np.maximum(corners[waiting, :2], corners[best, :2])
        high = np.minimum(corners[waiting, 2:], corners[best, 2:])
        sides = np.maximum(high - low, 0)
        shared = sides[:, 0] * sides[:, 1]
        overlap = shared / (areas[best] + areas[waiting] - shared)
        waiting = waiting[(overlap <= detection.nms_iou) | (groups[waiting] != groups[best])]
    return np.array(kept, dtype=np.int64)


def _move_to_image(corners: NDArray[np.float64], image: ImageMap) -> NDArray[np.float32]:
    """Return corners in pixels of the image, inside of it."""
    x = np.clip(corners[:, 0::2] * image.x_scale + image.x_offset, 0, image.width)
    y = np.clip(corners[:, 1::2] * image.y_scale + image.y_offset, 0, image.height)
    return np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1).astype(np.float32)
