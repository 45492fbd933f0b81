"""The first proof of every artifact, before it gets its name: it loads, it runs, it answers some pictures rightly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import VerificationFailed
from shvit_mobile.runtimes import open_runner
from shvit_mobile.targets.tolerances import BOUNDED_PRECISIONS, LOWERING_FACTOR, compute_tolerance


@dataclass(frozen=True, eq=False)
class VerificationResult:
    """What an artifact answered here.

    Attributes:
        logits: the artifact's, float32, shape (images, classes).
        float_logits: the float model's, in its deploy form.
        how, engine: what ran the artifact.
        tolerance: how far from `logits` another machine may be.
    """

    logits: NDArray[np.float32]
    float_logits: NDArray[np.float32]
    execution: Execution
    engine: str
    tolerance: float

    def drop_first(self) -> VerificationResult:
        """The same of all images but the first."""
        return replace(self, logits=self.logits[1:], float_logits=self.float_logits[1:])


def verify_artifact(artifact: Artifact, deployed: DeployForm, pixels: NDArray[np.uint8]) -> VerificationResult:
    """The artifact's answers to some pixels, run here by its own runtime or by the reference executor.

    Args:
        artifact: just written.
        deployed: what it was made from.
        pixels: uint8, shape (images, height, width, 3).

    Raises:
        ProofFailed: a logit is not finite, or an fp32 or fp16 artifact does not answer as the deploy form does.
    """
    runner = open_runner(artifact)
    # One at a time, as apps do it: a kernel may add up in another order where there are more.
    logits = np.concatenate([runner.run(image[None]) for image in pixels])
    expected = np.concatenate([deployed.run(image[None]).numpy() for image in pixels])
    if logits.shape != expected.shape or not np.isfinite(logits).all():
        raise VerificationFailed(
            f"{artifact.path.name} gives {logits.shape[1]} logits, of which "
            f"{int((~np.isfinite(logits)).any(axis=0).sum())} are not finite.",
            why="Half precision overflows above 65504, or the checkpoint holds extreme values.",
            hint="Try --quantize fp32.",
        )
    manifest = artifact.manifest
    near = compute_tolerance(manifest.target, manifest.precision, logits)
    error = float(np.abs(logits - expected).max())
    if manifest.precision in BOUNDED_PRECISIONS and error > LOWERING_FACTOR * near:
        raise VerificationFailed(
            f"{artifact.path.name} answers the first pictures {error:.2g} away from the checkpoint; "
            f"{LOWERING_FACTOR * near:.2g} is allowed.",
            why="The artifact was run and does not compute what the checkpoint does.",
            hint="Please report it with the output of: shvit-mobile doctor --json",
        )
    return VerificationResult(logits, expected, runner.execution, runner.engine, near)
