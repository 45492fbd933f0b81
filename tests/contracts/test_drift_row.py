"""One row from two arrays of logits: planted differences come out as exactly the figures they are."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.drift.compare import build_drift_row
from shvit_mobile.drift.intervals import compute_drop_interval, compute_mcnemar_test, compute_wilson_interval
from shvit_mobile.errors import BadArtifact, BadCheckpoint, BadImages, ShapeMismatch

IDENTITY = {
    "artifact": "tiny-64-onnx-int8.onnx",
    "target": "onnx",
    "precision": "int8",
    "execution": "native",
    "engine": "onnxruntime 1.23",
}
IMAGES, CLASSES = 200, 10


@pytest.fixture
def answers():
    """Float logits whose winner leads by at least 1, and labels of which the float model gets 150 of 200 right."""
    rng = np.random.default_rng(3)
    logits = rng.uniform(-1, 1, (IMAGES, CLASSES)).astype(np.float32)
    winners = rng.integers(0, CLASSES, IMAGES)
    logits[np.arange(IMAGES), winners] = 2
    labels = winners.copy()
    labels[150:] = (winners[150:] + 1) % CLASSES
    return logits, labels


def choose(logits, images, classes):
    """The logits with `classes` made the winners of `images`, by 5 over everything else."""
    changed = logits.copy()
    changed[images, classes] = 7
    return changed


def test_equal_answers_have_no_drift(answers):
    logits, labels = answers
    figures = build_drift_row(logits, logits.copy(), labels, **IDENTITY, skipped=3)
    assert (figures.images, figures.skipped, figures.engine) == (200, 3, "onnxruntime 1.23")
    assert figures.sqnr_db == math.inf
    assert figures.max_abs_error == figures.mean_kl == figures.top1_drop == 0
    assert figures.agreement == compute_wilson_interval(200, 200)
    assert figures.top1 == figures.float_top1 == compute_wilson_interval(150, 200)
    assert figures.mcnemar == compute_mcnemar_test(0, 0)


def test_planted_mistakes_come_out_as_exactly_so_many(answers):
    logits, labels = answers
    wrong = (labels + 3) % CLASSES
    lost, gained, other = np.arange(10), np.arange(150, 154), np.arange(160, 167)
    changed = choose(choose(choose(logits, lost, wrong[lost]), gained, labels[gained]), other, wrong[other])
    figures = build_drift_row(logits, changed, labels, **IDENTITY)
    assert figures.agreement == compute_wilson_interval(200 - 10 - 4 - 7, 200)
    assert figures.float_top1 == compute_wilson_interval(150, 200)
    assert figures.top1 == compute_wilson_interval(144, 200)
    assert figures.top1_drop == 3.0
    assert figures.top1_drop_interval == compute_drop_interval(10, 4, 200)
    assert figures.mcnemar == compute_mcnemar_test(10, 4)
    difference = changed.astype(np.float64) - logits
    assert figures.max_abs_error == np.abs(difference).max()
    signal = np.sum(logits.astype(np.float64) ** 2)
    assert figures.sqnr_db == pytest.approx(10 * math.log10(signal / np.sum(difference**2)))
    assert figures.mean_kl > 0.1


def test_a_better_artifact_has_a_negative_drop(answers):
    logits, labels = answers
    gained = np.arange(150, 160)
    figures = build_drift_row(logits, choose(logits, gained, labels[gained]), labels, **IDENTITY)
    assert figures.top1_drop == -5.0
    assert figures.top1_drop_interval[1] < 0
    assert (figures.mcnemar.lost, figures.mcnemar.gained) == (0, 10)


def test_top5_is_counted_apart_from_top1(answers):
    logits, labels = answers
    changed = logits.copy()
    changed[np.arange(20), labels[:20]] = -9
    figures = build_drift_row(logits, changed, labels, **IDENTITY)
    assert figures.top1 == compute_wilson_interval(130, 200)
    still_in = sum(label in np.argsort(-line)[:5] for line, label in zip(changed, labels, strict=True))
    float_in = sum(label in np.argsort(-line)[:5] for line, label in zip(logits, labels, strict=True))
    assert (figures.top5, figures.float_top5) == (
        compute_wilson_interval(still_in, 200),
        compute_wilson_interval(float_in, 200),
    )
    assert still_in == float_in - 20


@pytest.mark.parametrize(("classes", "has_top5"), [(2, False), (5, False), (6, True)])
def test_top5_of_five_classes_or_fewer_is_left_out(classes, has_top5):
    logits = np.random.default_rng(0).normal(size=(30, classes)).astype(np.float32)
    figures = build_drift_row(logits, logits, np.zeros(30, np.int64), **IDENTITY)
    assert (figures.top5 is not None, figures.float_top5 is not None) == (has_top5, has_top5)
    assert figures.top1 is not None


def test_without_labels_only_the_figures_between_the_models_are_there(answers):
    logits, labels = answers
    changed = choose(logits, np.arange(30), (labels[:30] + 3) % CLASSES)
    figures = build_drift_row(logits, changed, None, **IDENTITY)
    assert figures.agreement == compute_wilson_interval(170, 200)
    accuracy = (figures.top1, figures.top5, figures.float_top1, figures.float_top5, figures.top1_drop)
    assert (*accuracy, figures.top1_drop_interval, figures.mcnemar) == (None,) * 7


def test_a_row_is_the_same_after_a_trip_through_json(answers):
    logits, labels = answers
    for other in (logits, logits + 0.125):
        figures = build_drift_row(logits, other, labels, **IDENTITY)
        assert DriftRow.model_validate_json(figures.to_json()) == figures
        DriftRow.model_validate(figures.model_dump())


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_one_logit_that_is_not_finite_leaves_no_row(answers, poison):
    logits, labels = answers
    broken = logits.copy()
    broken[7, 2] = poison
    with pytest.raises(BadArtifact, match=r"logits of tiny-64-onnx-int8.onnx are not finite for 1 of 200"):
        build_drift_row(logits, broken, labels, **IDENTITY)
    with pytest.raises(BadCheckpoint, match="float model"):
        build_drift_row(broken, logits, labels, **IDENTITY)


def test_answers_that_do_not_fit_are_refused(answers):
    logits, labels = answers
    with pytest.raises(ShapeMismatch):
        build_drift_row(logits, logits[:, :9], labels, **IDENTITY)
    with pytest.raises(ShapeMismatch):
        build_drift_row(logits, logits, labels[:100], **IDENTITY)
    with pytest.raises(BadImages, match="10 classes, 0 to 9"):
        build_drift_row(logits, logits, labels + 1, **IDENTITY)
    with pytest.raises(BadImages):
        build_drift_row(logits[:0], logits[:0], labels[:0], **IDENTITY)


def test_the_contract_of_a_row_is_read_without_torch():
    code = "import sys, shvit_mobile.contracts.drift_row, shvit_mobile.drift.gates; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
