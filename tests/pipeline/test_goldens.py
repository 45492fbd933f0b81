"""Pictures for goldens go into an app as they are where they can, and tell nothing of who took them where."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from shvit_mobile.bench.golden_check import compute_mean_difference
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadImages
from shvit_mobile.images.decode import decode_image
from shvit_mobile.images.image_set import open_images
from shvit_mobile.images.reduction import choose_reduction
from shvit_mobile.pipeline.export import ExportConfig, plan_export
from shvit_mobile.pipeline.goldens import (
    load_golden_image,
    load_wide_gamut_drawing,
    measure_reduced_scale,
    preprocess_golden_images,
    select_golden_images,
)
from tests.builders import write_picture_folder

ORIENTATION, GPS = 0x0112, 0x8825


def draw_gradient(height: int, width: int) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows % 256, columns % 256, (rows + columns) % 256], -1).astype(np.uint8))


def test_a_small_jpeg_is_kept_byte_for_byte(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    draw_gradient(30, 41).save(file)
    golden = load_golden_image(file)
    assert (golden.source, golden.jpeg, golden.reencoding_reason) == ("a.jpg", file.read_bytes(), "")


def test_metadata_is_removed_and_the_picture_is_upright(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif.get_ifd(GPS)[1] = "N"
    draw_gradient(30, 41).save(file, exif=exif)
    golden = load_golden_image(file)
    assert golden.reencoding_reason == "it has metadata"
    with Image.open(io.BytesIO(golden.jpeg)) as opened:
        assert opened.size == (30, 41)
        assert len(opened.getexif()) == 0
    assert np.abs(np.asarray(decode_image(golden.jpeg), int) - np.asarray(decode_image(file), int)).mean() < 3


def test_a_large_photo_shrinks_and_another_format_becomes_jpeg(tmp_path: Path) -> None:
    draw_gradient(700, 1500).save(tmp_path / "large.jpg")
    draw_gradient(20, 30).save(tmp_path / "drawing.png")
    large, drawing = load_golden_image(tmp_path / "large.jpg"), load_golden_image(tmp_path / "drawing.png")
    assert (decode_image(large.jpeg).size, large.reencoding_reason) == ((1024, 478), "it has 1500 x 700 pixels")
    assert (decode_image(drawing.jpeg).size, drawing.reencoding_reason) == ((30, 20), "it is a PNG")
    for golden in (large, drawing):
        with Image.open(io.BytesIO(golden.jpeg)) as opened:
            assert opened.format == "JPEG"


def test_a_seed_selects_the_same_four_pictures_each_time(tmp_path: Path) -> None:
    images = open_images(write_picture_folder(tmp_path, count=9))
    chosen = select_golden_images(images)
    assert len({one.source for one in chosen}) == 4
    assert select_golden_images(images) == chosen
    assert select_golden_images(images, seed=1) != chosen


def test_an_error_names_a_damaged_picture(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no")
    with pytest.raises(BadImages, match=r"broken\.jpg"):
        load_golden_image(tmp_path / "broken.jpg")


def test_an_app_that_converts_colors_fails_the_wide_gamut_golden() -> None:
    drawing, preprocessing = load_wide_gamut_drawing(), Preprocessing()
    with Image.open(io.BytesIO(drawing.jpeg)) as opened:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(opened.info["icc_profile"]))
        assert ImageCms.getProfileDescription(profile).strip() == "Display P3"
        converted = ImageCms.profileToProfile(opened, profile, ImageCms.createProfile("sRGB"))
    assert converted is not None
    (expected,) = preprocess_golden_images([drawing], preprocessing)
    assert compute_mean_difference(preprocessing.preprocess_image(converted), expected) > 8


@pytest.mark.parametrize(("side", "reduction"), [(224, 2), (112, 4), (56, 8)])
def test_reduced_scale_is_within_its_measured_tolerance_and_sampling_is_not(side: int, reduction: int) -> None:
    drawing, preprocessing = load_wide_gamut_drawing(), Preprocessing(size=(side, side))
    pixels = preprocess_golden_images([drawing], preprocessing)
    measured = measure_reduced_scale([drawing], pixels, preprocessing)
    assert 0 < measured < 1.5
    whole = decode_image(drawing.jpeg)
    assert choose_reduction(whole.height, whole.width, preprocessing) == reduction
    sampled = Image.fromarray(np.asarray(whole)[::reduction, ::reduction])
    assert compute_mean_difference(preprocessing.preprocess_image(sampled), pixels[0]) > 1 + measured


def test_goldens_of_a_model_that_needs_all_pixels_state_the_usual_tolerance() -> None:
    drawing, preprocessing = load_wide_gamut_drawing(), Preprocessing(size=(384, 384))
    assert measure_reduced_scale([drawing], preprocess_golden_images([drawing], preprocessing), preprocessing) == 0


def test_a_persons_own_goldens_have_the_wide_gamut_drawing_too(tmp_path: Path) -> None:
    config = ExportConfig(
        targets=("onnx",), golden_images=write_picture_folder(tmp_path / "own", count=2), out=tmp_path / "out"
    )
    goldens = plan_export(config).goldens
    assert goldens is not None
    assert [golden.source for golden in goldens][2:] == [load_wide_gamut_drawing().source]
