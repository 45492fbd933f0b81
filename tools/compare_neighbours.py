"""Time SHViT-S4 in int8 beside the neighbours that its paper compares it with, for docs/compatibility.md.

    python tools/compare_neighbours.py                 # on a quiet machine
    python tools/compatibility_page.py > docs/compatibility.md

All are exported by this tool, with random weights, each at the size that timm has it in; artifacts that
compatibility_table.py has left are used again. All of one runtime take turns on one thread.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from compatibility_page import NEIGHBOURS
from compatibility_table import (
    OUT,
    Place,
    find_artifacts,
    load_model,
    measure_exports,
    read_commit,
    run_apart,
)

from shvit_mobile.bench.contestant import create_subject
from shvit_mobile.bench.host import describe_host
from shvit_mobile.bench.interleave import run_interleaved
from shvit_mobile.bench.statistics import compute_speed_ratio, summarize_latency
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.device_report import BenchmarkSettings
from shvit_mobile.contracts.manifest import Target

# The first is the one that the others are compared with.
MODELS = (
    *("shvit_s4", "mobilevitv2_100", "fastvit_t12", "efficientformer_l1", "efficientvit_m5", "mobilenetv3_large_100"),
)
TARGETS: tuple[Target, ...] = ("executorch", "onnx")


def main(
    models: Annotated[str, typer.Option(help="The models, separated by commas; the first is the base.")] = ",".join(
        MODELS
    ),
    out: Annotated[Path, typer.Option(help="The folder for results, checkpoints and artifacts.")] = OUT,
    rounds: Annotated[int, typer.Option(help="The number of turns of each model.")] = 31,
    iterations: Annotated[int, typer.Option(help="The number of inferences in a turn.")] = 10,
    limit: Annotated[int, typer.Option(help="The longest time of one export, in seconds.")] = 900,
) -> None:
    settings = BenchmarkSettings(threads=1, batch=1, rounds=rounds, warm_up=2, iterations=iterations)
    found: list[dict[str, Any]] = [{"model": model} for model in models.split(",")]
    for target in TARGETS:
        artifacts = {}
        for one in found:
            artifact = export_once(Place(out, one["model"]), target, limit)
            if isinstance(artifact, Artifact):
                artifacts[one["model"]] = artifact
                one["size"] = artifact.manifest.preprocessing.size
            else:
                one[target] = artifact
        subjects = {model: create_subject(artifact) for model, artifact in artifacts.items()}
        runs = dict(zip(subjects, run_interleaved(list(subjects.values()), settings).runs, strict=True))
        base = runs[found[0]["model"]]
        for one in found:
            if (run := runs.get(one["model"])) is None:
                continue
            one["macs"] = run.subject.macs
            one[target] = {"ms": summarize_latency(run.samples).p50}
            if run is not base:
                one[target]["ratio"] = compute_speed_ratio(run.round_medians, base.round_medians).model_dump()
    document = {
        "commit": read_commit(),
        "host": describe_host().model,
        "settings": settings.model_dump(mode="json"),
        "targets": TARGETS,
        "models": found,
    }
    (out / NEIGHBOURS).write_text(f"{json.dumps(document, indent=1)}\n", encoding="utf-8")


def export_once(place: Place, target: Target, limit: float) -> Artifact | dict[str, Any]:
    """Return the int8 artifact of a model, which is exported if it is not there, or the reason why there is none."""
    result: dict[str, Any] = {}
    for attempt in range(2):
        artifacts = find_artifacts(load_model(place), place.folder)
        if f"{target} int8" in artifacts or attempt:
            return artifacts.get(f"{target} int8", result)
        result = next(run_apart(measure_exports, limit, place, [f"{target} int8"]))
    return result


if __name__ == "__main__":
    typer.run(main)
