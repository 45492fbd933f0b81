"""The detection contract: how the raw maps of a detector become boxes.

The manifest of a detector contains it. `shvit_mobile.detection` implements it, and so do the phone apps;
`docs/guides/detection.md` describes it step by step.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from shvit_mobile.errors import InvalidValue, parse_choice

BoxCoding = Literal["deltas", "distances"]
ScoreActivation = Literal["sigmoid"]
_BOX_CODINGS: tuple[BoxCoding, ...] = get_args(BoxCoding)
_SCORE_ACTIVATIONS: tuple[ScoreActivation, ...] = get_args(ScoreActivation)
# The limit of mmdet: a box is at most 62.5 times as large as its anchor, or as the stride, and at least 0.016 times.
MAX_LOG_SCALE = math.log(1000 / 16)

_MAX_STRIDE, _MAX_ANCHOR_VALUES, _MAX_FACTOR = 1024, 16, 1e3
_MAX_BOXES = 100_000


@dataclass(frozen=True)
class Detection:
    """How boxes are coded in the maps of a detector, and which of them are kept.

    For each stride a detector has a map of raw scores, shape (anchors * classes, rows, columns), anchor by anchor, and
    a map of coded boxes, shape (anchors * 4, rows, columns). Without anchor boxes there is one anchor. A position has
    its center at ((column + center_offset) * stride, (row + center_offset) * stride), in pixels of the model's input.

    Attributes:
        strides: The stride of each level in pixels, increasing.
        box_coding: "deltas" are offsets of the center in sides of the anchor box, x and y, and logarithms of the ratio
            of the sides, width and height, as in R-CNN. "distances" are logarithms of the distances in strides from the
            center to the left, top, right and bottom side.
        center_offset: 0 for a center at the corner of a position, 0.5 for one in its middle.
        anchor_scales: The sides of the square anchor boxes in strides; empty for distances.
        anchor_ratios: Height by width of the anchor boxes; empty for distances. Anchors are ordered by ratio, then by
            scale; their area does not depend on the ratio.
        box_means, box_stds: A raw value r stands for r * std + mean, for each of the four.
        score_activation: What makes a score from 0 to 1 of a raw score.
        score_threshold: Only scores above it count; above 0 and below 1.
        pre_nms_top_k: The number of scores of a level, at most, that count.
        nms_iou: A box is dropped if its intersection over union with a better one exceeds this; 0 to 1.
        class_wise_nms: Whether only boxes of the same class drop each other.
        max_boxes: The number of boxes, at most, of a picture.

    Raises:
        InvalidValue: If a number is out of range, or anchors are given for distances or missing for deltas.
        UnknownChoice: If a name is unknown.
    """

    strides: tuple[int, ...]
    box_coding: BoxCoding
    center_offset: float = 0.0
    anchor_scales: tuple[float, ...] = ()
    anchor_ratios: tuple[float, ...] = ()
    box_means: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    box_stds: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    score_activation: ScoreActivation = "sigmoid"
    score_threshold: float = 0.05
    pre_nms_top_k: int = 1000
    nms_iou: float = 0.5
    class_wise_nms: bool = True
    max_boxes: int = 100

    def __post_init__(self) -> None:
        parse_choice(self.box_coding, _BOX_CODINGS, "box coding")
        parse_choice(self.score_activation, _SCORE_ACTIVATIONS, "score activation")
        increasing = tuple(sorted(set(self.strides))) == self.strides
        valid = increasing and len(self.strides) > 0 and all(1 <= one <= _MAX_STRIDE for one in self.strides)
        self._check("strides", valid, f"They are 1 to {_MAX_STRIDE} pixels, increasing, and at least one.")
        self._check("center_offset", 0 <= self.center_offset <= 1, "It is a share of a stride, 0 to 1.")
        for name, values in (("anchor_scales", self.anchor_scales), ("anchor_ratios", self.anchor_ratios)):
            if self.box_coding == "distances":
                self._check(name, not values, "Distances are measured from a point, without anchor boxes.")
                continue
            valid = 1 <= len(values) <= _MAX_ANCHOR_VALUES and all(1 / _MAX_FACTOR <= v <= _MAX_FACTOR for v in values)
            self._check(name, valid, f"Deltas need 1 to {_MAX_ANCHOR_VALUES} numbers of 0.001 to 1000.")
        for name, values, low in (("box_means", self.box_means, -_MAX_FACTOR), ("box_stds", self.box_stds, 1e-6)):
            valid = len(values) == 4 and all(low <= v <= _MAX_FACTOR for v in values)
            self._check(name, valid, f"It has four numbers from {low:g} to {_MAX_FACTOR:g}.")
        self._check("score_threshold", 0 < self.score_threshold < 1, "It is above 0 and below 1.")
        self._check("nms_iou", 0 <= self.nms_iou <= 1, "It is a share, 0 to 1.")
        for name in ("pre_nms_top_k", "max_boxes"):
            self._check(name, 1 <= getattr(self, name) <= _MAX_BOXES, f"It is 1 to {_MAX_BOXES:,}.")

    def _check(self, name: str, valid: bool, why: str) -> None:
        if not valid:
            raise InvalidValue(f"`{name}` is {getattr(self, name)}.", why=why, parameter=name)

    @property
    def anchors(self) -> int:
        """The number of boxes that a position has."""
        return len(self.anchor_scales) * len(self.anchor_ratios) if self.box_coding == "deltas" else 1

    @property
    def raw_score_threshold(self) -> float:
        """The raw score whose score is `score_threshold`."""
        return math.log(self.score_threshold / (1 - self.score_threshold))

    def list_anchor_sizes(self, stride: int) -> list[tuple[float, float]]:
        """Return (width, height) in pixels of each anchor box of a level; none for distances."""
        return [
            (stride * scale / math.sqrt(ratio), stride * scale * math.sqrt(ratio))
            for ratio in self.anchor_ratios
            for scale in self.anchor_scales
        ]
