"""The equalized head has the same logits and a smaller int8 error."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from shvit_mobile.deploy import head_equalization as head
from shvit_mobile.deploy.head_equalization import equalize_head
from shvit_mobile.errors import VerificationFailed


def linear(channels: int, classes: int, seed: int) -> nn.Linear:
    """A head with channels that hardly move beside others that do, as a folded BatchNorm leaves it."""
    generator = torch.Generator().manual_seed(seed)
    made = nn.Linear(channels, classes)
    nn.init.normal_(made.weight, generator=generator)
    made.weight.data *= torch.exp(3 * torch.randn(channels, generator=generator))
    return made.requires_grad_(False)


def rounded(weight: Tensor) -> Tensor:
    """The weight as int8 holds it, a scale an output."""
    scale = weight.abs().amax(1, keepdim=True) / 127
    return (weight / scale).round() * scale


@given(channels=st.integers(1, 40), classes=st.integers(1, 30), seed=st.integers(0, 99))
def test_the_logits_stay(channels: int, classes: int, seed: int) -> None:
    plain = linear(channels, classes, seed).double()
    pooled = torch.randn(3, channels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    torch.testing.assert_close(equalize_head(plain)(pooled), plain(pooled), rtol=1e-10, atol=1e-10)


def test_a_channel_without_weights_is_no_trouble() -> None:
    plain = linear(8, 5, 0)
    plain.weight[:, 3] = 0
    pooled = torch.randn(2, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(equalize_head(plain)(pooled), plain(pooled))


def test_int8_weights_lose_less() -> None:
    plain = linear(320, 100, 0)
    # Values as small as the weights are large: what a BatchNorm's fold makes of channels that hardly move.
    pooled = torch.randn(64, 320, generator=torch.Generator().manual_seed(1)) / plain.weight.abs().amax(0)
    exact, equal = plain(pooled), equalize_head(plain)
    before = (pooled @ rounded(plain.weight).T + plain.bias - exact).square().mean()
    after = ((pooled * equal.scale) @ rounded(equal.linear.weight).T + equal.linear.bias - exact).square().mean()
    assert after < before / 30


def test_a_head_that_answers_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head.EqualizedHead, "forward", lambda self, pooled: self.linear(pooled))
    with pytest.raises(VerificationFailed, match="the equalized head differs"):
        equalize_head(linear(8, 5, 0))
