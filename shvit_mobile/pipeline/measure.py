"""Runs artifacts beside their float model: the one loop that compares, for every workflow."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_report import CrossRuntimeDivergence, GateVerdict, PredictionChanges
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.image_use import SkippedImages
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.drift import compare
from shvit_mobile.drift.answer_changes import find_prediction_changes
from shvit_mobile.drift.baseline import check_baseline, check_detector_baseline
from shvit_mobile.drift.gates import Gate, evaluate_gate
from shvit_mobile.drift.ladder import SimulatedRung, build_rung_source, compare_simulated_rung
from shvit_mobile.drift.map_drift import compare_maps, evaluate_float_detector
from shvit_mobile.errors import BaselineFailed
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.batches import keep_pixels
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.pipeline.steps import Steps
from shvit_mobile.progress import ProgressCallback
from shvit_mobile.runtimes import open_runner
from shvit_mobile.threads import use_one_thread_per_kernel

if TYPE_CHECKING:
    from shvit_mobile.runtimes.arm64.cpus import CPU


@dataclass(frozen=True)
class Measurements:
    """What running the artifacts and their float model showed.

    Attributes:
        simulated: A row for each rung that PyTorch computed.
        rows: A row for each artifact, followed by one for each emulated CPU.
        changes: The changed predictions of each artifact.
        divergences: How far each emulated CPU is from this machine.
        skipped: The images that could not be decoded.
        baseline: The verdict on the float model itself; None where it recognizes the images, or they have no labels.
    """

    simulated: list[DriftRow] = field(default_factory=list)
    rows: list[DriftRow] = field(default_factory=list)
    changes: list[PredictionChanges] = field(default_factory=list)
    divergences: list[CrossRuntimeDivergence] = field(default_factory=list)
    skipped: list[SkippedImages] = field(default_factory=list)
    baseline: GateVerdict | None = None

    def evaluate(self, gate: Gate | None) -> GateVerdict | None:
        """Return the verdict of a gate and on the float model; None where there is neither."""
        verdict = evaluate_gate(self.rows, gate) if gate else None
        if self.baseline is None:
            return verdict
        return self.baseline.extend(verdict.violations, verdict.caveats) if verdict else self.baseline

    @property
    def native_rows(self) -> list[DriftRow]:
        """One row for each artifact, as it ran on this machine."""
        return [row for row in self.rows if row.cpu is None]


def count_steps(artifacts: Sequence[Artifact], rungs: Sequence[SimulatedRung], cpus: Sequence[CPU]) -> int:
    """Return how many steps `measure` reports."""
    references = len({artifact.manifest.preprocessing for artifact in artifacts})
    if any(artifact.manifest.task != "classify" for artifact in artifacts):
        return references
    emulated = len(cpus) * sum(map(runs_on_arm64, artifacts))
    return references + len(rungs) + len(artifacts) + emulated


def runs_on_arm64(artifact: Artifact) -> bool:
    """Whether the artifact can run on emulated ARM64."""
    return artifact.manifest.delegate == "xnnpack"


@dataclass(frozen=True)
class FloatRun:
    """What running the float model on some images showed.

    Attributes:
        reference: Its logits; None for a detector, whose maps do not fit into memory.
        baseline: The verdict on the float model itself, as `check_baseline` returns it.
        notes: How the images got their classes, and the notes of the model, a sentence each.
    """

    reference: compare.FloatReference | None
    baseline: GateVerdict | None
    notes: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise `BaselineFailed` if the float model does not recognize the images."""
        if self.baseline and self.baseline.violations:
            raise BaselineFailed(
                " ".join(self.baseline.violations),
                why=" ".join(("Then no comparison with it means anything.", *self.notes)),
                hint="To go on all the same: `accept_baseline=True`",
                parameter="accept_baseline",
            )


@use_one_thread_per_kernel()
def run_float_model(
    trained: TrainedModel,
    images: ImageSet,
    steps: Steps,
    *,
    preprocessing: Preprocessing | None = None,
    accept_baseline: bool = False,
) -> FloatRun:
    """Run the float model, and check that it recognizes the images where they have labels.

    Args:
        images: Without labels, or labelled with the model's classes; for a detector, with boxes.
        preprocessing: That of the artifacts (default: the model's).
        accept_baseline: Only note what is wrong with the float model.

    Raises:
        BadImages, BadCheckpoint: As `compute_float_reference`.
    """
    reference = None
    with steps.step("Running the float model") as progress:
        if trained.task == "classify":
            reference = compare.compute_float_reference(trained, images, preprocessing=preprocessing, progress=progress)
            baseline = check_baseline(trained, images, reference, accept=accept_baseline)
        else:
            baseline = _check_float_detector(trained, images, progress, accept=accept_baseline)
    mapping = (images.mapping.sentence,) if images.mapping else ()
    return FloatRun(reference, baseline, (*mapping, *trained.notes))


def _check_float_detector(
    trained: TrainedModel, images: ImageSet, progress: ProgressCallback, *, accept: bool
) -> GateVerdict | None:
    """Return the verdict on a float detector; None where it finds the boxes in the images, or they are not known."""
    found = evaluate_float_detector(trained, images, progress=progress)
    if found is None:
        return None
    return check_detector_baseline(found.precision.at_50, found.true_boxes, found.pictures, accept=accept)


@keep_pixels()
@use_one_thread_per_kernel()
def measure(
    artifacts: Sequence[Artifact],
    trained: TrainedModel,
    image_sets: Sequence[ImageSet],
    steps: Steps,
    *,
    rungs: Sequence[SimulatedRung] = (),
    cpus: Sequence[CPU] = (),
    max_drop: float | None = None,
    float_run: FloatRun | None = None,
    accept_baseline: bool = False,
) -> Measurements:
    """Run the float model, the rungs and each artifact on the same images.

    The float model runs once for all artifacts that prepare their images alike. Logits are dropped as soon as an
    artifact's row and changes are known.

    Args:
        image_sets: The images for each artifact, labelled with its classes.
        rungs: What PyTorch simulates besides.
        cpus: The ARM64 CPUs to emulate for ExecuTorch artifacts.
        max_drop: The budget in points of top-1, for the number of images that would show it.
        float_run: The result of `run_float_model` for these images, where it is there already.
        accept_baseline: As in `run_float_model`.

    Raises:
        ShvitError: As `compare`.
    """
    for artifact, images in zip(artifacts, image_sets, strict=True):
        compare.check_origin(artifact, trained)
        compare.check_classes(images, artifact, trained)
    if trained.task != "classify":
        measured = _measure_maps(artifacts, trained, image_sets[0], steps, rungs, cpus)
        return replace(measured, baseline=_check_detector_rows(measured.rows, accept=accept_baseline))
    runs = {float_run.reference.preprocessing: float_run} if float_run and float_run.reference else {}
    for preprocessing in dict.fromkeys(artifact.manifest.preprocessing for artifact in artifacts):
        if preprocessing not in runs:
            runs[preprocessing] = run_float_model(
                trained, image_sets[0], steps, preprocessing=preprocessing, accept_baseline=accept_baseline
            )
    references = {preprocessing: run.reference for preprocessing, run in runs.items() if run.reference}
    result = Measurements(
        skipped=list(next((reference.skipped for reference in references.values()), ())),
        baseline=next((run.baseline for run in runs.values() if run.baseline), None),
    )
    for rung in rungs:
        with steps.step(f"Simulating the {rung.name}") as progress:
            reference = references[rung.preprocessing]
            result.simulated.append(compare_simulated_rung(rung, trained, image_sets[0], reference, progress=progress))
    for artifact, images in zip(artifacts, image_sets, strict=True):
        reference, name = references[artifact.manifest.preprocessing], artifact.path.name
        with steps.step(f"Running {name}") as progress:
            native = compare.compare_with_logits(artifact, trained, images, reference=reference, progress=progress)
        result.rows.append(native.row)
        result.changes.append(find_prediction_changes(native, artifact.manifest.labels, images.root, max_drop=max_drop))
        for cpu in cpus if runs_on_arm64(artifact) else ():
            from shvit_mobile.drift.cross_runtime import compare_on_arm64

            with steps.step(f"Running {name} on ARM64 {cpu.name}") as progress:
                row, divergence = compare_on_arm64(
                    artifact, trained, images, cpu, native=native, reference=reference, progress=progress
                )
            result.rows.append(row)
            result.divergences.append(divergence)
    return result


def _check_detector_rows(rows: Sequence[DriftRow], *, accept: bool) -> GateVerdict | None:
    """Return the verdict on the float detector that rows were compared with; None where it finds the boxes."""
    known = [(row.average_precision, row.images) for row in rows if row.average_precision]
    verdicts = (check_detector_baseline(one.float_ap50, one.true_boxes, images, accept=accept) for one, images in known)
    return next((verdict for verdict in verdicts if verdict), None)


def _measure_maps(
    artifacts: Sequence[Artifact],
    trained: TrainedModel,
    images: ImageSet,
    steps: Steps,
    rungs: Sequence[SimulatedRung],
    cpus: Sequence[CPU],
) -> Measurements:
    """Compare the maps of artifacts, rungs and emulated CPUs with the float model's, one pass for each preprocessing.

    A float model's maps of many images do not fit into memory, so everything runs on the same batch.
    """
    result, rows = Measurements(), dict[int, list[DriftRow]]()
    for preprocessing in dict.fromkeys(artifact.manifest.preprocessing for artifact in artifacts):
        simulated = [build_rung_source(rung, trained) for rung in rungs if rung.preprocessing == preprocessing]
        sources, places = list(simulated), list[int]()
        with ExitStack() as stack, steps.step("Comparing maps with the float model's") as progress:
            for place, artifact in enumerate(artifacts):
                if artifact.manifest.preprocessing != preprocessing:
                    continue
                sources.append(compare.build_map_source(artifact, open_runner(artifact)))
                places.append(place)
                for cpu in cpus if runs_on_arm64(artifact) else ():
                    from shvit_mobile.runtimes.arm64.runner import ARM64Runner

                    emulated = stack.enter_context(ARM64Runner(artifact, cpu))
                    sources.append(compare.build_map_source(artifact, emulated, emulated.cpu))
                    places.append(place)
            names = next(one.manifest.output.names for one in artifacts if one.manifest.preprocessing == preprocessing)
            found, skipped = compare_maps(sources, trained, images, preprocessing, names, progress=progress)
        result.simulated.extend(found[: len(simulated)])
        for place, row in zip(places, found[len(simulated) :], strict=True):
            rows.setdefault(place, []).append(row)
        if not result.skipped:
            result.skipped.extend(skipped)
    result.rows.extend(row for place in range(len(artifacts)) for row in rows[place])
    return result
