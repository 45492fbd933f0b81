"""Configurations of transformers' image processors become the same preprocessing."""

import pytest

from shvit_mobile.families.image_processor import parse_image_processor, parse_size

HALF = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
GEOMETRIES = {
    "shortest edge, then a crop": (
        {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "do_center_crop": True},
        {"size": (224, 224), "crop_ratio": 0.875, "resize_mode": "cover"},
    ),
    "numbers": ({"size": 256, "crop_size": 224}, {"size": (224, 224), "crop_ratio": 0.875, "resize_mode": "cover"}),
    "no crop": (
        {"size": {"height": 192, "width": 160}, "crop_size": 100, "do_center_crop": False},
        {"size": (192, 160), "crop_ratio": 1.0, "resize_mode": "squash"},
    ),
    "both sides, then a crop": (
        {"size": {"height": 256, "width": 256}, "crop_size": 224},
        {"size": (224, 224), "crop_ratio": 0.875, "resize_mode": "squash"},
    ),
    "a share": (
        {"size": {"shortest_edge": 224}, "crop_pct": 0.9},
        {"size": (224, 224), "crop_ratio": 0.9, "resize_mode": "cover"},
    ),
    "a share of a large size": (
        {"size": {"shortest_edge": 384}, "crop_pct": 0.9},
        {"size": (384, 384), "crop_ratio": 1.0, "resize_mode": "squash"},
    ),
    "nothing": ({}, {}),
}


@pytest.mark.parametrize(("content", "expected"), GEOMETRIES.values(), ids=GEOMETRIES)
def test_size_and_crop_are_as_in_transformers(content, expected):
    assert parse_image_processor(content) == expected


NORMALIZATIONS = {
    "usual": ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 0.00392156862745098}, HALF),
    "pixels from 0 to 255": (
        {"image_mean": [127.5] * 3, "image_std": [127.5] * 3, "do_rescale": False},
        HALF,
    ),
    "no normalization": ({"do_normalize": False, "image_mean": [0.5] * 3}, {"mean": (0.0,) * 3, "std": (1.0,) * 3}),
    "a factor of its own": (
        {"rescale_factor": 2 / 255, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
        HALF,
    ),
}


@pytest.mark.parametrize(("content", "expected"), NORMALIZATIONS.values(), ids=NORMALIZATIONS)
def test_mean_and_std_are_for_pixels_from_0_to_1(content, expected):
    parsed = parse_image_processor(content)
    assert parsed.keys() == expected.keys()
    assert all(parsed[name] == pytest.approx(values) for name, values in expected.items())


@pytest.mark.parametrize("content", [{"rescale_offset": True}, {"size": [1, 2, 3]}, {"resample": 77}])
def test_what_cannot_be_done_is_refused(content):
    with pytest.raises(ValueError, match=r"\w"):
        parse_image_processor(content)


def test_sizes_are_numbers_pairs_or_mappings():
    assert parse_size(64) == parse_size([64, 64]) == parse_size({"shortest_edge": 64}) == (64, 64)
    assert parse_size({"height": 64, "width": 32}) == (64, 32)
