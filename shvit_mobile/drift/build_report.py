"""Builds the drift report of one run."""

from collections.abc import Sequence

from shvit_mobile.contracts import drift_report
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.image_use import SkippedImages
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.accounting import replace_invalid_utf8
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.versions import format_measured_by, get_package_versions, get_timestamp

# The packages that decode, compute and run: their versions can change the results.
_PACKAGES = (
    *("shvit-mobile", "torch", "torchao", "executorch", "onnxruntime", "coremltools", "ai-edge-litert"),
    *("coreai-core", "coreai-torch", "numpy", "pillow"),
)


def build_drift_report(
    command: str,
    trained: TrainedModel,
    images: ImageSet,
    rows: Sequence[DriftRow],
    *,
    skipped: Sequence[SkippedImages] = (),
    changed: Sequence[drift_report.PredictionChanges] = (),
    apart: Sequence[drift_report.CrossRuntimeDivergence] = (),
    layers: Sequence[drift_report.LayerReport] = (),
    ranges: Sequence[drift_report.RangeReport] = (),
    gate: drift_report.GateVerdict | None = None,
) -> drift_report.DriftReport:
    """Build the report of a run.

    Args:
        command: The command that measured.
        trained: The float checkpoint.
        images: The images on which all `rows` were measured.
        rows: At least one row.
        skipped: The images that could not be decoded.
        changed, apart, layers, ranges, gate: As in `DriftReport`.

    Raises:
        BadImages: If an image can no longer be read.
    """
    return drift_report.DriftReport(
        created=get_timestamp(),
        app=format_measured_by(command),
        versions=get_package_versions(*_PACKAGES),
        checkpoint=drift_report.CheckpointInfo(
            variant=trained.variant,
            classes=trained.classes,
            source=trained.source,
            sha256=trained.sha256,
        ),
        images=describe_images(images, rows[0].images, skipped),
        rows=tuple(rows),
        changed=tuple(changed),
        apart=tuple(apart),
        layers=tuple(layers),
        ranges=tuple(ranges),
        gate=gate,
    )


def describe_images(
    images: ImageSet, count: int, skipped: Sequence[SkippedImages] = ()
) -> drift_report.EvaluationImages:
    """Describe the images of a measurement, of which `count` could be read and those in `skipped` not.

    Where some could not be read and `skipped` does not say which, the account is left out.
    """
    use = images.account(skipped)
    return drift_report.EvaluationImages(
        source=replace_invalid_utf8(images.root.absolute().name),
        count=count,
        labelled=images.labels is not None or images.true_boxes is not None,
        sha256=images.compute_sha256(),
        seed=images.seed,
        use=use if use.used == count else None,
        mapping=images.mapping,
    )
