"""One program on two instruction sets: its drift on emulated ARM64, and how far that is from its answers here."""

from __future__ import annotations

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_report import CrossRuntimeDivergence
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.drift.compare import ArtifactComparison, FloatReference, ProgressCallback, compare_with_logits
from shvit_mobile.drift.intervals import estimate_proportion
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.metrics import compare_top1_classes, compute_max_abs_error, sqnr
from shvit_mobile.runtimes.arm64.cpus import CPU
from shvit_mobile.runtimes.arm64.runner import ARM64Runner


def compare_on_arm64(
    artifact: Artifact,
    trained: TrainedModel,
    images: ImageSet,
    cpu: CPU,
    *,
    native: ArtifactComparison,
    reference: FloatReference | None = None,
    processes: int | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[DriftRow, CrossRuntimeDivergence]:
    """The drift of an ExecuTorch artifact on emulated ARM64, and how far it is from its answers on this machine.

    Args:
        artifact, trained, images, reference, progress: as `compare` takes them.
        cpu: what to emulate.
        native: its answers to the same images on this machine.
        processes: emulated processes at most; one a core if None.

    Raises:
        ToolMissing: the emulation is not set up.
        EmulatorFailed: the program does not run on emulated ARM64.
        ShvitError: as `compare`.
    """
    with ARM64Runner(artifact, cpu, processes=processes) as runner:
        emulated = compare_with_logits(artifact, trained, images, runner=runner, reference=reference, progress=progress)
    return emulated.row.model_copy(update={"cpu": runner.cpu}), compare_executions(native, emulated)


def compare_executions(first: ArtifactComparison, second: ArtifactComparison) -> CrossRuntimeDivergence:
    """How far `second` is from `first`, the same artifact's answers to the same images.

    Raises:
        ShapeMismatch: they answered others.
    """
    return CrossRuntimeDivergence(
        artifact=first.row.artifact,
        first=first.row.engine,
        second=second.row.engine,
        images=len(first.logits),
        agreement=estimate_proportion(compare_top1_classes(first.logits, second.logits)),
        sqnr_db=sqnr(first.logits, second.logits),
        max_abs_error=compute_max_abs_error(first.logits, second.logits),
    )
