"""Whether a later run is slower than an earlier one, decided on an interval and not on one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Literal

from shvit_mobile.bench.statistics import CONFIDENCE, estimate_median, find_interval_rank
from shvit_mobile.contracts.document import Contract
from shvit_mobile.errors import InvalidConfig

# Two independent intervals that each hold with this confidence hold both with `CONFIDENCE`.
PER_RUN_CONFIDENCE = sqrt(CONFIDENCE)
MIN_ROUNDS = next(count for count in range(1, 100) if find_interval_rank(count, PER_RUN_CONFIDENCE))

SlowdownVerdict = Literal["within", "slower", "open"]


class Slowdown(Contract):
    """How many times as long the later run takes, and the interval that holds it with 95% confidence.

    Attributes:
        value: the later run's typical round over the earlier one's; above 1 is slower.
        low, high: the interval's ends; None where a run has fewer than `MIN_ROUNDS` rounds.
    """

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class SlowdownGate:
    """How much slower a later run may be.

    Attributes:
        limit: 0.05 for 5%.

    Raises:
        InvalidConfig: the limit is negative or not finite.
    """

    limit: float

    def __post_init__(self) -> None:
        if not isfinite(self.limit) or self.limit < 0:
            raise InvalidConfig(f"max-slowdown is {self.limit:g}.", why="It is a share, at least 0: 5% is 0.05.")

    def evaluate(self, slowdown: Slowdown) -> SlowdownVerdict:
        """ "slower" where the whole interval is past the limit, "within" where none of it is, else "open"."""
        if slowdown.low is None or slowdown.high is None:
            return "open"
        if slowdown.low > 1 + self.limit:
            return "slower"
        return "within" if slowdown.high <= 1 + self.limit else "open"


def estimate_slowdown(earlier: Sequence[Sequence[float]], later: Sequence[Sequence[float]]) -> Slowdown:
    """The later run's typical round over the earlier one's.

    The runs were made apart from each other, so that no round of one belongs to a round of the other. Each median gets
    its own interval (`estimate_median`) with confidence sqrt(95%); the runs being independent, both hold with 95%, and
    then the ratio of the medians lies between the ratios of their far ends. That is Sidak's way of combining intervals
    (Z. Sidak, Journal of the American Statistical Association 62 (1967) 626-633), in its plain case of independence.
    It assumes neither a distribution nor that both runs have the same one, and holds the truth more often than it
    says. What is the same for a whole run and differs between runs, such as a warmer room, is not in any run's rounds,
    and so not in the interval.

    Args:
        earlier, later: samples of each round, in milliseconds, above 0.

    Raises:
        ValueError: a run has no samples.
    """
    before, after = estimate_median(earlier, PER_RUN_CONFIDENCE), estimate_median(later, PER_RUN_CONFIDENCE)
    value = after.value / before.value
    if before.low is None or before.high is None or after.low is None or after.high is None:
        return Slowdown(value=value, low=None, high=None)
    return Slowdown(value=value, low=after.low / before.high, high=after.high / before.low)
