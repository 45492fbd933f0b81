"""Half precision takes the mean from pixels without a rounding, and the model answers as before."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from shvit_mobile.deploy.exporting import export_model
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import MeanSubtraction
from shvit_mobile.deploy.fp16_form import MEAN_STEP, HalfPrecision, rewrite_for_fp16
from shvit_mobile.errors import VerificationFailed
from tests.builders import build_random_shvit, build_trained_model, draw_smooth_pixels
from tests.programs import SIZE, SMALL


@given(eighths=st.integers(0, 255 * 8))
def test_every_pixel_minus_an_eighth_is_exact_in_half(eighths: int) -> None:
    difference = torch.arange(256, dtype=torch.float64) - eighths * MEAN_STEP
    assert torch.equal(difference.half().double(), difference)


def test_only_the_border_of_the_first_convolution_changes_and_that_little() -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE))
    module = deployed.module.double()
    form = rewrite_for_fp16(module, deployed)
    pixels = draw_smooth_pixels(2, SIZE).double()
    before, after = module.patch_embed[:2](pixels), form.patch_embed[:2](pixels)
    torch.testing.assert_close(after[..., 1:-1, 1:-1], before[..., 1:-1, 1:-1], rtol=1e-9, atol=1e-9)
    assert not torch.equal(after, before)
    torch.testing.assert_close(form(pixels), module(pixels), rtol=1e-3, atol=1e-3)


def test_it_is_the_mean_that_is_rounded() -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE))
    module = deployed.module
    centre = rewrite_for_fp16(module, deployed).patch_embed[0]
    assert isinstance(centre, MeanSubtraction)
    assert torch.equal((centre.mean / MEAN_STEP).round() * MEAN_STEP, centre.mean)
    assert float((centre.mean - module.patch_embed[0].mean).abs().max()) <= MEAN_STEP / 2


def test_a_model_of_normalised_values_stays_as_it_is() -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE), normalise=False)
    module = deployed.module
    form = rewrite_for_fp16(module, deployed)
    assert form is not module
    assert isinstance(form.patch_embed[0], nn.Conv2d)
    assert all(torch.equal(*pair) for pair in zip(form.parameters(), module.parameters(), strict=True))


def test_half_precision_is_between_two_casts() -> None:
    images = torch.tensor([[1.0, 1 + 2.0**-12]])
    outputs = HalfPrecision(nn.Identity())(images)
    assert outputs.dtype == torch.float32
    assert torch.equal(outputs, images.half().float())


def test_constants_that_half_precision_cannot_represent_are_named() -> None:
    layer = nn.Linear(2, 1)
    layer.bias.data.fill_(65520.0)
    with pytest.raises(VerificationFailed, match=r"bias reaches .* infinite in fp16") as error:
        HalfPrecision(layer)
    assert error.value.parameter == "precision"
    layer.bias.data.fill_(-torch.inf)
    HalfPrecision(layer)


def test_a_graph_that_names_its_dtype_computes_in_half_precision() -> None:
    class Model(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.to(torch.float32, memory_format=torch.channels_last) + torch.ones(1, dtype=torch.float32)

    images = torch.full((1, 2, 3, 5), 2.0**-12)
    graph = export_model(Model(), images).module()
    assert torch.equal(HalfPrecision(graph)(images), torch.ones_like(images))
