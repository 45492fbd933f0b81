"""Observers: what range they make of values, however the values come in."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from shvit_mobile.contracts.recipe import ACTIVATION_SCHEMES, OBSERVERS, ActivationScheme, ObserverName
from shvit_mobile.quantize.affine import ACTIVATION_MAX, ACTIVATION_MIN, choose_affine_parameters
from shvit_mobile.quantize.observers import BINS, PERCENTILE_TAIL, Histogram, create_observer

SEEDS = st.integers(0, 2**31)
SCALES = st.floats(-6, 6).map(lambda exponent: 10.0**exponent)


def draw_heavy_tailed(seed: int, scale: float, shift: float = 0.0, count: int = 40_000) -> Tensor:
    """Values like those of a residual stream: most of them small, a few far out."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(count, generator=generator)
    return scale * (values + 0.2 * values**3 + shift)


def compute_mean_squared_error(values: Tensor, ends: tuple[float, float], activations: ActivationScheme) -> float:
    kept = choose_affine_parameters(*ends, activations)
    steps = ((values.double() / kept.scale).round() + kept.zero_point).clamp(ACTIVATION_MIN, ACTIVATION_MAX)
    return float(((steps - kept.zero_point) * kept.scale - values).square().mean())


@settings(max_examples=25, deadline=None)
@given(SEEDS, SCALES, st.floats(-3, 3))
def test_min_max_is_exact(seed: int, scale: float, shift: float) -> None:
    values, seen = draw_heavy_tailed(seed, scale, shift), create_observer("min-max")
    for part in values.chunk(3):
        seen.update(part)
    assert seen.compute_range() == (float(values.min()), float(values.max()))


@pytest.mark.parametrize("name", OBSERVERS)
@settings(max_examples=10, deadline=None)
@given(SEEDS, SCALES)
def test_the_order_of_the_values_does_not_matter(name: ObserverName, seed: int, scale: float) -> None:
    values = draw_heavy_tailed(seed, scale, count=4000)
    ranges = set()
    for parts in (values.sort().values.chunk(7), values.chunk(2), (values.reshape(4, -1),)):
        seen = create_observer(name)
        for part in parts:
            seen.update(part)
        ranges.add(seen.compute_range())
    assert len(ranges) == 1


@settings(max_examples=25, deadline=None)
@given(SEEDS, SCALES, st.floats(-3, 3))
def test_a_percentile_is_within_a_bin_of_the_exact_one(seed: int, scale: float, shift: float) -> None:
    values, seen = draw_heavy_tailed(seed, scale, shift), create_observer("percentile")
    for part in values.chunk(5):
        seen.update(part)
    low, high = seen.compute_range()
    bin_width = 2 * float(values.abs().max()) / BINS
    ordered = values.sort().values.double()
    outside = int(len(values) * PERCENTILE_TAIL)
    assert outside == 2
    assert float(ordered[outside - 1]) - bin_width <= low <= float(ordered[outside + 1])
    assert float(ordered[-outside - 2]) <= high <= float(ordered[-outside]) + bin_width
    assert low >= float(values.min())
    assert high <= float(values.max())


@pytest.mark.parametrize("activations", ACTIVATION_SCHEMES)
@settings(max_examples=15, deadline=None)
@given(SEEDS, st.floats(-2, 6).map(lambda exponent: 10.0**exponent), st.floats(-2, 2))
def test_least_error_is_less_than_that_of_the_whole_range(
    activations: ActivationScheme, seed: int, scale: float, shift: float
) -> None:
    values = draw_heavy_tailed(seed, scale, shift)
    least, whole = create_observer("mse", activations), create_observer("min-max")
    least.update(values)
    whole.update(values)
    # The histogram knows values to a part of a step: a per mille of the error is below what it can tell apart.
    errors = [compute_mean_squared_error(values, seen.compute_range(), activations) for seen in (least, whole)]
    assert errors[0] <= errors[1] * 1.001


def test_least_error_cuts_off_one_outlier() -> None:
    values = torch.cat([torch.linspace(0, 1, 1_000_000), torch.tensor([3.0])])
    seen = create_observer("mse")
    seen.update(values)
    assert 0.9 < seen.compute_range()[1] < 2.5


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(SEEDS, SCALES), min_size=1, max_size=6))
def test_a_histogram_loses_no_value_when_its_reach_grows(parts: list[tuple[int, float]]) -> None:
    histogram, everything = Histogram(), [draw_heavy_tailed(seed, scale, count=500) for seed, scale in parts]
    for values in everything:
        histogram.update(values)
    values = torch.cat(everything).double()
    assert histogram.counts.sum() == len(values)
    assert histogram.counts[BINS:].sum() == (values >= 0).sum()
    assert histogram.reach / 2 <= float(values.abs().max()) < histogram.reach
    last = int(histogram.counts.nonzero()[-1])
    assert float(histogram.edges[last]) <= float(values.max()) < float(histogram.edges[last + 1])


@pytest.mark.parametrize("name", OBSERVERS)
def test_values_that_are_all_zero_have_a_range(name: ObserverName) -> None:
    seen = create_observer(name)
    seen.update(torch.zeros(3, 4))
    assert seen.compute_range() == (0.0, 0.0)
