"""The first proof of every artifact, before it gets its name: it loads, it runs, and it answers one picture rightly."""

from __future__ import annotations

import numpy as np

from shvit_mobile.deploy.fuse import DeployForm
from shvit_mobile.errors import ProofFailed
from shvit_mobile.quantize.calibrate import run
from shvit_mobile.quantize.recipe import Precision
from shvit_mobile.runtimes import open_runner
from shvit_mobile.targets.artifact import Artifact
from shvit_mobile.targets.golden import ramp
from shvit_mobile.targets.manifest import Golden

# The largest difference of a logit, relative to the largest logit, or to one where all are smaller. For fp32 and fp16
# it is a bound on what lowering may do here; int8 rounds differently on every kernel, so there it only says what
# another machine's answer may look like, and drift over a data set is the judge.
TOLERANCES: dict[Precision, float] = {
    "fp32": 1e-3,
    "fp16": 5e-2,
    "int8": 0.5,
    "int8-dynamic": 0.5,
    "int8-weights": 0.5,
    "palette-8": 0.5,
    "palette-6": 0.5,
    "palette-4": 0.5,
}
BOUNDING: tuple[Precision, ...] = ("fp32", "fp16")


def golden_of(artifact: Artifact, deployed: DeployForm) -> Golden:
    """The artifact's answer to the ramp picture, run here by its own runtime or by the reference executor.

    Raises:
        ProofFailed: a logit is not finite, or an fp32 or fp16 artifact does not answer as the deploy form does.
    """
    runner = open_runner(artifact)
    picture = ramp(deployed.trained.preprocessing.size)
    logits, expected = runner.run(picture)[0], run(deployed, picture)[0].numpy()
    if logits.shape != expected.shape or not np.isfinite(logits).all():
        raise ProofFailed(
            f"{artifact.path.name} gives {len(logits)} logits, {int((~np.isfinite(logits)).sum())} of them not finite.",
            why="Half precision overflows above 65504, or the checkpoint holds extreme values.",
            hint="Try --quantize fp32.",
        )
    tolerance = TOLERANCES[artifact.manifest.precision] * max(1.0, float(np.abs(expected).max()))
    error = float(np.abs(logits - expected).max())
    if artifact.manifest.precision in BOUNDING and error > tolerance:
        raise ProofFailed(
            f"{artifact.path.name} answers the first picture {error:.2g} away from the checkpoint; "
            f"{tolerance:.2g} is allowed.",
            why="The artifact was run and does not compute what the checkpoint does.",
            hint="Please report it with the output of: shvit-mobile doctor --json",
        )
    return Golden(logits=tuple(float(logit) for logit in logits), how=runner.how, tolerance=tolerance)
