"""The validation workflow: artifacts run on images and compared with the checkpoint they were made from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shvit_mobile.contracts.artifact import Artifact, format_size, get_manifest_path
from shvit_mobile.contracts.drift_report import DriftReport, GateVerdict, LayerReport, RangeReport
from shvit_mobile.contracts.manifest import Task
from shvit_mobile.contracts.outputs import check_overwrite
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.drift.build_report import build_drift_report
from shvit_mobile.drift.ladder import list_simulated_rungs, sort_by_target
from shvit_mobile.drift.layer_drift import compare_layers
from shvit_mobile.drift.value_ranges import measure_ranges
from shvit_mobile.errors import ConflictingParameters, MissingParameter, parse_choice
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.pipeline.config import GateOptions, ModelOptions, check_output_file, check_positive
from shvit_mobile.pipeline.defaults import DEMOS, LAYER_COUNT
from shvit_mobile.pipeline.lower import update_manifest
from shvit_mobile.pipeline.measure import Measurements, count_steps, measure, runs_on_arm64
from shvit_mobile.pipeline.steps import Steps
from shvit_mobile.progress import StepCallback
from shvit_mobile.runtimes import check_runnable
from shvit_mobile.runtimes.arm64.cpus import CPU, CPUS, DEFAULT_CPU, is_arm64_host
from shvit_mobile.runtimes.arm64.sysroot import open_sysroot
from shvit_mobile.runtimes.probes.registry import OPAQUE_TARGETS, check_probe_support
from shvit_mobile.targets.stored_facts import open_artifact


@dataclass(frozen=True, kw_only=True)
class ValidateConfig(GateOptions):
    """What to validate.

    Attributes:
        artifacts: Artifacts on disk.
        checkpoint: The checkpoint they were made from (default: the demo model of their task, with its images).
        weights, sha256: See `ModelOptions`.
        variant: See `ModelOptions` (default: the first artifact's model, if that is one of timm).
        size: (height, width) of the images, for artifacts of several sizes (default: the first size of each).
        ladder: Simulate the steps between checkpoint and artifacts, too.
        layers: Compare layer by layer, too.
        ranges: Compare every value with the range of fp16, too; an overflow or a silent branch fails the gate.
        arch: "arm64" runs each ExecuTorch artifact on that instruction set, too, emulated if need be.
        cpus: The CPUs to emulate: "neon", "dotprod", "i8mm" (default: i8mm).
        write: Record the drift in each artifact's manifest.
        report: A file for the drift report.
        overwrite: Replace what is there.
    """

    artifacts: Sequence[AnyPath]
    checkpoint: AnyPath | TrainedModel | None = None
    weights: str | None = None
    sha256: str | None = None
    variant: str | None = None
    size: tuple[int, int] | None = None
    ladder: bool = False
    layers: bool = False
    ranges: bool = False
    arch: str | None = None
    cpus: Sequence[str] = ()
    write: bool = False
    report: AnyPath | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class ValidateResult:
    """What a validation found.

    Attributes:
        artifacts: In the order of the rows.
        report: Rows, changed predictions, layers and ranges, in one document.
        measurements: The rows and changes alone.
        verdict: The verdict of the gates; None where there are none.
        notes: What was skipped or assumed, a sentence each.
    """

    artifacts: tuple[Artifact, ...]
    report: DriftReport
    measurements: Measurements
    verdict: GateVerdict | None
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no gate failed."""
        return self.verdict is None or self.verdict.passed


def validate(config: ValidateConfig, progress: StepCallback | None = None) -> ValidateResult:
    """Run artifacts and their checkpoint on the same images and compare them.

    Args:
        config: What to validate.
        progress: Called as `Steps` says.

    Raises:
        ShvitError: If anything is in the way.
    """
    steps, notes = Steps(progress), list[str]()
    _check_validate_config(config)
    cpus = _choose_cpus(config, notes)
    with steps.step("Loading the artifacts"):
        artifacts = [_select_size(open_artifact(path), config) for path in config.artifacts]
    for artifact in artifacts:
        check_runnable(artifact)
    notes += [note for artifact in artifacts for note in artifact.notes]
    # The layers of some artifacts cannot be compared; of all of them, that is an error.
    if config.layers and all(artifact.manifest.qualified_target in OPAQUE_TARGETS for artifact in artifacts):
        check_probe_support(artifacts[0])
    if config.write:
        check_overwrite(*(get_manifest_path(artifact.path) for artifact in artifacts), overwrite=True)
    task = _choose_task(artifacts)
    config.check_task(task)
    with steps.step("Loading the checkpoint"):
        # A loaded model needs no variant, and without a checkpoint it is the demo's.
        is_file = config.checkpoint is not None and not isinstance(config.checkpoint, TrainedModel)
        trained = ModelOptions(
            checkpoint=config.checkpoint,
            weights=config.weights,
            sha256=config.sha256,
            variant=config.variant or (artifacts[0].manifest.model.required_variant if is_file else None),
            task=task,
        ).load_model()
    artifacts = list(sort_by_target(artifacts)) if config.ladder else artifacts
    rungs = list_simulated_rungs(artifacts) if config.ladder else ()
    source = DEMOS[task].validation if config.validation is None else config.validation
    sets = [config.open_validation_images(source, artifact.manifest.labels, task) for artifact in artifacts]
    inside = (config.layers + config.ranges) * len(artifacts)
    steps.expect(3 + count_steps(artifacts, rungs, cpus) + inside)
    measured = measure(
        artifacts,
        trained,
        sets,
        steps,
        rungs=rungs,
        cpus=cpus,
        max_drop=config.max_drop,
        accept_baseline=config.accept_baseline,
    )
    layers = (
        _compare_all_layers(artifacts, trained, sets, config.validation_seed, steps, notes) if config.layers else []
    )
    ranges = _measure_all_ranges(artifacts, trained, sets, steps) if config.ranges else []
    verdict = _add_range_violations(measured.evaluate(config.gate), ranges)
    with steps.step("Building the report"):
        report = build_drift_report(
            "validate",
            trained,
            sets[0],
            [*measured.simulated, *measured.rows],
            skipped=measured.skipped,
            changed=measured.changes,
            apart=measured.divergences,
            layers=layers,
            ranges=ranges,
            gate=verdict,
        )
    notes += [
        f"{artifact.path.name} ran on this machine only: only programs for XNNPACK run on emulated ARM64."
        for artifact in artifacts
        if cpus and not runs_on_arm64(artifact)
    ]
    report = report.model_copy(update={"notes": (*trained.notes, *report.images.list_notes(), *notes)})
    if config.write:
        for artifact, row in zip(artifacts, measured.native_rows, strict=True):
            update_manifest(artifact, drift=row)
    if config.report is not None:
        report.save(config.report, overwrite=config.overwrite)
    return ValidateResult(tuple(artifacts), report, measured, verdict, report.notes)


def _check_validate_config(config: ValidateConfig) -> None:
    """Raise where the options alone decide that the validation makes no sense."""
    if not config.artifacts:
        raise MissingParameter("No artifacts are given.", parameter="artifacts")
    check_positive(validation_count=config.validation_count)
    check_output_file(config.report, overwrite=config.overwrite)
    given = (config.checkpoint, config.labels_csv, config.labels_coco)
    if config.validation is None and any(one is not None for one in given):
        raise MissingParameter(
            "No images are given for `validation`.",
            why="Artifact and checkpoint are compared on images.",
            hint="Give a folder of images for `validation`, with a folder for each class.",
            parameter="validation",
        )


def _select_size(artifact: Artifact, config: ValidateConfig) -> Artifact:
    """Return an artifact for the size that is asked for.

    Raises:
        InvalidValue: If it does not take that size.
        ConflictingParameters: If what is asked for knows its first size only.
    """
    if config.size is None or config.size == artifact.manifest.preprocessing.size:
        return artifact
    manifest = artifact.manifest.select_size(config.size)
    for name in ("write", "arch"):
        if getattr(config, name):
            raise ConflictingParameters(
                f"`size` and `{name}` exclude each other here.",
                why=f"Manifests have the drift of the first size, {format_size(artifact.manifest.preprocessing.size)}, "
                "and the emulator runs that one.",
                hint="Leave one of them out.",
                parameter="size",
            )
    return replace(artifact, manifest=manifest)


def _choose_task(artifacts: Sequence[Artifact]) -> Task:
    """Return the task of all artifacts; raise `ConflictingParameters` if they have different ones."""
    tasks = {artifact.manifest.task: artifact.path.name for artifact in artifacts}
    if len(tasks) > 1:
        named = ", ".join(f"{name} ({task})" for task, name in tasks.items())
        raise ConflictingParameters(
            f"The artifacts have different tasks: {named}.",
            why="All are compared with one model.",
            hint="Validate them separately.",
            parameter="artifacts",
        )
    return next(iter(tasks))


def _choose_cpus(config: ValidateConfig, notes: list[str]) -> list[CPU]:
    """Return the CPUs to emulate: none without `arch`, and none where this machine is ARM64 itself.

    Raises:
        ToolMissing: If the emulator is not set up.
    """
    if config.arch is None and config.cpus:
        raise MissingParameter(
            "`cpus` is given without `arch`.",
            why="It says which CPU to emulate.",
            hint="Set `arch=arm64`.",
            parameter="arch",
        )
    if config.arch is None:
        return []
    parse_choice(config.arch, ("arm64",), "architecture")
    chosen = [CPUS[parse_choice(name, CPUS, "CPU")] for name in dict.fromkeys(config.cpus or [DEFAULT_CPU])]
    if is_arm64_host():
        notes.append("This machine is ARM64 itself: nothing is emulated, and 'native' is ARM64.")
        return []
    open_sysroot()
    return chosen


def _compare_all_layers(
    artifacts: Sequence[Artifact],
    trained: TrainedModel,
    image_sets: Sequence[ImageSet],
    seed: int,
    steps: Steps,
    notes: list[str],
) -> list[LayerReport]:
    """Compare the layers of each artifact that shows them; note each that does not."""
    reports = []
    for artifact, images in zip(artifacts, image_sets, strict=True):
        if (target := artifact.manifest.qualified_target) in OPAQUE_TARGETS:
            notes.append(f"No layers of {artifact.path.name}. {OPAQUE_TARGETS[target]}")
            continue
        some = images.sample(min(LAYER_COUNT, len(images)), seed)
        with steps.step(f"Comparing the layers of {artifact.path.name}") as progress:
            reports.append(compare_layers(artifact, trained, some, progress=progress))
    return reports


def _measure_all_ranges(
    artifacts: Sequence[Artifact], trained: TrainedModel, image_sets: Sequence[ImageSet], steps: Steps
) -> list[RangeReport]:
    """Measure the range of every value of each artifact."""
    reports = []
    for artifact, images in zip(artifacts, image_sets, strict=True):
        with steps.step(f"Measuring the ranges of {artifact.path.name}") as progress:
            reports.append(measure_ranges(artifact, trained, images, progress=progress))
    return reports


def _add_range_violations(verdict: GateVerdict | None, reports: Sequence[RangeReport]) -> GateVerdict | None:
    """Return the verdict, failed as well where a value overflows or goes silent, with a caveat for each remark."""
    if not reports:
        return verdict
    flags = (f"{report.artifact}: {flag}" for report in reports for flag in report.flags)
    remarks = (f"{report.artifact}: {remark}" for report in reports for remark in report.notes)
    return (verdict or GateVerdict.from_findings()).extend(flags, remarks)
