"""Pictures open with the boxes of a COCO annotation file, or with one clear error about the first fault."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shvit_mobile.errors import BadImages
from shvit_mobile.images.coco_boxes import open_coco_images

LABELS = ("cat", "traffic light", "dog")
CONTENT: dict[str, Any] = {
    "images": [
        {"id": 7, "file_name": "b.png", "width": 40, "height": 30},
        {"id": 3, "file_name": "inside/a.png", "width": 40, "height": 30},
        {"id": 9, "file_name": "nothing.png"},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 5, "bbox": [1, 2, 10, 20.5]},
        {"id": 2, "image_id": 3, "category_id": 1, "bbox": [0, 0, 40, 30], "iscrowd": 1},
        {"id": 3, "image_id": 3, "category_id": 1, "bbox": [3, 3, 4, 4], "iscrowd": 0},
    ],
    "categories": [{"id": 1, "name": "Dog"}, {"id": 5, "name": "traffic_light"}, {"id": 6, "name": "zebra"}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures" / "inside").mkdir(parents=True)
    for name in ("b.png", "inside/a.png", "nothing.png", "unlisted.png"):
        Image.new("RGB", (40, 30)).save(tmp_path / "pictures" / name)
    return tmp_path / "pictures"


def write(folder: Path, content: Any) -> Path:
    path = folder.parent / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_pictures_have_the_boxes_of_their_entries(folder: Path) -> None:
    images = open_coco_images(folder, write(folder, CONTENT), LABELS)
    assert [file.relative_to(folder).as_posix() for file in images.files] == ["b.png", "inside/a.png", "nothing.png"]
    assert images.true_boxes is not None
    first, second, third = (images.true_boxes[file] for file in images.files)
    assert first.corners.tolist() == [[1, 2, 11, 22.5]]
    assert (first.classes.tolist(), first.is_crowd.tolist(), first.image_size) == ([1], [False], (30, 40))
    assert (second.classes.tolist(), second.is_crowd.tolist()) == ([2, 2], [True, False])
    assert (third.corners.shape, third.image_size) == ((0, 4), None)
    assert images.labels is None
    assert images.mapping is not None
    assert images.mapping.rule == "name"
    (skipped,) = images.account().skipped
    assert (skipped.first, skipped.count) == ("unlisted.png", 1)
    sampled = images.sample(1, 0)
    assert sampled.true_boxes is not None
    assert np.array_equal(sampled.true_boxes[images.files[0]].corners, first.corners)


def change(part: str, place: int, **fields: Any) -> dict[str, Any]:
    content = copy.deepcopy(CONTENT)
    content[part][place] |= fields
    return content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1, 2]", "it is no object"),
        ("{", "is not a COCO annotation file"),
        ({"images": [], "annotations": []}, 'no list "categories"'),
        (change("images", 0, id="7"), "images[0] has no id that is an integer"),
        (change("images", 0, id=3), "two images have the id 3"),
        (change("images", 0, file_name=None), "images[0] has no file_name"),
        (change("images", 0, width=-4), "b.png has the width -4"),
        (change("images", 2, file_name="away.png"), "1 of 3 images"),
        (change("images", 2, file_name="b.png"), "listed twice"),
        (change("annotations", 0, image_id=8), "the annotation 1 is of the image 8"),
        (change("annotations", 0, category_id=8), "has the category 8"),
        (change("annotations", 0, category_id=6), "'zebra'"),
        (change("annotations", 0, bbox=[1, 2, 3]), "has the bbox [1, 2, 3]"),
        (change("annotations", 0, bbox=[1, 2, 0, 4]), "has the bbox [1, 2, 0, 4]"),
        (change("annotations", 0, bbox=[1, 2, "3", 4]), "has the bbox"),
        (CONTENT | {"annotations": [CONTENT["annotations"][1]]}, "There are no boxes"),
        (CONTENT | {"annotations": 3}, 'no list "annotations"'),
        (CONTENT | {"annotations": [3]}, "annotations[0] has no image_id"),
    ],
)
def test_a_file_that_cannot_serve_is_refused_with_the_first_fault(folder: Path, content: Any, said: str) -> None:
    with pytest.raises(BadImages) as caught:
        open_coco_images(folder, write(folder, content), LABELS)
    assert said in caught.value.what
    assert caught.value.parameter == "labels_coco"
