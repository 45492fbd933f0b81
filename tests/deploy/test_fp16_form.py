"""Half precision takes the mean from pixels without a rounding, and the model answers as before."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from executorch.runtime import Runtime
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from shvit_mobile.deploy.exporting import export_model
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import MeanSubtraction
from shvit_mobile.deploy.fp16_form import MEAN_STEP, HalfPrecision, rewrite_for_fp16
from shvit_mobile.deploy.rewriting import rewrite_operators
from shvit_mobile.deploy.xnnpack_operators import XNNPACK_OPERATORS
from shvit_mobile.errors import VerificationFailed
from shvit_mobile.targets.executorch import lower_to_program
from shvit_mobile.targets.pte import inspect_program
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


class Curve(nn.Module):
    """A function of each pixel."""

    def __init__(self, compute: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(x)


@pytest.mark.parametrize(
    ("compute", "error"),
    [
        (F.gelu, 0.0),
        (lambda x: F.gelu(x, approximate="tanh"), 2.0**-8),
        (F.silu, 2.0**-9),
        (lambda x: F.gelu(F.gelu(x)), 2.0**-11),
    ],
    ids=["gelu", "gelu by tanh", "silu", "two gelus"],
)
def test_activations_that_xnnpack_lacks_in_half_precision_stay_in_its_delegate(
    compute: Callable[[Tensor], Tensor], error: float, tmp_path: Path
) -> None:
    values = torch.linspace(-9, 9, 3 * 31 * 17).half().float().reshape(1, 3, 31, 17)
    rewritten = rewrite_operators(Curve(compute), values, XNNPACK_OPERATORS, "XNNPACK")
    lower_to_program(HalfPrecision(rewritten), values.shape, tmp_path / "program.pte")
    delegation = inspect_program(tmp_path / "program.pte").delegation
    assert delegation.delegates == 1
    assert delegation.left_operators == {}
    method = Runtime.get().load_program(tmp_path / "program.pte").load_method("forward")
    # The rounding of the result, and the error of what is computed in fp16.
    torch.testing.assert_close(method.execute([values])[0], compute(values), rtol=2.0**-11 + error, atol=1e-6 + error)
