"""The float model has to recognize labelled images, or the check says what would help; few images prove nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from shvit_mobile.contracts.drift_report import GateVerdict
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.drift.baseline import check_baseline, measure_baseline
from shvit_mobile.drift.compare import FloatReference, compute_float_reference
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.image_set import ImageSet
from tests.builders import build_random_shvit, build_trained_model

CLASSES = ("ant", "bee", "cat", "dog", "eel")


class RedDetector(nn.Module):
    """Says whether red is the strongest channel: class 0 if it is, else class 1."""

    def forward(self, pixels: Tensor) -> Tensor:
        red, green, blue = pixels.mean((2, 3)).unbind(1)
        score = red - torch.maximum(green, blue)
        return torch.stack([score, -score], dim=1)


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return build_trained_model(build_random_shvit())


def judge(
    trained: TrainedModel, predictions: list[int], labels: list[int], *, accept: bool = False
) -> GateVerdict | None:
    """Return the verdict on a model with these predictions."""
    files = tuple(Path(f"{index}.png") for index in range(len(labels)))
    images = ImageSet(Path(), files, tuple(labels), CLASSES)
    logits = np.eye(len(CLASSES), dtype=np.float32)[predictions]
    reference = FloatReference(logits, files, trained.preprocessing, trained.sha256)
    return check_baseline(replace(trained, labels=CLASSES), images, reference, accept=accept)


@pytest.mark.parametrize(
    ("right", "images", "above", "poor"),
    [(3, 3, False, False), (0, 3, False, False), (0, 50, False, True), (10, 50, False, True), (25, 50, True, False)],
)
def test_few_images_decide_nothing_and_many_do(right: int, images: int, above: bool, poor: bool) -> None:
    labels = np.arange(images) % 5
    predictions = np.where(np.arange(images) < right, labels, (labels + 1 + np.arange(images) // 5 % 4) % 5)
    found = measure_baseline(predictions, labels, 5)
    assert (found.hits, found.images) == (right, images)
    assert (found.is_above_chance, found.is_poor) == (above, poor)


def test_the_most_frequent_class_for_every_image_is_chance() -> None:
    labels = (np.arange(1000) < 100).astype(np.int64)
    found = measure_baseline(np.zeros_like(labels), labels, 10)
    assert (found.hits, found.chance) == (900, pytest.approx(0.9))
    assert found.is_poor


def test_images_of_one_class_are_compared_with_all_classes_of_the_model() -> None:
    labels, predictions = np.zeros(40, np.int64), np.arange(40) % 2
    found = measure_baseline(predictions, labels, 1000)
    assert found.chance == 0.001
    assert found.is_above_chance


def test_a_model_that_recognizes_the_images_gets_no_verdict(trained: TrainedModel) -> None:
    labels = [index % 5 for index in range(30)]
    assert judge(trained, labels, labels) is None


def test_three_right_of_three_are_noted_as_too_few(trained: TrainedModel) -> None:
    verdict = judge(trained, [0, 1, 2], [0, 1, 2])
    assert verdict is not None
    assert verdict.passed
    assert "3 of 3" in verdict.caveats[0]


@pytest.mark.parametrize("correct", [0, 2])
def test_another_order_of_the_classes_is_named_even_if_some_are_right(trained: TrainedModel, correct: int) -> None:
    order = {0: [1, 2, 3, 4, 0], 2: [0, 1, 3, 4, 2]}[correct]
    labels = [index // 20 for index in range(100)]
    verdict = judge(trained, [order[label] for label in labels], labels)
    assert verdict is not None
    assert not verdict.passed
    assert "'cat' is taken for 'dog'" in verdict.violations[0]
    assert "50 of 50" in verdict.violations[0]
    accepted = judge(trained, [order[label] for label in labels], labels, accept=True)
    assert accepted is not None
    assert accepted.passed
    assert verdict.violations[0] in accepted.caveats[0]


def test_a_weak_model_that_confuses_classes_at_random_is_no_other_order(trained: TrainedModel) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(200) % 5
    predictions = np.where(random.random(200) < 0.4, labels, random.integers(0, 5, 200))
    assert judge(trained, predictions.tolist(), labels.tolist()) is None


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [({"channel_order": "bgr"}, "channel order rgb"), ({"mean": (0.0, 1.0, 1.0)}, "mean 0.485")],
    ids=["order", "mean"],
)
def test_the_preprocessing_that_helps_is_named(
    trained: TrainedModel, tmp_path: Path, wrong: dict[str, object], cause: str
) -> None:
    colors = ["red"] * 30 + ["lime"] * 25 + ["blue"] * 5
    files = tuple(tmp_path / f"{index:02}.png" for index in range(60))
    for file, color in zip(files, colors, strict=True):
        Image.new("RGB", (8, 8), color).save(file)
    images = ImageSet(tmp_path, files, tuple(int(color != "red") for color in colors), ("red", "other"))
    right = Preprocessing(size=(8, 8))
    detector = replace(trained, model=RedDetector(), labels=images.classes, preprocessing=right)
    assert check_baseline(detector, images, compute_float_reference(detector, images)) is None
    changed = Preprocessing(**(vars(right) | wrong))
    reference = compute_float_reference(detector, images, preprocessing=changed)
    verdict = check_baseline(replace(detector, preprocessing=changed), images, reference)
    assert verdict is not None
    assert cause in verdict.violations[0]
    assert "60 of 60" in verdict.violations[0]
