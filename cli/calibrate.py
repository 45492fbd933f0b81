"""`shvit-mobile calibrate`: images to a recipe that every target takes, within an accuracy budget if one is set."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shvit_mobile.errors import MissingParameter
from shvit_mobile.report.formatting import format_decibels, format_percent, format_points

from . import options as opt
from .arguments import calibration_options, drop_none, gate_options, list_given_model_options, model_options
from .console import print_json, print_note, print_table
from .progress import JobProgress
from .results import print_failed_baseline, to_contract_json
from .tables import build_sensitivity_table, create_table

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.contracts.budget_search import SearchResult
    from shvit_mobile.contracts.recipe import Recipe
    from shvit_mobile.pipeline.calibrate import CalibrateResult


def calibrate(
    context: typer.Context,
    images: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help="Images like those the app will see (default: the demo's, for the demo model only)."
        ),
    ] = None,
    checkpoint: opt.Checkpoint = None,
    weights: opt.Weights = None,
    sha256: opt.Sha256 = None,
    model: opt.Model = None,
    task: opt.Task = None,
    labels: opt.Labels = None,
    size: opt.Size = None,
    crop: opt.Crop = None,
    mean: opt.Mean = None,
    std: opt.Std = None,
    resize: opt.Resize = None,
    interpolation: opt.Interpolation = None,
    channel_order: opt.ChannelOrder = None,
    padding: opt.Padding = None,
    padding_value: opt.PaddingValue = None,
    count: opt.CalibrationCount = None,
    sampling: opt.Sampling = None,
    seed: opt.Seed = None,
    observer: opt.Observer = None,
    activations: opt.Activations = None,
    passes: opt.Passes = None,
    sensitivity: opt.Sensitivity = True,
    max_drop: opt.MaxDrop = None,
    min_agreement: opt.MinAgreement = None,
    min_top1: opt.MinTop1 = None,
    min_sqnr: opt.MinSqnr = None,
    min_box_agreement: opt.MinBoxAgreement = None,
    accept_baseline: opt.AcceptBaseline = False,
    validate: opt.Validate = None,
    labels_csv: opt.LabelsCsv = None,
    labels_coco: opt.LabelsCoco = None,
    validate_count: opt.ValidateCount = None,
    cost: opt.Cost = None,
    cpu: opt.CostCpu = None,
    out: opt.OutFolder = Path("calibration"),
    cache: opt.Cache = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Calibrate static int8 and write a recipe that every target takes: export --recipe calibration/recipe.json.

    If you interrupt it, it continues where it stopped. With another budget it reuses what it has measured.
    """
    if images is None and checkpoint is not None:
        raise MissingParameter(
            "No images are given.",
            why="Static int8 fixes the range of every activation in advance, and measures it on real images.",
            hint="Try: shvit-mobile calibrate DIR --checkpoint CHECKPOINT",
        )
    if checkpoint is None:
        print_note("No --checkpoint is given: this is the embedded demo model.")
    options = (
        model_options(checkpoint=checkpoint, weights=weights, sha256=sha256, model=model, labels=labels, size=size)
        | drop_none(task=task, crop=crop, mean=mean, std=std)
        | drop_none(resize_mode=resize, interpolation=interpolation, channel_order=channel_order)
        | drop_none(padding=padding, padding_value=padding_value)
        | calibration_options(images, count, observer, activations, passes, seed, sampling)
        | gate_options(validation=validate, labels_csv=labels_csv, validation_count=validate_count)
        | gate_options(max_drop=max_drop, min_agreement=min_agreement, min_top1=min_top1, min_sqnr=min_sqnr)
        | gate_options(labels_coco=labels_coco, min_box_agreement=min_box_agreement)
        | {"accept_baseline": accept_baseline}
        | drop_none(sensitivity=sensitivity, cost=cost, cpu=cpu, out=out, cache=cache, overwrite=overwrite)
    )
    with JobProgress("Calibrate") as progress:
        with progress.step("Loading the tools"):
            from shvit_mobile.pipeline.calibrate import CalibrateConfig, calibrate

        with print_failed_baseline(as_json=as_json):
            result = calibrate(CalibrateConfig(**options), progress.follow)
    command = ["shvit-mobile", "export", "--target", "all", *list_given_model_options(context)]
    _print_calibration(result, shlex.join([*command, "--recipe", str(result.path)]), as_json)


def _print_calibration(result: CalibrateResult, next_command: str, as_json: bool) -> None:
    """Print what each pass gained, what each layer costs, and what the search tried."""
    for sentence in result.notes:
        print_note(f"note: {sentence}")
    if as_json:
        documents = {"recipe": result.recipe, "sensitivity": result.sensitivity, "search": result.search}
        found = {name: document and to_contract_json(document) for name, document in documents.items()}
        print_json(found | {"notes": result.notes})
        return
    print_table(_build_pass_table(result.recipe))
    if result.sensitivity is not None:
        print_table("", build_sensitivity_table(result.sensitivity))
    if result.search is not None:
        print_table("", _build_search_table(result.search))
        for sentence in result.search.verdict.caveats:
            print_note(f"note: {sentence}")
    print_table("", f"The recipe is {result.path}. Next: {next_command}")


def _build_pass_table(recipe: Recipe) -> Table:
    """Build a row for each PTQ pass: what it gained on images that it did not see."""
    from shvit_mobile.contracts.recipe import PASS_NAMES

    table = create_table("PTQ passes, SQNR of the logits in dB", "pass")
    for heading in ("without", "with", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for gain in recipe.steps:
        outcome = "kept" if gain.kept else "not kept"
        table.add_row(PASS_NAMES[gain.step], f"{gain.before_db:.2f}", f"{gain.after_db:.2f}", outcome)
    return table


def _build_search_table(search: SearchResult) -> Table:
    """Build a row for each recipe that was tried, the cheapest first."""
    unit, scale = {
        "bytes": ("MB more", 1e-6),
        "macs": ("million\nMACs more", 1e-6),
        "latency": ("ms more", 1.0),
        "arm64": (f"million\ninstructions\nmore, {search.costs.cpu}", 1e-6),
    }[search.costs.of]
    table = create_table(f"Recipes tried on {search.images.count} images", "layers in\nfloat", gap=1)
    for heading in (unit, "drop, points", "agreement %", "SQNR dB", "budget"):
        table.add_column(heading, justify="right", no_wrap=True)
    for point in search.points:
        chosen = " (chosen)" if point.float_layers == search.float_layers else ""
        table.add_row(
            str(len(point.float_layers)),
            f"{scale * point.cost:.2f}",
            format_points(point.row.drop),
            format_percent(point.row.shared_answers.value if point.row.shared_answers else None, 2),
            format_decibels(point.row.sqnr_db),
            f"{point.holds}{chosen}",
        )
    return table
