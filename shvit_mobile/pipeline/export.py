"""The export workflow: a checkpoint to artifacts, each lowered, run, compared with the checkpoint and recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

from shvit_mobile.contracts.artifact import Artifact, format_size, list_artifact_files
from shvit_mobile.contracts.drift_report import DriftReport, GateVerdict, PredictionChanges
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.manifest import (
    ALL_TARGETS,
    DELEGATES,
    OPTIONAL_TARGETS,
    TARGET_SUFFIXES,
    UNPROVEN_DELEGATES,
    Delegate,
    QualifiedTarget,
    Target,
    qualify_target,
)
from shvit_mobile.contracts.outputs import check_writable, write_atomically
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.recipe import INT8_ARITHMETIC, PRECISIONS, Precision, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.drift.build_report import build_drift_report
from shvit_mobile.drift.ladder import list_simulated_rungs
from shvit_mobile.errors import ConflictingParameters, InvalidValue, MissingParameter, parse_choice
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.batches import keep_pixels
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.pipeline.calibrate import build_recipe
from shvit_mobile.pipeline.config import (
    CalibrationOptions,
    GateOptions,
    ModelOptions,
    check_output_file,
    check_positive,
    open_given,
)
from shvit_mobile.pipeline.defaults import DEFAULT_PRECISIONS, Demo
from shvit_mobile.pipeline.goldens import GoldenSource, load_wide_gamut_drawing, select_golden_images
from shvit_mobile.pipeline.lower import (
    check_artifact_overwrite,
    check_target_options,
    check_target_precision,
    check_unproven,
    list_side_files,
    lower,
    plan_artifact_path,
    update_manifest,
)
from shvit_mobile.pipeline.measure import FloatRun, Measurements, measure, run_float_model
from shvit_mobile.pipeline.platforms import CANDIDATES, Platform, Recommendation, recommend
from shvit_mobile.pipeline.steps import Steps
from shvit_mobile.processes import collect_garbage_rarely
from shvit_mobile.progress import StepCallback
from shvit_mobile.quantize.layers import check_recipe_layers
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_overrides, load_recipe
from shvit_mobile.report.model_card import CARD_FILE, UNKNOWN_LICENSE, check_card, check_license, render_model_card
from shvit_mobile.targets.capabilities import NEAREST_PRECISIONS, list_requirements, list_unsupported
from shvit_mobile.targets.delegation import describe_delegation_shortfall
from shvit_mobile.targets.executorch import ExecuTorchOptions
from shvit_mobile.targets.target_options import TargetOptions
from shvit_mobile.targets.tools import find_missing_tool


@dataclass(frozen=True)
class ExportJob:
    """One artifact to export: its target, its precision, and the target's options (default: the target's defaults)."""

    target: Target
    precision: Precision
    options: TargetOptions | None = None

    @property
    def qualified_target(self) -> QualifiedTarget:
        return _qualify(self.target, self.options)


@dataclass(frozen=True, kw_only=True)
class ExportConfig(ModelOptions, CalibrationOptions, GateOptions):
    """What to export.

    With a gate and images to calibrate on, int8 gives up layers to float where it would miss the gate.

    Attributes:
        targets: "coreml", "executorch", "onnx", "litert", "coreai" (experimental); "all" is the first three and leaves
            out what a target lacks, with a note.
        delegates: What runs ExecuTorch's programs: "xnnpack", "coreml", "vulkan" (default: that of its
            options, or xnnpack).
        precisions: Of every target (default: fp16 for what Core ML runs, fp32 for the others).
        platforms: "ios", "android": what they can run, instead of `targets` and `delegates`. `precisions` restricts it;
            what needs missing tools or images is left out, with a note.
        jobs: The artifacts, instead of `targets`, `delegates`, `precisions` and `options`.
        recipe: A recipe file, instead of `precisions` and a calibration.
        options: The options object of a target, by its name.
        require_delegated: The share of operators that ExecuTorch's backend must take, 0 to 1 (default: 1).
        allow_unproven: Export programs for Vulkan, which nothing on this machine can run.
        golden_images: A folder of images to make goldens of, beside a drawing (default: three photos and two drawings).
        out: The folder to write into.
        overwrite: Replace what is there.
        report: A file for the drift report.
        ladder: Simulate the steps between checkpoint and artifacts for the drift report, too.
        card: Write a model card, README.md, of all artifacts.
        license: The license of the weights, for the card.
    """

    targets: Sequence[Target | Literal["all"]] = ()
    delegates: Sequence[Delegate] = ()
    precisions: Sequence[Precision] = ()
    platforms: Sequence[Platform] = ()
    jobs: Sequence[ExportJob] = ()
    recipe: AnyPath | None = None
    options: Mapping[Target, TargetOptions] = field(default_factory=dict)
    require_delegated: float | None = None
    allow_unproven: bool = False
    golden_images: AnyPath | None = None
    out: AnyPath = "artifacts"
    overwrite: bool = False
    report: AnyPath | None = None
    ladder: bool = False
    card: bool = False
    license: str | None = None

    def resolve_jobs(self) -> tuple[ExportJob, ...]:
        """Return `jobs`, what the platforms run, or each target with each delegate and precision (or its default one).

        "all" leaves out the optional targets.
        """
        if self.jobs:
            return tuple(self.jobs)
        if self.platforms:
            return self._list_platform_jobs()
        named = (one for name in self.targets for one in (ALL_TARGETS if name == "all" else (name,)))
        targets = [parse_choice(name, TARGET_SUFFIXES, "target") for name in dict.fromkeys(named)]
        return tuple(
            ExportJob(target, parse_choice(precision, PRECISIONS, "precision"), options)
            for target in targets
            for options in self._list_options(target)
            for precision in dict.fromkeys(self.precisions) or (DEFAULT_PRECISIONS[_qualify(target, options)],)
        )

    def resolve_validation(self, demo: Demo | None) -> AnyPath | ImageSet | None:
        """Return what to compare on; for a demo model with platforms its own images, where no others are given."""
        if self.platforms and demo and self.validation is None:
            return demo.validation
        return super().resolve_validation(demo)

    def _list_platform_jobs(self) -> tuple[ExportJob, ...]:
        platforms = [parse_choice(name, CANDIDATES, "platform") for name in dict.fromkeys(self.platforms)]
        jobs = (
            ExportJob(one.target, one.precision, one.delegate and ExecuTorchOptions(delegate=one.delegate))
            for name in platforms
            for one in CANDIDATES[name]
            if not self.precisions or one.precision in self.precisions
        )
        return tuple(dict.fromkeys(jobs))

    def _list_options(self, target: Target) -> list[TargetOptions | None]:
        """Return the options of a target, for ExecuTorch once for each delegate."""
        options = self.options.get(target)
        if target != "executorch" or not self.delegates:
            return [options]
        given = options if isinstance(options, ExecuTorchOptions) else ExecuTorchOptions()
        delegates = [parse_choice(name, DELEGATES, "delegate") for name in dict.fromkeys(self.delegates)]
        return [replace(given, delegate=delegate) for delegate in delegates]


def _qualify(target: Target, options: TargetOptions | None) -> QualifiedTarget:
    return qualify_target(target, options.delegate if options else None)


@dataclass(frozen=True)
class ExportPlan:
    """An export that nothing is in the way of.

    Attributes:
        jobs: The artifacts to make.
        recipe: The recipe of `config.recipe`, with its overrides; None where each precision gets its own.
        calibration: All images to calibrate on; None where nothing is calibrated.
        validation: The images to compare on; None where nothing is compared.
        goldens: What the goldens are made of; None for the default.
        paths: Where each artifact will be.
        card: Where the model card will be.
        skipped: A sentence for each precision and each target that "all" leaves out.
        deployed: The deploy form, which a recipe of int8 was compared with; None without one.
    """

    config: ExportConfig
    trained: TrainedModel
    jobs: tuple[ExportJob, ...]
    recipe: tuple[Recipe, ParameterOverrides | None] | None
    calibration: ImageSet | None
    validation: ImageSet | None
    goldens: Sequence[GoldenSource] | None
    paths: tuple[Path, ...]
    card: Path | None
    skipped: tuple[str, ...] = ()
    deployed: DeployForm | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything that will be written."""
        more = [Path(path) for path in (self.config.report, self.card) if path is not None]
        artifacts = (
            file
            for job, path in zip(self.jobs, self.paths, strict=True)
            for file in (*list_artifact_files(path), *list_side_files(path, job.options))
        )
        return (*artifacts, *more)

    @property
    def image_notes(self) -> tuple[str, ...]:
        """How folders became classes, and which files cannot be used, before any image is decoded, a sentence each."""
        sets = [images for images in (self.validation, self.calibration) if images is not None]
        mappings = [images.mapping.sentence for images in sets if images.mapping]
        uses = [(images.root.name, images.account()) for images in sets]
        return (*mappings, *(use.describe(source) for source, use in uses if not use.is_complete))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the checkpoint's recognition assumed, and which golden images are encoded again, a sentence each."""
        reencoded = (
            f"{golden.source} is encoded again for the goldens: {golden.reencoding_reason}."
            for golden in self.goldens or ()
            if golden.reencoding_reason
        )
        return (*self.trained.notes, *self.skipped, *reencoded)


@dataclass(frozen=True)
class ExportResult:
    """What an export made.

    Attributes:
        artifacts: In the order of targets and precisions, with their drift in their manifests.
        rows: The drift of each artifact; empty where there were no images to compare on.
        changes: The changed predictions of each artifact.
        report: The drift report; None where there were no images.
        verdict: The verdict of the gates; None where there are none.
        card: The model card, where one was written.
        notes: What was assumed or could not be followed, a sentence each.
        recommendations: What to ship on each of the platforms.
    """

    artifacts: tuple[Artifact, ...]
    rows: tuple[DriftRow, ...] = ()
    changes: tuple[PredictionChanges, ...] = ()
    report: DriftReport | None = None
    verdict: GateVerdict | None = None
    card: Path | None = None
    notes: tuple[str, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no gate failed."""
        return self.verdict is None or self.verdict.passed


@keep_pixels()
@collect_garbage_rarely()
def export(config: ExportConfig, progress: StepCallback | None = None) -> ExportResult:
    """Export a checkpoint: fold it, make the recipes, lower each artifact, run it, compare it, and record its drift.

    A gate that fails leaves the artifacts where they are, so that you can look into them.

    Args:
        config: What to export.
        progress: Called as `Steps` says.

    Raises:
        BaselineFailed: If the float model does not recognize the labelled images, or does not find their boxes; nothing
            is written.
        ShvitError: If anything is in the way; most of it before any work begins.
    """
    steps = Steps(progress)
    plan = plan_export(config, steps)
    precisions = tuple(dict.fromkeys(job.precision for job in plan.jobs))
    runs_float_model = plan.validation is not None and (
        plan.trained.task == "classify" or plan.validation.true_boxes is not None
    )
    compared = 0 if plan.validation is None else 1 + len(plan.jobs)
    steps.expect(3 + len(precisions) + len(plan.jobs) + compared)
    float_run = None
    if plan.validation is not None and runs_float_model:
        float_run = run_float_model(plan.trained, plan.validation, steps, accept_baseline=config.accept_baseline)
        float_run.check()
    deployed = plan.deployed or _fold(plan.trained, steps)
    recipes = {precision: _make_recipe(plan, deployed, precision, steps, float_run) for precision in precisions}
    artifacts = []
    for job in plan.jobs:
        recipe, overrides = recipes[job.precision]
        with steps.step(f"Lowering to {job.qualified_target} in {recipe.precision_name}"):
            artifacts.append(
                lower(
                    deployed,
                    recipe,
                    job.target,
                    config.out,
                    overrides=overrides,
                    options=job.options,
                    goldens=plan.goldens,
                    overwrite=config.overwrite,
                    has_gate=config.gate is not None,
                    allow_unproven=config.allow_unproven,
                )
            )
    result = conclude(plan, artifacts, steps, float_run)
    if plan.card is not None:
        _write_card(plan.card, plan, result)
    return result


def plan_export(config: ExportConfig, steps: Steps | None = None) -> ExportPlan:
    """Check everything that options, headers and existing files can decide, and write nothing.

    Raises:
        ShvitError: If the options contradict each other, a file is there already, or a target lacks a precision.
    """
    steps = steps or Steps(None)
    jobs, uncalibrated = _leave_out_uncalibrated(config, config.resolve_jobs())
    _check_config(config, jobs)
    validation = config.resolve_validation(config.demo)
    if config.report is not None and validation is None:
        raise MissingParameter(
            "`report` is given without `validation`.",
            why="The drift report holds what comparing artifacts on images showed.",
            parameter="validation",
        )
    for job in jobs:
        check_unproven(job.options, allow_unproven=config.allow_unproven)
        if validation is not None and job.options and job.options.delegate in UNPROVEN_DELEGATES:
            raise ConflictingParameters(
                "Programs for Vulkan cannot be compared on images here.",
                why="Their delegate runs on phones only.",
                hint="Export them without `validation` and without a gate.",
                parameter="validation",
            )
    check_writable(Path(config.out))
    card = _check_card_options(config)
    check_output_file(config.report, overwrite=config.overwrite)
    calibrates = config.recipe is None and any(job.precision == "int8" for job in jobs)
    _check_calibration_options(config, calibrates=calibrates)
    config.check_calibration_options()
    recipe = None if config.recipe is None else load_recipe(config.recipe)
    if recipe is not None:
        jobs = tuple(dict.fromkeys(replace(job, precision=recipe[0].precision) for job in jobs))
    jobs, left_out = _select_jobs(config, jobs)
    skipped = (*uncalibrated, *left_out)
    for job in jobs:
        if job.options:
            job.options.check_precision(job.precision)
    config.check_task(config.task)
    with steps.step("Loading the checkpoint"):
        trained = config.load_model()
    config.check_task(trained.task)
    for job in jobs:
        if job.options:
            check_target_options(trained, job.precision, job.options)
    paths = tuple(
        plan_artifact_path(
            trained,
            recipe[0].precision_name if recipe else job.precision,
            job.target,
            Path(config.out),
            job.options,
        )
        for job in jobs
    )
    for job, path in zip(jobs, paths, strict=True):
        check_artifact_overwrite(path, job.options, overwrite=config.overwrite)
    deployed = None
    if recipe is not None and recipe[0].precision in INT8_ARITHMETIC:
        deployed = _fold(trained, steps)
        check_recipe_layers(deployed, recipe[0])
        apply_overrides(deployed, *recipe)
    with steps.step("Listing the images"):
        calibration = config.open_calibration_images(config.demo) if calibrates else None
        goldens = (
            None
            if config.golden_images is None
            else (
                *select_golden_images(open_given(config.golden_images, parameter="golden_images")),
                load_wide_gamut_drawing(),
            )
        )
        images = None if validation is None else config.open_validation_images(validation, trained.labels, trained.task)
    return ExportPlan(config, trained, jobs, recipe, calibration, images, goldens, paths, card, skipped, deployed)


def _leave_out_uncalibrated(
    config: ExportConfig, jobs: tuple[ExportJob, ...]
) -> tuple[tuple[ExportJob, ...], tuple[str, ...]]:
    """Return the jobs without those of int8 that a platform implies and no images allow, and a sentence about them."""
    if not config.platforms or config.demo or config.calibration is not None or config.recipe is not None:
        return jobs, ()
    kept = tuple(job for job in jobs if job.precision != "int8")
    return kept, () if kept == jobs else ("No int8: it needs images to calibrate on, and none are given.",)


def _select_jobs(config: ExportConfig, jobs: Sequence[ExportJob]) -> tuple[tuple[ExportJob, ...], tuple[str, ...]]:
    """Return the jobs whose target has the precision, and a sentence for each job or target that "all" leaves out.

    Raises:
        BadRecipe: If a target that is named lacks a precision, or all of them lack it.
    """
    selected, skipped = list[ExportJob](), list[str]()
    available = {job.precision for job in jobs if job.precision not in NEAREST_PRECISIONS[job.qualified_target]}
    for job in jobs:
        target, lacking = job.qualified_target, NEAREST_PRECISIONS[job.qualified_target]
        implied = bool(config.platforms) or ("all" in config.targets and job.target not in config.targets)
        missing = find_missing_tool(target)
        if job.precision in lacking and job.precision in available and implied:
            nearest, why = lacking[job.precision]
            skipped.append(f"No {job.precision} for {target}: {why}. The nearest is {nearest}.")
        elif missing is not None and implied:
            skipped.append(f"Nothing for {target}: {missing.what} {missing.hint}")
        else:
            check_target_precision(target, job.precision)
            if missing is not None:
                raise missing
            selected.append(job)
    if "all" in config.targets:
        left = {target: why for target, why in OPTIONAL_TARGETS.items() if target not in config.targets}
        skipped += [f"Nothing for {target}: {why}. Name it to export to it." for target, why in left.items()]
    if not selected:
        raise MissingParameter("Nothing is left to export.", why=" ".join(skipped), parameter="platforms")
    return tuple(selected), tuple(dict.fromkeys(skipped))


def _fold(trained: TrainedModel, steps: Steps) -> DeployForm:
    with steps.step("Folding BatchNorms and verifying each fold"):
        return to_deploy_form(trained)


def _check_config(config: ExportConfig, jobs: Sequence[ExportJob]) -> None:
    """Raise where the options alone decide that the export makes no sense."""
    if not jobs:
        if config.platforms:
            raise MissingParameter(
                "Nothing is left to export.",
                why="int8 needs images to calibrate on, and no other precision is asked for.",
                parameter="calibration",
            )
        raise MissingParameter(
            "No target is given.",
            why=f"Targets: {', '.join(TARGET_SUFFIXES)}.",
            hint="Set `targets=coreml`.",
            parameter="targets",
        )
    if config.platforms:
        for name in ("targets", "delegates", "options", "jobs"):
            if getattr(config, name):
                raise ConflictingParameters(
                    f"`{name}` and `platforms` exclude each other: choose one.",
                    why="A platform has its targets, delegates and precisions.",
                    parameter=name,
                )
    targets = {job.target for job in jobs}
    for target in config.options:
        if target not in targets:
            raise ConflictingParameters(f"Options for {target} are given, but {target} is not among the targets.")
    if config.delegates and "executorch" not in targets:
        raise ConflictingParameters(
            "`delegates` is given without `targets=executorch`.",
            why="Other targets have no delegates.",
            parameter="delegates",
        )
    if config.require_delegated is not None:
        if "executorch" not in targets:
            raise ConflictingParameters(
                "`require_delegated` is given without `target=executorch`.",
                why="Other targets have no delegates.",
                parameter="require_delegated",
            )
        if not 0 <= config.require_delegated <= 1:
            raise InvalidValue(f"`require_delegated` is {config.require_delegated:g}.", why="It is a share, 0 to 1.")
    check_positive(calibration_count=config.calibration_count, validation_count=config.validation_count)
    if config.recipe is not None and config.precisions:
        raise ConflictingParameters(
            "`recipe` and `precision` exclude each other: choose one.", why="A recipe names its precision."
        )


def _check_calibration_options(config: ExportConfig, *, calibrates: bool) -> None:
    """Raise `ConflictingParameters` for a calibration option that nothing follows."""
    given = [
        option.name
        for option in fields(CalibrationOptions)
        if getattr(config, option.name) not in (option.default, None)
    ]
    if not given or calibrates:
        return
    if config.recipe is not None:
        raise ConflictingParameters(
            f"`recipe` and `{given[0]}` exclude each other: choose one.",
            why="A recipe holds the precision and the ranges that calibration would measure.",
            parameter=given[0],
        )
    raise ConflictingParameters(
        f"`{given[0]}` is given, but nothing is calibrated.",
        why="Only static int8 measures ranges on images.",
        hint="Add int8: `precision=int8`.",
        parameter=given[0],
    )


def _check_card_options(config: ExportConfig) -> Path | None:
    """Return where the model card will be, once nothing is in its way; None where none is asked for."""
    if config.license is not None and not config.card:
        raise MissingParameter("`license` is given without `card`.", why="It is a field of the model card.")
    if not config.card:
        return None
    if config.license is not None:
        check_license(config.license)
    path = Path(config.out) / CARD_FILE
    check_card(path, overwrite=config.overwrite)
    return path


def _make_recipe(
    plan: ExportPlan, deployed: DeployForm, precision: Precision, steps: Steps, float_run: FloatRun | None
) -> tuple[Recipe, ParameterOverrides | None]:
    """Return the given recipe, or make one."""
    if plan.recipe is not None:
        return plan.recipe
    result = build_recipe(
        deployed,
        precision,
        None if plan.calibration is None else plan.config.sample_calibration_images(plan.calibration),
        plan.config,
        steps,
        gate=plan.config.gate,
        verification=plan.validation,
        reference=float_run.reference if float_run else None,
    )
    return result.recipe, result.overrides


def conclude(
    plan: ExportPlan, artifacts: Sequence[Artifact], steps: Steps, float_run: FloatRun | None = None
) -> ExportResult:
    """Compare the artifacts where there are images, record their drift, and hold them against the gates."""
    config, images = plan.config, plan.validation
    unsupported = (
        f"{artifact.path.name}: {sentence}"
        for artifact in artifacts
        for sentence in list_unsupported(artifact.manifest.recipe, artifact.manifest.qualified_target)
    )
    needs = (sentence for artifact in artifacts for sentence in list_requirements(artifact.manifest))
    calibrated = {artifact.manifest.recipe.precision: artifact.manifest.recipe for artifact in artifacts}
    calibration = (
        sentence
        for recipe in calibrated.values()
        if plan.calibration
        for sentence in config.list_calibration_notes(recipe)
    )
    doubts = () if images is not None else (note for artifact in artifacts for note in artifact.notes)
    sizes = (
        f"{artifact.path.name} was compared at {format_size(artifact.manifest.preprocessing.size)} only. "
        "For its other sizes: shvit-mobile validate --size."
        for artifact in artifacts
        if images is not None and artifact.manifest.sizes
    )
    notes = (*plan.notes, *calibration, *unsupported, *needs, *doubts, *sizes)
    measured, report, verdict = Measurements(), None, None
    if images is not None:
        rungs = list_simulated_rungs(artifacts) if config.ladder else ()
        measured = measure(
            artifacts,
            plan.trained,
            [images] * len(artifacts),
            steps,
            rungs=rungs,
            max_drop=config.max_drop,
            float_run=float_run,
            accept_baseline=config.accept_baseline,
        )
        artifacts = [
            update_manifest(artifact, drift=row) for artifact, row in zip(artifacts, measured.rows, strict=True)
        ]
        verdict = measured.evaluate(config.gate)
    required = 1.0 if config.require_delegated is None else config.require_delegated
    shortfalls = [sentence for artifact in artifacts for sentence in describe_delegation_shortfall(artifact, required)]
    if shortfalls:
        verdict = (verdict or GateVerdict.from_findings()).extend(shortfalls)
    if images is not None:
        rows = [*measured.simulated, *measured.rows]
        report = build_drift_report(
            "export",
            plan.trained,
            images,
            rows,
            skipped=measured.skipped,
            changed=measured.changes,
            gate=verdict,
        )
        notes = (*report.images.list_notes(), *notes)
        report = report.model_copy(update={"notes": notes})
        if config.report is not None:
            report.save(config.report, overwrite=config.overwrite)
    return ExportResult(
        tuple(artifacts),
        tuple(measured.rows),
        tuple(measured.changes),
        report,
        verdict,
        plan.card,
        notes,
        tuple(recommend(platform, artifacts, measured.rows, config.gate) for platform in config.platforms),
    )


def _write_card(path: Path, plan: ExportPlan, result: ExportResult) -> None:
    """Write the model card of all artifacts beside them."""
    license = plan.config.license or ("mit" if plan.config.checkpoint is None else UNKNOWN_LICENSE)
    images = "images" if plan.validation is None else plan.validation.root.resolve().name
    text = render_model_card([artifact.manifest for artifact in result.artifacts], license=license, images=images)
    with write_atomically(path, overwrite=plan.config.overwrite) as (file,):
        file.write_text(text, encoding="utf-8")
