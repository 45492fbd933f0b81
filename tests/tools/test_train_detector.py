"""Scenes have the boxes that they show, and what a detector learns from them is right."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from detection_scenes import Scene, SceneSource, compute_overlap, draw_clouds, load_scenes
from PIL import Image
from train_detector import assign, compute_losses, list_points, main

from shvit_mobile.families.detectors import load_detector

SIZE = 128
SHAPES = [(8, 8), (4, 4), (2, 2)]


def write_pictures(folder: Path) -> tuple[Path, Path]:
    """Write a red and a green picture, each a class, and a gray photo."""
    for name, color in (("green", (0, 255, 0)), ("red", (255, 0, 0))):
        (folder / "pictures" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), color).save(folder / "pictures" / name / "one.png")
    (folder / "photos").mkdir()
    Image.new("RGB", (200, 160), (90, 90, 90)).save(folder / "photos" / "one.png")
    return folder / "pictures", folder / "photos"


def build_source(folder: Path, seed: int = 0) -> SceneSource:
    return load_scenes(*write_pictures(folder), SIZE, seed)


def test_a_scene_shows_its_boxes_and_nothing_else(tmp_path: Path) -> None:
    source = build_source(tmp_path)
    objects = 0
    for number in range(20):
        scene = source.draw(number)
        objects += len(scene.boxes)
        outside = np.ones((SIZE, SIZE), bool)
        for (left, top, right, bottom), label in zip(scene.boxes.astype(int), scene.classes, strict=True):
            outside[top:bottom, left:right] = False
            middle = scene.pixels[(top + bottom) // 2, (left + right) // 2]
            covered = sum(
                box[0] <= (left + right) // 2 < box[2] and box[1] <= (top + bottom) // 2 < box[3] for box in scene.boxes
            )
            if covered == 1:
                assert middle.argmax() == (1 if source.names[label] == "green" else 0)
        assert (scene.pixels[outside] == 90).all()
    assert objects > 25


def test_scenes_depend_on_seed_and_number_alone(tmp_path: Path) -> None:
    source = build_source(tmp_path / "one")
    again = build_source(tmp_path / "two")
    assert np.array_equal(source.draw(7).pixels, again.draw(7).pixels)
    assert not np.array_equal(source.draw(7).pixels, source.draw(8).pixels)
    assert not np.array_equal(source.draw(7).pixels, build_source(tmp_path / "three", seed=1).draw(7).pixels)


def test_without_photos_objects_lie_on_clouds(tmp_path: Path) -> None:
    source = load_scenes(write_pictures(tmp_path)[0], None, SIZE)
    scene = source.draw(3)
    assert len(scene.boxes)
    assert np.array_equal(scene.pixels, source.draw(3).pixels)
    clouds = draw_clouds(np.random.default_rng(1), SIZE)
    assert clouds.size == (SIZE, SIZE)
    pixels = np.asarray(clouds, dtype=float)
    assert pixels.std() > 20
    # Neighbors are alike, as in photos.
    assert np.abs(np.diff(pixels, axis=1)).mean() < pixels.std() / 3


def test_overlap_is_a_share_of_the_smaller_box() -> None:
    assert compute_overlap((0, 0, 10, 10), (5, 5, 10, 10)) == 1
    assert compute_overlap((0, 0, 10, 10), (5, 0, 15, 10)) == 0.5
    assert compute_overlap((0, 0, 10, 10), (10, 0, 20, 10)) == 0


def test_positions_near_the_center_answer_for_an_object_of_their_size() -> None:
    points, strides, low, high = list_points(SHAPES)
    boxes = torch.tensor([[20.0, 20, 60, 60], [0, 0, 128, 120]])
    chosen = assign(points, strides, low, high, boxes)
    small = (chosen == 0).nonzero()[:, 0]
    assert set(strides[small].tolist()) == {16}
    assert ((points[small] - 40).abs() <= 24).all()
    large = (chosen == 1).nonzero()[:, 0]
    assert set(strides[large].tolist()) == {32, 64}


def test_true_boxes_cost_nothing_and_others_do() -> None:
    points, strides, low, high = list_points(SHAPES)
    box = torch.tensor([[20.0, 20, 60, 60]])
    positive = assign(points, strides, low, high, box) == 0
    distances = torch.cat([points - box[:, :2], box[:, 2:] - points], 1).clamp(min=1) / strides[:, None]
    scores = torch.where(positive, 12.0, -12.0)[:, None] * torch.tensor([1.0, 0]) - torch.tensor([0, 12.0])

    def compute(raw_scores: torch.Tensor, raw_boxes: torch.Tensor, label: int) -> list[float]:
        maps = [
            part.T.reshape(1, -1, *shape)
            for values in (raw_scores, raw_boxes)
            for part, shape in zip(values.split([64, 16, 4]), SHAPES, strict=True)
        ]
        scene = Scene(np.zeros((SIZE, SIZE, 3), np.uint8), box.numpy(), np.array([label]))
        return [float(one) for one in compute_losses(maps, [scene], 2)]

    assert max(compute(scores, distances.log(), 0)) < 1e-3
    assert compute(scores, distances.log(), 1)[0] > 5
    assert compute(scores, distances.log() + 0.3, 0)[1] > 0.1


def test_training_resumes_where_it_stopped_and_writes_a_detector(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train_detector.PRINT_STEPS", 1)
    monkeypatch.setattr("train_detector.SAVE_STEPS", 2)
    pictures, photos = write_pictures(tmp_path)
    options = {"size": SIZE, "batch": 2, "rate": 2e-3}

    def run(out: str, steps: int) -> list[str]:
        main(pictures, photos, tmp_path / out, None, "shvit_s1", steps=steps, seed=0, bfloat16=False, **options)
        return capsys.readouterr().out.splitlines()

    assert len(run("once", 3)) == 3
    loaded = load_detector(tmp_path / "once" / "detector.safetensors")
    assert loaded.labels == ("green", "red")
    assert len(run("once", 4)) == 1
    assert run("once", 4) == []
    with torch.inference_mode():
        maps = loaded.model(torch.zeros(1, 3, SIZE, SIZE))
    assert all(math.isfinite(float(one.sum())) for one in maps)
