"""One program on two instruction sets: its drift on emulated ARM64, and how far that is from its answers here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.drift.compare import Progress, Reference, compare
from shvit_mobile.drift.intervals import share
from shvit_mobile.drift.metrics import max_abs_error, same_class, sqnr
from shvit_mobile.drift.report import Apart
from shvit_mobile.drift.row import DriftRow, How
from shvit_mobile.images.folders import ImageSet
from shvit_mobile.model.trained import TrainedModel
from shvit_mobile.runtimes.arm64.cpus import CPU
from shvit_mobile.runtimes.arm64.runner import ARM64Runner
from shvit_mobile.runtimes.runner import Runner
from shvit_mobile.targets.artifact import Artifact


class Remembered:
    """A `Runner` that keeps what another one answers, in `logits`."""

    how: How
    engine: str

    def __init__(self, runner: Runner) -> None:
        self.how, self.engine = runner.how, runner.engine
        self._runner = runner
        self._parts: list[NDArray[np.float32]] = []

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._parts.append(self._runner.run(pixels))
        return self._parts[-1]

    @property
    def logits(self) -> NDArray[np.float32]:
        return np.concatenate(self._parts)


def on_arm64(
    artifact: Artifact,
    trained: TrainedModel,
    images: ImageSet,
    cpu: CPU,
    *,
    native: Remembered,
    reference: Reference | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> tuple[DriftRow, Apart]:
    """The drift of an ExecuTorch artifact on emulated ARM64, and how far it is from its answers on this machine.

    Args:
        artifact, trained, images, reference, progress: as `compare` takes them.
        cpu: what to emulate.
        native: what answered the same images on this machine.
        processes: emulated processes at most; one a core if None.

    Raises:
        ToolMissing: the emulation is not set up.
        EmulatorFailed: the program does not run on emulated ARM64.
        ShvitError: as `compare`.
    """
    with ARM64Runner(artifact, cpu, processes=processes) as runner:
        emulated = Remembered(runner)
        row = compare(artifact, trained, images, runner=emulated, reference=reference, progress=progress)
    return row.model_copy(update={"cpu": runner.cpu}), apart(artifact.path.name, native, emulated)


def apart(artifact: str, first: Remembered, second: Remembered) -> Apart:
    """How far `second` is from `first`, which answered the same images.

    Raises:
        ShapeMismatch: they did not.
    """
    return Apart(
        artifact=artifact,
        first=first.engine,
        second=second.engine,
        images=len(first.logits),
        agreement=share(same_class(first.logits, second.logits)),
        sqnr_db=sqnr(first.logits, second.logits),
        max_abs_error=max_abs_error(first.logits, second.logits),
    )
