"""XNNPACK executes every operator that is rewritten for it, in one delegate, with the values of torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from executorch.runtime import Runtime
from torch import Tensor, nn
from torch.nn import functional as F

from shvit_mobile.deploy.rewriting import rewrite_operators
from shvit_mobile.deploy.xnnpack_operators import XNNPACK_OPERATORS
from shvit_mobile.targets.executorch import lower_to_program
from shvit_mobile.targets.pte import inspect_program

SHAPE = (1, 3, 9, 14)
CHANNELS = 8


class Classifier(nn.Module):
    """A convolution, an operator on its output of shape (1, 8, 9, 14), and a sum of what that returns.

    `extra` belongs to the operator: a module, or a tensor that becomes a parameter.
    """

    def __init__(self, compute: Callable[..., Any], extra: nn.Module | Tensor | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.compute = nn.Conv2d(3, CHANNELS, 3, padding=1), compute
        self.extra = nn.Parameter(extra) if isinstance(extra, Tensor) else extra
        for parameter in self.parameters():
            parameter.data += 0.3 * torch.rand_like(parameter)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image / 255)
        result = self.compute(x) if self.extra is None else self.compute(x, self.extra)
        return torch.cat([part.flatten(1) for part in (result if isinstance(result, list | tuple) else [result])], 1)


def attend(x: Tensor, mask: Tensor | None = None) -> Tensor:
    query, key, value = x.flatten(2).transpose(1, 2).unflatten(2, (2, 4)).transpose(1, 2).expand(3, 1, 2, 126, 4)
    return F.scaled_dot_product_attention(query, key, value + 1, mask)


def attend_to_one_key(x: Tensor, causal: bool = False) -> Tensor:
    query = x.flatten(2).transpose(1, 2).unflatten(2, (2, 4)).transpose(1, 2)
    return F.scaled_dot_product_attention(query, query[:, :1], 2 * query[:, :1], is_causal=causal)


OPERATORS: dict[str, tuple[Callable[..., Any], nn.Module | Tensor | None]] = {
    "split": (lambda x: [part.exp() for part in x.split(3, 1)], None),
    "split_with_sizes": (lambda x: [part.exp() for part in x.split([1, 5, 2], 1)], None),
    "chunk": (lambda x: [part.exp() for part in x.chunk(3, -1)], None),
    "slice of every second": (lambda x: [x[:, ::2].exp(), x[..., 1::3].exp(), x[:, :, :8:2].exp()], None),
    "slice of every second token": (lambda x: x.flatten(2).transpose(1, 2)[:, 1::2], None),
    "select": (lambda x: x.select(1, -2).exp(), None),
    "unbind": (lambda x: [part.exp() for part in x.unbind(2)], None),
    "stack": (lambda x: torch.stack([x, x.exp()], 2), None),
    "roll": (lambda x: torch.roll(x, (2, -3), (2, 3)), None),
    "expand": (lambda x: x[:, :1].expand(1, 8, 9, 14).exp(), None),
    "expand to multiply": (lambda x: x * x.mean(3, keepdim=True).expand_as(x), None),
    "squeeze": (lambda x: x[:, :1].squeeze(1).unsqueeze(0).exp(), None),
    "mean of an image": (lambda x: x.mean((2, 3)), None),
    "mean of rows": (lambda x: x.mean(2), None),
    "mean of columns": (lambda x: x.mean(-1, keepdim=True), None),
    "mean of channels": (lambda x: x.mean(1, keepdim=True), None),
    "mean of channels and rows": (lambda x: x.mean((1, 2)), None),
    "mean of tokens": (lambda x: x.flatten(2).transpose(1, 2).mean(1), None),
    "sum of columns": (lambda x: x.sum(-1), None),
    "sum of channels": (lambda x: x.sum(1), None),
    "normalize": (lambda x: F.normalize(x.flatten(2), dim=-1), None),
    "layer_norm": (lambda x, norm: norm(x.flatten(2).transpose(1, 2)), nn.LayerNorm(CHANNELS)),
    "layer_norm of an image": (lambda x, norm: norm(x.permute(0, 2, 3, 1)), nn.LayerNorm(CHANNELS, eps=1e-3)),
    "layer_norm of pooled channels": (lambda x, norm: norm(x.mean((2, 3))), nn.LayerNorm(CHANNELS)),
    "layer_norm of channels": (
        lambda x, norm: norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).exp(),
        nn.LayerNorm(CHANNELS),
    ),
    "layer_norm of two axes": (lambda x, norm: norm(x), nn.LayerNorm((9, 14))),
    "layer_norm without weight": (lambda x, norm: norm(x), nn.LayerNorm(14, elementwise_affine=False)),
    "group_norm": (lambda x, norm: norm(x), nn.GroupNorm(1, CHANNELS)),
    "group_norm of four groups": (lambda x, norm: norm(x), nn.GroupNorm(4, CHANNELS, eps=1e-2)),
    "group_norm of tokens": (lambda x, norm: norm(x.flatten(2)), nn.GroupNorm(2, CHANNELS)),
    "batch_norm": (lambda x, norm: norm(x), nn.BatchNorm2d(CHANNELS)),
    "matmul": (lambda x: x @ x.transpose(2, 3), None),
    "softmax behind a convolution": (lambda x: x.softmax(-1), None),
    "softmax of channels": (lambda x: x.softmax(1), None),
    "softmax of tokens": (lambda x: x.flatten(2).softmax(1), None),
    "attention": (attend, None),
    "attention with a mask": (attend, torch.randn(1, 2, 126, 126)),
    "attention to one key for all heads": (attend_to_one_key, None),
    "causal attention": (lambda x: attend_to_one_key(x, causal=True), None),
    "matmul with one matrix for all heads": (lambda x: x @ x[:, :1].transpose(2, 3), None),
    "add a number": (lambda x: x + 3, None),
    "subtract from a number": (lambda x: 3 - x, None),
    "multiply by a parameter": (lambda x, gamma: x * gamma, torch.rand(CHANNELS, 1, 1)),
    "divide by a number": (lambda x: x / 7, None),
    "add in place": (lambda x: x.relu().add_(x), None),
    "power": (lambda x: [x**2, x.abs() ** 0.5, x.exp() ** -0.5], None),
    "clamp_min": (lambda x: x.clamp_min(0.1), None),
    "clamp_max": (lambda x: x.clamp_max(0.1), None),
    "clamp": (lambda x: [x.clamp(-0.1), x.clamp(max=0.2), x.clamp(-0.1, 0.2)], None),
    "hardsigmoid": (lambda x: F.hardsigmoid(9 * x - 3), None),
    "hardsigmoid in place": (lambda x: F.hardsigmoid(9 * x, inplace=True), None),
    "gelu": (lambda x: F.gelu(4 * x), None),
    "gelu by tanh": (lambda x: F.gelu(4 * x, approximate="tanh"), None),
    "silu": (lambda x: F.silu(4 * x), None),
    "silu in place": (lambda x: F.silu(4 * x, inplace=True), None),
    "global pool": (lambda x: F.adaptive_avg_pool2d(x, 1), None),
    "adaptive pool": (lambda x: F.adaptive_avg_pool2d(x, (3, 7)), None),
    "average pool": (lambda x: F.avg_pool2d(x, 3, 2), None),
    "average pool with padding": (lambda x: F.avg_pool2d(x, 3, 2, 1), None),
    "average pool of tokens": (lambda x: F.avg_pool1d(x.flatten(2), 3, 2), None),
    "average pool of one position": (lambda x: F.avg_pool2d(x, 1, 2), None),
    "nearest upsampling": (lambda x: F.interpolate(x, scale_factor=(2, 3), mode="nearest"), None),
    "nearest upsampling to a size": (lambda x: F.interpolate(x, size=(18, 14)), None),
    "nearest upsampling to an odd size": (lambda x: F.interpolate(x, size=(13, 17)), None),
    "bilinear upsampling": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), None),
    "transposed and back": (lambda x: x.flatten(2).mT.transpose(1, 2).transpose(0, 2).exp(), None),
    "view of a contiguous copy": (lambda x: x.permute(0, 2, 3, 1).contiguous().view(1, 126, 8).exp(), None),
    "a constant": (lambda x, bias: x + bias[:, [1, 0, 2, 3, 4, 5, 6, 7]], torch.randn(1, CHANNELS, 1, 1)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_one_delegate_computes_what_torch_does(name: str, tmp_path: Path) -> None:
    module = Classifier(*OPERATORS[name]).eval()
    if isinstance(module.extra, nn.BatchNorm2d):
        module.extra.running_mean.normal_()  # type: ignore[union-attr]
        module.extra.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    image = 255 * torch.rand(SHAPE)
    expected = module(image)
    rewritten = rewrite_operators(module, image, XNNPACK_OPERATORS, "XNNPACK")
    lower_to_program(rewritten, SHAPE, tmp_path / "program.pte")
    contents = inspect_program(tmp_path / "program.pte")
    assert contents.delegation.delegates == 1
    assert contents.delegation.left_operators == {}
    assert contents.wide_softmaxes == 0
    method = Runtime.get().load_program(tmp_path / "program.pte").load_method("forward")
    torch.testing.assert_close(method.execute([image])[0], expected, rtol=1e-4, atol=1e-5)


def test_layers_keep_their_names_and_weights() -> None:
    module = Classifier(*OPERATORS["layer_norm"]).eval()
    rewritten = rewrite_operators(module, torch.rand(SHAPE), XNNPACK_OPERATORS, "XNNPACK")
    torch.testing.assert_close(rewritten.get_parameter("stem.weight"), module.stem.weight)


def test_a_softmax_behind_a_convolution_is_found_which_executorch_computes_wrongly(tmp_path: Path) -> None:
    module = Classifier(*OPERATORS["softmax behind a convolution"]).eval()
    lower_to_program(module, SHAPE, tmp_path / "program.pte")
    assert inspect_program(tmp_path / "program.pte").wide_softmaxes == 1
    image = 255 * torch.rand(SHAPE)
    actual = Runtime.get().load_program(tmp_path / "program.pte").load_method("forward").execute([image])[0]
    # Once this fails, the rewrite and the refusal can go.
    assert not torch.allclose(actual, module(image), rtol=1e-2, atol=1e-3)
