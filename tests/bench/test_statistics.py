"""Percentiles are NumPy's, ratios are ratios, and intervals hold the truth as often as they say."""

import json
import random
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shvit_mobile.bench.statistics import compute_speed_ratio, find_interval_rank, summarize_latency
from shvit_mobile.contracts.device_report import compute_percentile, count_needed_samples

LATENCIES = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=60)


FOLDER = Path(__file__).parents[2] / "schemas" / "vectors"
VECTORS = json.loads((FOLDER / "percentiles.json").read_text(encoding="utf-8"))["cases"]
RATIOS = json.loads((FOLDER / "ratios.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_percentiles_are_those_that_the_apps_compute(case: dict[str, Any]) -> None:
    for wanted in case["percentiles"]:
        assert compute_percentile(case["samples"], wanted["share"]) == pytest.approx(wanted["expected"], rel=1e-9)


@pytest.mark.parametrize("case", RATIOS, ids=lambda case: f"{len(case['first'])} rounds")
def test_ratios_are_those_that_the_apps_compute(case: dict[str, Any]) -> None:
    found, wanted = compute_speed_ratio(case["first"], case["other"]), case["ratio"]
    assert (found.value, found.low) == pytest.approx((wanted["value"], wanted["low"]), rel=1e-9)
    assert found.high == pytest.approx(float(wanted["high"]), rel=1e-9)


@given(LATENCIES, st.floats(0, 100))
def test_a_percentile_is_numpys(samples: list[float], share: float) -> None:
    assert compute_percentile(samples, share) == pytest.approx(float(np.percentile(samples, share)), rel=1e-9)


@pytest.mark.parametrize(("samples", "share"), [([], 50), ([1.0], -1), ([1.0], 101)])
def test_there_is_no_such_percentile(samples: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        compute_percentile(samples, share)


def test_a_summary() -> None:
    latency = summarize_latency([3.0, 1.0, 2.0])
    assert (latency.samples, latency.p50, latency.mean, latency.least) == (3, 2.0, 2.0, 1.0)
    assert (latency.p90, latency.p95, latency.p99, latency.tail) == (None, None, None, 2.0)


@pytest.mark.parametrize(("share", "needed"), [(90, 100), (95, 200), (99, 1000)])
def test_a_percentile_is_stated_from_ten_samples_above_it_on(share: int, needed: int) -> None:
    assert count_needed_samples(share) == needed
    samples = [float(value) for value in range(1, needed + 1)]
    latency = summarize_latency(samples)
    assert getattr(latency, f"p{share}") == pytest.approx(np.percentile(samples, share))
    assert sum(sample > latency.tail for sample in samples) == 10
    assert getattr(summarize_latency(samples[:-1]), f"p{share}") is None


@given(LATENCIES, st.floats(0.1, 10))
def test_a_constant_ratio_is_found_exactly_whatever_the_machine_does(samples: list[float], factor: float) -> None:
    found = compute_speed_ratio([factor * sample for sample in samples], samples)
    assert found.value == pytest.approx(factor)
    assert found.low <= found.value * (1 + 1e-9)
    assert found.high >= found.value * (1 - 1e-9)
    if len(samples) >= 6:
        assert found.low == pytest.approx(factor)
        assert found.high == pytest.approx(factor)


@given(LATENCIES)
def test_a_ratio_turned_round_is_its_inverse(samples: list[float]) -> None:
    other = [sample * (1 + index % 3) for index, sample in enumerate(samples)]
    there, back = compute_speed_ratio(samples, other), compute_speed_ratio(other, samples)
    assert there.value == pytest.approx(1 / back.value)
    if len(samples) >= 6:
        assert there.low == pytest.approx(1 / back.high)


def test_five_rounds_are_too_few_for_an_interval() -> None:
    assert find_interval_rank(5) == 0
    assert find_interval_rank(6) == 1
    assert compute_speed_ratio([1.0] * 5, [1.0] * 5).high == float("inf")


@pytest.mark.parametrize("rounds", [9, 25])
def test_the_interval_holds_the_median_as_often_as_it_says(rounds: int) -> None:
    generator, held, trials = random.Random(0), 0, 1000
    for _ in range(trials):
        first = [exp(generator.gauss(log(2), 0.3)) for _ in range(rounds)]
        found = compute_speed_ratio(first, [1.0] * rounds)
        held += found.low <= 2 <= found.high
    assert held / trials >= 0.94


@pytest.mark.parametrize(("first", "this"), [([], []), ([1.0], [1.0, 2.0])])
def test_rounds_that_do_not_pair_are_refused(first: list[float], this: list[float]) -> None:
    with pytest.raises(ValueError, match="rounds beside"):
        compute_speed_ratio(first, this)
