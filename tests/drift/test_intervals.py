"""Intervals and the exact test against published tables, brute force and their own definitions."""

from __future__ import annotations

from fractions import Fraction
from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shvit_mobile.drift.intervals import (
    Z95,
    compute_binomial_tail,
    compute_drop_interval,
    compute_mcnemar_test,
    compute_score_variance,
    compute_wilson_interval,
    estimate_images_for_drop,
    estimate_images_for_proportion,
    estimate_proportion,
)
from shvit_mobile.errors import BadImages, InvalidValue


@st.composite
def counts(draw, most=2000):
    images = draw(st.integers(1, most))
    return draw(st.integers(0, images)), images


@st.composite
def tables(draw, most=300):
    images = draw(st.integers(1, most))
    lost = draw(st.integers(0, images))
    return lost, draw(st.integers(0, images - lost)), images


# Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3.
@pytest.mark.parametrize(
    ("hits", "images", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_newcombes_published_intervals(hits, images, low, high):
    interval = compute_wilson_interval(hits, images)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)
    assert interval.value == hits / images


@given(counts())
def test_wilson_holds_the_share_stays_in_range_and_mirrors(count):
    hits, images = count
    interval, mirrored = compute_wilson_interval(hits, images), compute_wilson_interval(images - hits, images)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.low < interval.high
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((interval.low, interval.high), abs=1e-12)


@given(counts())
def test_the_ends_of_wilson_are_the_shares_a_score_test_just_accepts(count):
    hits, images = count
    interval = compute_wilson_interval(hits, images)
    for end in (interval.low, interval.high):
        if 0 < end < 1:
            assert abs(hits / images - end) / sqrt(end * (1 - end) / images) == pytest.approx(Z95, rel=1e-6)


def test_share_counts_the_hits():
    assert estimate_proportion(np.array([True, False, True, True])) == compute_wilson_interval(3, 4)
    with pytest.raises(BadImages):
        estimate_proportion(np.array([], dtype=bool))
    for hits in (-1, 5):
        with pytest.raises(InvalidValue):
            compute_wilson_interval(hits, 4)


# Complete response before and after consolidation therapy (Cavo et al. 2012), 59, 6, 16, 80, as analysed in
# Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables (2017), chapter 8.
def test_mcnemar_and_the_interval_give_the_figures_published_for_a_paired_table():
    assert compute_mcnemar_test(6, 16).p_value == pytest.approx(0.052479, abs=5e-7)
    assert compute_drop_interval(6, 16, 161) == pytest.approx((-12.40, -0.54), abs=5e-3)


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_exact_binomial(lost, gained):
    trials, smaller = lost + gained, min(lost, gained)
    exact = min(Fraction(1), Fraction(2 * sum(comb(trials, i) for i in range(smaller + 1)), 2**trials))
    test = compute_mcnemar_test(lost, gained)
    assert (test.lost, test.gained) == (lost, gained)
    assert test.p_value == pytest.approx(float(exact), rel=1e-10)
    assert 0 < test.p_value <= 1
    assert compute_mcnemar_test(gained, lost).p_value == test.p_value


def test_mcnemar_knows_that_nothing_lost_is_no_evidence_and_bears_large_counts():
    assert compute_mcnemar_test(0, 0).p_value == 1
    assert compute_mcnemar_test(7, 7).p_value == 1
    assert compute_mcnemar_test(5, 0).p_value == pytest.approx(2 / 32)
    assert compute_mcnemar_test(500_000, 500_000).p_value == 1
    # Normal approximation with correction for continuity: z = (1999 / sqrt(1 002 000)).
    assert compute_mcnemar_test(500_000, 502_000).p_value == pytest.approx(0.045833, rel=1e-3)
    assert compute_mcnemar_test(0, 5000).p_value < 1e-300


@given(tables())
def test_the_interval_holds_the_drop_stays_in_range_and_mirrors(table):
    lost, gained, images = table
    low, high = compute_drop_interval(lost, gained, images)
    drop = 100 * (lost - gained) / images
    assert -100 <= low <= drop + 1e-9
    assert drop - 1e-9 <= high <= 100
    assert low < high
    swapped = compute_drop_interval(gained, lost, images)
    assert (-swapped[1], -swapped[0]) == pytest.approx((low, high), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(tables(most=60))
def test_the_interval_is_the_set_of_differences_that_a_score_test_accepts(table):
    lost, gained, images = table
    low, high = compute_drop_interval(lost, gained, images)
    for difference in np.linspace(-0.999, 0.999, 200).tolist():
        variance = compute_likeliest_variance(lost, gained, images, difference)
        statistic = abs(lost - gained - images * difference) / sqrt(variance)
        if abs(statistic - Z95) > 1e-3:
            assert (low < 100 * difference < high) == (statistic < Z95)


def compute_likeliest_variance(lost, gained, images, difference):
    """Tango's variance with the nuisance probability from a search for the largest likelihood, not from his formula."""
    width = (1 - abs(difference)) / 2
    lose, gain = max(0.0, difference), max(0.0, -difference)

    def rises(part):
        both_or_neither = (images - lost - gained) / (width * (1 - part))
        return lost / (lose + width * part) + gained / (gain + width * part) > both_or_neither

    least, most = 0.0, 1.0
    for _ in range(45):
        middle = (least + most) / 2
        least, most = (middle, most) if rises(middle) else (least, middle)
    return images * (lose + gain + 2 * width * least - difference**2)


@given(tables(), st.floats(-0.99, 0.99))
def test_the_score_variance_is_that_of_the_likeliest_table(table, difference):
    lost, gained, images = table
    expected = compute_likeliest_variance(lost, gained, images, difference)
    assert compute_score_variance(lost, gained, images, difference) == pytest.approx(
        expected, rel=1e-6, abs=1e-7 * images
    )


def test_images_without_a_single_loss_still_leave_a_doubt():
    for images in (10, 500, 50_000):
        widest = 100 * Z95**2 / (images + Z95**2)
        assert compute_drop_interval(0, 0, images) == pytest.approx((-widest, widest))


def test_more_images_of_the_same_kind_narrow_the_interval():
    widths = [high - low for low, high in (compute_drop_interval(3 * n, n, 500 * n) for n in (1, 4, 16, 64))]
    assert widths == sorted(widths, reverse=True)
    assert widths[2] / widths[3] == pytest.approx(2, rel=0.05)


def test_impossible_counts_are_refused():
    with pytest.raises(BadImages):
        compute_drop_interval(0, 0, 0)
    with pytest.raises(InvalidValue, match="6 and 5 of 10 images"):
        compute_drop_interval(6, 5, 10)
    with pytest.raises(InvalidValue):
        compute_drop_interval(-1, 0, 10)
    with pytest.raises(InvalidValue):
        compute_mcnemar_test(3, -1)


@given(tables(), st.integers(1, 40), st.floats(-5, 60))
def test_so_many_images_put_the_drop_inside_the_limit_and_fewer_do_not(table, times, limit):
    lost, gained, images = table
    needed = estimate_images_for_drop(lost, gained, images, limit)
    room = limit - 100 * (lost - gained) / images
    assume(abs(room) > 1e-6)
    assert (needed is None) == (room < 0)
    # As many times the images, so many times the counts: the same shares, in whole numbers.
    upper = compute_drop_interval(times * lost, times * gained, times * images)[1]
    if abs(upper - limit) > 1e-6:
        assert (upper < limit) == (needed is not None and times * images >= needed)


@given(tables(), st.floats(0, 50), st.floats(0, 50))
def test_a_wider_budget_never_takes_more_images(table, limit, other):
    narrow, wide = (estimate_images_for_drop(*table, budget) for budget in sorted((limit, other)))
    assert narrow is None or (wide is not None and wide <= narrow)


@given(st.integers(1, 3000), st.floats(0.05, 50))
def test_without_a_single_loss_the_last_image_that_is_needed_is_known_exactly(images, limit):
    needed = estimate_images_for_drop(0, 0, images, limit)
    assert needed == estimate_images_for_drop(0, 0, 1, limit), "how many were seen does not matter, since none was lost"
    assert compute_drop_interval(0, 0, needed)[1] <= limit + 1e-9
    assert needed == 1 or compute_drop_interval(0, 0, needed - 1)[1] > limit - 1e-9


def test_the_images_that_a_drop_of_half_a_point_takes():
    assert estimate_images_for_drop(0, 0, 500, 0.5) == 765
    assert estimate_images_for_drop(5, 5, 1000, 1.0) == estimate_images_for_drop(50, 50, 10_000, 1.0)
    assert estimate_images_for_drop(5, 0, 1000, 0.5) is None, "the drop is the budget: more images never leave room"
    assert estimate_images_for_drop(0, 9, 1000, 0.0) is not None, "a gain may be shown to be no loss"
    assert estimate_images_for_drop(0, 0, 1, 100.0) == 1
    with pytest.raises(InvalidValue):
        estimate_images_for_drop(6, 5, 10, 0.5)


@given(counts(), st.integers(1, 40), st.floats(0, 1))
def test_so_many_images_put_a_share_above_the_limit_and_fewer_do_not(count, times, limit):
    hits, images = count
    needed = estimate_images_for_proportion(hits, images, limit)
    assume(abs(hits / images - limit) > 1e-6)
    assert (needed is None) == (hits / images < limit)
    low = compute_wilson_interval(times * hits, times * images).low
    if abs(low - limit) > 1e-9:
        assert (low > limit) == (needed is not None and times * images >= needed)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9])
def test_a_binomial_tail_is_the_exact_sum(share):
    for trials in (1, 14, 200):
        exact = Fraction(0)
        for most in range(trials):
            exact += comb(trials, most) * Fraction(share) ** most * (1 - Fraction(share)) ** (trials - most)
            assert compute_binomial_tail(most, trials, share) == pytest.approx(float(exact), rel=1e-9, abs=1e-15)
        assert compute_binomial_tail(trials, trials, share) == 1
