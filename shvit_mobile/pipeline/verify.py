"""Verifies every new artifact before it gets its name: it loads, runs, and computes what the deploy form does."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.contracts.goldens import LOWERING_FACTOR
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import VerificationFailed
from shvit_mobile.runtimes import open_runner
from shvit_mobile.targets.tolerances import BOUNDED_PRECISIONS, compute_tolerance


@dataclass(frozen=True, eq=False)
class VerificationResult:
    """The logits of an artifact on this machine.

    Attributes:
        logits: The artifact's logits, float32, shape (images, classes).
        float_logits: The logits of the float deploy form, same shape.
        execution, engine: What ran the artifact.
        tolerance: The largest allowed difference between `logits` and those of another machine.
    """

    logits: NDArray[np.float32]
    float_logits: NDArray[np.float32]
    execution: Execution
    engine: str
    tolerance: float

    def drop_first(self) -> VerificationResult:
        """Return the result without the first image."""
        return replace(self, logits=self.logits[1:], float_logits=self.float_logits[1:])


def verify_artifact(artifact: Artifact, deployed: DeployForm, pixels: NDArray[np.uint8]) -> VerificationResult:
    """Run an artifact in its own runtime or the reference executor, and compare it with its deploy form.

    Args:
        pixels: uint8, shape (images, height, width, 3).

    Raises:
        VerificationFailed: If a logit is not finite, or an fp32 or fp16 artifact is too far from the deploy form.
    """
    runner = open_runner(artifact)
    # One image at a time, as in an app: with more, a kernel may sum in another order.
    logits = np.concatenate([runner.run(image[None]) for image in pixels])
    expected = np.concatenate([deployed.run(image[None]).numpy() for image in pixels])
    if logits.shape != expected.shape or not np.isfinite(logits).all():
        raise VerificationFailed(
            f"{artifact.path.name} has {logits.shape[1]} logits, of which "
            f"{int((~np.isfinite(logits)).any(axis=0).sum())} are not finite.",
            why="fp16 overflows above 65504, or the checkpoint holds extreme values.",
            hint="Set `precision=fp32`.",
            parameter="precision",
        )
    manifest = artifact.manifest
    tolerance = compute_tolerance(manifest.target, manifest.precision, logits)
    error = float(np.abs(logits - expected).max())
    if manifest.precision in BOUNDED_PRECISIONS and error > LOWERING_FACTOR * tolerance:
        raise VerificationFailed(
            f"The logits of {artifact.path.name} differ from the checkpoint's by {error:.2g}; "
            f"{LOWERING_FACTOR * tolerance:.2g} is allowed.",
            why="The artifact was run and does not compute what the checkpoint does.",
            hint="Please report it with the output of: shvit-mobile doctor --json",
        )
    return VerificationResult(logits, expected, runner.execution, runner.engine, tolerance)
