"""Measure maps, of backbones and of detectors: the rows of tables of docs/benchmarks.md and docs/guides/detection.md.

    python tools/feature_maps_table.py --out build/features
    python tools/feature_maps_table.py --out build/features --models demo --sizes 512 --precisions int8
    python tools/feature_maps_table.py --out build/maps --task detect --models retinanet_shvit_s4 --sizes 512

The demo models have their weights. The others have random ones, as `tools/random_networks.py` draws them. Maps are
compared on test images of the demo. int8 is plain, without PTQ passes, and is compared with its simulation, too. Every
export runs in a process of its own. The last figure is its peak memory, or that of a converter that runs beside it, if
that is larger.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer
from benchmark_detectors import create_retinanet
from random_networks import fit_batchnorms, randomize_constants, shrink_branches

from shvit_mobile.contracts.drift_row import BoxAgreement, DriftRow
from shvit_mobile.contracts.manifest import Target, Task
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.families.detectors import load_detector
from shvit_mobile.families.shvit import create_shvit
from shvit_mobile.families.shvit_family import SHVIT
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.defaults import DEMOS
from shvit_mobile.pipeline.export import ExportConfig, ExportJob, export
from shvit_mobile.targets.executorch import ExecuTorchOptions

DEMO, RETINANET = "demo", "retinanet_"
# An option's default, which every command of Typer states as text.
MODELS = f"{DEMO},shvit_s1,shvit_s2,shvit_s3,shvit_s4"
SIZES = "224,512,1024,320x448"
TARGETS = "onnx,executorch,coreml,litert,coreai"
BYTES_OF_A_KILOBYTE = 1024  # as Linux counts a process's memory


@dataclass(frozen=True)
class Case:
    """One export."""

    model: str
    size: tuple[int, int]
    target: str
    precision: Precision
    images: int
    out: Path
    task: Task


def main(
    out: Annotated[Path, typer.Option(help="Folder for artifacts.")],
    models: Annotated[str, typer.Option(help="Models, separated by commas.")] = MODELS,
    sizes: Annotated[str, typer.Option(help="Sizes, separated by commas.")] = SIZES,
    targets: Annotated[
        str, typer.Option(help="Targets, separated by commas; executorch-coreml is ExecuTorch with Core ML.")
    ] = TARGETS,
    precisions: Annotated[str, typer.Option(help="Precisions, separated by commas.")] = "fp32",
    images: Annotated[int, typer.Option(help="Number of images to compare on.")] = 4,
    task: Annotated[str, typer.Option(help="'features', 'classify' for the logits, or 'detect'.")] = "features",
) -> None:
    """Print a row for each export."""
    columns = ["model", "size", "target", "precision", "dB of each map", "dB from the simulation", "boxes"]
    columns += ["delegates", "GB at most"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    for model in models.split(","):
        for size in sizes.split(","):
            for target in targets.split(","):
                for precision in precisions.split(","):
                    case = Case(
                        model, parse_size(size), target, cast(Precision, precision), images, out, cast(Task, task)
                    )
                    print(f"| {model} | {size} | {target} | {precision} | {' | '.join(run_alone(case))} |", flush=True)


def parse_size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return int(height), int(width or height)


def run_alone(case: Case) -> tuple[str, ...]:
    """Measure a case in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, case).result()


def measure(case: Case) -> tuple[str, ...]:
    """Export, and return the SQNR of each map, its distance from the simulation's, boxes, delegates and peak memory."""
    target, _, delegate = case.target.partition("-")
    options = ExecuTorchOptions(delegate=cast(Any, delegate)) if delegate else None
    calibrates = case.precision == "int8"
    calibration: dict[str, Any] = {"calibration": DEMOS[case.task].calibration, "calibration_count": 32, "passes": ()}
    result = export(
        ExportConfig(
            checkpoint=load_model(case.model, case.task),
            task=case.task,
            size=case.size,
            jobs=[ExportJob(cast(Target, target), case.precision, options)],
            validation=DEMOS[case.task].validation,
            validation_count=case.images,
            accept_baseline=True,
            ladder=calibrates,
            out=case.out,
            overwrite=True,
            **(calibration if calibrates else {}),
        )
    )
    (row,), rows = result.rows, [] if result.report is None else result.report.rows
    delegation = result.artifacts[0].manifest.delegation
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (
        ", ".join(f"{one.sqnr_db:.1f}" for one in row.maps or (row,)),
        ", ".join(format_distances(row, rows)) or "–",
        format_boxes(row.boxes),
        str(delegation.delegates) if delegation else "–",
        f"{peak * BYTES_OF_A_KILOBYTE / 1e9:.2f}",
    )


def format_distances(row: DriftRow, rows: Any) -> Iterator[str]:
    """Yield, for each map, how many dB an artifact is above the simulation of its recipe."""
    for simulated in rows:
        if simulated.artifact.startswith("fake-quant"):
            for one, other in zip(row.maps, simulated.maps, strict=True):
                yield f"{one.sqnr_db - other.sqnr_db:+.2f}"


def format_boxes(boxes: BoxAgreement | None) -> str:
    """Return how many boxes of a detector both models find, their mean IoU, and the largest difference of scores."""
    if boxes is None or boxes.mean_iou is None:
        return "–"
    found = boxes.float_boxes + boxes.boxes - boxes.matched
    return f"{boxes.matched} of {found}, IoU {boxes.mean_iou:.6f}, score {boxes.max_score_difference:.1g}"


def load_model(name: str, task: Task) -> TrainedModel:
    """Return the demo model of a task, or a variant with random weights whose BatchNorms fit pictures."""
    if name == DEMO:
        return load_checkpoint(str(DEMOS[task].checkpoint), task=task)
    if name.startswith(RETINANET):
        light = load_detector(DEMOS["detect"].checkpoint)
        return create_retinanet(light, light.preprocessing.size[0], name.removeprefix(RETINANET))
    preprocessing = Preprocessing()
    (batch, *_) = iterate_batches(open_images(DEMOS["classify"].calibration).sample(8, 0), preprocessing, size=8)
    pictures = torch.from_numpy(preprocessing.normalize(batch.pixels))
    torch.manual_seed(0)
    model = create_shvit(name, classes=10).eval()
    randomize_constants(model, torch.Generator().manual_seed(0))
    shrink_branches(model, pictures[:1])
    fit_batchnorms(model, pictures)
    return TrainedModel(
        model=model,
        family=SHVIT,
        variant=name,
        dialect="shvit-mobile",
        labels=tuple(f"class {index}" for index in range(10)),
        preprocessing=preprocessing,
        source=f"random {name}",
        sha256="0" * 64,
    )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    typer.run(main)
