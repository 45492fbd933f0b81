"""What an export is to do, checked before any of it is done; and the doing, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .progress import JobProgress

if TYPE_CHECKING:
    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.drift_report import PredictionChanges
    from shvit_mobile.contracts.drift_row import DriftRow
    from shvit_mobile.contracts.manifest import Target
    from shvit_mobile.contracts.recipe import ActivationScheme, ObserverName, Precision, PTQPassName, Recipe
    from shvit_mobile.deploy.fold import DeployForm
    from shvit_mobile.drift.gates import Gate
    from shvit_mobile.families.trained_model import TrainedModel
    from shvit_mobile.images.image_set import ImageSet
    from shvit_mobile.pipeline.golden_images import GoldenSource
    from shvit_mobile.quantize.overrides import CalibratedRecipe, ParameterOverrides

# Enough to rank sixty layers: what one adds to the error differs a thousandfold from what another does.
SENSITIVITY_IMAGES = 64
# Recipes that one search lowers and runs, once something holds: under a minute on two cores. Asked again, `calibrate`
# goes on from there.
TRIALS = 12
USUAL: dict[Target, Precision] = {"coreml": "fp16", "executorch": "fp32", "onnx": "fp32"}


@dataclass(frozen=True)
class Job:
    """One artifact to make."""

    target: Target
    precision: Precision


@dataclass(frozen=True)
class Plan:
    """All that one export needs.

    Attributes:
        trained: the checkpoint.
        jobs: what to make of it.
        out: the folder to write into.
        options: of each target, by its name.
        recipe: one from before, for all jobs; None where each precision gets its own.
        calibration: what int8 is calibrated on; `count` of it, chosen with `seed`.
        observer: how int8's ranges follow from them.
        activations: how int8 spreads over the ranges.
        pictures: what the goldens are made of; the usual ones if None.
        validation: what the artifacts are then compared on, if on any.
        steps: towards a better int8.
        gate: the budget, where there is one; int8 gives up layers to hold it.
        overwrite: replace what is there.
    """

    trained: TrainedModel
    jobs: tuple[Job, ...]
    out: Path
    options: Mapping[Target, Any]
    recipe: CalibratedRecipe | None
    calibration: ImageSet | None
    count: int
    seed: int
    observer: ObserverName
    activations: ActivationScheme
    steps: tuple[PTQPassName, ...]
    pictures: Sequence[GoldenSource] | None
    validation: ImageSet | None
    gate: Gate | None
    overwrite: bool

    def path(self, job: Job) -> Path:
        """Where a job's artifact will be."""
        from shvit_mobile.pipeline.lower import plan_artifact_path

        precision = self.recipe[0].precision_name if self.recipe else job.precision
        return plan_artifact_path(self.trained, precision, job.target, self.out, self.options.get(job.target))

    def files(self, job: Job) -> tuple[Path, ...]:
        """A job's artifact and all that comes with it."""
        from shvit_mobile.contracts.artifact import list_artifact_files

        return list_artifact_files(self.path(job))


def jobs(targets: Sequence[Target], precisions: Sequence[Precision]) -> tuple[Job, ...]:
    """Each target in each precision, or in its usual one where none is given."""
    return tuple(Job(target, precision) for target in targets for precision in precisions or [USUAL[target]])


def checked(plan: Plan) -> Plan:
    """The plan, once nothing is in its way: no file is there already, and every target can do what is asked of it.

    Raises:
        OutputExists: one of the files is there.
        BadRecipe: a target does not have a precision.
    """
    from shvit_mobile.contracts.recipe import Recipe
    from shvit_mobile.pipeline.lower import TARGET_MODULES, check_artifact_overwrite, check_target_precision

    for job in plan.jobs:
        check_artifact_overwrite(plan.path(job), overwrite=plan.overwrite)
    for job in plan.jobs:
        able = import_module(TARGET_MODULES[job.target][0]).PRECISIONS
        check_target_precision(job.target, able, Recipe(precision=job.precision))
    return plan


@dataclass(frozen=True)
class Exported:
    """What an export made; `rows` and `find_prediction_changes` are empty where there were no images to compare on."""

    artifacts: tuple[Artifact, ...]
    rows: tuple[DriftRow, ...] = ()
    changed: tuple[PredictionChanges, ...] = ()


def done(plan: Plan, steps: JobProgress) -> Exported:
    """Carries out the plan."""
    from shvit_mobile.deploy.fold import to_deploy_form

    precisions = dict.fromkeys(job.precision for job in plan.jobs)
    steps.expect(3 + len(precisions) + len(plan.jobs) + (1 + len(plan.jobs) if plan.validation else 0))
    with steps.step("Folding to the deploy form, proving each fold"):
        deployed = to_deploy_form(plan.trained)
    recipes = {precision: recipe(plan, deployed, precision, steps) for precision in precisions}
    artifacts = tuple(lowered(plan, deployed, recipes, steps))
    return Exported(artifacts) if plan.validation is None else proven(plan, artifacts, plan.validation, steps)


def recipe(plan: Plan, deployed: DeployForm, precision: Precision, steps: JobProgress) -> CalibratedRecipe:
    """The recipe for a precision: the one from before, once it is known to fit, or a new one."""
    from shvit_mobile.contracts.recipe import INT8_ARITHMETIC
    from shvit_mobile.quantize.calibrate import calibrate_recipe
    from shvit_mobile.quantize.layers import check_recipe_layers

    with steps.step(f"Making the recipe for {precision}") as tick:
        if plan.recipe is not None:
            if precision in INT8_ARITHMETIC:
                check_recipe_layers(deployed, plan.recipe[0])
            return plan.recipe
        made = calibrate_recipe(
            deployed,
            plan.calibration,
            precision=precision,
            observer=plan.observer,
            activations=plan.activations,
            count=plan.count,
            seed=plan.seed,
            steps=plan.steps,
            progress=tick,
        )
    if precision == "int8" and plan.gate and plan.validation and plan.calibration:
        return within(plan.gate, plan, *made, deployed, plan.validation, plan.calibration, steps)
    return made


def within(
    gate: Gate,
    plan: Plan,
    recipe: Recipe,
    overrides: ParameterOverrides | None,
    deployed: DeployForm,
    images: ImageSet,
    calibration: ImageSet,
    steps: JobProgress,
) -> CalibratedRecipe:
    """The recipe, with as many layers in float as the budget needs: most often none."""
    from shvit_mobile.pipeline.budget_search import budget_of, compute_costs, evaluate_recipe, search_recipe
    from shvit_mobile.quantize.calibrate import load_input_batches
    from shvit_mobile.quantize.sensitivity import measure_sensitivity

    budget = budget_of(gate)
    with steps.step("Holding int8 against the budget"):
        first = evaluate_recipe(deployed, recipe, images, budget, overrides=overrides)
    if first.holds != "not held":
        return recipe, overrides
    some = calibration.sample(min(SENSITIVITY_IMAGES, plan.count), plan.seed)
    with steps.step("The budget does not hold yet: measuring each layer alone") as tick:
        batches = load_input_batches(deployed, some)
        found = measure_sensitivity(deployed, recipe, batches, overrides=overrides, progress=tick)
    with steps.step("Searching for the layers to keep in float"):
        costs = compute_costs("bytes", found, deployed, recipe)
        outcome = search_recipe(
            deployed,
            recipe,
            found,
            images,
            budget,
            costs,
            overrides=overrides,
            known_points=[first],
            max_artifacts=TRIALS,
        )
    return recipe.model_copy(update={"float_layers": outcome.float_layers}), overrides


def lowered(
    plan: Plan, deployed: DeployForm, recipes: Mapping[Precision, CalibratedRecipe], steps: JobProgress
) -> Iterator[Artifact]:
    from shvit_mobile.pipeline.lower import lower

    for job in plan.jobs:
        recipe, overrides = recipes[job.precision]
        with steps.step(f"Lowering to {job.target} in {recipe.precision_name}"):
            yield lower(
                deployed,
                recipe,
                job.target,
                plan.out,
                overrides=overrides,
                options=plan.options.get(job.target),
                pictures=plan.pictures,
                overwrite=plan.overwrite,
            )


def proven(plan: Plan, artifacts: Sequence[Artifact], images: ImageSet, steps: JobProgress) -> Exported:
    """Each artifact compared with the checkpoint, and the figures put into its manifest."""
    from shvit_mobile.drift.answer_changes import find_prediction_changes
    from shvit_mobile.drift.compare import compare_with_logits, compute_float_reference
    from shvit_mobile.pipeline.lower import update_manifest

    with steps.step("Running the float model") as tick:
        reference = compute_float_reference(plan.trained, images, progress=tick)
    kept, rows, changes = [], [], []
    for artifact in artifacts:
        with steps.step(f"Running {artifact.path.name}") as tick:
            compared = compare_with_logits(artifact, plan.trained, images, reference=reference, progress=tick)
        kept.append(update_manifest(artifact, drift=compared.row))
        rows.append(compared.row)
        changes.append(
            find_prediction_changes(
                compared, plan.trained.labels, images.root, max_drop=plan.gate.max_drop if plan.gate else None
            )
        )
    return Exported(tuple(kept), tuple(rows), tuple(changes))
