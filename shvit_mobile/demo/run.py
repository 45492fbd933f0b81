"""The main job on the embedded model: checkpoint to every target in every precision, each artifact run and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shvit_mobile.demo import CALIBRATION_IMAGES, CHECKPOINT, TEST_IMAGES
from shvit_mobile.deploy.fuse import to_deploy_form
from shvit_mobile.drift.compare import compare, float_reference
from shvit_mobile.images.folders import open_images
from shvit_mobile.model.checkpoints import load_checkpoint
from shvit_mobile.quantize.calibrate import calibrate
from shvit_mobile.quantize.recipe import Precision
from shvit_mobile.targets.artifact import Artifact
from shvit_mobile.targets.lower import check_free, lower, planned, with_fields
from shvit_mobile.targets.manifest import Target

PLAN: tuple[tuple[Target, Precision], ...] = (
    ("coreml", "fp32"),
    ("coreml", "fp16"),
    ("coreml", "int8"),
    ("coreml", "int8-weights"),
    ("executorch", "fp32"),
    ("executorch", "int8"),
    ("onnx", "fp32"),
    ("onnx", "int8"),
)
CALIBRATION_COUNT = 200

Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class DemoResult:
    """Every artifact of the demo, its drift in its manifest."""

    artifacts: tuple[Artifact, ...]


def run_demo(out: Path, *, overwrite: bool = False, step: Step = lambda *_: None) -> DemoResult:
    """Exports the embedded model to every target and precision, and compares each artifact with the checkpoint.

    Args:
        out: the folder for the artifacts.
        overwrite: replace what is there.
        step: told what is being done, how much of it is done and how much there is in all.

    Raises:
        OutputExists: an artifact is there already, and `overwrite` is not asked for.
    """
    trained = load_checkpoint(CHECKPOINT)
    images = open_images(TEST_IMAGES, labels=trained.labels)
    deployed = to_deploy_form(trained)
    calibration = open_images(CALIBRATION_IMAGES, labels=trained.labels)

    def watch(what: str) -> Callable[[int, int], None]:
        return lambda done, total: step(what, done, total)

    for target, precision in PLAN:
        check_free(planned(trained, precision, target, out), overwrite=overwrite)
    recipes = {
        precision: calibrate(
            deployed, calibration, precision=precision, count=CALIBRATION_COUNT, progress=watch("calibrating")
        )
        for precision in dict.fromkeys(precision for _, precision in PLAN)
    }
    reference = float_reference(trained, images, progress=watch("running the checkpoint"))
    artifacts = []
    for index, (target, precision) in enumerate(PLAN):
        step(f"lowering to {target} {precision}", index, len(PLAN))
        artifact = lower(deployed, recipes[precision], target, out, overwrite=overwrite)
        drift = compare(artifact, trained, images, reference=reference, progress=watch(f"running {target} {precision}"))
        artifacts.append(with_fields(artifact, drift=drift))
    return DemoResult(tuple(artifacts))
