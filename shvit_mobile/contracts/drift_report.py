"""The drift report: everything that comparing artifacts with their checkpoint brought to light, as one document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from shvit_mobile.contracts.document import Contract, Count, Document, JsonFloat, Proportion, Sha256
from shvit_mobile.contracts.drift_row import DriftRow, ProportionEstimate
from shvit_mobile.errors import BadReport


class CheckpointInfo(Contract):
    """The float model."""

    variant: str
    classes: Count
    source: str
    sha256: Sha256


class EvaluationImages(Contract):
    """The images that all rows were measured on.

    Attributes:
        source: the folder's name, without its path.
        count: how many were looked at.
        labelled: whether their classes were known.
        sha256: over the bytes of the files, in order: two reports with the same saw the same images.
        seed: of the choice, where not all of the folder were taken.
    """

    source: str
    count: Count
    labelled: bool
    sha256: Sha256
    seed: int | None = None


class Prediction(Contract):
    """A model's choice for one image, and the probability it gives it."""

    label: str
    probability: Proportion


class ChangedImage(Contract):
    """An image on which float model and artifact differ.

    Attributes:
        file: its name, under the folder.
        label: its class, where that is known.
        float_answer, answer: of the float model and of the artifact.
        kl: divergence of the artifact's distribution from the float model's, in nats.
        thumbnail: a JPEG of at most 128 pixels a side, in base64.
    """

    file: str
    label: str | None
    float_answer: Prediction
    answer: Prediction
    kl: float
    thumbnail: str | None = None


class Confusion(Contract):
    """Images of one class that went from one answer to another.

    Attributes:
        label: their class, where that is known.
        before: the float model's answer; after: the artifact's.
        images: how many.
    """

    label: str | None
    before: str
    after: str
    images: Annotated[int, Field(ge=1)]


class NeededImages(Contract):
    """How many images would show that the drop stays inside a budget.

    Attributes:
        max_drop: the budget, in points of top-1.
        supported: whether the images at hand show it: the upper end of the drop's interval is inside.
        images: how many would, if the models went on differing as often as here; None where no number would, since the
            drop itself is at the budget or past it.
    """

    max_drop: float
    supported: bool
    images: int | None


class PredictionChanges(Contract):
    """What changed between float model and artifact.

    Attributes:
        artifact: its file name.
        images: on how many the choice differs.
        confusions: every change of answer, the most frequent first.
        worst: the images with the largest divergence among those whose answer changed, then among the others.
        needed: where a budget of the drop was asked for.
    """

    artifact: str
    images: Count
    confusions: tuple[Confusion, ...] = ()
    worst: tuple[ChangedImage, ...] = ()
    needed: NeededImages | None = None


class CrossRuntimeDivergence(Contract):
    """How far one program's answers on two CPUs are from each other, on the same images.

    Attributes:
        artifact: the artifact's file name.
        first, second: the engines.
        agreement: the share of images on which both choose the same class.
        sqnr_db: of the second's logits against the first's; infinite where they are equal.
        max_abs_error: the largest difference of any logit.
    """

    artifact: str
    first: str
    second: str
    images: int
    agreement: ProportionEstimate
    sqnr_db: JsonFloat
    max_abs_error: float


class LayerDrift(Contract):
    """One layer of an artifact against the same layer of the deploy form, over all images.

    Attributes:
        layer: its name in the deploy form.
        kind: "conv", "linear" or "residual" for the sum around a feed-forward part or attention.
        free_db: SQNR of the artifact's own value, with all that the layers before it did wrong; `inf` where equal,
            `-inf` where it is not finite.
        forced_db: SQNR where every layer was given the float model's values: what this layer alone does wrong, and all
            that lies between the row before it and this one.
    """

    layer: str
    kind: str
    free_db: JsonFloat
    forced_db: JsonFloat


class LayerReport(Contract):
    """The layers of one artifact in the order of the data.

    Attributes:
        artifact: its file name.
        engine: what ran it.
        images: how many images were seen.
        threshold_db: below this, a layer has diverged.
        first: the first layer whose own (free-running) value has diverged; None where none has.
        worst: the layers that are below the threshold or lowest when they run alone (forced), worst first.
    """

    artifact: str
    target: str
    precision: str
    engine: str
    images: int
    threshold_db: float
    rows: tuple[LayerDrift, ...]
    first: str | None
    worst: tuple[str, ...]


class ValueRange(Contract):
    """One value over all images.

    Attributes:
        layer: of the deploy form that it belongs to.
        operator: that makes it; value: its name in the program.
        part: None for what the operator gives; "squares" or "sum" for what a plain kernel forms inside it.
        size: elements of it for one image.
        largest: magnitude, computed in float32.
        headroom_bits: how often it could double before fp16 overflows; negative past the limit.
        smallest_peak: the largest magnitude within the image where that is smallest.
        subnormal: share of its non-zero elements that fp16 holds with fewer digits, or as zero.
        vanished: share of them that fp16 holds as zero.
        not_finite: images for which the fp16 run makes it infinite or NaN.
        silent: images for which the fp16 run leaves next to nothing of it.
    """

    layer: str
    operator: str
    value: str
    part: Literal["squares", "sum"] | None
    size: int
    largest: JsonFloat
    headroom_bits: JsonFloat
    smallest_peak: JsonFloat
    subnormal: float
    vanished: float
    not_finite: int = 0
    silent: int = 0


class RangeReport(Contract):
    """All values of one artifact's program, the largest first.

    Attributes:
        artifact: its file name.
        engine: what ran.
        computes_in_half: whether the artifact holds values in fp16; else the report says what would happen if it did.
        images: how many were seen.
        values: by `largest`, descending.
        flags: a sentence for each fault: what overflows, what is not finite, what is silent.
        notes: sentences on what depends on the kernel, or is small.
    """

    artifact: str
    engine: str
    computes_in_half: bool
    images: int
    values: tuple[ValueRange, ...]
    flags: tuple[str, ...]
    notes: tuple[str, ...]


class GateVerdict(Contract):
    """What a gate made of the rows: a sentence for each figure that fails it, or that too few images leave open."""

    passed: bool
    violations: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()

    @classmethod
    def from_findings(cls, violations: Iterable[str] = (), caveats: Iterable[str] = ()) -> GateVerdict:
        """The verdict that so many sentences are; it passes where there are no violations."""
        broken = tuple(violations)
        return cls(passed=not broken, violations=broken, caveats=tuple(caveats))

    def extend(self, violations: Iterable[str] = (), caveats: Iterable[str] = ()) -> GateVerdict:
        """This verdict with further sentences."""
        return self.from_findings((*self.violations, *violations), (*self.caveats, *caveats))


class DriftReport(Document):
    """The whole report.

    Attributes:
        created: when, in ISO 8601 with the offset from UTC.
        app: what measured, with its version.
        rows: a rung of the ladder each: simulated ones first, then artifacts; on a ladder ONNX, Core ML, ExecuTorch,
            otherwise in the order they were given.
        changed, layers, ranges: by artifact; empty where they were not asked for.
        apart: one program on two CPUs.
    """

    NAME = "drift_report"
    ERROR = BadReport
    TITLE = "a drift report"

    kind: Literal["drift_report"] = "drift_report"
    created: str
    app: str
    versions: dict[str, str]
    checkpoint: CheckpointInfo
    images: EvaluationImages
    rows: Annotated[tuple[DriftRow, ...], Field(min_length=1)]
    changed: tuple[PredictionChanges, ...] = ()
    apart: tuple[CrossRuntimeDivergence, ...] = ()
    layers: tuple[LayerReport, ...] = ()
    ranges: tuple[RangeReport, ...] = ()
    gate: GateVerdict | None = None
