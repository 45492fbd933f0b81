"""`shvit-mobile finetune`: the last resort where int8 loses too much: its layers are trained with its ranges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shvit_mobile.errors import InvalidConfig

from .arguments import check_output_files, load_trained_model
from .console import print_json, print_note, print_table
from .errors import GATE_FAILED
from .options import (
    IMAGES_PANEL,
    MODEL_PANEL,
    OUTPUT_PANEL,
    CheckpointOption,
    CropOption,
    JsonOption,
    LabelsCsvOption,
    LabelsOption,
    MeanOption,
    ModelOption,
    OverwriteOption,
    SizeOption,
    StdOption,
)
from .progress import JobProgress
from .results import to_contract_json
from .tables import create_table, format_decibels

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.contracts.recipe import EvalMetrics
    from shvit_mobile.families.trained_model import TrainedModel
    from shvit_mobile.quantize.finetune import FinetuneResult
    from shvit_mobile.quantize.overrides import CalibratedRecipe

TRAINING_PANEL = "Training"
EPOCHS, COUNT, BATCH, LEARNING_RATE, SEED = 3, 1000, 16, 0.01, 0


def finetune(
    images: Annotated[Path, typer.Argument(metavar="DIR", help="Images to learn from, in a folder for each class.")],
    recipe: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The recipe to begin with: static int8.", rich_help_panel=MODEL_PANEL),
    ],
    checkpoint: CheckpointOption = None,
    model: ModelOption = None,
    labels: LabelsOption = None,
    size: SizeOption = None,
    crop: CropOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    labels_csv: LabelsCsvOption = None,
    count: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="How many images, a fifth of them to judge by.", rich_help_panel=IMAGES_PANEL
        ),
    ] = COUNT,
    flip: Annotated[
        bool,
        typer.Option("--flip", help="Mirror every other image; not for text or hands.", rich_help_panel=IMAGES_PANEL),
    ] = False,
    epochs: Annotated[
        int, typer.Option(metavar="N", min=1, help="How often each image is seen.", rich_help_panel=TRAINING_PANEL)
    ] = EPOCHS,
    batch: Annotated[
        int, typer.Option(metavar="N", min=1, help="Images an update.", rich_help_panel=TRAINING_PANEL)
    ] = BATCH,
    learning_rate: Annotated[
        float,
        typer.Option(
            metavar="STEPS",
            help="How far an update moves a parameter at most, in int8 steps; falls to 0 along a cosine.",
            rich_help_panel=TRAINING_PANEL,
        ),
    ] = LEARNING_RATE,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of the choice and order of images.", rich_help_panel=TRAINING_PANEL)
    ] = SEED,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="cpu|cuda", help="Where to train; else a GPU if there is one.", rich_help_panel=TRAINING_PANEL
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The recipe to write.", rich_help_panel=OUTPUT_PANEL)
    ] = Path("recipe-finetuned.json"),
    keep_anyway: Annotated[
        bool,
        typer.Option(
            "--keep-anyway", help="Write it though it is no better than before.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the int8 layers of a recipe, where int8 still loses too much.

    They learn from labels and from the float model's answers to live with the recipe's ranges. A fifth of the images is
    held out: there the best epoch is chosen, and a recipe that is no better than before is not written (status 1). What
    comes out is a recipe for export --recipe.
    """
    from shvit_mobile.contracts.recipe import get_overrides_path
    from shvit_mobile.quantize.overrides import load_recipe, save_recipe

    beside = get_overrides_path(out)
    if beside == out:
        raise InvalidConfig(
            f"--out is {out}.",
            why="The trained weights go there; the recipe is JSON.",
            hint=f"Try: --out {out.stem}.json",
        )
    check_output_files(out, beside, overwrite=overwrite)
    began_with = load_recipe(recipe)
    if checkpoint is None:
        print_note("No --checkpoint is given: this is the embedded demo model.")
    with JobProgress("Fine-tune") as steps:
        steps.expect(3 + 2 * epochs)
        with steps.step("Reading the checkpoint"):
            trained = load_trained_model(
                checkpoint, variant=model, labels=labels, size=size, crop=crop, mean=mean, std=std
            )
        settings = {
            "epochs": epochs,
            "count": count,
            "batch": batch,
            "learning_rate": learning_rate,
            "flip": flip,
            "seed": seed,
            "device": device,
        }
        tuned = run_finetuning(trained, began_with, images, labels_csv, settings, steps)
    if written := tuned.is_improvement or keep_anyway:
        save_recipe(out, tuned.recipe, tuned.overrides, overwrite=overwrite)
    if as_json:
        print_json(to_json_values(tuned, out if written else None))
    else:
        print_table(build_epoch_table(tuned))
    print_outcome(tuned, out, beside, written=written)


def run_finetuning(
    trained: TrainedModel,
    recipe: CalibratedRecipe,
    folder: Path,
    csv: Path | None,
    settings: dict[str, Any],
    steps: JobProgress,
) -> FinetuneResult:
    from shvit_mobile.deploy.fold import to_deploy_form
    from shvit_mobile.images.image_set import open_images
    from shvit_mobile.quantize.finetune import FinetuneSettings, finetune_recipe

    asked = FinetuneSettings(**settings)
    images = open_images(folder, labels=trained.labels, csv=csv)
    with steps.step("Folding to the deploy form, proving each fold"):
        deployed = to_deploy_form(trained)
    return finetune_recipe(deployed, recipe[0], images, asked, overrides=recipe[1], progress=steps.follow)


def build_epoch_table(tuned: FinetuneResult) -> Table:
    """One line an epoch, and one for the recipe as it was."""
    held = tuned.recipe.finetuning.held_out if tuned.recipe.finetuning else 0
    table = create_table(f"int8 against the float model, {held} images held out", "epoch")
    for heading in ("loss", "agreement %", "SQNR dB", "top-1 %", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("before", "", *format_metrics(tuned.before), "")
    for number, epoch in enumerate(tuned.epochs):
        chosen = "best" if number == tuned.best else ""
        table.add_row(f"{number + 1}", f"{epoch.loss:.3f}", *format_metrics(epoch.metrics), chosen)
    return table


def format_metrics(standing: EvalMetrics) -> tuple[str, str, str]:
    return f"{100 * standing.agreement:.2f}", format_decibels(standing.sqnr_db), f"{100 * standing.top1:.2f}"


def describe_metrics(standing: EvalMetrics) -> str:
    return f"{100 * standing.agreement:.2f}% agreement with the float model and {format_decibels(standing.sqnr_db)} dB"


def to_json_values(tuned: FinetuneResult, written: Path | None) -> dict[str, Any]:
    """The figures as JSON."""
    return {
        "recipe": None if written is None else str(written),
        "helped": tuned.is_improvement,
        "best": tuned.best + 1,
        "skipped": tuned.skipped,
        "before": to_contract_json(tuned.before),
        "epochs": [{"loss": epoch.loss, **to_contract_json(epoch.metrics)} for epoch in tuned.epochs],
    }


def print_outcome(tuned: FinetuneResult, out: Path, beside: Path, *, written: bool) -> None:
    """Says what was written, or why nothing was; then ends with status 1."""
    if tuned.skipped:
        print_note(f"note: {tuned.skipped} images could not be decoded.")
    if not tuned.is_improvement:
        print_note(
            f"It did not help: at its best int8 has {describe_metrics(tuned.after)} on the images held out; before it had "
            f"{describe_metrics(tuned.before)}."
        )
    if written:
        print_note(f"Wrote {out}, and the trained weights into {beside.name} beside it.")
        return
    print_note("Nothing was written. Try more images or another --learning-rate; --keep-anyway writes it all the same.")
    raise typer.Exit(GATE_FAILED)
