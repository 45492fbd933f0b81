"""Equalisation brings channels together: outliers all the way, the others halfway, and nothing where nothing moves."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from shvit_mobile.deploy.equalization_groups import (
    ChannelSlice,
    EqualizationGroup,
    scale_channels,
)
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.quantize.equalize import (
    MAX_EXPONENT,
    OUTLIER_LOG2_DISTANCE,
    compute_equalization_exponents,
    compute_group_exponents,
)
from shvit_mobile.quantize.passes import measure_output_magnitudes
from tests.builders import add_outliers, build_random_shvit, build_trained_model, draw_smooth_pixels

CHAIN = EqualizationGroup(ChannelSlice("made"), (ChannelSlice("taken"),))
QUERIES = EqualizationGroup(ChannelSlice("qkv", 0, 4), inverse_producers=(ChannelSlice("qkv", 4, 8),))
# Magnitudes as float32 has them, dead channels among them.
SIZES = st.one_of(st.just(0.0), st.floats(2.0**-40, 2.0**40, width=32))


def found(sizes: list[float]) -> Tensor:
    return compute_group_exponents(CHAIN, {"made": torch.tensor(sizes)})


@pytest.fixture(scope="module")
def deployed() -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(seed=2)))


@given(st.lists(SIZES, min_size=1, max_size=40))
@example([2.0**-40, 2.0**-40, 2.0**40])
def test_exponents_are_whole_small_and_never_nonsense(sizes: list[float]) -> None:
    chosen = found(sizes)
    assert chosen.dtype == torch.int8
    assert chosen.shape == (len(sizes),)
    assert int(chosen.abs().max()) <= MAX_EXPONENT


@given(st.lists(st.floats(0.5, 2.0, width=32), min_size=5, max_size=20), st.floats(8.0, 2.0**20, width=32))
def test_an_outlier_comes_within_the_usual_distance(sizes: list[float], factor: float) -> None:
    usual = torch.tensor(sizes).median()
    outlying = [*sizes, float(usual) * factor]
    size = torch.tensor(outlying) * torch.exp2(found(outlying).float())
    # Half of the usual distance is left, and half a power of two by rounding; the median may be the next channel's.
    assert size[-1] / torch.tensor(outlying).median() <= 2 ** (OUTLIER_LOG2_DISTANCE / 2 + 0.5) * 1.001


@given(st.lists(SIZES, min_size=2, max_size=40))
def test_channels_that_move_come_nearer_to_their_median_and_never_change_sides(sizes: list[float]) -> None:
    made = torch.tensor(sizes)
    moving = made > 0
    if not moving.any():
        return
    before = (made[moving].double() / made[moving].double().median()).log2()
    after = before + found(sizes)[moving]
    assert bool((after.abs() <= before.abs()).all())
    # Rounding may carry a channel that far beyond.
    assert bool((after * before.sign() >= -0.5).all())


def test_half_of_a_usual_distance_goes_and_all_of_what_is_further() -> None:
    sizes = [1.0] * 9 + [2.0**distance for distance in (2, -2, 3, 6, 10, -6)]
    assert found(sizes).tolist() == [0] * 9 + [-1, 1, -2, -4, -8, 2]


@given(st.integers(1, 20))
def test_channels_that_are_all_dead_stay(count: int) -> None:
    assert not found([0.0] * count).any()


def test_a_dead_channel_does_not_count_and_is_never_made_large() -> None:
    alive = [1.0, 4.0, 16.0]
    # Its weights come to be read with a step of their own, so a moderate factor is all it may get.
    assert found([*alive, 0.0, 0.0, 0.0, 0.0]).tolist() == [*found(alive).tolist(), 2, 2, 2, 2]


@given(st.lists(SIZES, min_size=8, max_size=8))
def test_queries_and_keys_meet_in_the_middle(sizes: list[float]) -> None:
    values = torch.tensor(sizes)
    chosen = compute_group_exponents(QUERIES, {"qkv": values})
    query, key = values[:4].double(), values[4:].double()
    alive = (query > 0) & (key > 0)
    assert not chosen[~alive].any()
    made, against = query * torch.exp2(chosen.double()), key * torch.exp2(-chosen.double())
    # As near as whole powers of two, one up and one down, can bring them.
    near = chosen.abs() < MAX_EXPONENT
    assert bool(((made / against).log2().abs()[alive & near] <= 1 + 1e-9).all())
    # Either side takes the opposite of the other: from the keys' end, it is the same with its sign changed.
    swapped = compute_group_exponents(QUERIES, {"qkv": torch.cat([values[4:], values[:4]])})
    assert torch.equal(swapped, -chosen)


def test_every_chain_gets_exponents_of_its_channels(deployed: DeployForm) -> None:
    sizes = measure_output_magnitudes(deployed.module, deployed.wiring, [draw_smooth_pixels(4, (64, 64))])
    chosen = compute_equalization_exponents(deployed.wiring.groups, sizes)
    assert chosen.keys() == {chain.name for chain in deployed.wiring.groups}
    for chain in deployed.wiring.groups:
        assert chosen[chain.name].shape == sizes[chain.producer.layer][chain.producer.channels].shape


def spread(chain: EqualizationGroup, sizes: Mapping[str, Tensor]) -> float:
    """How much larger than usual the largest channel is."""
    values = sizes[chain.producer.layer][chain.producer.channels]
    return float(values.max() / values[values > 0].median())


def test_planted_outliers_are_gone_from_every_feed_forward_part() -> None:
    deployed = to_deploy_form(build_trained_model(add_outliers(build_random_shvit(seed=2), factor=64)))
    module, wiring = deployed.module, deployed.wiring
    images = [draw_smooth_pixels(4, (64, 64))]
    sizes = measure_output_magnitudes(module, wiring, images)
    scaled = scale_channels(module, wiring.groups, compute_equalization_exponents(wiring.groups, sizes))
    after = measure_output_magnitudes(scaled, wiring, images)
    parts = [chain for chain in wiring.groups if chain.name.endswith("pw1")]
    for chain in parts:
        assert spread(chain, sizes) > 50, "nothing is planted"
        assert spread(chain, after) < 6
