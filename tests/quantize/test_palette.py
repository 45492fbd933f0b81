"""Palettes: the nearest entry stands for each value, the same every time, and hardly any palette would be better."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shvit_mobile.quantize.palette import palettize

SEEDS = st.integers(0, 2**31)
BITS = st.sampled_from([1, 2, 4, 6, 8])


def draw_weights(seed, count=20_000, dtype=np.float16, scale=0.05):
    """Weights as training leaves them: a narrow peak, and a few far out."""
    return (np.random.default_rng(seed).standard_t(4, count) * scale).astype(dtype)


def compute_error(values, entries, indices):
    return float(np.square(entries[indices].astype(np.float64) - values.astype(np.float64).ravel()).sum())


def find_least_error(values, size):
    """Of all palettes of a size, by dynamic programming over the sorted values."""
    values = np.sort(values.astype(np.float64))
    total, squares = (np.concatenate([[0], np.cumsum(values**power)]) for power in (1, 2))
    best = np.concatenate([[0], np.full(len(values), np.inf)])
    for _ in range(size):
        following = np.full(len(values) + 1, np.inf)
        for end in range(1, len(values) + 1):
            start = np.arange(end)
            spread = squares[end] - squares[start] - (total[end] - total[start]) ** 2 / (end - start)
            following[end] = (best[:end] + spread).min()
        best = following
    return best[-1]


@settings(max_examples=20, deadline=None)
@given(SEEDS, BITS)
def test_the_nearest_entry_stands_for_each_value(seed, bits):
    values = draw_weights(seed, 3000)
    entries, indices = palettize(values, bits)
    assert (entries.shape, entries.dtype, indices.dtype) == ((2**bits,), values.dtype, np.uint8)
    assert (np.diff(entries) >= 0).all()
    distances = np.abs(values[:, None].astype(np.float64) - entries.astype(np.float64))
    np.testing.assert_array_equal(distances[np.arange(len(values)), indices], distances.min(1))


@pytest.mark.parametrize(("bits", "excess"), [(2, 1.05), (4, 1.25)])
def test_hardly_any_palette_is_better(bits, excess):
    for seed in range(3):
        values = draw_weights(seed, 1000, np.float64)
        assert compute_error(values, *palettize(values, bits)) <= excess * find_least_error(values, 2**bits)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from([4, 6, 8]))
def test_it_is_better_than_even_steps(seed, bits):
    values = draw_weights(seed)
    steps = np.linspace(values.min(), values.max(), 2**bits)
    even = np.abs(values[:, None] - steps).min(1)
    assert compute_error(values, *palettize(values, bits)) < 0.7 * float(np.square(even).sum())


@settings(max_examples=20, deadline=None)
@given(SEEDS, BITS)
def test_few_values_are_kept_as_they_are(seed, bits):
    few = draw_weights(seed, 2**bits)
    values = np.random.default_rng(seed).choice(few, (7, 3, 2))
    entries, indices = palettize(values, bits)
    np.testing.assert_array_equal(entries[indices].reshape(values.shape), values)


def test_the_order_of_the_values_does_not_matter():
    values = draw_weights(0)
    entries, indices = palettize(values, 6)
    shuffled = np.random.default_rng(1).permutation(len(values))
    again, moved = palettize(values[shuffled], 6)
    np.testing.assert_array_equal(again, entries)
    np.testing.assert_array_equal(moved, indices[shuffled])
