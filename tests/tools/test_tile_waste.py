"""The count of wasted products, by hand where that is easy."""

import pytest
import tile_waste

from shvit_mobile.families.shvit import VARIANTS


def test_the_next_multiple() -> None:
    assert [tile_waste.round_up(count, 7) for count in (1, 7, 8, 49)] == [7, 7, 14, 49]


@pytest.mark.parametrize("variant", VARIANTS)
def test_whole_tiles_are_never_fewer_products(variant: str) -> None:
    channels, tiles = tile_waste.measure_waste(variant)
    assert 1 < channels < tiles < 1.5
