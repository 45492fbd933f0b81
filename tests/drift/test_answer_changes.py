"""What changed is reported exactly: which answers, on which pictures, how far apart, and what that can show."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from shvit_mobile.contracts.drift_report import Confusion
from shvit_mobile.drift.answer_changes import (
    count_confusions,
    encode_thumbnail,
    estimate_needed_images,
    find_prediction_changes,
)
from shvit_mobile.drift.compare import ArtifactComparison, build_drift_row
from shvit_mobile.drift.intervals import compute_drop_interval

LABELS = ("ant", "bee", "cat")


def logits_of(*chosen, lead=4.0):
    """Logits in which each image's class leads all others by `lead`."""
    return np.eye(3, dtype=np.float32)[list(chosen)] * lead


def compared(folder, float_logits, logits, right=None):
    """A comparison on as many grey pictures in two folders."""
    files = []
    for index in range(len(logits)):
        file = folder / "ab"[index % 2] / f"{index}.png"
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (300, 150), (index, index, index)).save(file)
        files.append(file)
    labels = None if right is None else np.array(right)
    figures = build_drift_row(
        float_logits, logits, labels, artifact="a.onnx", target="onnx", precision="int8", execution="native", engine="E"
    )
    return ArtifactComparison(figures, logits, float_logits, labels, tuple(files))


def picture_in(text):
    picture = Image.open(io.BytesIO(base64.b64decode(text)))
    picture.load()
    return picture


def test_changes_of_answer_are_counted_by_class_the_most_frequent_first():
    before = logits_of(0, 0, 0, 1, 1, 2, 0)
    after = logits_of(1, 1, 0, 2, 1, 2, 1)
    right = np.array([0, 0, 0, 2, 1, 2, 1])
    assert count_confusions(before, after, right, LABELS) == (
        Confusion(label="ant", before="ant", after="bee", images=2),
        Confusion(label="bee", before="ant", after="bee", images=1),
        Confusion(label="cat", before="bee", after="cat", images=1),
    )
    assert count_confusions(before, after, None, LABELS) == (
        Confusion(label=None, before="ant", after="bee", images=3),
        Confusion(label=None, before="bee", after="cat", images=1),
    )
    assert count_confusions(before, before, right, LABELS) == ()


def test_the_worst_pictures_are_those_whose_answer_changed_and_then_the_furthest(tmp_path):
    before = logits_of(0, 1, 2, 0, 1)
    after = before.copy()
    after[3] = [0, 4.5, 0]  # another answer, and the further of two
    after[1] = [2.1, 2, 0]  # another answer
    after[4] = [0, 0.5, 0.4]  # the same answer, much less sure
    after[0] = [3, 0, 0]  # the same answer, a little less sure
    found = find_prediction_changes(compared(tmp_path, before, after, right=[0, 1, 2, 1, 1]), LABELS, tmp_path)
    assert [worst.file for worst in found.worst] == ["b/3.png", "b/1.png", "a/4.png", "a/0.png"]
    assert (found.artifact, found.images, found.needed) == ("a.onnx", 2, None)
    worst = found.worst[0]
    p, q = (np.exp(x) / np.exp(x).sum() for x in (before[3].astype(float), after[3].astype(float)))
    assert worst.kl == pytest.approx(np.sum(p * np.log(p / q)))
    assert (worst.label, worst.float_answer.label, worst.answer.label) == ("bee", "ant", "bee")
    assert (worst.float_answer.probability, worst.answer.probability) == pytest.approx((p[0], q[1]))
    few = find_prediction_changes(compared(tmp_path, before, after), LABELS, tmp_path, worst=3)
    assert [worst.file for worst in few.worst] == ["b/3.png", "b/1.png", "a/4.png"]
    assert few.worst[0].label is None


def test_a_thumbnail_is_the_small_upright_picture(tmp_path):
    picture = Image.new("RGB", (400, 200), "red")
    picture.paste("blue", (0, 0, 100, 200))  # a quarter on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    shown = picture_in(encode_thumbnail(tmp_path / "turned.jpg"))
    assert (shown.format, shown.size) == ("JPEG", (64, 128))
    assert shown.getpixel((32, 10))[2] > 200, "the left is on top now"
    assert shown.getpixel((32, 100))[0] > 200
    Image.new("RGB", (20, 30)).save(tmp_path / "small.png")
    assert picture_in(encode_thumbnail(tmp_path / "small.png")).size == (20, 30), "nothing is enlarged"
    (tmp_path / "gone.png").write_bytes(b"")
    assert encode_thumbnail(tmp_path / "gone.png") is None


def test_every_worst_picture_is_shown(tmp_path):
    before, after = logits_of(0, 1, 2), logits_of(1, 2, 0)
    found = find_prediction_changes(compared(tmp_path, before, after), LABELS, tmp_path)
    assert [picture_in(worst.thumbnail).size for worst in found.worst] == [(128, 64)] * 3


@pytest.mark.parametrize(
    ("lost", "gained", "max_drop"), [(0, 0, 0.5), (3, 1, 1.0), (3, 1, 2.0), (5, 0, 0.5), (0, 3, 0)]
)
def test_the_images_that_a_budget_needs(lost, gained, max_drop, tmp_path):
    images = 600
    right = np.zeros(images, int)
    before, after = logits_of(*right), logits_of(*right)
    after[:lost] = logits_of(1)
    before[-gained or images :] = logits_of(2)
    figures = build_drift_row(
        before, after, right, artifact="a", target="onnx", precision="int8", execution="native", engine="E"
    )
    found = estimate_needed_images(figures, max_drop)
    assert found.max_drop == max_drop
    assert found.supported == (compute_drop_interval(lost, gained, images)[1] <= max_drop)
    if 100 * (lost - gained) / images >= max_drop:
        assert found.images is None
    else:
        assert found.supported == (found.images <= images)
    unlabelled = build_drift_row(
        before, after, None, artifact="a", target="onnx", precision="int8", execution="native", engine="E"
    )
    assert estimate_needed_images(unlabelled, max_drop) is None


def test_a_file_whose_name_is_no_text_is_named_all_the_same(tmp_path):
    before, after = logits_of(0), logits_of(1)
    there = compared(tmp_path, before, after)
    try:
        odd = there.files[0].rename(there.files[0].with_name("caf\udce9.png"))
    except OSError:
        pytest.skip("this file system takes text only")
    found = find_prediction_changes(ArtifactComparison(there.row, after, before, None, (odd,)), LABELS, tmp_path)
    assert found.worst[0].file == "a/caf\ufffd.png"
    assert '"file"' in found.to_json()
