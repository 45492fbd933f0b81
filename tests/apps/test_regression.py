"""A slowdown is judged by an interval that holds the truth as often as it says, though samples of a round are alike."""

from __future__ import annotations

from math import exp, log
from random import Random

import pytest

from shvit_mobile.apps.regression import MIN_ROUNDS, Slowdown, estimate_slowdown, evaluate_slowdown
from shvit_mobile.bench.statistics import estimate_median, find_interval_rank

TRIALS = 1000
Rounds = list[list[float]]


def run(draws: Random, typical: float, rounds: int, spread: float, tail: float = 0.0) -> Rounds:
    """A run around `typical` whose rounds differ by `spread`, and whose samples inside a round hardly do."""
    conditions = [exp(draws.gauss(log(typical), spread)) * (3 if draws.random() < tail else 1) for _ in range(rounds)]
    return [[condition * draws.uniform(0.999, 1.001) for _ in range(9)] for condition in conditions]


@pytest.mark.parametrize(("before", "after"), [(12, 12), (7, 30), (20, 20)])
def test_the_interval_holds_the_ratio_whatever_the_two_distributions_are(before: int, after: int) -> None:
    draws, held = Random(0), 0
    for _ in range(TRIALS):
        found = estimate_slowdown(run(draws, 2.0, before, 0.02), run(draws, 2.2, after, 0.1))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 1.1 <= found.high
    assert held / TRIALS >= 0.95


def test_samples_of_one_round_are_not_counted_as_if_each_told_something_new() -> None:
    draws, by_rounds, pooled = Random(1), 0, 0
    for _ in range(TRIALS):
        rounds = run(draws, 2.0, 12, 0.05)
        ours = estimate_median(rounds)
        naive = estimate_median([[sample] for samples in rounds for sample in samples])
        assert ours.low is not None
        assert ours.high is not None
        assert naive.low is not None
        assert naive.high is not None
        by_rounds += ours.low <= 2 <= ours.high
        pooled += naive.low <= 2 <= naive.high
    assert by_rounds / TRIALS >= 0.95
    assert pooled / TRIALS < 0.75, "the samples of this test are not correlated, so it shows nothing"


def test_a_few_rounds_that_were_interrupted_do_not_move_the_verdict() -> None:
    draws = Random(2)
    calm, interrupted = run(draws, 2.0, 20, 0.005), run(draws, 2.0, 20, 0.005, tail=0.15)
    assert max(samples[0] for samples in interrupted) > 5, "no round of this test was interrupted"
    assert evaluate_slowdown(estimate_slowdown(calm, interrupted), 0.05) == "within"


def test_the_same_run_is_no_slower_than_itself_and_a_slower_one_is_by_what_it_is() -> None:
    rounds = run(Random(3), 2.0, 12, 0.02)
    same = estimate_slowdown(rounds, rounds)
    assert same.value == 1
    assert same.low is not None
    assert same.high is not None
    assert same.low * same.high == pytest.approx(1)
    slower = estimate_slowdown(rounds, [[1.25 * sample for sample in samples] for samples in rounds])
    assert (slower.value, slower.low, slower.high) == pytest.approx((1.25, 1.25 * same.low, 1.25 * same.high))


def test_too_few_rounds_leave_it_open() -> None:
    enough, few = run(Random(4), 2.0, MIN_ROUNDS, 0.01), run(Random(5), 4.0, MIN_ROUNDS - 1, 0.01)
    assert estimate_slowdown(enough, enough).low is not None
    found = estimate_slowdown(enough, few)
    assert (found.low, found.high) == (None, None)
    assert evaluate_slowdown(found, 0.05) == "open"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.06, 1.2, "slower"),
        (1.01, 1.2, "open"),
        (0.9, 1.04, "within"),
        (0.5, 0.6, "within"),
        # A figure that equals its limit passes.
        (1.05, 1.2, "open"),
        (1.0, 1.05, "within"),
    ],
)
def test_only_a_whole_interval_past_the_limit_fails(low: float, high: float, verdict: str) -> None:
    assert evaluate_slowdown(Slowdown(value=(low + high) / 2, low=low, high=high), 0.05) == verdict


def test_more_confidence_needs_more_rounds() -> None:
    assert [find_interval_rank(count, 0.9) for count in (4, 5)] == [0, 1]
    assert [find_interval_rank(count, 0.99) for count in (7, 8)] == [0, 1]


def test_empty_rounds_do_not_count_and_no_rounds_have_no_median() -> None:
    assert estimate_median([[3.0, 1.0], [], [5.0]]).rounds == 2
    with pytest.raises(ValueError, match="no median"):
        estimate_median([[]])
