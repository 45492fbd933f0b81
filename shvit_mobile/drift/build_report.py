"""Puts together the drift report of one run out of what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from shvit_mobile.contracts.drift_report import (
    CheckpointInfo,
    CrossRuntimeDivergence,
    DriftReport,
    EvaluationImages,
    GateVerdict,
    LayerReport,
    PredictionChanges,
    RangeReport,
)
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.image_set import ImageSet, replace_invalid_utf8
from shvit_mobile.versions import format_measured_by, get_package_versions, get_timestamp

# What can change a figure: the packages that decode, compute and run.
PACKAGES = ("shvit-mobile", "torch", "torchao", "executorch", "onnxruntime", "coremltools", "numpy", "pillow")


def build_drift_report(
    command: str,
    trained: TrainedModel,
    images: ImageSet,
    rows: Sequence[DriftRow],
    *,
    changed: Sequence[PredictionChanges] = (),
    apart: Sequence[CrossRuntimeDivergence] = (),
    layers: Sequence[LayerReport] = (),
    ranges: Sequence[RangeReport] = (),
    gate: GateVerdict | None = None,
) -> DriftReport:
    """The report of what was measured on some images.

    Args:
        command: that measured.
        trained: the float checkpoint.
        images: that all `rows` were measured on.
        rows: at least one.
        changed, apart, layers, ranges, gate: as in `DriftReport`.

    Raises:
        BadImages: an image cannot be read any more.
    """
    installed = get_package_versions(*PACKAGES)
    return DriftReport(
        created=get_timestamp(),
        app=format_measured_by(command),
        versions=installed,
        checkpoint=CheckpointInfo(
            variant=trained.variant,
            classes=trained.model.config.classes,
            source=trained.source,
            sha256=trained.sha256,
        ),
        images=EvaluationImages(
            source=replace_invalid_utf8(images.root.absolute().name),
            count=rows[0].images,
            labelled=images.labels is not None,
            sha256=images.compute_sha256(),
            seed=images.seed,
        ),
        rows=tuple(rows),
        changed=tuple(changed),
        apart=tuple(apart),
        layers=tuple(layers),
        ranges=tuple(ranges),
        gate=gate,
    )
