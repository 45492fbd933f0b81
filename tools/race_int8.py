"""Race int8 of this project against stock int8: .pte, .tflite and .onnx of SHViT S1 to S4, with their drift.

    python tools/race_int8.py --out runs/race

Needs ai-edge-litert and `shvit-mobile doctor --install litert`. The demo model is trained; other variants have random
weights, whose values do not change latency and whose drift says little. Each variant's contestants take turns on one
thread; the table compares all with this project's .pte. Existing artifacts and reports are kept.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from benchmark_variants import create_random_checkpoint
from latency_markdown import format_table

from shvit_mobile.bench.benchmark import run_benchmark
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.device_report import BenchmarkSettings, DeviceReport
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.demo import CALIBRATION_IMAGES, CHECKPOINT, TEST_IMAGES
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.drift.compare import compare
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.lower import lower, plan_artifact_path, update_manifest
from shvit_mobile.quantize.calibrate import calibrate_recipe

TARGETS: tuple[Target, ...] = ("executorch", "litert", "onnx")


def main(
    out: Annotated[Path, typer.Option(help="The folder for checkpoints, artifacts and reports.")],
    models: Annotated[str, typer.Option(help="'demo' and variants, by commas.")] = "demo,shvit_s2,shvit_s3,shvit_s4",
    rounds: Annotated[int, typer.Option(help="The number of turns of each contestant.")] = 31,
    images: Annotated[int, typer.Option(help="The number of images for drift.")] = 100,
    calibration: Annotated[int, typer.Option(help="The number of images for int8's ranges.")] = 64,
    cpus: Annotated[str, typer.Option(help="Processors to pin to, separated by commas (default: any).")] = "",
) -> None:
    chosen = tuple(int(cpu) for cpu in cpus.split(",") if cpu)
    settings = BenchmarkSettings(threads=1, batch=1, rounds=rounds, warm_up=5, iterations=20, cpus=chosen)
    for name in models.split(","):
        place, report = out / name, out / name / "report.json"
        trained = load_checkpoint(CHECKPOINT) if name == "demo" else create_random_checkpoint(name, place)
        artifacts = export_int8(trained, place, calibration, images)
        if not report.exists():
            found = run_benchmark(
                artifacts,
                settings=settings,
                peer_checkpoint=trained,
                engines=("executorch", "litert", "onnxruntime"),
                calibration=CALIBRATION_IMAGES,
                roofs=False,
            )
            for sentence in found.skipped:
                print(f"note: {sentence}")
            report.write_text(found.report.to_json(), encoding="utf-8")
        print(f"### {name}\n\n{format_table(DeviceReport.load(report))}", flush=True)


def export_int8(trained: TrainedModel, place: Path, calibration: int, images: int) -> list[Artifact]:
    """Export plain int8 to each target and compare it with the checkpoint; keep existing artifacts."""
    deployed, pictures = to_deploy_form(trained), open_images(CALIBRATION_IMAGES)
    recipe = calibrate_recipe(deployed, pictures, precision="int8", count=calibration)[0]
    artifacts = []
    for target in TARGETS:
        path = plan_artifact_path(trained, recipe.precision_name, target, place)
        if path.exists():
            artifacts.append(Artifact.open(path))
            continue
        artifact = lower(deployed, recipe, target, place, overwrite=True)
        tested = open_images(TEST_IMAGES).sample(images, 0)
        if tested.classes != trained.labels:  # random weights have classes of their own
            tested = replace(tested, labels=None, classes=())
        drift = compare(artifact, trained, tested)
        artifacts.append(update_manifest(artifact, drift=drift))
    return artifacts


if __name__ == "__main__":
    typer.run(main)
