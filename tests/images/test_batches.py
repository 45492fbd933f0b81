from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadImages, InvalidConfig
from shvit_mobile.images import batches as module
from shvit_mobile.images.batches import group_undecodable, iterate_batches, keep_pixels
from shvit_mobile.images.image_set import ImageSet
from tests.images.pictures import draw_texture, encode_picture, write_files

SMALL = Preprocessing((8, 6), 1.0)


def choose_color(number: int) -> tuple[int, int, int]:
    return (number, 255 - number, 3 * number % 256)


def write_image_set(root: Path, goods: list[bool], *, labelled: bool = True) -> ImageSet:
    """One-colour pictures by number, of which those not good are cut short."""
    for number, good in enumerate(goods):
        data = encode_picture(Image.new("RGB", (12, 9), choose_color(number)), "PNG")
        write_files(root, {f"{number:03}.png": data if good else data[:40]})
    files = tuple(root / f"{number:03}.png" for number in range(len(goods)))
    return ImageSet(root, files, tuple(range(len(goods))) if labelled else None)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.booleans(), min_size=1, max_size=20).filter(lambda goods: 2 * sum(goods) >= len(goods)),
    st.integers(1, 7),
    st.integers(1, 4),
)
def test_each_file_comes_once_and_in_order(tmp_path, goods, size, workers):
    images = write_image_set(tmp_path, goods)
    told = []
    got = list(iterate_batches(images, SMALL, size=size, workers=workers, progress=lambda *done: told.append(done)))
    good = [number for number, one in enumerate(goods) if one]
    assert [len(batch.files) for batch in got[:-1]] == [size] * (len(got) - 1)
    assert all(len(batch.files) > 0 for batch in got)
    assert [file for batch in got for file in batch.files] == [images.files[number] for number in good]
    assert np.concatenate([batch.labels for batch in got]).tolist() == good
    pixels = np.concatenate([batch.pixels for batch in got])
    assert (pixels == np.array([choose_color(number) for number in good], dtype=np.uint8)[:, None, None]).all()
    assert [s.file for batch in got for s in batch.skipped] == [
        f for f, one in zip(images.files, goods, strict=True) if not one
    ]
    assert told == [(done, len(goods)) for done in range(1, len(goods) + 1)]


def test_shapes_and_types(tmp_path):
    (batch,) = iterate_batches(write_image_set(tmp_path, [True] * 3), SMALL)
    assert (batch.pixels.shape, batch.pixels.dtype) == ((3, 8, 6, 3), np.uint8)
    assert (batch.labels.shape, batch.labels.dtype) == ((3,), np.int64)
    (unlabelled,) = iterate_batches(write_image_set(tmp_path, [True] * 3, labelled=False), SMALL)
    assert unlabelled.labels is None


def test_the_reason_is_told(tmp_path):
    (batch,) = iterate_batches(write_image_set(tmp_path, [True, False]), SMALL)
    (skipped,) = batch.skipped
    assert skipped.file == tmp_path / "001.png"
    assert str(tmp_path) not in skipped.reason


def test_a_file_that_vanished_is_skipped(tmp_path):
    images = write_image_set(tmp_path, [True, True, True])
    images.files[1].unlink()
    (batch,) = iterate_batches(images, SMALL)
    assert "no such file" in batch.skipped[0].reason
    assert batch.labels.tolist() == [0, 2]


def test_other_trouble_with_a_picture_is_skipped_with_its_reason(tmp_path, monkeypatch):
    def decoded(file: Path) -> Image.Image:
        if file.name == "001.png":
            raise MemoryError("no room")
        return draw_texture(9, 12)

    monkeypatch.setattr(module, "decode_image", decoded)
    (batch,) = iterate_batches(write_image_set(tmp_path, [True, True]), SMALL)
    assert batch.skipped[0].reason == "of MemoryError: no room"


def test_the_result_does_not_depend_on_the_workers(tmp_path):
    root = tmp_path / "set"
    for number in range(30):  # the first are the slowest, so that with several workers the later ones overtake them
        write_files(root, {f"{number:03}.png": encode_picture(draw_texture(600 - 19 * number, 400), "PNG")})
    images = ImageSet(root, tuple(sorted(root.iterdir())))
    one, four = (list(iterate_batches(images, SMALL, size=7, workers=workers)) for workers in (1, 4))
    assert [batch.files for batch in one] == [batch.files for batch in four]
    assert all((a.pixels == b.pixels).all() for a, b in zip(one, four, strict=True))


@pytest.mark.parametrize("good", [0, 1, 4])
def test_if_most_pictures_are_damaged_the_error_says_how_many_and_why(good, tmp_path):
    images = write_image_set(tmp_path, [True] * good + [False] * 5)
    with pytest.raises(BadImages) as caught:
        list(iterate_batches(images, SMALL, size=20))
    assert f"{good or 'None'} of {'' if good else 'the '}{good + 5} images" in caught.value.what
    assert f"first: {good:03}.png" in caught.value.what


def test_damaged_pictures_are_accounted_for_by_reason(tmp_path):
    images = write_image_set(tmp_path, [True] * 5 + [False] * 3)
    (tmp_path / "006.png").write_bytes(b"")
    skipped = [one for batch in iterate_batches(images, SMALL, size=2) for one in batch.skipped]
    use = images.account(group_undecodable(images, skipped))
    assert (use.found, use.used, use.skipped_count) == (8, 5, 3)
    assert [(group.count, group.first) for group in use.skipped] == [(2, "005.png"), (1, "006.png")]


def test_what_cannot_work_is_refused_before_the_first_batch(tmp_path):
    images = write_image_set(tmp_path, [True])
    with pytest.raises(BadImages, match="There are no images"):
        iterate_batches(ImageSet(tmp_path, ()), SMALL)
    with pytest.raises(InvalidConfig):
        iterate_batches(images, SMALL, size=0)
    with pytest.raises(InvalidConfig):
        iterate_batches(images, SMALL, workers=0)


def test_only_a_few_pictures_are_held_ahead(tmp_path, monkeypatch):
    begun = 0
    lock = threading.Lock()

    def counted(file: Path) -> Image.Image:
        nonlocal begun
        with lock:
            begun += 1
        return draw_texture(9, 12)

    monkeypatch.setattr(module, "decode_image", counted)
    stream = iterate_batches(write_image_set(tmp_path, [True] * 60), SMALL, size=4, workers=2)
    next(stream)
    time.sleep(0.1)
    assert 4 < begun <= 5 + 3 * 2
    stream.close()


def test_leaving_early_ends_the_threads(tmp_path):
    before = set(threading.enumerate())
    stream = iterate_batches(write_image_set(tmp_path, [True] * 40), SMALL, size=2, workers=3)
    next(stream)
    assert set(threading.enumerate()) - before
    stream.close()
    assert set(threading.enumerate()) == before


def test_what_is_kept_is_not_decoded_again(tmp_path, monkeypatch):
    images = write_image_set(tmp_path, [True, False, True, True, False, True, True])
    monkeypatch.setattr(module, "_MAX_KEPT_BYTES", 4 * 3 * 8 * 6)  # four images
    first = list(iterate_batches(images, SMALL, size=2))
    with keep_pixels():
        list(iterate_batches(images, SMALL, size=2))
        for file in images.files[:6]:
            file.unlink()
        second = list(iterate_batches(images, SMALL, size=2))
        assert [batch.files for batch in second] == [batch.files for batch in first]
        assert all((a.pixels == b.pixels).all() for a, b in zip(first, second, strict=True))
        assert [batch.skipped for batch in second] == [batch.skipped for batch in first]
        images.files[6].unlink()  # the fifth image was not kept
        (last,) = iterate_batches(images, SMALL, size=9)
        assert last.skipped[-1].file == images.files[6]
    with pytest.raises(BadImages):
        list(iterate_batches(images, SMALL, size=2))
