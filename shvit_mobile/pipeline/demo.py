"""Exports the embedded demo model to every target and its main precisions, and compares each artifact."""

from pathlib import Path

from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.pipeline.defaults import VALIDATION_IMAGES
from shvit_mobile.pipeline.export import ExportConfig, ExportJob, ExportResult, export
from shvit_mobile.progress import StepCallback

DEMO_JOBS = (
    ExportJob("onnx", "fp32"),
    ExportJob("onnx", "int8"),
    ExportJob("coreml", "fp32"),
    ExportJob("coreml", "fp16"),
    ExportJob("coreml", "int8"),
    ExportJob("coreml", "int8-weights"),
    ExportJob("executorch", "fp32"),
    ExportJob("executorch", "int8"),
)
REPORT_FILE = "drift_report.json"


def run_demo(out: AnyPath, *, overwrite: bool = False, progress: StepCallback | None = None) -> ExportResult:
    """Export the demo model as `DEMO_JOBS`, and compare each artifact with the checkpoint on its 500 test images.

    The artifacts and `REPORT_FILE` go into `out`; `progress` is called as `Steps` says.

    Raises:
        OutputExists: If an artifact or the report is there already, and `overwrite` is not set.
    """
    config = ExportConfig(
        jobs=DEMO_JOBS,
        validation=VALIDATION_IMAGES,
        ladder=True,
        out=out,
        report=Path(out) / REPORT_FILE,
        overwrite=overwrite,
    )
    return export(config, progress)
