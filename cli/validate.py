"""`shvit-mobile validate`: artifacts compared with the checkpoint they were made from."""

from pathlib import Path
from typing import Annotated

import typer

from shvit_mobile.report.sentences import describe_cross_runtime_divergence

from . import options as opt
from .arguments import drop_none, gate_options, model_options
from .changes import print_changes
from .console import print_json, print_note, print_table
from .progress import JobProgress
from .reports import print_layers_and_ranges
from .results import collect_sizes, print_verdict, to_contract_json
from .tables import build_drift_tables


def validate(
    artifacts: Annotated[
        list[Path],
        typer.Argument(metavar="ARTIFACT...", help="One or more .mlpackage, .pte, .onnx, .tflite or .aimodel."),
    ],
    checkpoint: opt.Checkpoint = None,
    weights: opt.Weights = None,
    sha256: opt.Sha256 = None,
    model: opt.Model = None,
    size: opt.Size = None,
    images: opt.Images = None,
    labels_csv: opt.LabelsCsv = None,
    labels_coco: opt.LabelsCoco = None,
    count: opt.Count = None,
    seed: opt.Seed = None,
    ladder: opt.Ladder = False,
    layers: opt.Layers = False,
    ranges: opt.Ranges = False,
    arch: opt.Arch = None,
    cpu: opt.Cpu = None,
    max_drop: opt.MaxDrop = None,
    min_agreement: opt.MinAgreement = None,
    min_top1: opt.MinTop1 = None,
    min_sqnr: opt.MinSqnr = None,
    min_box_agreement: opt.MinBoxAgreement = None,
    accept_baseline: opt.AcceptBaseline = False,
    write: opt.Write = False,
    out: opt.OutFile = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Run artifacts and their checkpoint on the same images and compare them."""
    options = (
        gate_options(validation=images, labels_csv=labels_csv, validation_count=count, validation_seed=seed)
        | gate_options(max_drop=max_drop, min_agreement=min_agreement, min_top1=min_top1, min_sqnr=min_sqnr)
        | gate_options(labels_coco=labels_coco, min_box_agreement=min_box_agreement)
        | {"accept_baseline": accept_baseline}
        | drop_none(artifacts=artifacts)
        | model_options(checkpoint=checkpoint, weights=weights, sha256=sha256, model=model, size=size)
        | drop_none(arch=arch, cpus=cpu, report=out)
        | {"ladder": ladder, "layers": layers, "ranges": ranges, "write": write, "overwrite": overwrite}
    )
    with JobProgress("Validate") as progress:
        with progress.step("Loading the tools"):
            from shvit_mobile.pipeline.validate import ValidateConfig, validate

        result = validate(ValidateConfig(**options), progress.follow)
    report, measured = result.report, result.measurements
    if as_json:
        print_json(to_contract_json(report))
    else:
        divergences = map(describe_cross_runtime_divergence, measured.divergences)
        print_table(*build_drift_tables(report.rows, collect_sizes(result.artifacts)), *divergences)
        if measured.changes:  # of classes, which maps do not have
            print_changes(measured.changes, measured.native_rows)
        print_layers_and_ranges(report.layers, report.ranges)
    for sentence in result.notes:
        print_note(f"note: {sentence}")
    if measured.baseline and measured.baseline.violations:
        print_note("note: --accept-baseline accepts such a checkpoint.")
    print_verdict(result.verdict)
