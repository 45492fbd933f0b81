"""Compare all four variants with stock exports of the same checkpoints, for docs/benchmarks.md.

    python tools/benchmark_variants.py --out runs/variants

Weights are random, because their values do not change latency. For each variant, this tool creates a checkpoint,
exports it in every form, measures it in turns with its peers on one thread, and writes the report to `--out`. Existing
reports are not measured again.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

import torch
import typer
from latency_markdown import format_table
from torch import nn

from shvit_mobile.bench.benchmark import run_benchmark
from shvit_mobile.bench.chart import render_latency_chart
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.device_report import BenchmarkSettings, DeviceReport
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.demo import CALIBRATION_IMAGES
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.families.checkpoints import load_checkpoint, save_checkpoint
from shvit_mobile.families.shvit import NATIVE_SIZES, VARIANTS, SHViT, create_shvit
from shvit_mobile.families.shvit_family import SHVIT
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.lower import lower, plan_artifact_path
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.targets.executorch import ExecuTorchOptions
from shvit_mobile.targets.onnx import ONNXOptions

CALIBRATION_COUNT = 8
# The contestant that others are compared with.
BASELINE = "ExecuTorch stock fp32"


def main(
    out: Annotated[Path, typer.Option(help="The folder for checkpoints, artifacts and reports.")],
    variants: Annotated[str, typer.Option(help="The variants, separated by commas.")] = ",".join(VARIANTS),
    rounds: Annotated[int, typer.Option(help="The number of turns of each contestant.")] = 15,
    race: Annotated[bool, typer.Option(help="Measure, or only export.")] = True,
    cpus: Annotated[str, typer.Option(help="Processors to pin to, separated by commas (default: any).")] = "",
) -> None:
    settings = BenchmarkSettings(
        threads=1,
        batch=1,
        rounds=rounds,
        warm_up=5,
        iterations=20,
        cpus=tuple(int(cpu) for cpu in cpus.split(",") if cpu),
    )
    for variant in variants.split(","):
        place = out / variant
        report = place / "report.json"
        if not report.exists():
            trained = create_random_checkpoint(variant, place)
            artifacts = export_artifacts(trained, place)
            if not race:
                continue
            found = run_benchmark(artifacts, settings=settings, peer_checkpoint=trained, calibration=CALIBRATION_IMAGES)
            for sentence in found.skipped:
                print(f"note: {sentence}")
            report.write_text(found.report.to_json(), encoding="utf-8")
            (place / "chart.svg").write_text(render_latency_chart(found.report), encoding="utf-8")
        print(
            f"### {variant} at {NATIVE_SIZES[variant]}\n\n{format_table(DeviceReport.load(report), BASELINE)}",
            flush=True,
        )


def create_random_checkpoint(variant: str, place: Path) -> TrainedModel:
    """Create a checkpoint of a variant at its native size, whose norms are far from the identity."""
    path = place / f"{variant}.safetensors"
    place.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        model = randomize_norms(create_shvit(variant))
        size = (NATIVE_SIZES[variant],) * 2
        save_checkpoint(
            TrainedModel(
                model=model,
                family=SHVIT,
                variant=variant,
                dialect="shvit-mobile",
                labels=tuple(f"class {index}" for index in range(model.config.classes)),
                preprocessing=Preprocessing(size=size),
                source=path.name,
                sha256="",
            ),
            path,
        )
    return load_checkpoint(path)


@torch.no_grad()
def randomize_norms(model: SHViT) -> SHViT:
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.weight.uniform_(0.3, 0.9, generator=generator)
            module.bias.normal_(0, 0.2, generator=generator)
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def export_artifacts(trained: TrainedModel, place: Path) -> list[Artifact]:
    """Export a checkpoint in every form that is measured; keep existing artifacts."""
    deployed = to_deploy_form(trained)
    blocks = ExecuTorchOptions(stem="space-to-depth")
    wanted: list[tuple[Target, Precision, ExecuTorchOptions | ONNXOptions]] = [
        ("executorch", "fp32", ExecuTorchOptions()),
        ("executorch", "int8", ExecuTorchOptions()),
        ("executorch", "int8-dynamic", ExecuTorchOptions()),
        ("executorch", "int8", blocks),
        ("executorch", "int8", ExecuTorchOptions(head="float")),
        ("onnx", "fp32", ONNXOptions()),
        ("onnx", "int8", ONNXOptions()),
    ]
    images = open_images(CALIBRATION_IMAGES)

    @cache
    def recipe(precision: Precision) -> Recipe:
        return calibrate_recipe(deployed, images, precision=precision, count=CALIBRATION_COUNT)[0]

    made = []
    for target, precision, options in wanted:
        path = plan_artifact_path(trained, precision, target, place, options)
        made.append(
            Artifact.open(path)
            if path.exists()
            else lower(deployed, recipe(precision), target, place, options=options, overwrite=True)
        )
    return made


if __name__ == "__main__":
    typer.run(main)
