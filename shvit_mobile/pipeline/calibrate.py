"""The calibration workflow: images to a recipe that every target takes, within an accuracy budget if one is set."""

from dataclasses import dataclass, replace
from pathlib import Path

from shvit_mobile.contracts.budget_search import COST_NAMES, CostName, LayerCosts, SearchPoint, SearchResult
from shvit_mobile.contracts.outputs import check_overwrite, check_writable
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.recipe import Precision, Recipe, get_overrides_path
from shvit_mobile.contracts.sensitivity import SensitivityReport
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.drift.compare import FloatReference
from shvit_mobile.drift.gates import Gate
from shvit_mobile.errors import (
    BadImages,
    BadRecipe,
    ConflictingParameters,
    InvalidConfig,
    MissingParameter,
    parse_choice,
)
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.pipeline import defaults
from shvit_mobile.pipeline.budget_search import compute_costs, evaluate_recipe, search_recipe
from shvit_mobile.pipeline.config import (
    CalibrationOptions,
    GateOptions,
    ModelOptions,
    check_positive,
    open_given,
)
from shvit_mobile.pipeline.measure import run_float_model
from shvit_mobile.pipeline.steps import Steps
from shvit_mobile.progress import StepCallback
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quantize.calibration_cache import CalibrationCache, CalibrationSettings
from shvit_mobile.quantize.overrides import ParameterOverrides, save_recipe
from shvit_mobile.quantize.sensitivity import measure_sensitivity

RECIPE_FILE, SENSITIVITY_FILE, SEARCH_FILE = "recipe.json", "sensitivity.json", "search.json"


@dataclass(frozen=True, kw_only=True)
class CalibrateConfig(ModelOptions, CalibrationOptions, GateOptions):
    """What to calibrate.

    Without `validation` a budget is verified on the images that calibration leaves over.

    Attributes:
        sensitivity: Measure each layer alone, in int8 and in float.
        cost: By what layers are given up to float where the budget asks for it: "bytes" they add to the file, "macs"
            (multiply-adds) that leave int8, "latency", measured on this machine, or "arm64": instructions that an
            emulated phone's CPU executes more in ExecuTorch's program.
        cpu: That CPU: "neon", "dotprod" or "i8mm" (default: i8mm).
        out: The folder to write the recipe into.
        cache: The folder that keeps what was found so far, to continue from (default: the user's cache).
        overwrite: Replace what is there.
    """

    sensitivity: bool = True
    cost: CostName = "bytes"
    cpu: str | None = None
    out: AnyPath = "calibration"
    cache: AnyPath | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class CalibrateResult:
    """What a calibration found.

    Attributes:
        recipe: The recipe; layers that the budget gave up are among its `float_layers`.
        overrides: The parameters that it changes; None where it changes none.
        sensitivity: What int8 costs in each layer and block; None where that was not measured.
        search: The recipes that were tried for a budget; None without one.
        path: The recipe file; None where none was written.
        notes: What was skipped or assumed, a sentence each.
    """

    recipe: Recipe
    overrides: ParameterOverrides | None = None
    sensitivity: SensitivityReport | None = None
    search: SearchResult | None = None
    path: Path | None = None
    notes: tuple[str, ...] = ()


def calibrate(config: CalibrateConfig, progress: StepCallback | None = None) -> CalibrateResult:
    """Calibrate static int8, search the budget if one is set, and write the recipe.

    An interrupted calibration continues where it stopped. With another budget it reuses what it has measured.

    Args:
        config: What to calibrate.
        progress: Called as `Steps` says.

    Raises:
        BaselineFailed: If the float model does not recognize the labelled images.
        BudgetMissed: If the budget is not met even with every layer in float.
        ShvitError: If anything else is in the way.
    """
    steps, gate = Steps(progress), config.gate
    _check_calibrate_config(config)
    out = Path(config.out)
    recipe_path = out / RECIPE_FILE
    files = (recipe_path, get_overrides_path(recipe_path), out / SENSITIVITY_FILE, out / SEARCH_FILE)
    check_overwrite(*files, overwrite=config.overwrite)
    if config.cache is not None:
        check_writable(Path(config.cache), parameter="cache")
    images = config.open_calibration_images(config.demo)
    steps.expect(3 + config.sensitivity + (gate is not None) + (config.cost == "arm64"))
    config.check_task(config.task)
    with steps.step("Loading the checkpoint"):
        trained = config.load_model()
    config.check_task(trained.task)
    chosen = config.sample_calibration_images(images)
    verification = _open_verification_images(config, trained, images, chosen) if gate else None
    labelled = verification if verification and verification.labels else _label_by_name(chosen, trained)
    if trained.task != "classify":
        labelled = verification if verification and verification.true_boxes else None
    run = run_float_model(trained, labelled, steps, accept_baseline=config.accept_baseline) if labelled else None
    if run:
        run.check()
    with steps.step("Folding BatchNorms and verifying each fold"):
        deployed = to_deploy_form(trained)
    settings = CalibrationSettings(config.choose_observer(len(chosen)), config.activations, config.resolve_passes())
    cache = CalibrationCache.open(deployed, chosen, settings, None if config.cache is None else Path(config.cache))
    result = build_recipe(
        deployed,
        "int8",
        chosen,
        config,
        steps,
        gate=gate,
        verification=verification,
        reference=run.reference if run and labelled is verification else None,
        cost=config.cost,
        cpu=config.cpu,
        cache=cache,
        sensitivity=config.sensitivity,
    )
    documents = [(out / SENSITIVITY_FILE, result.sensitivity), (out / SEARCH_FILE, result.search)]
    texts = ((file, document.to_json()) for file, document in documents if document)
    save_recipe(recipe_path, result.recipe, result.overrides, *texts, overwrite=config.overwrite)
    searched = (*result.search.images.list_notes(), *result.search.notes) if result.search else ()
    doubts = run.baseline.caveats if run and run.baseline else ()
    notes = (*trained.notes, *config.list_calibration_notes(result.recipe), *doubts, *searched)
    return replace(result, path=recipe_path, notes=notes)


def _check_calibrate_config(config: CalibrateConfig) -> None:
    """Raise where the options alone decide that the calibration makes no sense."""
    _check_cost(config)
    config.check_calibration_options()
    check_positive(calibration_count=config.calibration_count, validation_count=config.validation_count)
    if config.gate and not config.sensitivity:
        raise ConflictingParameters(
            "A budget is set with `sensitivity=False`.",
            why="Sensitivity says which layer to give up first.",
            parameter="sensitivity",
        )
    for name in ("validation", "labels_csv", "labels_coco", "validation_count"):
        if config.gate is None and getattr(config, name) is not None:
            raise MissingParameter(
                f"`{name}` is given without a budget.",
                why="A budget is verified on these images.",
                hint="Set `max_drop=0.5`; `min_agreement=0.99` or `min_box_agreement=0.9` without labels; "
                "`min_sqnr=25` for maps.",
                parameter=name,
            )
    if config.labels_coco is not None and config.validation is None:
        raise MissingParameter(
            "`labels_coco` is given without `validation`.",
            why="Its file names are relative to a folder of images.",
            parameter="validation",
        )


def _check_cost(config: CalibrateConfig) -> None:
    """Raise where a cost cannot be measured, or would not be asked for."""
    parse_choice(config.cost, COST_NAMES, "cost")
    if config.cpu is not None and config.cost != "arm64":
        raise MissingParameter(
            "`cpu` is given without `cost=arm64`.",
            why="It is the CPU on which that cost is counted.",
            hint="Set `cost=arm64`.",
            parameter="cost",
        )
    if config.cost != "bytes" and not config.gate:
        raise MissingParameter(
            f"`cost={config.cost}` is given without a budget.",
            why="It decides which layers a budget gives up to float.",
            hint="Set `max_drop=0.5`, or `min_agreement=0.99` without labels.",
            parameter="max_drop",
        )
    if config.cost == "arm64":
        from shvit_mobile.pipeline.layer_instructions import open_emulation  # needs ExecuTorch

        open_emulation(config.cpu)  # before the minutes that a calibration takes


def _open_verification_images(
    config: CalibrateConfig, trained: TrainedModel, images: ImageSet, chosen: ImageSet
) -> ImageSet:
    """Return the images that verify the budget: given ones, the demo's, or those that calibration leaves over."""
    given = config.demo.validation if config.demo and config.validation is None else config.validation
    if given is not None:
        return config.open_validation_images(given, trained.labels, trained.task)
    rest = images.exclude(chosen)
    if len(rest) < defaults.MIN_VERIFICATION_COUNT:
        raise InvalidConfig(
            f"A budget is set, and calibration leaves {len(rest)} of {len(images)} images to verify it on.",
            why=f"It is verified on images that the recipe has not seen, at least {defaults.MIN_VERIFICATION_COUNT}.",
            hint="Give other images for `validation`, or lower `calibration_count`.",
            parameter="validation",
        )
    # Opened again with the model's labels; agreement needs none, so that folders of any name do.
    by_class = trained.task == "classify" and config.gate and config.gate.label_limit
    labelled = open_given(images.root, trained.labels) if by_class else images
    unseen = config.open_validation_images(labelled, trained.labels, trained.task).exclude(chosen)
    return unseen.sample(min(defaults.MAX_VERIFICATION_COUNT, len(rest)), 0)


def _label_by_name(images: ImageSet, trained: TrainedModel) -> ImageSet | None:
    """Return the images with the model's classes, where their folders have the classes' names or synsets."""
    if images.labels is None or images.classes == trained.labels:
        return images if images.labels else None
    try:
        named = open_given(images.root, trained.labels)
    except BadImages:
        return None
    if named.labels is None or named.mapping is None or named.mapping.rule not in ("name", "synset"):
        return None
    places = {file: index for index, file in enumerate(named.files)}
    return named.select([places[file] for file in images.files if file in places])


def build_recipe(
    deployed: DeployForm,
    precision: Precision,
    calibration: ImageSet | None,
    options: CalibrationOptions,
    steps: Steps,
    *,
    gate: Gate | None = None,
    verification: ImageSet | None = None,
    reference: FloatReference | None = None,
    cost: CostName = "bytes",
    cpu: str | None = None,
    cache: CalibrationCache | None = None,
    sensitivity: bool = False,
) -> CalibrateResult:
    """Make the recipe of a precision; of static int8, with as many layers in float as the budget needs.

    Args:
        calibration: The images to calibrate on, as `sample_calibration_images` chose them; needed for static int8.
        gate, verification, reference: The budget, the images to verify it on, and the float model's logits for them.
        cost, cpu: By what layers are given up to float, as in `CalibrateConfig`.
        cache: What was found before, to continue from and to add to.
        sensitivity: Measure sensitivity even where no budget asks for it.

    Raises:
        BudgetMissed: If the budget is not met even with every layer in float.
        BadRecipe, BadImages: As `calibrate_recipe`.
    """
    if precision != "int8":
        with steps.step(f"Making the recipe for {precision}"):
            return CalibrateResult(*calibrate_recipe(deployed, precision=precision))
    if calibration is None:
        raise BadRecipe("Static int8 needs images to calibrate on.", why="Its ranges are measured on real images.")
    recipe, overrides = _calibrate_on(deployed, calibration, options, cache, steps)
    points: list[SearchPoint] = []
    if gate and verification and not sensitivity:
        with steps.step("Checking int8 against the budget"):
            points.append(evaluate_recipe(deployed, recipe, verification, gate, overrides, reference))
        if points[0].holds != "not held":
            return CalibrateResult(recipe, overrides)
    elif not sensitivity:
        return CalibrateResult(recipe, overrides)
    report = _measure_layers(deployed, recipe, overrides, calibration, options, cache, steps)
    if not (gate and verification):
        return CalibrateResult(recipe, overrides, report)
    if cache is not None:
        points += cache.load_points(recipe, verification)
    costs: CostName | LayerCosts = cost
    if cost == "arm64":
        with steps.step("Counting the instructions of each layer") as progress:
            folder = cache.folder.parent if cache else None
            costs = compute_costs(
                cost, report, deployed, recipe, overrides, cpu=cpu, cache_folder=folder, progress=progress
            )
    with steps.step(f"Searching for the layers to keep in float, on {len(verification)} images"):
        search = search_recipe(
            deployed,
            recipe,
            report,
            verification,
            gate,
            costs,
            overrides=overrides,
            reference=reference,
            known_points=points,
            max_artifacts=defaults.MAX_SEARCH_ARTIFACTS,
            progress=(lambda point: cache.append_point(recipe, verification, point)) if cache else None,
        )
    searched = recipe.model_copy(update={"float_layers": search.float_layers})
    return CalibrateResult(searched, overrides, report, search)


def _calibrate_on(
    deployed: DeployForm, chosen: ImageSet, options: CalibrationOptions, cache: CalibrationCache | None, steps: Steps
) -> tuple[Recipe, ParameterOverrides | None]:
    """Return the recipe of static int8, continued from the cache."""
    previous = cache.load_recipe() if cache else None
    if cache and previous and cache.is_done(previous[0]):
        return previous
    with steps.step("Calibrating int8") as progress:
        return calibrate_recipe(
            deployed,
            chosen,
            observer=options.choose_observer(len(chosen)),
            activations=options.activations,
            count=len(chosen),
            seed=options.seed,
            balanced=options.balanced,
            steps=options.resolve_passes(),
            previous=previous,
            on_recipe=cache.save_recipe if cache else None,
            progress=progress,
        )


def _measure_layers(
    deployed: DeployForm,
    recipe: Recipe,
    overrides: ParameterOverrides | None,
    chosen: ImageSet,
    options: CalibrationOptions,
    cache: CalibrationCache | None,
    steps: Steps,
) -> SensitivityReport:
    """Return the sensitivity of each layer on some of the calibration images, continued from the cache."""
    count = min(defaults.SENSITIVITY_COUNT, len(chosen))
    if cache is not None and (known := cache.load_sensitivity(recipe, count)) is not None:
        return known
    images = chosen.sample(count, options.seed, balanced=options.balanced)
    batches = iterate_batches(images, deployed.trained.preprocessing, size=8)
    with steps.step("Measuring the sensitivity of each layer") as progress:
        report = measure_sensitivity(
            deployed,
            recipe,
            [deployed.prepare(batch.pixels) for batch in batches],
            overrides=overrides,
            known_rows=cache.load_rows(recipe, count) if cache else None,
            on_row=(lambda row: cache.append_row(recipe, count, row)) if cache else None,
            progress=progress,
        )
    if cache is not None:
        cache.save_sensitivity(recipe, report, count)
    return report
