"""Scenes are written as pictures and boxes that `export --labels-coco` reads: the same as were drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detection_scenes import SceneSource
from PIL import Image
from write_detection_scenes import main, write_scenes

from shvit_mobile.images.coco_boxes import open_coco_images
from tests.tools.test_train_detector import build_source, write_pictures


@pytest.fixture
def source(tmp_path: Path) -> SceneSource:
    return build_source(tmp_path)


def test_written_scenes_are_those_that_were_drawn(source: SceneSource, tmp_path: Path) -> None:
    write_scenes(source, 6, tmp_path / "scenes")
    images = open_coco_images(tmp_path / "scenes" / "images", tmp_path / "scenes" / "boxes.json", source.names)
    assert len(images) == 6
    assert images.true_boxes is not None
    for number, file in enumerate(images.files):
        scene, boxes = source.draw(number), images.true_boxes[file]
        assert np.array_equal(np.asarray(Image.open(file)), scene.pixels)
        assert np.array_equal(boxes.corners, scene.boxes)
        assert np.array_equal(boxes.classes, scene.classes)
        assert boxes.image_size == scene.pixels.shape[:2]


def test_a_folder_that_is_there_is_not_written_into(tmp_path: Path) -> None:
    pictures, photos = write_pictures(tmp_path)
    main(pictures, tmp_path / "scenes", photos, scenes=2, size=64)
    assert sorted(path.name for path in (tmp_path / "scenes").iterdir()) == ["boxes.json", "images"]
    with pytest.raises(SystemExit, match="exists"):
        main(pictures, tmp_path / "scenes", photos, scenes=2, size=64)
