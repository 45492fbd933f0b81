"""One program on two instruction sets: its drift on emulated ARM64, and how far that is from its answers here."""

from __future__ import annotations

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_report import Apart
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.drift.compare import Comparison, Progress, Reference, comparison
from shvit_mobile.drift.intervals import share
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.metrics import max_abs_error, same_class, sqnr
from shvit_mobile.runtimes.arm64.cpus import CPU
from shvit_mobile.runtimes.arm64.runner import ARM64Runner


def on_arm64(
    artifact: Artifact,
    trained: TrainedModel,
    images: ImageSet,
    cpu: CPU,
    *,
    native: Comparison,
    reference: Reference | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> tuple[DriftRow, Apart]:
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
        emulated = comparison(artifact, trained, images, runner=runner, reference=reference, progress=progress)
    return emulated.row.model_copy(update={"cpu": runner.cpu}), apart(native, emulated)


def apart(first: Comparison, second: Comparison) -> Apart:
    """How far `second` is from `first`, the same artifact's answers to the same images.

    Raises:
        ShapeMismatch: they answered others.
    """
    return Apart(
        artifact=first.row.artifact,
        first=first.row.engine,
        second=second.row.engine,
        images=len(first.logits),
        agreement=share(same_class(first.logits, second.logits)),
        sqnr_db=sqnr(first.logits, second.logits),
        max_abs_error=max_abs_error(first.logits, second.logits),
    )
