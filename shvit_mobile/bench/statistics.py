"""Computes percentiles of latencies, and ratios and medians with their intervals."""

from collections.abc import Sequence
from math import exp, log
from statistics import median
from typing import Annotated

from pydantic import Field

from shvit_mobile.contracts.device_report import LatencySummary, SpeedRatio
from shvit_mobile.contracts.document import Contract, Milliseconds

CONFIDENCE = 0.95


class _MedianEstimate(Contract):
    """The median round of a run, in milliseconds.

    Attributes:
        value: The median of the medians of its rounds.
        low, high: The interval of the median; None with too few rounds.
        rounds: The number of rounds.
    """

    value: Milliseconds
    low: Milliseconds | None
    high: Milliseconds | None
    rounds: Annotated[int, Field(ge=1)]


def summarize_latency(samples: Sequence[float]) -> LatencySummary:
    """Summarize at least one sample, in milliseconds."""
    return LatencySummary.from_samples(samples)


def compute_speed_ratio(first: Sequence[float], this: Sequence[float]) -> SpeedRatio:
    """Compute the speed of `this` relative to `first`, from their latencies in the same rounds.

    Rounds are paired, so that a slow moment of the machine cancels. The interval is that of the sign test, which only
    assumes that rounds are independent. The Android app computes the same: `schemas/vectors/ratios.json` has cases for
    every language.

    Args:
        first, this: One latency per round, in the same order, above 0.

    Raises:
        ValueError: If there are no rounds, or the numbers of rounds differ.
    """
    if not first or len(first) != len(this):
        raise ValueError(f"{len(first)} rounds beside {len(this)}")
    logs = sorted(log(a / b) for a, b in zip(first, this, strict=True))
    outside = find_interval_rank(len(logs))
    if outside == 0:
        return SpeedRatio(value=exp(median(logs)), low=0.0, high=float("inf"))
    return SpeedRatio(value=exp(median(logs)), low=exp(logs[outside - 1]), high=exp(logs[-outside]))


def estimate_median(rounds: Sequence[Sequence[float]], confidence: float = CONFIDENCE) -> _MedianEstimate:
    """Estimate the median of the rounds' medians, with its interval.

    Inferences of one round follow each other within milliseconds under the same conditions. A round therefore counts
    once, by its median. The interval is that of the sign test, from order statistics; it only assumes that rounds are
    independent. Source: W. R. Thompson, On confidence ranges for the median and other expectation
    distributions for populations of unknown distribution form, Annals of Mathematical Statistics 7 (1936) 122-128.

    Args:
        rounds: Samples of each round; empty ones do not count.
        confidence: The confidence of the interval, 0 to 1 (default: 0.95).

    Raises:
        ValueError: If there are no samples.
    """
    ordered = sorted(median(samples) for samples in rounds if samples)
    if not ordered:
        raise ValueError("no median of no samples")
    outside = find_interval_rank(len(ordered), confidence)
    ends = (ordered[outside - 1], ordered[-outside]) if outside else (None, None)
    return _MedianEstimate(value=median(ordered), low=ends[0], high=ends[1], rounds=len(ordered))


def find_interval_rank(count: int, confidence: float = CONFIDENCE) -> int:
    """Return the k for which the k-th smallest and k-th largest of `count` values enclose the median.

    It is the largest k with P(Binomial(count, 1/2) < k) <= (1 - confidence) / 2; 0 if even the extremes do not.
    """
    tail, weight, k = 0.0, 0.5**count, 0
    while tail + weight <= (1 - confidence) / 2:
        tail += weight
        k += 1
        weight *= (count - k + 1) / k
    return k
