"""The drift report: the differences between artifacts and the float model of their checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shvit_mobile.contracts.document import Contract, Count, Document, JsonFloat, Proportion, SchemaVersion, Sha256
from shvit_mobile.contracts.drift_row import DriftRow, ProportionEstimate
from shvit_mobile.contracts.image_use import ClassMapping, ImageUse
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
        source: The name of the folder, without its path.
        count: The number of images.
        labelled: Whether their classes, or the boxes in them, are known.
        sha256: The SHA-256 over the files in order; reports with the same value used the same images.
        seed: The seed of the sample; None if all images of the folder were used.
        use: How many images there were, and which were not used; None in reports of earlier versions.
        mapping: How folders, the labels of a table or the categories of boxes became classes; None without labels.
    """

    source: str
    count: Count
    labelled: bool
    sha256: Sha256
    seed: int | None = None
    use: ImageUse | None = None
    mapping: ClassMapping | None = None

    def list_notes(self) -> tuple[str, ...]:
        """Return what is worth knowing: a sentence on classes, and one on images that were not used."""
        mapping = (self.mapping.sentence,) if self.mapping else ()
        return (*mapping, self.use.describe(self.source)) if self.use and not self.use.is_complete else mapping


class Prediction(Contract):
    """The class that a model predicts for one image, and its probability."""

    label: str
    probability: Proportion


class ChangedImage(Contract):
    """An image for which float model and artifact differ.

    Attributes:
        file: Its path in the folder.
        label: Its class, if known.
        float_answer, answer: The predictions of the float model and of the artifact.
        kl: Kullback-Leibler divergence of the artifact's distribution from the float model's, in nats.
        thumbnail: A JPEG of at most 128 x 128 pixels, in base64.
    """

    file: str
    label: str | None
    float_answer: Prediction
    answer: Prediction
    kl: float
    thumbnail: str | None = None


class Confusion(Contract):
    """Images of one class whose prediction changed in the same way.

    Attributes:
        label: Their class, if known.
        before: The prediction of the float model; after: of the artifact.
        images: The number of images.
    """

    label: str | None
    before: str
    after: str
    images: Annotated[int, Field(ge=1)]


class NeededImages(Contract):
    """The number of images that would show that the top-1 drop is within a budget.

    Attributes:
        max_drop: The budget, in points of top-1.
        supported: Whether these images show it: the upper end of the drop's interval is within the budget.
        images: The number needed if the models differ equally often on further images; None if no number suffices,
            because the drop itself reaches the budget.
    """

    max_drop: float
    supported: bool
    images: int | None


class PredictionChanges(Contract):
    """The predictions that changed between float model and artifact.

    Attributes:
        artifact: The artifact's file name.
        images: The number of images with another prediction.
        confusions: The changes of prediction, most frequent first.
        worst: Images sorted by divergence, those with a changed prediction first.
        needed: The number of images needed, if a budget of the drop was set.
    """

    artifact: str
    images: Count
    confusions: tuple[Confusion, ...] = ()
    worst: tuple[ChangedImage, ...] = ()
    needed: NeededImages | None = None


class CrossRuntimeDivergence(Contract):
    """The difference between the results of one program on two CPUs, on the same images.

    Attributes:
        artifact: The artifact's file name.
        first, second: The engines.
        agreement: The share of images for which both predict the same class.
        sqnr_db: SQNR of the second engine's logits against the first's; infinite if they are equal.
        max_abs_error: The largest difference of any logit.
    """

    artifact: str
    first: str
    second: str
    images: int
    agreement: ProportionEstimate
    sqnr_db: JsonFloat
    max_abs_error: float


class LayerDrift(Contract):
    """One layer of an artifact compared with the same layer of the deploy form, over all images.

    Attributes:
        layer: The layer's name in the deploy form.
        kind: "conv", "linear" or "residual" (the sum after a feed-forward part or attention).
        free_db: SQNR of the layer's output in a normal run, with the errors of all earlier layers; `inf` if equal,
            `-inf` if not finite.
        forced_db: SQNR with the float model's values as input: the error of this layer and of the operators between the
            previous row and this one.
    """

    layer: str
    kind: str
    free_db: JsonFloat
    forced_db: JsonFloat


class LayerReport(Contract):
    """The layers of one artifact, in the order of the data flow.

    Attributes:
        artifact: The artifact's file name.
        engine: The runtime.
        images: The number of images.
        threshold_db: The SQNR below which a layer has diverged.
        first: The first layer that diverges in a normal run; None if none does.
        worst: The layers with the lowest SQNR on float inputs (forced) or below the threshold, worst first.
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
    """The range of one value of a program, over all images.

    Attributes:
        layer: The layer of the deploy form that the value belongs to.
        operator: The operator that computes it; value: its name in the program.
        part: None for the operator's output; "squares" or "sum" for an intermediate value of a plain kernel.
        size: The number of elements for one image.
        largest: The largest magnitude, computed in float32.
        headroom_bits: How often it can double before fp16 overflows; negative beyond the limit.
        smallest_peak: The smallest over images of the largest magnitude.
        subnormal: The share of non-zero elements that are subnormal or zero in fp16.
        vanished: The share of non-zero elements that are zero in fp16.
        not_finite: Images for which the value is infinite or NaN in the fp16 run.
        silent: Images for which the value almost vanishes in the fp16 run.
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
    """The ranges of all values of one artifact's program.

    Attributes:
        artifact: The artifact's file name.
        engine: The runtime.
        computes_in_half: Whether the artifact stores values in fp16; if not, the report describes what fp16 would do.
        images: The number of images.
        values: The values, sorted by `largest`, descending.
        flags: A sentence for each fault: overflow, not finite, or silent.
        notes: Sentences on small effects, and on effects that depend on the kernel.
    """

    artifact: str
    engine: str
    computes_in_half: bool
    images: int
    values: tuple[ValueRange, ...]
    flags: tuple[str, ...]
    notes: tuple[str, ...]


class GateVerdict(Contract):
    """The verdict of a gate: a sentence for each figure that fails it, or that too few images leave undecided."""

    passed: bool
    violations: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.passed == bool(self.violations):
            raise ValueError(f"passed: it is {self.passed}, with {len(self.violations)} violations")
        return self

    @classmethod
    def from_findings(cls, violations: Iterable[str] = (), caveats: Iterable[str] = ()) -> GateVerdict:
        """Build a verdict; it passes if there are no violations."""
        violations = tuple(violations)
        return cls(passed=not violations, violations=violations, caveats=tuple(caveats))

    def extend(self, violations: Iterable[str] = (), caveats: Iterable[str] = ()) -> GateVerdict:
        """Return this verdict with further sentences."""
        return self.from_findings((*self.violations, *violations), (*self.caveats, *caveats))


class DriftReport(Document):
    """The differences between artifacts and their float model.

    Attributes:
        created: The time, in ISO 8601 with the UTC offset.
        app: The program that measured, with its version.
        rows: One row for each rung: simulations first, then artifacts; a ladder has ONNX, Core ML, ExecuTorch, other
            reports keep the order of the arguments.
        changed, layers, ranges: Details by artifact; empty if they were not requested.
        apart: The divergence of one program between two CPUs.
        gate: The verdict of the gates, and of the check of the float model itself; None without either.
        notes: What was recognized, assumed or skipped, a sentence each.
    """

    NAME = "drift_report"
    ERROR = BadReport
    TITLE = "a drift report"

    schema_version: SchemaVersion = "1.1"
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
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        count, labelled, names = self.images.count, self.images.labelled, {row.artifact for row in self.rows}
        for index, row in enumerate(self.rows):
            has_accuracy = row.top1 is not None or row.average_precision is not None
            if row.images != count or has_accuracy != labelled:
                raise ValueError(f"rows.{index}: it is not of the {count} {'' if labelled else 'un'}labelled images")
        parts = [(part.artifact, part.images) for part in self.changed]
        parts += [(part.artifact, part.images) for part in self.apart]
        parts += [(part.artifact, part.images) for part in self.layers]
        parts += [(part.artifact, part.images) for part in self.ranges]
        for artifact, images in parts:
            if artifact not in names or images > count:
                raise ValueError(f"rows: none is of {artifact} on {images} images")
        for changes in self.changed:
            if sum(confusion.images for confusion in changes.confusions) > changes.images:
                raise ValueError(f"changed: more answers than images changed in {changes.artifact}")
        return self
