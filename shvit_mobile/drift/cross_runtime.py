"""Compares one program on emulated ARM64 with the float model and with the same program on this machine."""

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_report import CrossRuntimeDivergence
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.drift.compare import ArtifactComparison, FloatReference, compare_with_logits
from shvit_mobile.drift.intervals import estimate_proportion
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.metrics import compare_top1_classes, compute_max_abs_error, sqnr
from shvit_mobile.progress import ProgressCallback
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
    """Run an ExecuTorch artifact on emulated ARM64, and compare it with the float model and with its logits here.

    Args:
        artifact, trained, images, reference, progress: As in `compare`.
        cpu: The CPU to emulate.
        native: The artifact's logits for the same images on this machine.
        processes: Emulated processes at most (default: one per core).

    Raises:
        ToolMissing: If the emulator is not installed.
        EmulatorFailed: If the program does not run on emulated ARM64.
        ShvitError: As `compare`.
    """
    with ARM64Runner(artifact, cpu, processes=processes) as runner:
        emulated = compare_with_logits(
            artifact, trained, images, runner=runner, reference=reference, progress=progress, cpu=runner.cpu
        )
    return emulated.row, _compare_executions(native, emulated)


def _compare_executions(first: ArtifactComparison, second: ArtifactComparison) -> CrossRuntimeDivergence:
    """Compare the logits of one artifact for the same images in two runtimes."""
    return CrossRuntimeDivergence(
        artifact=first.row.artifact,
        first=first.row.engine,
        second=second.row.engine,
        images=len(first.logits),
        agreement=estimate_proportion(compare_top1_classes(first.logits, second.logits)),
        sqnr_db=sqnr(first.logits, second.logits),
        max_abs_error=compute_max_abs_error(first.logits, second.logits),
    )
