"""The main job on the embedded model: checkpoint to every target in every precision, each artifact run and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.outputs import check_overwrite, write_atomically
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.recipe import PTQ_PASSES, Precision
from shvit_mobile.demo import CALIBRATION_IMAGES, CHECKPOINT, TEST_IMAGES
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.drift.answer_changes import find_prediction_changes
from shvit_mobile.drift.build_report import build_drift_report
from shvit_mobile.drift.compare import compare_with_logits, compute_float_reference
from shvit_mobile.drift.ladder import SIMULATED_PRECISIONS, compare_simulated_rung, list_simulated_rungs
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.lower import check_artifact_overwrite, lower, plan_artifact_path, update_manifest
from shvit_mobile.quantize.calibrate import calibrate

DEMO_EXPORTS: tuple[tuple[Target, Precision], ...] = (
    ("onnx", "fp32"),
    ("onnx", "int8"),
    ("coreml", "fp32"),
    ("coreml", "fp16"),
    ("coreml", "int8"),
    ("coreml", "int8-weights"),
    ("executorch", "fp32"),
    ("executorch", "int8"),
)
# Of the ladder: the deploy form, and what PyTorch can compute.
LADDER_STEPS = 1 + len({precision for _, precision in DEMO_EXPORTS} & {*SIMULATED_PRECISIONS})
CALIBRATION_COUNT = 200
REPORT_FILE = "drift_report.json"

StepCallback = Callable[[str, int, int], None]


@dataclass(frozen=True)
class DemoResult:
    """Every artifact of the demo, its drift in its manifest; and the whole report, simulated rungs included."""

    artifacts: tuple[Artifact, ...]
    report: DriftReport


def run_demo(out: AnyPath, *, overwrite: bool = False, step: StepCallback = lambda *_: None) -> DemoResult:
    """Exports the embedded model to every target and precision, and compares each artifact with the checkpoint.

    Args:
        out: the folder for the artifacts and for `REPORT_FILE`.
        overwrite: replace what is there.
        step: told what is being done, how much of it is done and how much there is in all.

    Raises:
        OutputExists: an artifact or a report is there already, and `overwrite` is not asked for.
    """
    out = Path(out)
    trained = load_checkpoint(CHECKPOINT)
    images = open_images(TEST_IMAGES, labels=trained.labels)
    deployed = to_deploy_form(trained)
    calibration = open_images(CALIBRATION_IMAGES, labels=trained.labels)

    def watch(what: str) -> Callable[[int, int], None]:
        return lambda done, total: step(what, done, total)

    for target, precision in DEMO_EXPORTS:
        check_artifact_overwrite(plan_artifact_path(trained, precision, target, out), overwrite=overwrite)
    check_overwrite(out / REPORT_FILE, overwrite=overwrite)
    recipes = {
        precision: calibrate(
            deployed,
            calibration,
            precision=precision,
            observer="mse",
            count=CALIBRATION_COUNT,
            steps=PTQ_PASSES,
            progress=watch("calibrating"),
        )
        for precision in dict.fromkeys(precision for _, precision in DEMO_EXPORTS)
    }
    reference = compute_float_reference(trained, images, progress=watch("running the checkpoint"))
    artifacts, changes = [], []
    for index, (target, precision) in enumerate(DEMO_EXPORTS):
        step(f"lowering to {target} {precision}", index, len(DEMO_EXPORTS))
        artifact = lower(deployed, recipes[precision], target, out, overwrite=overwrite)
        compared = compare_with_logits(
            artifact, trained, images, reference=reference, progress=watch(f"running {target} {precision}")
        )
        artifacts.append(update_manifest(artifact, drift=compared.row))
        changes.append(find_prediction_changes(compared, trained.labels, images.root))
    ladder = [
        compare_simulated_rung(rung, trained, images, reference, progress=watch(f"simulating the {rung.name}"))
        for rung in list_simulated_rungs(artifact.manifest for artifact in artifacts)
    ]
    drifts = [artifact.manifest.drift for artifact in artifacts if artifact.manifest.drift]
    report = build_drift_report("demo", trained, images, [*ladder, *drifts], changed=changes)
    with write_atomically(out / REPORT_FILE, overwrite=overwrite) as (path,):
        path.write_text(report.to_json())
    return DemoResult(tuple(artifacts), report)
