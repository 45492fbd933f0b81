"""The main job on the embedded model: checkpoint to every target in every precision, each artifact run and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.outputs import refuse_existing, whole
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.recipe import STEPS, Precision
from shvit_mobile.demo import CALIBRATION_IMAGES, CHECKPOINT, TEST_IMAGES
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.drift.answer_changes import changed
from shvit_mobile.drift.build_report import drift_report
from shvit_mobile.drift.compare import comparison, float_reference
from shvit_mobile.drift.ladder import SIMULATED, rungs, simulated
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.lower import check_free, lower, planned, with_fields
from shvit_mobile.quantize.calibrate import calibrate

PLAN: tuple[tuple[Target, Precision], ...] = (
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
RUNGS = 1 + len({precision for _, precision in PLAN} & {*SIMULATED})
CALIBRATION_COUNT = 200
REPORT = "drift_report.json"

Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class DemoResult:
    """Every artifact of the demo, its drift in its manifest; and the whole report, simulated rungs included."""

    artifacts: tuple[Artifact, ...]
    report: DriftReport


def run_demo(out: AnyPath, *, overwrite: bool = False, step: Step = lambda *_: None) -> DemoResult:
    """Exports the embedded model to every target and precision, and compares each artifact with the checkpoint.

    Args:
        out: the folder for the artifacts and for `REPORT`.
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

    for target, precision in PLAN:
        check_free(planned(trained, precision, target, out), overwrite=overwrite)
    refuse_existing(out / REPORT, overwrite=overwrite)
    recipes = {
        precision: calibrate(
            deployed,
            calibration,
            precision=precision,
            observer="mse",
            count=CALIBRATION_COUNT,
            steps=STEPS,
            progress=watch("calibrating"),
        )
        for precision in dict.fromkeys(precision for _, precision in PLAN)
    }
    reference = float_reference(trained, images, progress=watch("running the checkpoint"))
    artifacts, changes = [], []
    for index, (target, precision) in enumerate(PLAN):
        step(f"lowering to {target} {precision}", index, len(PLAN))
        artifact = lower(deployed, recipes[precision], target, out, overwrite=overwrite)
        compared = comparison(
            artifact, trained, images, reference=reference, progress=watch(f"running {target} {precision}")
        )
        artifacts.append(with_fields(artifact, drift=compared.row))
        changes.append(changed(compared, trained.labels, images.root))
    ladder = [
        simulated(rung, trained, images, reference, progress=watch(f"simulating the {rung.name}"))
        for rung in rungs(artifact.manifest for artifact in artifacts)
    ]
    drifts = [artifact.manifest.drift for artifact in artifacts if artifact.manifest.drift]
    report = drift_report("demo", trained, images, [*ladder, *drifts], changed=changes)
    with whole(out / REPORT, overwrite=overwrite) as (path,):
        path.write_text(report.json_text())
    return DemoResult(tuple(artifacts), report)
