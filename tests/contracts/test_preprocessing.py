from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter

from shvit_mobile.contracts.preprocessing import Preprocessing, convert_to_raw_input
from shvit_mobile.errors import BadImages, InvalidValue, UnknownChoice
from tests.images.pictures import draw_texture

GOLDEN = json.loads((Path(__file__).parent / "golden" / "preprocessing.json").read_text(encoding="utf-8"))
SIDES = st.integers(1, 400)
SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90))
RATIOS = st.sampled_from([1.0, 0.95, 0.9, 0.875, 0.7, 0.3])


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{case['picture']}-{case['size']}-{case['interpolation']}")
def test_pixels_are_those_of_torchvision(case):
    preprocessing = Preprocessing(tuple(case["size"]), case["crop_ratio"], case["interpolation"])
    pixels = preprocessing.preprocess_image(draw_texture(*case["picture"]))
    height, width = case["size"]
    assert pixels[0, 0].tolist() == case["first"]
    assert pixels[height // 2, width // 2].tolist() == case["middle"]
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == case["sha256"]


@settings(max_examples=300, deadline=None)
@given(SIDES, SIDES, SIZES, RATIOS)
def test_the_resized_picture_just_covers_and_keeps_its_proportions(height, width, size, ratio):
    cover_height, cover_width = int(size[0] / ratio), int(size[1] / ratio)
    resized_height, resized_width = Preprocessing(size, ratio).compute_resized_size(height, width)
    assert resized_height >= cover_height
    assert resized_width >= cover_width
    assert resized_height == cover_height or resized_width == cover_width
    assert abs(resized_height * width - resized_width * height) < max(height, width)  # less than one pixel off


@settings(max_examples=200, deadline=None)
@given(SIDES, SIDES, st.integers(1, 90))
def test_the_long_side_of_a_square_size_is_rounded_down(height, width, size):
    short, long = min(height, width), max(height, width)
    resized = Preprocessing((size, size), 1.0).compute_resized_size(height, width)
    assert sorted(resized) == [size, int(size * long / short)]


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, SIZES, RATIOS, st.sampled_from(["rgb", "bgr"]))
def test_pixels_have_the_models_shape(height, width, size, ratio, order):
    pixels = Preprocessing(size, ratio, channel_order=order).preprocess_image(
        Image.new("RGB", (width, height), (250, 130, 7))
    )
    assert pixels.shape == (*size, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    assert (pixels == ((250, 130, 7) if order == "rgb" else (7, 130, 250))).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 60), st.integers(3, 60))
def test_a_picture_that_fits_is_only_cropped(height, width):
    size = (height - height // 3, width)
    picture = draw_texture(height, width)
    top = round((height - size[0]) / 2)
    assert (Preprocessing(size, 1.0).preprocess_image(picture) == np.asarray(picture)[top : top + size[0]]).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from(["bicubic", "bilinear", "lanczos"]))
def test_the_crop_is_of_the_centre(height, width, interpolation):
    # A picture symmetric about both axes stays so, unless a side left over is odd: offsets are whole pixels.
    quarter = np.asarray(draw_texture(height, width))
    half = np.concatenate([quarter, quarter[::-1]])
    picture = Image.fromarray(np.concatenate([half, half[:, ::-1]], axis=1))
    preprocessing = Preprocessing((24, 24), 0.75, interpolation)
    pixels = preprocessing.preprocess_image(picture).astype(int)
    resized_height, resized_width = preprocessing.compute_resized_size(2 * height, 2 * width)
    if resized_height % 2 == 0:
        assert abs(pixels - pixels[::-1]).max() <= 1
    if resized_width % 2 == 0:
        assert abs(pixels - pixels[:, ::-1]).max() <= 1


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (2, 60_000), (60_000, 2)])
def test_a_needle_of_a_picture_shows_its_middle(shape):
    colours = np.zeros((*shape, 3), dtype=np.uint8)
    axis = int(shape[1] > shape[0])
    middle = [slice(None)] * 2
    middle[axis] = slice(max(shape) // 2 - 60, max(shape) // 2 + 60)
    colours[tuple(middle)] = (90, 160, 230)
    pixels = Preprocessing().preprocess_image(Image.fromarray(colours))
    assert pixels.shape == (224, 224, 3)
    assert (pixels == (90, 160, 230)).all()


@pytest.mark.parametrize("length", [1600, 1601])
def test_cutting_a_needle_first_moves_it_by_less_than_a_pixel(length, monkeypatch):
    # A ramp along the long side: 4 levels a source pixel, which becomes 12 pixels.
    ramp = (np.arange(length) * 4 % 256).astype(np.uint8)
    picture = Image.fromarray(np.stack([ramp[None]] * 3, axis=-1))
    middle = slice(6 * length - 6, 6 * length + 6)
    whole = np.asarray(picture.resize((12 * length, 12), Image.Resampling.BILINEAR))[:, middle].astype(int)
    widest, resize = [0], Image.Image.resize

    def watched(self, size, *options):
        widest[0] = max(widest[0], *size)
        return resize(self, size, *options)

    monkeypatch.setattr(Image.Image, "resize", watched)
    pixels = Preprocessing((12, 12), 1.0, "bilinear").preprocess_image(picture)
    assert 12 * 60 < widest[0] < 12 * 70
    assert abs(pixels - whole).max() <= 1


@settings(max_examples=100, deadline=None)
@given(
    SIDES,
    SIDES,
    st.tuples(st.integers(2, 90), st.integers(2, 90)),
    RATIOS,
    st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]),
)
def test_a_squashed_picture_is_pillows_whatever_its_proportions(height, width, size, ratio, interpolation):
    picture = draw_texture(height, width)
    resized = (int(size[0] / ratio), int(size[1] / ratio))
    columns = picture.resize((resized[1], height), Image.Resampling[interpolation.upper()])
    rows = np.asarray(columns.resize(resized[::-1], Image.Resampling[interpolation.upper()]))
    top, left = round((resized[0] - size[0]) / 2), round((resized[1] - size[1]) / 2)
    preprocessing = Preprocessing(size, ratio, interpolation, resize_mode="squash")
    assert preprocessing.compute_resized_size(height, width) == resized
    assert (preprocessing.preprocess_image(picture) == rows[top : top + size[0], left : left + size[1]]).all()


def test_a_squashed_picture_shows_its_whole_length_up_to_256_times_the_resized_side():
    ramp = np.repeat((np.arange(1024) * 255 // 1023).astype(np.uint8)[:, None, None], 3, axis=2)
    squash = Preprocessing((4, 4), 1.0, "nearest", resize_mode="squash")
    whole = squash.preprocess_image(Image.fromarray(ramp))
    assert whole[:, 0, 0].tolist() == ramp[[128, 384, 640, 896], 0, 0].tolist()
    needle = np.zeros((9000, 1, 3), np.uint8)
    needle[4500 - 512 : 4500 + 512] = 200
    assert (squash.preprocess_image(Image.fromarray(needle)) == 200).all()


@settings(max_examples=100, deadline=None)
@given(
    SIDES,
    SIDES,
    st.tuples(st.integers(2, 90), st.integers(2, 90)),
    st.sampled_from(["center", "end"]),
    st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]),
    st.sampled_from(["rgb", "bgr"]),
)
def test_a_letterbox_is_the_whole_picture_pasted_on_the_padding(height, width, size, padding, interpolation, order):
    picture = draw_texture(height, width)
    scale = min(Fraction(size[0], height), Fraction(size[1], width))
    resized = [max(1, floor(scale * side + Fraction(1, 2))) for side in (height, width)]
    resampling = Image.Resampling[interpolation.upper()]
    shown = picture.resize((resized[1], height), resampling).resize(resized[::-1], resampling)
    free = [side - used for side, used in zip(size, resized, strict=True)]
    top, left = (side // 2 for side in free) if padding == "center" else (0, 0)
    expected = Image.new("RGB", size[::-1], (10, 20, 30))
    expected.paste(shown, (left, top))
    value = (10, 20, 30) if order == "rgb" else (30, 20, 10)
    fields = {"resize_mode": "letterbox", "padding": padding, "padding_value": value}
    preprocessing = Preprocessing(size, 1.0, interpolation, channel_order=order, **fields)
    pixels = preprocessing.preprocess_image(picture)
    assert (pixels[..., :: 1 if order == "rgb" else -1] == np.asarray(expected)).all()
    image = preprocessing.compute_image_map(height, width)
    assert (image.rows, image.columns) == ((top, top + resized[0]), (left, left + resized[1]))
    # The ends of what is shown are the ends of the picture.
    for ends, side, offset, step in (
        (image.rows, height, image.y_offset, image.y_scale),
        (image.columns, width, image.x_offset, image.x_scale),
    ):
        assert [end * step + offset for end in ends] == pytest.approx([0, side], abs=1e-9 * side)


def test_documents_of_other_modes_say_nothing_of_padding():
    adapter = TypeAdapter(Preprocessing)
    assert not {"padding", "padding_value"} & json.loads(adapter.dump_json(Preprocessing())).keys()
    assert not {"padding", "padding_value"} & Preprocessing().as_fields().keys()
    letterbox = Preprocessing(
        crop_ratio=1.0, resize_mode="letterbox", padding="end", padding_value=(124, 116, 104), channel_order="bgr"
    )
    assert adapter.validate_json(adapter.dump_json(letterbox)) == letterbox
    assert json.loads(json.dumps(letterbox.as_fields()))["padding_value"] == [124, 116, 104]


def test_a_picture_that_is_not_rgb_is_refused():
    with pytest.raises(BadImages, match="CMYK"):
        Preprocessing().preprocess_image(Image.new("CMYK", (300, 300)))


def test_normalised_is_what_torchvision_makes_of_pixels():
    preprocessing = Preprocessing((2, 3), mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5))
    pixels = np.arange(36, dtype=np.uint8).reshape(2, 2, 3, 3) * 7
    values = preprocessing.normalize(pixels)
    assert (values.shape, values.dtype) == ((2, 3, 2, 3), np.float32)
    assert values.flags.c_contiguous
    expected = (pixels[1, 0, 2].astype(np.float64) / 255 - preprocessing.mean) / preprocessing.std
    assert values[1, :, 0, 2] == pytest.approx(expected, abs=1e-6)


def test_raw_keeps_the_numbers():
    pixels = np.arange(36, dtype=np.uint8).reshape(2, 2, 3, 3) * 7
    assert (convert_to_raw_input(pixels).shape, convert_to_raw_input(pixels).dtype) == ((2, 3, 2, 3), np.float32)
    assert (convert_to_raw_input(pixels)[1, :, 0, 2] == pixels[1, 0, 2]).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": (0, 224)},
        {"size": (224,)},
        {"size": (20000, 224)},
        {"size": (2048, 2048)},
        {"crop_ratio": 0.0},
        {"crop_ratio": 87.5},
        {"crop_ratio": 1e-6},
        {"crop_ratio": 0.2, "size": (1024, 64)},
        {"crop_ratio": float("nan")},
        {"interpolation": "cubic"},
        {"mean": (0.5, 0.5)},
        {"mean": (0.5, 0.5, float("nan"))},
        {"mean": (0.5, 0.5, -0.1)},
        {"mean": (1e30, 1e30, 1e30)},
        {"std": (0.2, 0.2, 0.0)},
        {"std": (0.2, 0.2, float("nan"))},
        {"std": (1e-30, 1e-30, 1e-30)},
        {"channel_order": "grb"},
        {"resize_mode": "stretch"},
        {"padding": "end"},
        {"padding_value": (0, 0, 0)},
        {"padding": None, "padding_value": (0, 0, 0), "resize_mode": "letterbox", "crop_ratio": 1.0},
        {"padding": "start", "padding_value": (0, 0, 0), "resize_mode": "letterbox", "crop_ratio": 1.0},
        {"padding_value": None, "padding": "end", "resize_mode": "letterbox", "crop_ratio": 1.0},
        {"padding_value": (0, 0, 256), "padding": "end", "resize_mode": "letterbox", "crop_ratio": 1.0},
        {"padding_value": (0, 0.5, 0), "padding": "end", "resize_mode": "letterbox", "crop_ratio": 1.0},
        {"crop_ratio": 0.9, "padding": "end", "padding_value": (0, 0, 0), "resize_mode": "letterbox"},
    ],
    ids=str,
)
def test_invalid_parameters_are_rejected_by_name(wrong):
    with pytest.raises((InvalidValue, UnknownChoice)) as error:
        Preprocessing(**wrong)
    assert error.value.parameter == next(iter(wrong))


@pytest.mark.parametrize(
    ("given", "suggested"),
    [
        (
            {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)},
            ["`mean=(0.485, 0.456, 0.406)`", "`std=(0.229, 0.224, 0.225)`"],
        ),
        ({"mean": (127.5, 127.5, 127.5), "std": (1.0, 1.0, 1.0)}, ["`mean=(0.5, 0.5, 0.5)`", "`std=(0.003922, "]),
        ({"std": (58.395, 57.12, 57.375)}, ["`std=(0.229, 0.224, 0.225)`"]),
        ({"mean": (1e30, 1e30, 1e30)}, []),
        ({"mean": (1.2, 0.5, 0.5)}, []),
    ],
)
def test_mean_and_std_of_pixels_up_to_255_are_refused_with_the_values_that_were_meant(given, suggested):
    with pytest.raises(InvalidValue) as error:
        Preprocessing(**given)
    assert error.value.parameter == next(iter(given))
    assert all(setting in error.value.hint for setting in suggested)
    assert bool(error.value.hint) == bool(suggested)


def test_mean_0_and_std_of_a_255th_leave_the_pixels_as_they_are():
    raw = Preprocessing((1, 1), mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))
    assert raw.normalize(np.full((1, 1, 1, 3), 200, np.uint8)).flatten().tolist() == pytest.approx([200, 200, 200])
