"""One row of the drift table: the difference between an artifact and its float model on the same images."""

from typing import Annotated, Literal

from pydantic import Field

from shvit_mobile.contracts.document import Contract, Count, JsonFloat, Proportion, Sha256

Execution = Literal["native", "reference", "emulated", "simulated"]


class ProportionEstimate(Contract):
    """A share of images with its 95% interval, all between 0 and 1."""

    value: Proportion
    low: Proportion
    high: Proportion


class McNemar(Contract):
    """The images that only one of the two models classifies correctly, and McNemar's exact two-sided p-value."""

    lost: Count
    gained: Count
    p_value: Proportion


class EmulatedCPU(Contract):
    """An emulated CPU, and its features that decide which kernels XNNPACK uses."""

    arch: str
    name: str
    features: tuple[str, ...]


class DriftRow(Contract):
    """The figures of one artifact, compared with its float model.

    Attributes:
        artifact: The artifact's file name.
        how: "native" if the target's own runtime ran the artifact, "reference" if this project's executor of the format
            did, "emulated" if the target's runtime ran on an emulated CPU, "simulated" if PyTorch computed the same
            arithmetic and no artifact ran.
        artifact_sha256: The SHA-256 of the artifact; None if there is no artifact.
        cpu: The emulated CPU; None if this machine's CPU ran it.
        engine: The runtime's name and version.
        images: The number of images; skipped: the number of files that could not be decoded.
        top1, top5, float_top1, float_top5: Accuracy; None without labels (top-5 also with five classes or fewer).
        top1_drop: Points of top-1 lost against the float model, with a paired 95% interval.
        agreement: The share of images for which both models predict the same class.
        sqnr_db: SQNR of the logits; infinite if they are equal.
        max_abs_error: The largest difference of any logit.
        mean_kl: Mean Kullback-Leibler divergence of the artifact's class distribution from the float model's, in nats.
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
