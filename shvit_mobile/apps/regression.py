"""Decides with an interval whether a later run is slower than an earlier one."""

from collections.abc import Sequence
from math import sqrt
from typing import Literal

from shvit_mobile.bench.statistics import CONFIDENCE, estimate_median, find_interval_rank
from shvit_mobile.contracts.document import Contract

# Two independent intervals of this confidence both hold with `CONFIDENCE`.
_PER_RUN_CONFIDENCE = sqrt(CONFIDENCE)
MIN_ROUNDS = next(count for count in range(1, 100) if find_interval_rank(count, _PER_RUN_CONFIDENCE))

SlowdownVerdict = Literal["within", "slower", "open"]


class Slowdown(Contract):
    """The latency of a later run relative to an earlier one, with its 95% interval.

    Attributes:
        value: The median round of the later run over that of the earlier one; above 1 is slower.
        low, high: The ends of the interval; None if a run has fewer than `MIN_ROUNDS` rounds.
    """

    value: float
    low: float | None
    high: float | None


def evaluate_slowdown(slowdown: Slowdown, limit: float) -> SlowdownVerdict:
    """Return "slower" if the whole interval is above the limit (0.05 is 5%), "within" if none is, otherwise "open"."""
    if slowdown.low is None or slowdown.high is None:
        return "open"
    if slowdown.low > 1 + limit:
        return "slower"
    return "within" if slowdown.high <= 1 + limit else "open"


def estimate_slowdown(earlier: Sequence[Sequence[float]], later: Sequence[Sequence[float]]) -> Slowdown:
    """Estimate the later run's median round relative to the earlier one's.

    Rounds of separate runs are not paired. Each median gets its own interval (`estimate_median`) with confidence
    sqrt(95%). The runs are independent, so that both hold with 95%, and the ratio of the medians lies between the
    ratios of their opposite ends: Sidak's combination of intervals (Z. Sidak, Journal of the American Statistical
    Association 62 (1967) 626-633). It assumes no distribution and is conservative. It does not include what is constant
    within a run and differs between runs, such as the temperature of the room.

    Args:
        earlier, later: Samples of each round, in milliseconds, above 0.

    Raises:
        ValueError: If a run has no samples.
    """
    before, after = estimate_median(earlier, _PER_RUN_CONFIDENCE), estimate_median(later, _PER_RUN_CONFIDENCE)
    value = after.value / before.value
    if before.low is None or before.high is None or after.low is None or after.high is None:
        return Slowdown(value=value, low=None, high=None)
    return Slowdown(value=value, low=after.low / before.high, high=after.high / before.low)
