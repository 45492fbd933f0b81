"""`shvit-mobile finetune`: the last resort where int8 loses too much: its layers are trained with its ranges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shvit_mobile.errors import WrongConfig

from .arguments import check_files, trained_model
from .console import data, note, show
from .errors import GATE_FAILED
from .options import (
    IMAGES,
    MODEL,
    OUTPUT,
    Checkpoint,
    Crop,
    Json,
    Labels,
    LabelsCsv,
    Mean,
    Model,
    Overwrite,
    Size,
    Std,
)
from .progress import Steps
from .results import contract_json
from .tables import decibels, titled

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.contracts.recipe import Recipe, Standing
    from shvit_mobile.families.trained_model import TrainedModel
    from shvit_mobile.quantize.finetune import FineTuned

TRAINING = "Training"
EPOCHS, COUNT, BATCH, RATE, SEED = 3, 1000, 16, 0.01, 0


def finetune(
    images: Annotated[Path, typer.Argument(metavar="DIR", help="Images to learn from, in a folder for each class.")],
    recipe: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The recipe to begin with: static int8.", rich_help_panel=MODEL),
    ],
    checkpoint: Checkpoint = None,
    model: Model = None,
    labels: Labels = None,
    size: Size = None,
    crop: Crop = None,
    mean: Mean = None,
    std: Std = None,
    labels_csv: LabelsCsv = None,
    count: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="How many images, a fifth of them to judge by.", rich_help_panel=IMAGES),
    ] = COUNT,
    flip: Annotated[
        bool, typer.Option("--flip", help="Mirror every other image; not for text or hands.", rich_help_panel=IMAGES)
    ] = False,
    epochs: Annotated[
        int, typer.Option(metavar="N", min=1, help="How often each image is seen.", rich_help_panel=TRAINING)
    ] = EPOCHS,
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Images an update.", rich_help_panel=TRAINING)] = BATCH,
    learning_rate: Annotated[
        float,
        typer.Option(
            metavar="STEPS",
            help="How far an update moves a parameter at most, in int8 steps; falls to 0 along a cosine.",
            rich_help_panel=TRAINING,
        ),
    ] = RATE,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of the choice and order of images.", rich_help_panel=TRAINING)
    ] = SEED,
    device: Annotated[
        str | None,
        typer.Option(metavar="cpu|cuda", help="Where to train; else a GPU if there is one.", rich_help_panel=TRAINING),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The recipe to write.", rich_help_panel=OUTPUT)] = Path(
        "recipe-finetuned.json"
    ),
    keep_anyway: Annotated[
        bool,
        typer.Option("--keep-anyway", help="Write it though it is no better than before.", rich_help_panel=OUTPUT),
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train the int8 layers of a recipe, where int8 still loses too much.

    They learn from labels and from the float model's answers to live with the recipe's ranges. A fifth of the images is
    held out: there the best epoch is chosen, and a recipe that is no better than before is not written (status 1). What
    comes out is a recipe for export --recipe.
    """
    from shvit_mobile.contracts.recipe import Recipe, corrections_path

    beside = corrections_path(out)
    if beside == out:
        raise WrongConfig(
            f"--out is {out}.",
            why="The trained weights go there; the recipe is JSON.",
            hint=f"Try: --out {out.stem}.json",
        )
    check_files(out, beside, overwrite=overwrite)
    began_with = Recipe.read(recipe)
    if checkpoint is None:
        note("No --checkpoint is given: this is the embedded demo model.")
    with Steps("Fine-tune") as steps:
        steps.expect(3 + 2 * epochs)
        with steps.step("Reading the checkpoint"):
            trained = trained_model(checkpoint, variant=model, labels=labels, size=size, crop=crop, mean=mean, std=std)
        settings = {
            "epochs": epochs,
            "count": count,
            "batch": batch,
            "learning_rate": learning_rate,
            "flip": flip,
            "seed": seed,
            "device": device,
        }
        tuned = trained_on(trained, began_with, images, labels_csv, settings, steps)
    if written := tuned.helped or keep_anyway:
        from shvit_mobile.quantize.calibration_cache import write_recipe

        write_recipe(out, tuned.recipe, overwrite=overwrite)
    if as_json:
        data(told(tuned, out if written else None))
    else:
        show(epoch_table(tuned))
    conclude(tuned, out, beside, written=written)


def trained_on(
    trained: TrainedModel,
    recipe: Recipe,
    folder: Path,
    csv: Path | None,
    settings: dict[str, Any],
    steps: Steps,
) -> FineTuned:
    from shvit_mobile.deploy.fold import to_deploy_form
    from shvit_mobile.images.image_set import open_images
    from shvit_mobile.quantize.finetune import Settings, finetuned

    asked = Settings(**settings)
    images = open_images(folder, labels=trained.labels, csv=csv)
    with steps.step("Folding to the deploy form, proving each fold"):
        deployed = to_deploy_form(trained)
    return finetuned(deployed, recipe, images, asked, progress=steps.follow)


def epoch_table(tuned: FineTuned) -> Table:
    """One line an epoch, and one for the recipe as it was."""
    held = tuned.recipe.finetuning.held_out if tuned.recipe.finetuning else 0
    table = titled(f"int8 against the float model, {held} images held out", "epoch")
    for heading in ("loss", "agreement %", "SQNR dB", "top-1 %", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("before", "", *figures(tuned.before), "")
    for number, epoch in enumerate(tuned.epochs):
        chosen = "best" if number == tuned.best else ""
        table.add_row(f"{number + 1}", f"{epoch.loss:.3f}", *figures(epoch.standing), chosen)
    return table


def figures(standing: Standing) -> tuple[str, str, str]:
    return f"{100 * standing.agreement:.2f}", decibels(standing.sqnr_db), f"{100 * standing.top1:.2f}"


def in_words(standing: Standing) -> str:
    return f"{100 * standing.agreement:.2f}% agreement with the float model and {decibels(standing.sqnr_db)} dB"


def told(tuned: FineTuned, written: Path | None) -> dict[str, Any]:
    """The figures as JSON."""
    return {
        "recipe": None if written is None else str(written),
        "helped": tuned.helped,
        "best": tuned.best + 1,
        "skipped": tuned.skipped,
        "before": contract_json(tuned.before),
        "epochs": [{"loss": epoch.loss, **contract_json(epoch.standing)} for epoch in tuned.epochs],
    }


def conclude(tuned: FineTuned, out: Path, beside: Path, *, written: bool) -> None:
    """Says what was written, or why nothing was; then ends with status 1."""
    if tuned.skipped:
        note(f"note: {tuned.skipped} images could not be decoded.")
    if not tuned.helped:
        note(
            f"It did not help: at its best int8 has {in_words(tuned.after)} on the images held out; before it had "
            f"{in_words(tuned.before)}."
        )
    if written:
        note(f"Wrote {out}, and the trained weights into {beside.name} beside it.")
        return
    note("Nothing was written. Try more images or another --learning-rate; --keep-anyway writes it all the same.")
    raise typer.Exit(GATE_FAILED)
