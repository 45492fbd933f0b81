"""`shvit-mobile calibrate`: images to a recipe that every target takes, with what it costs and whether it holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shvit_mobile.demo import CALIBRATION_IMAGES
from shvit_mobile.errors import NotAmong, WrongConfig

from .arguments import activations_of, observer_of, trained_model
from .console import data, note, show
from .options import (
    IMAGES,
    OUTPUT,
    Checkpoint,
    Crop,
    Json,
    Labels,
    Mean,
    Model,
    Overwrite,
    Size,
    Std,
)
from .progress import Steps
from .results import contract_json
from .tables import titled

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.deploy.fuse import DeployForm
    from shvit_mobile.images.folders import ImageSet
    from shvit_mobile.quantize.recipe import Recipe, StepName
    from shvit_mobile.quantize.sensitivities import Sensitivity
    from shvit_mobile.quantize.study import Settings, Study

INT8 = "int8"
COUNT, SEED = 256, 0
# Enough to rank sixty layers: what one adds to the error differs a thousandfold from what another does.
SENSITIVITY_IMAGES = 64
RECIPE, SENSITIVITY = "recipe.json", "sensitivity.json"


class UnknownStep(NotAmong):
    kind = "step"


class UnknownSampling(NotAmong):
    kind = "sampling"


def calibrate(
    images: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Images like those the app will see; the demo model brings its own."),
    ] = None,
    checkpoint: Checkpoint = None,
    model: Model = None,
    labels: Labels = None,
    size: Size = None,
    crop: Crop = None,
    mean: Mean = None,
    std: Std = None,
    count: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many images to take.", rich_help_panel=IMAGES)
    ] = COUNT,
    sampling: Annotated[
        str,
        typer.Option(
            metavar="balanced|random",
            help="As evenly from the classes as they allow, where images lie in a folder for each; or by lot.",
            rich_help_panel=IMAGES,
        ),
    ] = "balanced",
    seed: Annotated[int, typer.Option(metavar="N", help="Of that choice.", rich_help_panel=IMAGES)] = SEED,
    observer: Annotated[
        str,
        typer.Option(
            metavar="OBSERVER", help="How ranges follow from values: min-max, percentile or mse.", rich_help_panel=INT8
        ),
    ] = "mse",
    activations: Annotated[
        str,
        typer.Option(
            metavar="affine|symmetric", help="int8 of activations with a zero point or without.", rich_help_panel=INT8
        ),
    ] = "affine",
    steps: Annotated[
        list[str] | None,
        typer.Option(
            "--step",
            metavar="STEP",
            help="What to try for a better int8: whole-pixels, equalise, clip, round, bias; repeatable. 'none' for "
            "plain int8; else all. Each is kept only where it helps.",
            rich_help_panel=INT8,
        ),
    ] = None,
    sensitive: Annotated[
        bool,
        typer.Option(
            "--sensitivity/--no-sensitivity",
            help="Measure each layer alone, in int8 and in float.",
            rich_help_panel=INT8,
        ),
    ] = True,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder to write the recipe into.", rich_help_panel=OUTPUT)
    ] = Path("calibration"),
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where what was found so far is kept, to go on from; else the user's cache.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make the recipe of int8, which every target takes: export --recipe calibration/recipe.json.

    Interrupted, it goes on where it was left. Asked again with another budget, it needs seconds.
    """
    if images is None and checkpoint is not None:
        raise WrongConfig(
            "No images are given.",
            why="Static int8 fixes the range of every activation in advance; it is measured on real images.",
            hint="Try: shvit-mobile calibrate DIR --checkpoint CHECKPOINT",
        )
    wanted, balanced = steps_of(steps), UnknownSampling.chosen(sampling, ["balanced", "random"]) == "balanced"
    from shvit_mobile.outputs import refuse_existing
    from shvit_mobile.quantize.recipe import corrections_path

    files = out / RECIPE, corrections_path(out / RECIPE), out / SENSITIVITY
    refuse_existing(*files, overwrite=overwrite)
    if checkpoint is None:
        note("No --checkpoint is given: this is the embedded demo model.")
    with Steps("Calibrate") as progress:
        with progress.step("Reading the checkpoint"):
            trained = trained_model(checkpoint, variant=model, labels=labels, size=size, crop=crop, mean=mean, std=std)
        with progress.step("Folding to the deploy form, proving each fold"):
            from shvit_mobile.deploy.fuse import to_deploy_form
            from shvit_mobile.images.folders import open_images
            from shvit_mobile.quantize.study import Settings, Study, write_recipe

            deployed = to_deploy_form(trained)
        chosen = open_images(images or CALIBRATION_IMAGES).sample(count, seed, balanced=balanced)
        settings = Settings(observer_of(observer), activations_of(activations), wanted)
        study = Study.of(deployed, chosen, settings, cache)
        recipe = made(study, settings, deployed, chosen, seed, progress)
        found = sensitivity(study, recipe, deployed, chosen, seed, balanced, progress) if sensitive else None
        more = [] if found is None else [(out / SENSITIVITY, found.json_text())]
        write_recipe(out / RECIPE, recipe, *more, overwrite=overwrite)
    if as_json:
        data({"recipe": contract_json(recipe), "sensitivity": found and contract_json(found)})
        return
    show(steps_table(recipe))
    show("", f"The recipe is {out / RECIPE}. Next: shvit-mobile export --target all --recipe {out / RECIPE}")


def steps_of(names: list[str] | None) -> tuple[StepName, ...]:
    """The steps by name, in the order in which they are tried; all of them where none is named."""
    from shvit_mobile.quantize.recipe import STEPS

    if names is None:
        return STEPS
    for name in names:
        UnknownStep.chosen(name, [*STEPS, "none"])
    if "none" in names and len(names) > 1:
        raise WrongConfig("--step none is given with other steps.", why="It means plain int8, without any.")
    return tuple(step for step in STEPS if step in names)


def made(
    study: Study, settings: Settings, deployed: DeployForm, chosen: ImageSet, seed: int, progress: Steps
) -> Recipe:
    """The recipe: the study's, as far as it has come, and what is left to do."""
    from shvit_mobile.quantize.calibrate import improved
    from shvit_mobile.quantize.recipe import FLOAT_KINDS, Recipe

    begun = study.recipe()
    if begun is not None and study.is_done(begun):
        return begun
    plain = Recipe(
        precision="int8", float_kinds=FLOAT_KINDS, observer=settings.observer, activations=settings.activations
    )
    with progress.step(f"Calibrating on {len(chosen)} images, step by step") as tick:
        return improved(
            deployed,
            chosen,
            plain,
            seed=seed,
            steps=settings.steps,
            begun=begun,
            each=study.keep_recipe,
            progress=tick,
        )


def sensitivity(
    study: Study, recipe: Recipe, deployed: DeployForm, chosen: ImageSet, seed: int, balanced: bool, progress: Steps
) -> Sensitivity:
    """The study's sensitivity, or what is left of it to measure, on the first of the chosen images."""
    from shvit_mobile.images.batches import batches
    from shvit_mobile.quantize.calibrate import as_taken
    from shvit_mobile.quantize.sensitivity import sensitivity

    asked = min(SENSITIVITY_IMAGES, len(chosen))
    if (there := study.sensitivity(recipe, asked)) is not None:
        return there
    some = chosen.sample(asked, seed, balanced=balanced)
    with progress.step("Measuring each layer alone") as tick:
        pictures = [as_taken(deployed, batch.pixels) for batch in batches(some, deployed.trained.preprocessing, size=8)]
        found = sensitivity(
            deployed,
            recipe,
            pictures,
            known=study.rows(recipe, asked),
            each=lambda row: study.keep_row(recipe, asked, row),
            progress=tick,
        )
    study.keep_sensitivity(recipe, found, asked)
    return found


def steps_table(recipe: Recipe) -> Table:
    """What each step gained, on images that it did not see."""
    table = titled("Steps towards a better int8, SQNR of the logits in dB", "step")
    for heading in ("without", "with", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for gain in recipe.steps:
        table.add_row(gain.step, f"{gain.before_db:.2f}", f"{gain.after_db:.2f}", "kept" if gain.kept else "not kept")
    return table
