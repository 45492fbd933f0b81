"""`shvit-mobile finetune`: trains the int8 layers of a recipe, for models that lose too much in int8."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from shvit_mobile.errors import InvalidValue
from shvit_mobile.report.formatting import format_decibels, format_number, format_percent

from . import options as opt
from .arguments import check_output_files, load_trained_model
from .console import print_json, print_note, print_table
from .errors import GATE_FAILED
from .progress import JobProgress
from .results import to_contract_json
from .tables import create_table

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.contracts.recipe import EvalMetrics
    from shvit_mobile.images.image_set import ImageSet
    from shvit_mobile.quantize.finetune import FinetuneResult


def finetune(
    images: opt.TrainingImagesArgument,
    recipe: opt.StartRecipe,
    checkpoint: opt.Checkpoint = None,
    weights: opt.Weights = None,
    sha256: opt.Sha256 = None,
    model: opt.Model = None,
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
    labels_csv: opt.LabelsCsv = None,
    count: opt.TrainingCount = 1000,
    flip: opt.Flip = False,
    epochs: opt.Epochs = 3,
    batch: opt.TrainingBatch = 16,
    learning_rate: opt.LearningRate = 0.01,
    seed: opt.TrainingSeed = 0,
    device: opt.Device = None,
    out: opt.RecipeOut = Path("recipe-finetuned.json"),
    keep_anyway: opt.KeepAnyway = False,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Train the int8 layers of a recipe that loses too much accuracy.

    The layers learn from labels and from the float model's predictions to work within the recipe's ranges. A fifth of
    the images is held out to choose the best epoch. A recipe that is no better than before is not written (exit status
    1). Use the result with export --recipe.
    """
    from shvit_mobile.quantize.overrides import load_recipe, save_recipe

    overrides_path = _check_outputs(out, overwrite=overwrite)
    start, overrides = load_recipe(recipe)
    if checkpoint is None:
        print_note("note: no --checkpoint is given, so this is the embedded demo model.")
    with JobProgress("Fine-tune") as steps:
        steps.expect(3 + 2 * epochs)
        with steps.step("Loading the checkpoint"):
            trained = load_trained_model(
                checkpoint=checkpoint,
                weights=weights,
                sha256=sha256,
                model=model,
                labels=labels,
                size=size,
                crop=crop,
                mean=mean,
                std=std,
                resize_mode=resize,
                interpolation=interpolation,
                channel_order=channel_order,
                padding=padding,
                padding_value=padding_value,
            )
            from shvit_mobile.deploy.fold import to_deploy_form
            from shvit_mobile.images.image_set import open_images
            from shvit_mobile.quantize.finetune import FinetuneSettings, finetune_recipe

        settings = FinetuneSettings(
            epochs=epochs,
            count=count,
            batch=batch,
            learning_rate=learning_rate,
            flip=flip,
            seed=seed,
            device=device,
        )
        image_set = open_images(images, labels=trained.labels, csv=labels_csv, parameter="images")
        with steps.step("Folding to the deploy form and verifying it"):
            deployed = to_deploy_form(trained)
        result = finetune_recipe(deployed, start, image_set, settings, overrides=overrides, progress=steps.follow)
    _print_notes(image_set, result)
    if written := result.is_improvement or keep_anyway:
        save_recipe(out, result.recipe, result.overrides, overwrite=overwrite)
    if as_json:
        print_json(_to_json_values(result, out if written else None))
    else:
        print_table(_build_epoch_table(result))
    _print_outcome(result, out, overrides_path, written=written)


def _check_outputs(out: Path, *, overwrite: bool) -> Path:
    """Check that the recipe can be written to `out`, and return the file for its trained weights."""
    from shvit_mobile.contracts.recipe import get_overrides_path

    overrides_path = get_overrides_path(out)
    if overrides_path == out:
        raise InvalidValue(
            f"`out` is {out}.",
            why="The trained weights are written there; the recipe itself is JSON.",
            hint=f"Set `out={out.stem}.json`.",
            parameter="out",
        )
    check_output_files(out, overrides_path, overwrite=overwrite)
    return overrides_path


def _print_notes(images: ImageSet, result: FinetuneResult) -> None:
    """Print what was assumed about the images, and what was skipped."""
    if images.mapping:
        print_note(f"note: {images.mapping.sentence}")
    if result.skipped:
        print_note(f"note: {result.use.describe(str(images.root))}")


def _build_epoch_table(result: FinetuneResult) -> Table:
    """Build a table with a line for the recipe before training, and one for each epoch."""
    held = result.recipe.finetuning.held_out if result.recipe.finetuning else 0
    table = create_table(f"int8 compared with float on {held} held-out images", "epoch")
    for heading in ("loss", "agreement %", "SQNR dB", "top-1 %", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("before", "", *_format_metrics(result.before), "")
    for number, epoch in enumerate(result.epochs):
        chosen = "best" if number == result.best else ""
        table.add_row(f"{number + 1}", format_number(epoch.loss, 3), *_format_metrics(epoch.metrics), chosen)
    return table


def _format_metrics(metrics: EvalMetrics) -> tuple[str, str, str]:
    return (
        format_percent(metrics.agreement, 2),
        format_decibels(metrics.sqnr_db),
        format_percent(metrics.top1, 2),
    )


def _describe_metrics(metrics: EvalMetrics) -> str:
    agreement, sqnr, _ = _format_metrics(metrics)
    return f"{agreement}% agreement with the float model and {sqnr} dB"


def _to_json_values(result: FinetuneResult, written: Path | None) -> dict[str, Any]:
    return {
        "recipe": None if written is None else str(written),
        "helped": result.is_improvement,
        "best": result.best + 1,
        "skipped": result.skipped,
        "images": to_contract_json(result.use),
        "before": to_contract_json(result.before),
        "epochs": [{"loss": epoch.loss, **to_contract_json(epoch.metrics)} for epoch in result.epochs],
    }


def _print_outcome(result: FinetuneResult, out: Path, weights: Path, *, written: bool) -> None:
    """Print what was written, or why nothing was; exit with status 1 in that case."""
    if not result.is_improvement:
        print_note(
            f"Training did not help: on held-out images, int8 had {_describe_metrics(result.before)} before, and has "
            f"{_describe_metrics(result.after)} after the best epoch."
        )
    if written:
        print_note(f"Wrote {out}, and the trained weights to {weights.name} beside it.")
        return
    print_note("Nothing was written. Try more images or another --learning-rate, or write it with --keep-anyway.")
    raise typer.Exit(GATE_FAILED)
