"""int8 parameters: zero is exact, the range is covered, the error is half a step at most."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from shvit_mobile.quantize.affine import (
    ACTIVATION_MAX,
    ACTIVATION_MIN,
    MIN_SCALE,
    choose_affine_parameters,
    quantize_weight,
)

ENDS = st.floats(-1e4, 1e4, allow_nan=False, width=32)


@given(ENDS, ENDS)
def test_every_value_of_the_range_comes_back_within_a_step(first: float, second: float) -> None:
    low, high = min(first, second), max(first, second)
    parameters = choose_affine_parameters(low, high)
    for value in (low, high, (low + high) / 2):
        integer = round(value / parameters.scale) + parameters.zero_point
        kept = parameters.scale * (min(max(integer, ACTIVATION_MIN), ACTIVATION_MAX) - parameters.zero_point)
        assert abs(kept - value) <= parameters.scale * 1.01


@given(ENDS, ENDS)
def test_zero_is_an_integer_of_the_range(first: float, second: float) -> None:
    parameters = choose_affine_parameters(min(first, second), max(first, second))
    assert ACTIVATION_MIN <= parameters.zero_point <= ACTIVATION_MAX


def test_a_range_after_relu_uses_all_integers_above_zero() -> None:
    assert choose_affine_parameters(0.0, 2.55).zero_point == ACTIVATION_MIN
    assert abs(choose_affine_parameters(0.0, 2.55).scale - 0.01) < 1e-8


def test_a_layer_that_never_moves_gets_the_smallest_scale() -> None:
    assert choose_affine_parameters(0.0, 0.0).scale == MIN_SCALE


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**31))
def test_weights_come_back_within_half_a_step_of_their_channel(channels: int, inputs: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = (
        torch.randn(channels, inputs, 3, 3, generator=generator) * torch.logspace(-3, 3, channels)[:, None, None, None]
    )
    integers, scales = quantize_weight(weight)
    assert integers.dtype == torch.int8
    assert int(integers.min()) >= -127
    error = (integers * scales[:, None, None, None] - weight).abs().flatten(1).amax(1)
    assert bool((error <= scales * 0.5001).all())


@given(ENDS, ENDS)
def test_symmetric_parameters_reach_both_ends_without_a_zero_point(first: float, second: float) -> None:
    parameters = choose_affine_parameters(min(first, second), max(first, second), "symmetric")
    assert parameters.zero_point == 0
    largest = max(abs(first), abs(second))
    high = parameters.scale * ACTIVATION_MAX
    assert high >= largest * (1 - 1e-6)
    assert high <= max(largest * (1 + 1e-6), MIN_SCALE * ACTIVATION_MAX)
