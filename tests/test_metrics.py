"""The figures of drift against plain float64 formulas, and what must be loud."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shvit_mobile import metrics
from shvit_mobile.errors import BadArtifact, BadCheckpoint, BadImages, InvalidValue, ShapeMismatch
from shvit_mobile.metrics import (
    compare_top1_classes,
    compute_agreement,
    compute_max_abs_error,
    compute_mean_kl,
    find_topk_hits,
    sqnr,
)

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 8))
VALUES = st.floats(-100, 100, width=32)


@st.composite
def pairs(draw):
    shape = draw(SHAPES)
    return tuple(draw(arrays(np.float32, shape, elements=VALUES)) for _ in range(2))


@given(
    st.integers(0, 10_000),
    st.floats(-60, 60),
    st.floats(1e-3, 1e3),
)
def test_sqnr_of_noise_of_a_known_power_is_its_ratio_in_db(seed, decibels, scale):
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=(5, 7)) * scale
    noise = rng.normal(size=(5, 7))
    noise *= np.linalg.norm(reference) / np.linalg.norm(noise) * 10 ** (-decibels / 20)
    assert sqnr(reference, reference + noise) == pytest.approx(decibels, abs=1e-6)


@given(pairs(), st.sampled_from([0.25, 2.0, 1024.0]))
def test_sqnr_does_not_change_with_a_common_scale(pair, scale):
    # In float64: the smallest float32 numbers would become zero.
    reference, actual = (array.astype(np.float64) for array in pair)
    assert sqnr(reference * scale, actual * scale) == pytest.approx(sqnr(reference, actual), abs=1e-9)


def test_sqnr_is_infinite_only_where_the_logits_are_equal():
    reference = np.ones((3, 4), np.float32)
    nearly = reference.copy()
    nearly[2, 3] = np.nextafter(np.float32(1), np.float32(2))
    assert sqnr(reference, reference) == math.inf
    assert 140 < sqnr(reference, nearly) < 160
    assert sqnr(np.zeros((3, 4)), reference) == -math.inf
    assert sqnr(np.zeros((3, 4)), np.zeros((3, 4))) == math.inf


def test_figures_are_computed_in_float64_and_do_not_overflow():
    reference = np.full((2, 3), 3e38, np.float32)
    actual = -reference
    assert sqnr(reference, actual) == pytest.approx(-20 * math.log10(2))
    assert compute_max_abs_error(reference, actual) == pytest.approx(6e38, rel=1e-6)
    halves = np.full((2, 3), 60_000, np.float16)
    assert compute_max_abs_error(halves, -halves) == pytest.approx(120_000, rel=1e-3)


@given(pairs())
def test_the_largest_error_is_that_of_some_logit(pair):
    reference, actual = (array.astype(np.float64) for array in pair)
    error = compute_max_abs_error(*pair)
    assert error in np.abs(reference - actual)
    assert (np.abs(reference - actual) <= error).all()


@given(pairs())
def test_mean_kl_is_not_negative_and_equals_the_definition(pair):
    expected = 0.0
    for r, a in zip(*(array.astype(np.float64).tolist() for array in pair), strict=True):
        p = [math.exp(x - max(r)) for x in r]
        log_q = [x - max(a) - math.log(math.fsum(math.exp(y - max(a)) for y in a)) for x in a]
        total = math.fsum(p)
        expected += math.fsum(x / total * (math.log(x / total) - q) for x, q in zip(p, log_q, strict=True) if x)
    measured = compute_mean_kl(*pair)
    assert measured >= 0
    assert measured == pytest.approx(expected / len(pair[0]), rel=1e-9, abs=1e-12)


@given(pairs(), st.floats(-50, 50, width=32))
def test_mean_kl_and_agreement_do_not_see_a_constant_added_to_an_image(pair, constant):
    reference, actual = (array.astype(np.float64).round(3) for array in pair)
    shifted = (actual + round(constant, 3)).round(3)
    assert compute_mean_kl(reference, shifted) == pytest.approx(compute_mean_kl(reference, actual), rel=1e-6, abs=1e-9)
    assert compute_agreement(reference, shifted) == compute_agreement(reference, actual)


def test_rounding_never_makes_a_divergence_negative():
    rng = np.random.default_rng(0)
    for reference in rng.normal(size=(300, 1, 10)) * 3:
        assert compute_mean_kl(reference, reference + 0.1) >= 0


def test_mean_kl_has_its_direction_and_its_unit():
    sure, unsure = np.log([[0.75, 0.25]]), np.log([[0.5, 0.5]])
    assert compute_mean_kl(sure, unsure) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert compute_mean_kl(unsure, sure) == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2))
    assert compute_mean_kl(np.array([[0.0, 0.0]]), np.array([[0.0, 1e4]])) == pytest.approx(5e3 - math.log(2))


@given(pairs(), st.randoms(use_true_random=False))
def test_no_figure_depends_on_the_order_of_images_or_classes(pair, random):
    reference, actual = pair
    rows, columns = list(range(reference.shape[0])), list(range(reference.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    other = [array[rows][:, columns] for array in pair]
    assert sqnr(*other) == pytest.approx(sqnr(reference, actual), abs=1e-9)
    assert compute_max_abs_error(*other) == compute_max_abs_error(reference, actual)
    assert compute_mean_kl(*other) == pytest.approx(compute_mean_kl(reference, actual), rel=1e-9, abs=1e-12)
    assert compute_agreement(*(array[rows] for array in pair)) == compute_agreement(reference, actual)


def test_agreement_counts_the_images_with_the_same_argmax():
    reference = np.eye(5, dtype=np.float32)
    actual = reference.copy()
    actual[1] = [9, 0, 0, 0, 0]
    assert compare_top1_classes(reference, actual).tolist() == [True, False, True, True, True]
    assert compute_agreement(reference, actual) == 0.8


@given(pairs(), st.integers(1, 10), st.data())
def test_topk_hits_are_those_of_a_stable_sort(pair, k, data):
    logits = pair[0].round(0)
    labels = data.draw(arrays(np.int64, len(logits), elements=st.integers(0, logits.shape[1] - 1)))
    order = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    expected = [label in chosen for label, chosen in zip(labels, order, strict=True)]
    assert find_topk_hits(logits, labels, k).tolist() == expected
    assert (find_topk_hits(logits, labels, 1) == (logits.argmax(1) == labels)).all()


def test_a_dead_artifact_does_not_hit_every_label():
    dead = np.zeros((10, 10), np.float32)
    assert np.count_nonzero(find_topk_hits(dead, np.arange(10), 1)) == 1
    assert np.count_nonzero(find_topk_hits(dead, np.arange(10), 5)) == 5


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "figure", [sqnr, compute_max_abs_error, compute_mean_kl, compute_agreement, compare_top1_classes]
)
def test_a_logit_that_is_not_finite_is_refused(figure, poison):
    good = np.ones((4, 3), np.float32)
    bad = good.copy()
    bad[2, 1] = poison
    with pytest.raises(BadArtifact, match=r"artifact's logits are not finite for 1 of 4 images.*number 2"):
        figure(good, bad)
    with pytest.raises(BadCheckpoint, match="float model's logits are not finite"):
        figure(bad, good)
    with pytest.raises(BadArtifact):
        find_topk_hits(bad, np.zeros(4, np.int64), 1)


@pytest.mark.parametrize(
    "figure", [sqnr, compute_max_abs_error, compute_mean_kl, compute_agreement, compare_top1_classes]
)
def test_shapes_that_differ_and_nothing_at_all_are_refused(figure):
    with pytest.raises(ShapeMismatch, match=r"\(4, 2\).*\(4, 3\)"):
        figure(np.ones((4, 3)), np.ones((4, 2)))
    with pytest.raises(ShapeMismatch):
        figure(np.ones(4), np.ones(4))
    with pytest.raises(ShapeMismatch):
        figure(np.ones((4, 0)), np.ones((4, 0)))
    with pytest.raises(BadImages, match="no images"):
        figure(np.ones((0, 3)), np.ones((0, 3)))


def test_labels_that_are_no_classes_are_refused():
    logits = np.ones((3, 4))
    for labels in ([0, 4, 1], [0, -1, 1]):
        with pytest.raises(BadImages, match=r"1 of 3 images.*number 1"):
            find_topk_hits(logits, np.array(labels), 1)
    with pytest.raises(ShapeMismatch):
        find_topk_hits(logits, np.array([0, 1]), 1)
    with pytest.raises(BadImages, match="float64"):
        find_topk_hits(logits, np.array([0.0, 1.0, 2.0]), 1)
    with pytest.raises(InvalidValue) as refused:
        find_topk_hits(logits, np.array([0, 1, 2]), 0)
    assert refused.value.parameter == "k"


@settings(max_examples=30)
@given(pairs(), st.integers(1, 4))
def test_figures_do_not_depend_on_the_size_of_a_block(pair, size):
    whole = [figure(*pair) for figure in (sqnr, compute_max_abs_error, compute_mean_kl)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "BLOCK", size)
        assert [figure(*pair) for figure in (sqnr, compute_max_abs_error, compute_mean_kl)] == pytest.approx(
            whole, rel=1e-9, abs=1e-12
        )
