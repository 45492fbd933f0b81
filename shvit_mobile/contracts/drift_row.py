"""One row of the drift table: how far an artifact that ran is from the float checkpoint, on the same images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shvit_mobile.contracts.document import Contract, Count, JsonFloat, Proportion, Sha256

Execution = Literal["native", "reference", "emulated", "simulated"]


class ProportionEstimate(Contract):
    """A share of images with its 95% interval, all in 0 to 1."""

    value: Proportion
    low: Proportion
    high: Proportion


class McNemar(Contract):
    """Images only one of the two models got right, and how likely such an imbalance is by chance (exact, two-sided)."""

    lost: Count
    gained: Count
    p_value: Proportion


class EmulatedCPU(Contract):
    """The CPU that was emulated, and those of its features by which XNNPACK chooses kernels."""

    arch: str
    name: str
    features: tuple[str, ...]


class DriftRow(Contract):
    """Figures of one artifact against its float model.

    Attributes:
        artifact: the artifact's file name.
        how: "native" where the target's own runtime ran it, "reference" where our executor of the specification did,
            "emulated" where the target's own runtime ran it on an emulated CPU, "simulated" where PyTorch computed what
            an artifact is to compute, and no artifact ran.
        artifact_sha256: of the artifact; None where there was none.
        cpu: the CPU that was emulated; None where it was this machine's.
        engine: the runtime's name and version.
        images: how many images both models saw; skipped: how many files could not be decoded.
        top1, top5, float_top1, float_top5: None without labels (top-5 also with five classes or fewer).
        top1_drop: points of top-1 lost against the float model, with a paired 95% interval.
        agreement: the share of images on which both models choose the same class.
        sqnr_db: of the logits; infinite where they are equal.
        max_abs_error: the largest difference of any logit.
        mean_kl: mean Kullback-Leibler divergence of the artifact's class distribution from the float model's, in nats.
    """

    artifact: str
    target: str
    precision: str
    how: Execution
    engine: str
    artifact_sha256: Sha256 | None = None
    cpu: EmulatedCPU | None = None
    images: Annotated[int, Field(ge=1)]
    skipped: Count = 0
    top1: ProportionEstimate | None = None
    top5: ProportionEstimate | None = None
    float_top1: ProportionEstimate | None = None
    float_top5: ProportionEstimate | None = None
    top1_drop: float | None = None
    top1_drop_interval: tuple[float, float] | None = None
    mcnemar: McNemar | None = None
    agreement: ProportionEstimate
    sqnr_db: JsonFloat
    max_abs_error: float
    mean_kl: float
