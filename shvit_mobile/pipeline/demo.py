"""Exports an embedded demo model to every target and its main precisions, and compares each artifact."""

from dataclasses import replace
from pathlib import Path

from shvit_mobile.contracts.manifest import DELEGATES, TARGET_SUFFIXES, UNPROVEN_DELEGATES, Task, qualify_target
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.recipe import PRECISIONS
from shvit_mobile.pipeline.defaults import DEMOS
from shvit_mobile.pipeline.export import ExportConfig, ExportJob, ExportResult, export
from shvit_mobile.progress import StepCallback
from shvit_mobile.targets.capabilities import NEAREST_PRECISIONS
from shvit_mobile.targets.executorch import ExecuTorchOptions
from shvit_mobile.targets.tools import find_missing_tool

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


# Core AI's runtime takes up to two seconds an image on Linux.
ALL_COUNT = 100


def run_demo(
    out: AnyPath,
    *,
    task: Task = "classify",
    everything: bool = False,
    overwrite: bool = False,
    progress: StepCallback | None = None,
) -> ExportResult:
    """Export the demo model of a task, and compare each artifact with the checkpoint on its test images.

    The artifacts and `REPORT_FILE` go into `out`; `progress` is called as `Steps` says.

    Args:
        out: The folder.
        task: "classify" for the classifier, "features" for its maps, "detect" for the detector.
        everything: Export all that can run here, and compare on `ALL_COUNT` images; otherwise `DEMO_JOBS`, on all.
        overwrite: Replace what is there.
        progress: Called as `Steps` says.

    Raises:
        ToolMissing: If pycocotools, which measures the detector, is not installed.
        OutputExists: If an artifact or the report is there already, and `overwrite` is not set.
    """
    jobs, notes = list_all_jobs() if everything else (DEMO_JOBS, ())
    config = ExportConfig(
        task=task,
        jobs=jobs,
        validation=DEMOS[task].validation,
        validation_count=ALL_COUNT if everything else None,
        ladder=not everything,
        out=out,
        report=Path(out) / REPORT_FILE,
        overwrite=overwrite,
    )
    result = export(config, progress)
    return replace(result, notes=(*notes, *result.notes))


def list_all_jobs() -> tuple[tuple[ExportJob, ...], tuple[str, ...]]:
    """Return each target with each delegate in each precision that can run here, and a sentence on each other one."""
    jobs, notes = list[ExportJob](), list[str]()
    for target in TARGET_SUFFIXES:
        for delegate in DELEGATES if target == "executorch" else (None,):
            name = qualify_target(target, delegate)
            missing = find_missing_tool(name)
            if delegate in UNPROVEN_DELEGATES:
                notes.append(f"Nothing for {name}: it is unproven, because nothing here runs it.")
            elif missing is not None:
                notes.append(f"Nothing for {name}: {missing.what} {missing.hint}")
            else:
                options = delegate and ExecuTorchOptions(delegate=delegate)
                jobs += (ExportJob(target, one, options) for one in PRECISIONS if one not in NEAREST_PRECISIONS[name])
    return tuple(jobs), tuple(notes)
