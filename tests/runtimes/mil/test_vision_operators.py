"""The operators of vision models in any shape, in fp16, with invalid parameters, and as coremltools converts them."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from shvit_mobile.errors import BadArtifact, UnsupportedOperator
from shvit_mobile.metrics import sqnr
from shvit_mobile.runtimes.mil.operators import OPERATORS
from shvit_mobile.runtimes.mil.program import CoreMLProgram
from shvit_mobile.targets.coreml.convert import build_pass_pipeline
from tests.runtimes.mil.packages import OperatorCase, collect_inputs, draw_array, save_cases, save_model
from tests.runtimes.mil.test_operators import GROUPS, RELEASES

VISION_GROUPS = (
    "activations",
    "arithmetic",
    "reductions",
    "resizing",
    "moves",
    "gathers",
    "transposed",
    "l2_pools",
    "attention",
)
SIZES, FACTORS = st.integers(1, 9), st.integers(1, 4)
FEW = settings(max_examples=60, deadline=None)


def run(name: str, *tensors: Tensor, **constants: Any) -> Tensor:
    return OPERATORS[name].function(*tensors, **constants)


def draw(*shape: int) -> Tensor:
    return torch.from_numpy(draw_array(*shape))


def assert_close(actual: Tensor, expected: Tensor) -> None:
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual, expected, rtol=2e-6, atol=2e-5)


@FEW
@given(sizes=st.tuples(SIZES, SIZES), target=st.tuples(SIZES, SIZES), align=st.booleans())
def test_bilinear_resizing_agrees_with_torch(sizes, target, align):
    x = draw(2, 3, *sizes)
    mode = "STRICT_ALIGN_CORNERS" if align else "UNALIGN_CORNERS"
    actual = run("resize_bilinear", x, target_size_height=target[0], target_size_width=target[1], sampling_mode=mode)
    assert_close(actual, F.interpolate(x, target, mode="bilinear", align_corners=align))


@FEW
@given(sizes=st.tuples(SIZES, SIZES), factors=st.tuples(FACTORS, FACTORS), align=st.booleans())
def test_upsampling_by_whole_factors_agrees_with_torch(sizes, factors, align):
    x, (height, width) = draw(2, 3, *sizes), factors
    scales = {"scale_factor_height": height, "scale_factor_width": width}
    linear = F.interpolate(x, scale_factor=factors, mode="bilinear", align_corners=align)
    assert_close(run("upsample_bilinear", x, align_corners=align, **scales), linear)
    assert torch.equal(run("upsample_nearest_neighbor", x, **scales), F.interpolate(x, scale_factor=factors))


@FEW
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    mode=st.sampled_from(["constant", "reflect", "replicate"]),
    data=st.data(),
)
def test_padding_agrees_with_numpy(shape, mode, data):
    padded = data.draw(st.integers(1, len(shape)))
    limits = [size - 1 if mode == "reflect" else 4 for size in shape[-padded:]]
    sides = [data.draw(st.tuples(st.integers(0, limit), st.integers(0, limit))) for limit in limits]
    x = draw(*shape)
    expected = np.pad(x.numpy(), [(0, 0)] * (len(shape) - padded) + sides, {"replicate": "edge"}.get(mode, mode))
    actual = run("pad", x, pad=[side for both in sides for side in both], mode=mode)
    assert torch.equal(actual, torch.from_numpy(expected))


@FEW
@given(
    sizes=st.lists(SIZES, min_size=1, max_size=2),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    data=st.data(),
)
def test_transposed_convolutions_agree_with_torch(sizes, kernel, stride, dilation, groups, data):
    axes = len(sizes)
    full = [(size - 1) * stride + (kernel - 1) * dilation + 1 for size in sizes]
    padding = data.draw(st.integers(0, (min(full) - 1) // 2))
    more = data.draw(st.integers(0, max(stride, dilation) - 1))
    x, weight, bias = draw(2, 4, *sizes), draw(4, 3, *[kernel] * axes), draw(3 * groups)
    convolution = {1: F.conv_transpose1d, 2: F.conv_transpose2d}[axes]
    expected = convolution(x, weight, bias, stride, padding, more, groups, dilation)
    actual = run(
        "conv_transpose",
        x,
        weight,
        bias,
        strides=[stride] * axes,
        dilations=[dilation] * axes,
        groups=groups,
        pad_type="custom",
        pad=[padding] * 2 * axes,
        output_shape=list(expected.shape),
    )
    assert_close(actual, expected)


@FEW
@given(size=SIZES, kernel=st.integers(1, 5), stride=st.integers(1, 4), dilation=st.integers(1, 2))
def test_same_padding_of_a_transposed_convolution_mirrors_the_convolutions(size, kernel, stride, dilation):
    """The gradient of a convolution with `same` padding is the transposed convolution with `same` padding."""
    weight, x = draw(4, 3, kernel), draw(2, 4, size)
    image = torch.zeros(2, 3, size * stride, requires_grad=True)
    strides = {"strides": [stride], "dilations": [dilation], "pad_type": "same"}
    run("conv", image, weight, **strides).backward(x)
    assert_close(run("conv_transpose", x, weight, **strides), image.grad)


@FEW
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    name=st.sampled_from(["sum", "mean", "max", "min", "prod", "l1_norm", "l2_norm", "sum_square", "log_sum_exp"]),
    keep=st.booleans(),
    data=st.data(),
)
def test_reductions_agree_with_numpy(shape, name, keep, data):
    rank = len(shape)
    axes = data.draw(st.lists(st.integers(0, rank - 1), min_size=1, unique=True))
    signed = [axis - rank if data.draw(st.booleans()) else axis for axis in axes]
    x = draw(*shape).double()
    functions: dict[str, Callable[..., Any]] = {
        "l1_norm": lambda x, *a, **k: np.abs(x).sum(*a, **k),
        "l2_norm": lambda x, *a, **k: np.sqrt(np.square(x).sum(*a, **k)),
        "sum_square": lambda x, *a, **k: np.square(x).sum(*a, **k),
        "log_sum_exp": lambda x, *a, **k: np.log(np.exp(x).sum(*a, **k)),
    }
    expected = functions.get(name, getattr(np, name, None))(x.numpy(), tuple(axes), keepdims=keep)
    assert_close(run(f"reduce_{name}", x, axes=signed, keep_dims=keep), torch.as_tensor(expected))


@FEW
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=4), count=st.lists(SIZES, max_size=2), data=st.data())
def test_gathering_agrees_with_numpy(shape, count, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    size = shape[axis]
    indices = np.random.default_rng(0).integers(-size, size, count).astype(np.int32)
    x = draw(*shape)
    expected = torch.as_tensor(np.take(x.numpy(), indices, axis))
    assert torch.equal(run("gather", x, torch.as_tensor(indices), axis=axis), expected)


@pytest.mark.parametrize("group", VISION_GROUPS)
def test_operators_in_fp16_give_fp16_numbers_near_the_exact_ones(tmp_path, group):
    cases = {
        name: OperatorCase(case.mil, case.expected, tuple(a.astype(np.float16).astype(np.float32) for a in case.inputs))
        for name, case in GROUPS[group].items()
    }
    path = save_cases(cases, tmp_path / "half.mlpackage", RELEASES.get(group, ct.target.iOS17), fp16=True)
    program, seen = CoreMLProgram(path), {}
    assert program.mode == "fp16"
    results = program(collect_inputs(cases), observe=lambda name, value: seen.update({name: value.clone()}))
    assert seen
    assert [name for name, value in seen.items() if not torch.equal(value, value.half().float())] == []
    for name, case in cases.items():
        expected = np.asarray(case.expected(*case.inputs), np.float32)
        np.testing.assert_allclose(
            results[name], expected, rtol=2**-8, atol=2**-8 * np.abs(expected).max() + 2**-24, err_msg=name
        )


REFUSALS: dict[str, tuple[type[BadArtifact], str, Callable[[], Any]]] = {
    "gelu": (UnsupportedOperator, "mode FAST", lambda: run("gelu", draw(2), mode="FAST")),
    "pad": (UnsupportedOperator, "mode circular", lambda: run("pad", draw(2), pad=[1, 1], mode="circular")),
    "reflection": (
        BadArtifact,
        "reflects 3 elements of an axis of 3",
        lambda: run("pad", draw(3), pad=[1, 3], mode="reflect"),
    ),
    "tile": (BadArtifact, "repeats 1 axes of 2", lambda: run("tile", draw(2, 3), reps=[2])),
    "sampling": (
        UnsupportedOperator,
        "sampling_mode CUBIC",
        lambda: run("resize_bilinear", draw(1, 2, 2), sampling_mode="CUBIC"),
    ),
    "centers": (
        UnsupportedOperator,
        "align_corners with half_pixel_centers",
        lambda: run("upsample_bilinear", draw(1, 2, 2), align_corners=True, half_pixel_centers=True),
    ),
    "transposed": (
        UnsupportedOperator,
        "pad_type same_lower",
        lambda: run("conv_transpose", draw(1, 2, 3), draw(2, 3, 2), pad_type="same_lower"),
    ),
    "index dtype": (
        UnsupportedOperator,
        "output_dtype int64",
        lambda: run("reduce_argmax", draw(2), output_dtype="int64"),
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_an_invalid_parameter_is_named(name):
    error, text, call = REFUSALS[name]
    with pytest.raises(error, match=text) as caught:
        call()
    assert caught.value.why


def test_an_index_out_of_bounds_is_an_error_with_its_location(tmp_path):
    case = OperatorCase(
        lambda x, i: mb.gather(x=x, indices=mb.cast(x=i, dtype="int32"), axis=1),
        None,
        (draw_array(2, 3), np.array([1, 3], np.float32)),
    )
    program = CoreMLProgram(save_cases({"y": case}, tmp_path / "g.mlpackage"))
    with pytest.raises(BadArtifact, match="gather 'gather_"):
        program(collect_inputs({"y": case}))


class TanhGELU(nn.Module):
    """`nn.GELU("tanh")` spelled out: of an exported one, coremltools 9.0 ignores the approximation."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))


class Activating(nn.Module):
    """Each activation of torchvision and timm, after a convolution of its own."""

    def __init__(self) -> None:
        super().__init__()
        activations = (
            *(nn.GELU(), TanhGELU(), nn.SiLU(), nn.Hardswish(), nn.Hardsigmoid(), nn.ReLU6(), nn.LeakyReLU(0.1)),
            *(nn.PReLU(6), nn.ELU(), nn.Softplus(), nn.Mish(), nn.Tanh(), nn.SELU()),
        )
        self.branches = nn.ModuleList(nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), one) for one in activations)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Resizing(nn.Module):
    """A small neck: transposed convolutions, upsampling, padding, and a norm over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(6, 6, 2, stride=2)
        self.depthwise = nn.ConvTranspose2d(6, 6, 3, stride=2, padding=1, output_padding=1, groups=6)

    def forward(self, x: Tensor) -> Tensor:
        up = self.up(x) + self.depthwise(x)
        smooth = F.interpolate(x, scale_factor=2, mode="bilinear") + F.interpolate(x, scale_factor=2)
        aligned = F.interpolate(x, up.shape[-2:], mode="bilinear", align_corners=True)
        y = F.pad(up + smooth + aligned, (1, 2, 0, 1), mode="reflect") + F.pad(up, (1, 2, 0, 1), mode="replicate")
        y = F.avg_pool2d(y, 3, 2, 1, ceil_mode=True, count_include_pad=False) + F.max_pool2d(y, 3, 2, 1, ceil_mode=True)
        return F.pixel_unshuffle(F.pad(y, (0, y.shape[-1] % 2, 0, y.shape[-2] % 2)), 2)


class Attending(nn.Module):
    """Attention over channels and over positions, with a bias from a table, and split heads."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(6), nn.Linear(6, 18)
        self.table = nn.Parameter(torch.randn(3, 40))
        self.register_buffer("places", torch.arange(35 * 35).reshape(35, 35) % 40)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        q, k, v = (part.reshape(1, 35, 3, 2).transpose(1, 2) for part in self.qkv(tokens).chunk(3, -1))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=self.table[:, self.places][None])
        crossed = (F.normalize(q, dim=-1) * F.normalize(k, dim=2)).amax(2).repeat(1, 2, 1)
        scores = torch.logsumexp(attended, -1).clamp(min=-1) + torch.minimum(q, k).std(-1)
        return torch.cat([attended.flatten(1), crossed.flatten(1), scores.flatten(1)], 1)


def convert(module: nn.Module, x: Tensor, path: Path, release: str) -> CoreMLProgram:
    """A package made as `targets/coreml` makes one."""
    with torch.no_grad():
        exported = torch.export.export(module, (x,)).run_decompositions({})
    model = ct.convert(
        exported,
        convert_to="mlprogram",
        inputs=[ct.TensorType("x", shape=tuple(x.shape))],
        outputs=[ct.TensorType("y")],
        minimum_deployment_target=getattr(ct.target, release),
        compute_precision=ct.precision.FLOAT32,
        pass_pipeline=build_pass_pipeline(ct),
        skip_model_load=True,
    )
    return CoreMLProgram(save_model(model, path))


@pytest.mark.parametrize("release", ["iOS16", "iOS18"])
@pytest.mark.parametrize("module", [Activating, Resizing, Attending])
def test_converted_modules_agree_with_torch_to_100_db(tmp_path, module, release):
    torch.manual_seed(0)
    network, x = module().eval(), draw(1, 6, 7, 5)
    program = convert(network, x, tmp_path / "m.mlpackage", release)
    assert program.not_batchable_reason is None
    images = torch.cat([x, -x, x.flip(1)])
    with torch.inference_mode():
        expected = torch.cat([network(image[None]) for image in images])
    actual = program(images.numpy())["y"].reshape(3, -1)
    assert sqnr(expected.flatten(1).numpy(), actual) >= 100
