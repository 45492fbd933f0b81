"""Runs artifacts beside their float model: the one loop that compares, for every workflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_report import CrossRuntimeDivergence, PredictionChanges
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.image_use import SkippedImages
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.drift import compare
from shvit_mobile.drift.answer_changes import find_prediction_changes
from shvit_mobile.drift.ladder import SimulatedRung, compare_simulated_rung
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.pipeline.steps import Steps

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
    """

    simulated: list[DriftRow] = field(default_factory=list)
    rows: list[DriftRow] = field(default_factory=list)
    changes: list[PredictionChanges] = field(default_factory=list)
    divergences: list[CrossRuntimeDivergence] = field(default_factory=list)
    skipped: list[SkippedImages] = field(default_factory=list)

    @property
    def native_rows(self) -> list[DriftRow]:
        """One row for each artifact, as it ran on this machine."""
        return [row for row in self.rows if row.cpu is None]


def count_steps(artifacts: Sequence[Artifact], rungs: Sequence[SimulatedRung], cpus: Sequence[CPU]) -> int:
    """Return how many steps `measure` reports."""
    references = len({artifact.manifest.preprocessing for artifact in artifacts})
    emulated = len(cpus) * sum(map(runs_on_arm64, artifacts))
    return references + len(rungs) + len(artifacts) + emulated


def runs_on_arm64(artifact: Artifact) -> bool:
    """Whether the artifact can run on emulated ARM64."""
    return artifact.manifest.target == "executorch"


def measure(
    artifacts: Sequence[Artifact],
    trained: TrainedModel,
    image_sets: Sequence[ImageSet],
    steps: Steps,
    *,
    rungs: Sequence[SimulatedRung] = (),
    cpus: Sequence[CPU] = (),
    max_drop: float | None = None,
) -> Measurements:
    """Run the float model, the rungs and each artifact on the same images.

    The float model runs once for all artifacts that prepare their images alike. Logits are dropped as soon as an
    artifact's row and changes are known.

    Args:
        image_sets: The images for each artifact, labelled with its classes.
        rungs: What PyTorch simulates besides.
        cpus: The ARM64 CPUs to emulate for ExecuTorch artifacts.
        max_drop: The budget in points of top-1, for the number of images that would show it.

    Raises:
        ShvitError: As `compare`.
    """
    for artifact, images in zip(artifacts, image_sets, strict=True):
        compare.check_origin(artifact, trained)
        compare.check_classes(images, artifact, trained)
    references: dict[Preprocessing, compare.FloatReference] = {}
    for preprocessing in dict.fromkeys(artifact.manifest.preprocessing for artifact in artifacts):
        with steps.step("Running the float model") as progress:
            references[preprocessing] = compare.compute_float_reference(
                trained, image_sets[0], preprocessing=preprocessing, progress=progress
            )
    result = Measurements(skipped=list(next((reference.skipped for reference in references.values()), ())))
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
