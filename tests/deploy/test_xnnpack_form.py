"""The form for XNNPACK answers as the deploy form does, and keeps the names of its layers."""

import pytest
import torch
from torch import nn

from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.xnnpack_form import rewrite_modules
from shvit_mobile.errors import VerificationFailed
from shvit_mobile.families import shvit_family
from shvit_mobile.families.shvit import VARIANTS, SingleHeadAttention
from shvit_mobile.families.shvit_family import AveragingNorm
from shvit_mobile.quantize.layers import find_dense_layers
from tests.builders import build_random_shvit, build_trained_model, draw_smooth_pixels


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_logits_stay(variant: str) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(variant, classes=10), size=(97, 65)))
    rewritten = rewrite_modules(deployed)
    image = draw_smooth_pixels(1, (97, 65))
    reference = deployed.module(image)
    assert reference.std() > 0.05
    torch.testing.assert_close(rewritten(image), reference, rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, SingleHeadAttention | nn.GroupNorm) for module in rewritten.modules())


def test_it_is_float32_whatever_the_model_is() -> None:
    rewritten = rewrite_modules(to_deploy_form(build_trained_model(build_random_shvit().double())))
    assert {tensor.dtype for tensor in rewritten.state_dict().values()} == {torch.float32}


def test_layers_keep_their_names_and_weights() -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit()))
    layers = dict(find_dense_layers(rewrite_modules(deployed)))
    for name, layer in find_dense_layers(deployed.module):
        torch.testing.assert_close(layers[name].weight, layer.weight)


@pytest.mark.parametrize("shape", [(1, 8, 4, 3), (1, 17, 1, 1), (1, 3, 7, 5)])
def test_the_norm_is_a_group_norm_of_one_group(shape: tuple[int, int, int, int]) -> None:
    x = 3 + 5 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = nn.functional.group_norm(x, 1, eps=1e-5)
    torch.testing.assert_close(AveragingNorm(shape[1], 1e-5)(x), expected, rtol=1e-10, atol=1e-10)


def test_a_rewrite_that_is_not_exact_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        shvit_family, "create_channel_average", lambda channels, bias: averaging(channels, bias * 1.001)
    )
    with pytest.raises(VerificationFailed, match="a SingleHeadAttention for XNNPACK differs"):
        rewrite_modules(to_deploy_form(build_trained_model(build_random_shvit())))


averaging = shvit_family.create_channel_average
