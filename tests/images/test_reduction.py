"""The scale at which photos are decoded bounds the memory, and keeps twice what the model needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.images.reduction import MAX_DECODED_PIXELS, choose_reduction, divide_side

VECTORS = Path(__file__).parents[2] / "schemas" / "vectors" / "reductions.json"
CASES = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]
SIDES = st.integers(1, 20_000)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['height']}x{case['width']}")
def test_the_apps_vectors_are_this_rule(case: dict[str, Any]) -> None:
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in case["preprocessing"].items()}
    sides = case["height"], case["width"]
    assert choose_reduction(*sides) == case["reduction"]
    assert choose_reduction(*sides, Preprocessing(**fields)) == case["reduction_with_option"]


def test_photos_of_12_megapixels_stay_whole_without_the_option_and_48_are_halved() -> None:
    assert choose_reduction(3024, 4032) == 1
    assert choose_reduction(6048, 8064) == 2
    assert (choose_reduction(3024, 4032, Preprocessing()), choose_reduction(6048, 8064, Preprocessing())) == (4, 8)


@given(height=SIDES, width=SIDES)
def test_no_decoded_photo_has_more_pixels_than_fit_and_none_is_divided_in_vain(height: int, width: int) -> None:
    reduction = choose_reduction(height, width)
    assert divide_side(height, reduction) * divide_side(width, reduction) <= MAX_DECODED_PIXELS
    assert (
        reduction == 1 or divide_side(height, reduction // 2) * divide_side(width, reduction // 2) > MAX_DECODED_PIXELS
    )


@given(height=SIDES, width=SIDES, side=st.integers(16, 512), squashed=st.booleans())
def test_the_option_divides_evenly_and_keeps_twice_the_resized_sides(
    height: int, width: int, side: int, squashed: bool
) -> None:
    preprocessing = Preprocessing((side, side), resize_mode="squash" if squashed else "cover")
    reduction, needed = choose_reduction(height, width, preprocessing), choose_reduction(height, width)
    if reduction > needed:
        assert reduction in (2, 4, 8)
        assert height % reduction == width % reduction == 0
        resized = preprocessing.compute_resized_size(height, width)
        assert all(one >= 2 * other * reduction for one, other in zip((height, width), resized, strict=True))
