"""Variants of a few pictures: as many as asked for, all different, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from shvit_mobile.images.augment import augment_images


def pictures(count: int, height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_there_are_as_many_as_asked_for_and_the_pictures_come_first(count: int) -> None:
    given = pictures(count)
    made = augment_images(given, 8)
    assert (made.shape, made.dtype) == ((8, 20, 30, 3), np.uint8)
    assert np.array_equal(made[:count], given)
    assert len({picture.tobytes() for picture in made}) == 8


def test_more_pictures_than_asked_for_stay_as_they_are() -> None:
    given = pictures(5)
    assert augment_images(given, 3) is given


def test_a_seed_gives_the_same_variants_and_another_seed_others() -> None:
    given = pictures(1)
    first, again, other = (augment_images(given, 6, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_variants_reach_further_than_the_picture() -> None:
    """A grey picture of middling values has neither dark nor light ones; its variants have."""
    given = np.full((1, 16, 16, 3), 128, np.uint8) + np.arange(16, dtype=np.uint8)[None, None, :, None]
    made = augment_images(given, 64)
    assert made.min() < 80
    assert made.max() > 190


def test_the_smallest_picture_has_variants() -> None:
    assert augment_images(pictures(1, 1, 1), 4).shape == (4, 1, 1, 3)
