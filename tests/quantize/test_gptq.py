"""Rounding by the layer's output: it changes less than by nearest rounding, and the integers are int8 weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from shvit_mobile.quantize import gptq as rounding
from shvit_mobile.quantize.affine import compute_channel_scales, quantize_weight
from shvit_mobile.quantize.gptq import BLOCK, round_with_gptq

SEEDS = st.integers(0, 2**31)


def layer(rows: int, columns: int, seed: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def correlated(columns: int, seed: int, *, directions: int = 3, own: float = 0.1) -> Tensor:
    """Moments of inputs that mostly share a few directions, float64."""
    generator = torch.Generator().manual_seed(seed + 1)
    shared = torch.randn(columns, directions, generator=generator, dtype=torch.float64)
    return shared @ shared.T + own * torch.diag(torch.rand(columns, generator=generator, dtype=torch.float64))


def output_error(weight: Tensor, integers: Tensor, scales: Tensor, moments: Tensor) -> float:
    """E |W x - Q x|^2."""
    difference = weight.flatten(1).double() - integers.flatten(1).double() * scales.double()[:, None]
    return float(((difference @ moments) * difference).sum())


def errors(weight: Tensor, moments: Tensor) -> tuple[float, float]:
    """Of the chosen integers, and of the nearest."""
    scales = compute_channel_scales(weight)
    chosen, nearest = round_with_gptq(weight, scales, moments), quantize_weight(weight)[0]
    return output_error(weight, chosen, scales, moments), output_error(weight, nearest, scales, moments)


@given(st.integers(1, 5), st.integers(2, 90), SEEDS)
@settings(max_examples=60)
def test_the_output_changes_no_more_than_by_nearest_rounding(rows: int, columns: int, seed: int) -> None:
    # Column by column is no search of all, and small layers leave it little to choose from.
    chosen, nearest = errors(layer(rows, columns, seed), correlated(columns, seed))
    assert chosen <= 1.5 * nearest


def test_the_output_of_layers_of_usual_size_changes_a_fraction() -> None:
    ratios = []
    for seed in range(12):
        chosen, nearest = errors(layer(16, 48, seed), correlated(48, seed))
        ratios.append(chosen / nearest)
    assert max(ratios) < 0.5
    assert sum(ratios) / len(ratios) < 0.15


@given(st.integers(1, 5), st.integers(1, 80), SEEDS)
@settings(max_examples=40)
def test_inputs_that_know_nothing_of_each_other_leave_the_nearest(rows: int, columns: int, seed: int) -> None:
    weight = layer(rows, columns, seed)
    energy = torch.rand(columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 1e-3
    chosen = round_with_gptq(weight, compute_channel_scales(weight), energy.diag())
    assert torch.equal(chosen, quantize_weight(weight)[0])


@given(st.integers(1, 4), st.integers(2, 40), SEEDS, st.floats(0.2, 1.0))
@settings(max_examples=40)
def test_integers_stay_within_int8_even_where_scales_are_too_small(
    rows: int, columns: int, seed: int, share: float
) -> None:
    weight = layer(rows, columns, seed)
    chosen = round_with_gptq(weight, compute_channel_scales(weight) * share, correlated(columns, seed))
    assert chosen.dtype == torch.int8
    assert -127 <= int(chosen.min()) <= int(chosen.max()) <= 127


@pytest.mark.parametrize("columns", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1])
def test_blocks_only_save_time(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weight, moments = layer(6, columns, 3), correlated(columns, 3)
    in_blocks = round_with_gptq(weight, compute_channel_scales(weight), moments)
    for size in (1, 7, columns):
        monkeypatch.setattr(rounding, "BLOCK", size)
        assert torch.equal(round_with_gptq(weight, compute_channel_scales(weight), moments), in_blocks), size


def test_a_weight_keeps_its_shape_and_each_element_its_place() -> None:
    weight = layer(4, 5 * 9, 1).reshape(4, 5, 3, 3)
    chosen = round_with_gptq(weight, compute_channel_scales(weight), correlated(45, 1))
    assert chosen.shape == weight.shape
    # Rounding moves an element by a few steps at most; in another's place it would be off by dozens.
    steps = weight / compute_channel_scales(weight)[:, None, None, None]
    assert float((chosen - steps).abs().mean()) < 2


def test_inputs_that_are_always_zero_are_rounded_to_the_nearest_and_disturb_nothing() -> None:
    weight, moments = layer(5, 20, 8), correlated(20, 8)
    dead = torch.arange(20) % 4 == 0
    moments[dead], moments[:, dead] = 0, 0
    scales = compute_channel_scales(weight)
    chosen = round_with_gptq(weight, scales, moments)
    assert torch.equal(chosen[:, dead], quantize_weight(weight, scales)[0][:, dead])
    nearest = output_error(weight, quantize_weight(weight, scales)[0], scales, moments)
    assert output_error(weight, chosen, scales, moments) < nearest


def test_a_layer_whose_inputs_are_all_zero_is_rounded_to_the_nearest() -> None:
    weight = layer(3, 10, 0)
    chosen = round_with_gptq(weight, compute_channel_scales(weight), torch.zeros(10, 10, dtype=torch.float64))
    assert torch.equal(chosen, quantize_weight(weight)[0])


def test_a_channel_of_zeros_stays_zero() -> None:
    weight = layer(3, 10, 0)
    weight[1] = 0
    assert not round_with_gptq(weight, compute_channel_scales(weight), correlated(10, 0))[1].any()


@pytest.mark.parametrize("shape", [(9, 9), (10, 11), (10,)])
def test_moments_of_another_layer_are_refused(shape: tuple[int, ...]) -> None:
    weight = layer(3, 10, 0)
    with pytest.raises(ValueError, match="for 10 columns"):
        round_with_gptq(weight, compute_channel_scales(weight), torch.ones(shape))
