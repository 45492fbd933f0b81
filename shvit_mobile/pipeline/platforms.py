"""What to export for a platform, and which of the artifacts to ship."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.manifest import Delegate, Target
from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.drift.gates import Gate, find_violations
from shvit_mobile.targets.delegation import describe_delegation_shortfall

Platform = Literal["ios", "android"]


@dataclass(frozen=True)
class Candidate:
    """An artifact that a platform can run.

    Attributes:
        target: Its target.
        precision: Its precision.
        strength: What speaks for it, a clause; docs/guides/choosing.md has the figures.
        delegate: What runs it, for ExecuTorch.
    """

    target: Target
    precision: Precision
    strength: str
    delegate: Delegate | None = None


_ON_CPU = "int8 takes the least time on the CPU of every phone"
_IN_EXECUTORCH = "Core ML runs it inside ExecuTorch, for an app that uses that"
# By platform; the first that keeps the accuracy is recommended.
CANDIDATES: dict[Platform, tuple[Candidate, ...]] = {
    "ios": (
        Candidate("coreml", "int8", "the Neural Engine of A17 Pro, M4 and later computes in int8, older ones in fp16"),
        Candidate("coreml", "fp16", "the Neural Engine of every iPhone computes in fp16"),
        Candidate("executorch", "int8", _IN_EXECUTORCH, "coreml"),
        Candidate("executorch", "fp16", _IN_EXECUTORCH, "coreml"),
    ),
    "android": (
        Candidate("executorch", "int8", _ON_CPU, "xnnpack"),
        Candidate("litert", "int8", _ON_CPU),
        Candidate("executorch", "fp32", "the CPU of every phone computes in fp32", "xnnpack"),
        Candidate("litert", "fp32", "the CPU of every phone computes in fp32"),
    ),
}
# What an artifact may lose where no gate is set. Boxes change more easily than the class of a picture: a score of 0.301
# that becomes 0.299 is one box less.
MAX_DROP, MIN_AGREEMENT, MIN_BOX_AGREEMENT = 0.5, 0.99, 0.9


@dataclass(frozen=True)
class Recommendation:
    """The artifact to ship on a platform.

    Attributes:
        platform: The platform.
        artifact: The artifact; None if none of them keeps the accuracy.
        evidence: What speaks for it, a sentence; empty without an artifact.
        passed_over: Why those that would come before it are not recommended, a sentence each.
    """

    platform: Platform
    artifact: Artifact | None
    evidence: str
    passed_over: tuple[str, ...]


def recommend(
    platform: Platform, artifacts: Sequence[Artifact], rows: Sequence[DriftRow], gate: Gate | None = None
) -> Recommendation:
    """Return the first of a platform's candidates that was exported and keeps the accuracy.

    Args:
        platform: The platform.
        artifacts: What was exported.
        rows: Their drift; empty if they were not compared on images: then int8 is not recommended.
        gate: The limits (default: `MAX_DROP` points where images have labels, and `MIN_AGREEMENT` or
            `MIN_BOX_AGREEMENT`).
    """
    exported = {(one.manifest.target, one.manifest.precision, one.manifest.delegate): one for one in artifacts}
    drift = {row.artifact: row for row in rows}
    passed_over: list[str] = []
    for candidate in CANDIDATES[platform]:
        artifact = exported.get((candidate.target, candidate.precision, candidate.delegate))
        if artifact is None:
            continue
        row = drift.get(artifact.path.name)
        faults = list(_list_faults(artifact, row, gate))
        if not faults:
            return Recommendation(platform, artifact, _describe(artifact, row, candidate), tuple(passed_over))
        passed_over += faults
    return Recommendation(platform, None, "", tuple(passed_over))


def _list_faults(artifact: Artifact, row: DriftRow | None, gate: Gate | None) -> Iterator[str]:
    yield from describe_delegation_shortfall(artifact, required=1)
    if row is not None:
        yield from find_violations(row, gate or _choose_limits(row))
    elif artifact.manifest.precision not in ("fp32", "fp16"):
        yield f"{artifact.path.name}: it was not compared with the checkpoint on images."


def _choose_limits(row: DriftRow) -> Gate:
    """Return what an artifact may lose where no gate is set; of feature maps, nobody knows what they are for."""
    if row.boxes:
        return Gate(max_drop=MAX_DROP if row.average_precision else None, min_box_agreement=MIN_BOX_AGREEMENT)
    if row.agreement is None:
        return Gate()
    return Gate(max_drop=None if row.top1_drop is None else MAX_DROP, min_agreement=MIN_AGREEMENT)


def _describe(artifact: Artifact, row: DriftRow | None, candidate: Candidate) -> str:
    size = f"{artifact.manifest.artifact.bytes / 1e6:.2f} MB"
    if row is None:
        return f"{size}; {candidate.strength}. It was not compared with the checkpoint on images."
    drop = "" if row.drop is None else f"{row.drop:.2f} points of {'AP' if row.boxes else 'top-1'} lost, "
    if row.boxes and row.boxes.agreement:
        kept = f"{100 * row.boxes.agreement.value:.1f}% of the boxes found by both models on"
    elif row.agreement:
        kept = f"the same class on {100 * row.agreement.value:.1f}% of"
    else:
        kept = f"an SQNR of {row.sqnr_db:.1f} dB or more in each map on"
    return f"{size}, {drop}{kept} {row.images} images ({row.how} execution); {candidate.strength}."
