"""One row of the drift table: the difference between an artifact and its float model on the same images."""

from math import isinf
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shvit_mobile.contracts.document import Contract, Count, JsonFloat, Proportion, Sha256

Execution = Literal["native", "reference", "emulated", "simulated"]
# Figures are written with six digits after the point, of numbers up to 100, or with all of them.
_ROUNDING = 2e-6
NotNegative = Annotated[float, Field(ge=0)]
Percent = Annotated[float, Field(ge=0, le=100)]


class ProportionEstimate(Contract):
    """A share of images with its 95% interval, all between 0 and 1."""

    value: Proportion
    low: Proportion
    high: Proportion

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.value:g} is not in its interval, {self.low:g} to {self.high:g}")
        return self


class McNemar(Contract):
    """The images that only one of the two models classifies correctly, and McNemar's exact two-sided p-value."""

    lost: Count
    gained: Count
    p_value: Proportion


class EmulatedCPU(Contract):
    """An emulated CPU, and its features that decide which kernels XNNPACK uses."""

    arch: str
    name: str
    features: tuple[str, ...]


class MapDrift(Contract):
    """The figures of one map, over all images.

    Attributes:
        name: The name of the output.
        sqnr_db: SQNR over all values; infinite if they are equal.
        cosine: The mean cosine similarity of an image's map, artifact and float model, -1 to 1.
        worst_channel: The channel with the lowest SQNR.
        worst_channel_db: Its SQNR.
        max_abs_error: The largest difference of any value.
    """

    name: str
    sqnr_db: JsonFloat
    cosine: Annotated[float, Field(ge=-1, le=1)]
    worst_channel: Count
    worst_channel_db: JsonFloat
    max_abs_error: NotNegative

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.worst_channel_db > self.sqnr_db + _ROUNDING:
            raise ValueError("worst_channel_db: it is better than that of all channels")
        return self


class BoxAgreement(Contract):
    """How many boxes the artifact and the float model share, over all images; labels are not needed.

    Attributes:
        score_threshold: Only boxes with a score above it are compared.
        iou_threshold: Two boxes of the same class are shared if their intersection over union reaches it.
        float_boxes, boxes: The boxes of the float model, and of the artifact.
        matched: The pairs of shared boxes; each box is in one pair at most.
        agreement: Of all boxes that either finds, the share that both find; a pair counts once. None without boxes.
        mean_iou: The mean intersection over union of the pairs; None without pairs.
        max_score_difference: The largest difference of the scores of a pair; None without pairs.
    """

    score_threshold: Proportion
    iou_threshold: Proportion
    float_boxes: Count
    boxes: Count
    matched: Count
    agreement: ProportionEstimate | None
    mean_iou: Proportion | None
    max_score_difference: Proportion | None

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        found = self.float_boxes + self.boxes - self.matched
        if self.matched > min(self.float_boxes, self.boxes):
            raise ValueError("matched: there are more pairs than boxes")
        if (self.agreement is None) != (found == 0):
            raise ValueError("agreement: it is there if there are boxes")
        if self.agreement is not None and abs(self.agreement.value - self.matched / found) > _ROUNDING:
            raise ValueError(f"agreement: it is {self.agreement.value:g}, and {self.matched} of {found} boxes match")
        if any((figure is None) != (self.matched == 0) for figure in (self.mean_iou, self.max_score_difference)):
            raise ValueError("mean_iou: it is there if there are pairs, as is max_score_difference")
        return self


class AveragePrecisionDrift(Contract):
    """COCO's average precision of the artifact and of the float model, in percent.

    Attributes:
        true_boxes: The number of boxes that the images have.
        ap, float_ap: The mean over the IoU thresholds 0.5, 0.55 to 0.95.
        ap50, float_ap50: At the IoU threshold 0.5.
        drop: Points of AP lost against the float model, with a paired 95% interval (a bootstrap over images).
    """

    true_boxes: Annotated[int, Field(ge=1)]
    ap: Percent
    float_ap: Percent
    ap50: Percent
    float_ap50: Percent
    drop: Annotated[float, Field(ge=-100, le=100)]
    drop_interval: tuple[float, float]

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if abs(self.drop - (self.float_ap - self.ap)) > 100 * _ROUNDING:
            raise ValueError(f"drop: it is {self.drop:g}, and AP is {self.ap:g} instead of {self.float_ap:g}")
        low, high = self.drop_interval
        if not -100 - 100 * _ROUNDING <= low <= high <= 100 + 100 * _ROUNDING:
            raise ValueError("drop_interval: its ends are points of AP, -100 to 100")
        if not low - 100 * _ROUNDING <= self.drop <= high + 100 * _ROUNDING:
            raise ValueError(f"drop_interval: {self.drop:g} is not in it")
        return self


class DriftRow(Contract):
    """The figures of one artifact, compared with its float model.

    Attributes:
        artifact: The artifact's file name.
        how: "native" if the target's own runtime ran the artifact, "reference" if this project's executor of the format
            did, "emulated" if the target's runtime ran on an emulated CPU, "simulated" if PyTorch computed the same
            arithmetic and no artifact ran.
        artifact_sha256: The SHA-256 of the artifact; None if there is no artifact.
        cpu: The emulated CPU; None if this machine's CPU ran it.
        engine: The runtime's name and version.
        images: The number of images; skipped: the number of files that could not be decoded.
        top1, top5, float_top1, float_top5: Accuracy; None without labels (top-5 also with five classes or fewer).
        top1_drop: Points of top-1 lost against the float model, with a paired 95% interval.
        agreement: The share of images for which both models predict the same class; None for maps.
        sqnr_db: SQNR of the logits; infinite if they are equal. Of several maps, the lowest.
        max_abs_error: The largest difference of any logit, or of any value of a map.
        mean_kl: Mean Kullback-Leibler divergence of the artifact's class distribution from the float model's, in nats;
            None for maps.
        maps: The figures of each map; empty for a classifier.
        boxes: The boxes that a detector shares with the float model; None for other models.
        average_precision: How well detectors find the true boxes; None without these.
    """

    artifact: str
    target: str
    precision: str
    how: Execution
    engine: str
    artifact_sha256: Sha256 | None = None
    cpu: EmulatedCPU | None = None
    images: Annotated[int, Field(ge=1)]
    skipped: Count = 0
    top1: ProportionEstimate | None = None
    top5: ProportionEstimate | None = None
    float_top1: ProportionEstimate | None = None
    float_top5: ProportionEstimate | None = None
    top1_drop: Annotated[float, Field(ge=-100, le=100)] | None = None
    top1_drop_interval: tuple[float, float] | None = None
    mcnemar: McNemar | None = None
    agreement: ProportionEstimate | None = None
    sqnr_db: JsonFloat
    max_abs_error: NotNegative
    mean_kl: float | None = None
    maps: tuple[MapDrift, ...] = Field(default=(), exclude_if=lambda value: not value)
    boxes: BoxAgreement | None = Field(default=None, exclude_if=lambda value: value is None)
    average_precision: AveragePrecisionDrift | None = Field(default=None, exclude_if=lambda value: value is None)

    @property
    def drop(self) -> float | None:
        """Points of top-1 lost, or of a detector's average precision; None without labels."""
        return self.average_precision.drop if self.average_precision else self.top1_drop

    @property
    def shared_answers(self) -> ProportionEstimate | None:
        """`agreement`, or a detector's share of shared boxes; None for other maps, and without boxes."""
        return self.boxes.agreement if self.boxes else self.agreement

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if fault := self._find_contradiction():
            raise ValueError(fault)
        return self

    def _find_contradiction(self) -> str:
        """Return the first figure that contradicts the others, and how; empty if there is none."""
        estimates = (self.top1, self.top5, self.float_top1, self.float_top5, self.agreement)
        for estimate in estimates:
            hits = 0.0 if estimate is None else estimate.value * self.images
            if abs(hits - round(hits)) > _ROUNDING * self.images:
                return f"images: a share of {self.images} images is {hits:g} of them"
        if fault := self._find_output_contradiction():
            return fault
        if (self.how == "emulated") != (self.cpu is not None):
            return "cpu: only an emulated run names one"
        return self._find_accuracy_contradiction()

    def _find_output_contradiction(self) -> str:
        is_equal = isinf(self.sqnr_db) and self.sqnr_db > 0
        if is_equal and (self.max_abs_error > 0 or (self.agreement and self.agreement.value < 1)):
            return "sqnr_db: it is infinite, and the outputs differ"
        if self.boxes is None and self.average_precision is not None:
            return "average_precision: only a detector has one, and its boxes are compared too"
        if not self.maps:
            if self.boxes is not None:
                return "boxes: only maps stand for boxes"
            if self.agreement is None or self.mean_kl is None:
                return "agreement: Field required"
            return "mean_kl: a divergence is not negative" if self.mean_kl < -_ROUNDING else ""
        if any(figure is not None for figure in (self.agreement, self.mean_kl, self.top1)):
            return "maps: they have no classes to agree on"
        # Infinite figures have no difference.
        worst, largest = min(one.sqnr_db for one in self.maps), max(one.max_abs_error for one in self.maps)
        if worst != self.sqnr_db and not abs(worst - self.sqnr_db) <= _ROUNDING:
            return f"sqnr_db: it is {self.sqnr_db:g}, and the lowest of the maps {worst:g}"
        return "" if abs(largest - self.max_abs_error) <= _ROUNDING else "max_abs_error: it is not that of the maps"

    def _find_accuracy_contradiction(self) -> str:
        top1, reference, drop, interval = self.top1, self.float_top1, self.top1_drop, self.top1_drop_interval
        if top1 is None or reference is None or drop is None or interval is None:
            figures = (top1, reference, drop, interval, self.top5, self.float_top5, self.mcnemar)
            return "" if all(figure is None for figure in figures) else "top1: some figures of accuracy are missing"
        if (self.top5 is None) != (self.float_top5 is None):
            return "top5: it is only there for one of the two models"
        for pair in ((top1, self.top5), (reference, self.float_top5)):
            if pair[1] is not None and pair[0].value > pair[1].value + _ROUNDING:
                return "top5: it is below top-1"
        if abs(drop - 100 * (reference.value - top1.value)) > 100 * _ROUNDING:
            return f"top1_drop: it is {drop:g}, and top-1 is {top1.value:g} instead of {reference.value:g}"
        if not interval[0] - _ROUNDING <= drop <= interval[1] + _ROUNDING:
            return f"top1_drop_interval: {drop:g} is not in it"
        if not -100 <= interval[0] <= interval[1] <= 100:
            return "top1_drop_interval: its ends are points of top-1, -100 to 100"
        return self._find_mcnemar_contradiction(drop)

    def _find_mcnemar_contradiction(self, drop: float) -> str:
        if self.mcnemar is None:
            return ""
        lost, gained = self.mcnemar.lost, self.mcnemar.gained
        if abs(drop - 100 * (lost - gained) / self.images) > 100 * _ROUNDING:
            return f"mcnemar: {lost} images lost and {gained} gained are no drop of {drop:g} points"
        if self.agreement and lost + gained > (1 - self.agreement.value) * self.images + 0.5:
            return "mcnemar: more images were lost or gained than changed their class"
        return ""
