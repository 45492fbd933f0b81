"""`shvit-mobile calibrate`: images to a recipe that every target takes, with what it costs and whether it holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shvit_mobile.demo import CALIBRATION_IMAGES, TEST_IMAGES
from shvit_mobile.errors import InvalidConfig, parse_choice

from .arguments import (
    build_gate,
    check_output_files,
    choose_observer,
    load_trained_model,
    open_comparison_images,
    parse_activations,
    parse_passes,
)
from .console import print_json, print_note, print_table
from .options import (
    GATES_PANEL,
    IMAGES_PANEL,
    INT8_PANEL,
    OUTPUT_PANEL,
    CheckpointOption,
    CropOption,
    JsonOption,
    LabelsCsvOption,
    LabelsOption,
    MaxDropOption,
    MeanOption,
    MinAgreementOption,
    ModelOption,
    OverwriteOption,
    SizeOption,
    StdOption,
    StepOption,
)
from .plan import SENSITIVITY_IMAGES, TRIALS
from .progress import JobProgress
from .results import to_contract_json
from .tables import build_sensitivity_table, create_table, format_decibels, format_points

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.contracts.budget_search import CostName, SearchResult
    from shvit_mobile.contracts.recipe import Recipe
    from shvit_mobile.contracts.sensitivity import SensitivityReport
    from shvit_mobile.deploy.fold import DeployForm
    from shvit_mobile.drift.gates import Gate
    from shvit_mobile.families.trained_model import TrainedModel
    from shvit_mobile.images.image_set import ImageSet
    from shvit_mobile.quantize.calibration_cache import CalibrationCache, CalibrationSettings
    from shvit_mobile.quantize.overrides import CalibratedRecipe, ParameterOverrides

COUNT, SEED = 256, 0
RECIPE, SENSITIVITY, SEARCH = "recipe.json", "sensitivity.json", "search.json"
# Fewest images to verify a budget on, and how many are taken of what calibration leaves.
FEWEST, MOST = 100, 1000


def calibrate(
    images: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Images like those the app will see; the demo model brings its own."),
    ] = None,
    checkpoint: CheckpointOption = None,
    model: ModelOption = None,
    labels: LabelsOption = None,
    size: SizeOption = None,
    crop: CropOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    count: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many images to take.", rich_help_panel=IMAGES_PANEL)
    ] = COUNT,
    sampling: Annotated[
        str,
        typer.Option(
            metavar="balanced|random",
            help="As evenly from the classes as they allow, where images lie in a folder for each; or by lot.",
            rich_help_panel=IMAGES_PANEL,
        ),
    ] = "balanced",
    seed: Annotated[int, typer.Option(metavar="N", help="Of that choice.", rich_help_panel=IMAGES_PANEL)] = SEED,
    observer: Annotated[
        str | None,
        typer.Option(
            metavar="OBSERVER",
            help="How ranges follow from values: min-max, percentile or mse; else mse, or min-max for a few images.",
            rich_help_panel=INT8_PANEL,
        ),
    ] = None,
    activations: Annotated[
        str,
        typer.Option(
            metavar="affine|symmetric",
            help="int8 of activations with a zero point or without.",
            rich_help_panel=INT8_PANEL,
        ),
    ] = "affine",
    steps: StepOption = None,
    sensitive: Annotated[
        bool,
        typer.Option(
            "--sensitivity/--no-sensitivity",
            help="Measure each layer alone, in int8 and in float.",
            rich_help_panel=INT8_PANEL,
        ),
    ] = True,
    max_drop: MaxDropOption = None,
    min_agreement: MinAgreementOption = None,
    validate: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Images that the budget is verified on; else those of the first folder that calibration leaves.",
            rich_help_panel=GATES_PANEL,
        ),
    ] = None,
    labels_csv: LabelsCsvOption = None,
    validate_count: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only so many of them.", rich_help_panel=GATES_PANEL)
    ] = None,
    cost: Annotated[
        str,
        typer.Option(
            metavar="bytes|macs|latency",
            help="By what layers are given up to float, where the budget asks for it: what they add to the file, "
            "multiply-adds that leave int8, or time, measured on this machine.",
            rich_help_panel=GATES_PANEL,
        ),
    ] = "bytes",
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder to write the recipe into.", rich_help_panel=OUTPUT_PANEL)
    ] = Path("calibration"),
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where what was found so far is kept, to go on from; else the user's cache.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make the recipe of int8, which every target takes: export --recipe calibration/recipe.json.

    Interrupted, it goes on where it was left. Asked again with another budget, it needs seconds.
    """
    if images is None and checkpoint is not None:
        raise InvalidConfig(
            "No images are given.",
            why="Static int8 fixes the range of every activation in advance; it is measured on real images.",
            hint="Try: shvit-mobile calibrate DIR --checkpoint CHECKPOINT",
        )
    gate = build_gate(max_drop, min_agreement)
    check_budget(
        gate, sensitive, {"--validate": validate, "--labels-csv": labels_csv, "--validate-count": validate_count}
    )
    from shvit_mobile.contracts.budget_search import COST_NAMES

    chosen_cost = parse_choice(cost, COST_NAMES, "cost")
    wanted, balanced = parse_passes(steps), parse_choice(sampling, ["balanced", "random"], "sampling") == "balanced"
    from shvit_mobile.contracts.recipe import get_overrides_path

    files = out / RECIPE, get_overrides_path(out / RECIPE), out / SENSITIVITY, out / SEARCH
    check_output_files(*files, overwrite=overwrite)
    if checkpoint is None:
        print_note("No --checkpoint is given: this is the embedded demo model.")
    with JobProgress("Calibrate") as progress:
        with progress.step("Reading the checkpoint"):
            trained = load_trained_model(
                checkpoint, variant=model, labels=labels, size=size, crop=crop, mean=mean, std=std
            )
        with progress.step("Folding to the deploy form, proving each fold"):
            from shvit_mobile.deploy.fold import to_deploy_form
            from shvit_mobile.images.image_set import open_images
            from shvit_mobile.quantize.calibration_cache import CalibrationCache, CalibrationSettings
            from shvit_mobile.quantize.overrides import save_recipe

            deployed = to_deploy_form(trained)
        there = open_images(images or CALIBRATION_IMAGES)
        chosen = there.sample(count, seed, balanced=balanced)
        verifying = gate and (
            left_over(there, chosen, trained, gate, images)
            if validate is None and checkpoint is not None
            else open_comparison_images(
                validate or TEST_IMAGES, labels_csv, trained.labels, gate, count=validate_count, seed=seed
            )
        )
        settings = CalibrationSettings(choose_observer(observer, len(chosen)), parse_activations(activations), wanted)
        study = CalibrationCache.open(deployed, chosen, settings, cache)
        recipe, overrides = made(study, settings, deployed, chosen, seed, progress)
        found = sensitivity(study, recipe, overrides, deployed, chosen, seed, balanced, progress) if sensitive else None
        outcome = None
        if gate and verifying and found:
            outcome = search(study, recipe, overrides, found, deployed, verifying, gate, chosen_cost, progress)
            recipe = recipe.model_copy(update={"float_layers": outcome.float_layers})
        more = [(out / SENSITIVITY, found and found.to_json()), (out / SEARCH, outcome and outcome.to_json())]
        texts = ((file, text) for file, text in more if text)
        save_recipe(out / RECIPE, recipe, overrides, *texts, overwrite=overwrite)
    if as_json:
        print_json(
            {"recipe": to_contract_json(recipe)}
            | {
                name: contract and to_contract_json(contract)
                for name, contract in (("sensitivity", found), ("search", outcome))
            }
        )
        return
    print_table(steps_table(recipe))
    if found is not None:
        print_table("", build_sensitivity_table(found))
    if outcome is not None:
        print_table("", search_table(outcome))
        for sentence in (*outcome.notes, *outcome.verdict.caveats):
            print_note(f"note: {sentence}")
    print_table("", f"The recipe is {out / RECIPE}. Next: shvit-mobile export --target all --recipe {out / RECIPE}")


def made(
    study: CalibrationCache,
    settings: CalibrationSettings,
    deployed: DeployForm,
    chosen: ImageSet,
    seed: int,
    progress: JobProgress,
) -> CalibratedRecipe:
    """The recipe: the study's, as far as it has come, and what is left to do."""
    from shvit_mobile.contracts.recipe import FLOAT_KINDS, Recipe
    from shvit_mobile.quantize.calibrate import run_ptq_passes

    begun = study.load_recipe()
    if begun is not None and study.is_done(begun[0]):
        return begun
    plain = Recipe(
        precision="int8", float_kinds=FLOAT_KINDS, observer=settings.observer, activations=settings.activations
    )
    with progress.step(f"Calibrating on {len(chosen)} images, step by step") as tick:
        return run_ptq_passes(
            deployed,
            chosen,
            plain,
            seed=seed,
            steps=settings.steps,
            previous=begun,
            on_recipe=study.save_recipe,
            progress=tick,
        )


def check_budget(gate: Gate | None, sensitive: bool, options: Mapping[str, object]) -> None:
    """Raises `InvalidConfig` for options about a budget that is not there, and for a budget without sensitivity."""
    if gate and not sensitive:
        raise InvalidConfig(
            "A budget is given with --no-sensitivity.", why="Sensitivity says which layer is given up first."
        )
    for option, value in options.items():
        if gate is None and value is not None:
            raise InvalidConfig(
                f"{option} is given without a budget.",
                why="It says what a budget is verified on.",
                hint="Add --max-drop 0.5, or --min-agreement 99 where there are no labels.",
            )


def left_over(there: ImageSet, chosen: ImageSet, trained: TrainedModel, gate: Gate, folder: Path | None) -> ImageSet:
    """The images that calibration leaves, with the model's labels; a budget is not verified on what it was made of."""
    from shvit_mobile.images.image_set import open_images

    rest = there.exclude(chosen)
    if len(rest) < FEWEST:
        raise InvalidConfig(
            f"A budget is given, and calibration leaves {len(rest)} of {len(there)} images to verify it on.",
            why=f"It is verified on images that the recipe was not made of, at least {FEWEST}.",
            hint="Add --validate DIR with other images, or take fewer with --count.",
        )
    labelled = open_images(folder, labels=trained.labels) if folder and gate.max_drop is not None else there
    if gate.max_drop is not None and labelled.labels is None:
        raise InvalidConfig(
            f"--max-drop is given, but the images in {folder} have no labels.",
            why="Without labels nobody knows which answers are right.",
            hint="Put them in a folder for each class, or use --min-agreement.",
        )
    return labelled.exclude(chosen).sample(min(MOST, len(rest)), 0)


def search(
    study: CalibrationCache,
    recipe: Recipe,
    overrides: ParameterOverrides | None,
    found: SensitivityReport,
    deployed: DeployForm,
    images: ImageSet,
    gate: Gate,
    cost: CostName,
    progress: JobProgress,
) -> SearchResult:
    """The cheapest recipe within the budget, by what the study has tried before and what is left to try."""
    from shvit_mobile.contracts.budget_search import SearchPoint
    from shvit_mobile.pipeline.budget_search import budget_of, compute_costs, search_recipe

    with progress.step(f"Verifying the budget on {len(images)} images"):
        return search_recipe(
            deployed,
            recipe,
            found,
            images,
            budget_of(gate),
            compute_costs(cost, found, deployed, recipe, overrides),
            overrides=overrides,
            max_artifacts=TRIALS,
            known_points=[SearchPoint.model_validate_json(line) for line in study.load_points(recipe, images)],
            progress=lambda point: study.append_point(recipe, images, point.model_dump_json()),
        )


def sensitivity(
    study: CalibrationCache,
    recipe: Recipe,
    overrides: ParameterOverrides | None,
    deployed: DeployForm,
    chosen: ImageSet,
    seed: int,
    balanced: bool,
    progress: JobProgress,
) -> SensitivityReport:
    """The study's sensitivity, or what is left of it to measure, on the first of the chosen images."""
    from shvit_mobile.quantize.calibrate import load_input_batches
    from shvit_mobile.quantize.sensitivity import measure_sensitivity

    asked = min(SENSITIVITY_IMAGES, len(chosen))
    if (there := study.load_sensitivity(recipe, asked)) is not None:
        return there
    some = chosen.sample(asked, seed, balanced=balanced)
    with progress.step("Measuring each layer alone") as tick:
        found = measure_sensitivity(
            deployed,
            recipe,
            load_input_batches(deployed, some),
            overrides=overrides,
            known_rows=study.load_rows(recipe, asked),
            on_row=lambda row: study.append_row(recipe, asked, row),
            progress=tick,
        )
    study.save_sensitivity(recipe, found, asked)
    return found


def steps_table(recipe: Recipe) -> Table:
    """What each step gained, on images that it did not see."""
    table = create_table("Steps towards a better int8, SQNR of the logits in dB", "step")
    for heading in ("without", "with", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for gain in recipe.steps:
        table.add_row(gain.step, f"{gain.before_db:.2f}", f"{gain.after_db:.2f}", "kept" if gain.kept else "not kept")
    return table


def search_table(outcome: SearchResult) -> Table:
    """The recipes that were tried, the cheapest first."""
    unit = {"bytes": "MB more", "macs": "million\nMACs more", "latency": "ms more"}[outcome.costs.of]
    scale = {"bytes": 1e-6, "macs": 1e-6, "latency": 1.0}[outcome.costs.of]
    title = f"Recipes tried on {outcome.images.count} images"
    table = create_table(title, "layers in\nfloat", gap=1)
    for heading in (unit, "drop, points", "agreement %", "SQNR dB", "budget"):
        table.add_column(heading, justify="right", no_wrap=True)
    for point in outcome.points:
        taken = " (taken)" if point.float_layers == outcome.float_layers else ""
        table.add_row(
            str(len(point.float_layers)),
            f"{scale * point.cost:.2f}",
            format_points(point.row),
            f"{100 * point.row.agreement.value:.2f}",
            format_decibels(point.row.sqnr_db),
            f"{point.holds}{taken}",
        )
    return table
