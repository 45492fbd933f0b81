"""The deploy form as XNNPACK takes it: one delegate, no operator left to ExecuTorch's portable kernels.

XNNPACK has no group norm, no split and no matrix product that broadcasts, so a graph with them falls into dozens of
delegates with copies between them. The same values come out of means, averaging convolutions, slices and batched
matrix products. And XNNPACK's convolutions want channels last, where images come channels first: turned while they are
still float, they cost half of what they cost as int8, whose kernel is made for more channels than three.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.verification import (
    compute_relative_error,
    copy_to_float64,
    generate_layer_inputs,
    verify_error,
)
from shvit_mobile.families.shvit import SHViT, SingleHeadAttention


@torch.no_grad()
def rewrite_for_xnnpack(deployed: DeployForm) -> SHViT:
    """The deploy form with its attention in XNNPACK's operators; float32, on the CPU, for a batch of one.

    Layers keep their names, so a recipe fits both.

    Raises:
        ProofFailed: the result differs from the deploy form by more than 1e-9 relative, in float64.
    """
    original, rewritten = copy_to_float64(deployed.module), copy_to_float64(deployed.module)
    replace_attention(rewritten)
    rewritten.patch_embed = insert_channels_last(rewritten.patch_embed)
    shape = (1, original.config.in_channels, *deployed.trained.preprocessing.size)
    image = 255 * torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    verify_error("the form for XNNPACK", compute_relative_error(original(image), rewritten(image)))
    return rewritten.float()


def replace_attention(module: nn.Module) -> None:
    """Puts an equal `XnnpackAttention` in the place of every attention."""
    for name, child in module.named_children():
        if isinstance(child, SingleHeadAttention):
            equal, x = XnnpackAttention(child), generate_layer_inputs(child)[:1]
            verify_error("an attention for XNNPACK", compute_relative_error(child(x), equal(x)))
            setattr(module, name, equal)
        else:
            replace_attention(child)


def insert_channels_last(stem: nn.Sequential) -> nn.Sequential:
    """The stem with its input turned before the first convolution; its layers keep their names."""
    turned = nn.Sequential()
    for name, layer in stem.named_children():
        if name == "0":
            turned.add_module("channels_last", ChannelsLast())
        turned.add_module(name, layer)
    return turned


class ChannelsLast(nn.Module):
    """Shape and values stay; memory is read position by position. Float32."""

    def forward(self, x: Tensor) -> Tensor:
        return x.to(memory_format=torch.channels_last)


class XnnpackAttention(nn.Module):
    """A fused `SingleHeadAttention`, one image at a time.

    Input and output: shape (1, channels, height, width).
    """

    def __init__(self, attention: SingleHeadAttention) -> None:
        super().__init__()
        self.qk_dim, self.partial_dim = attention.qk_dim, attention.partial_dim
        self.pre_norm = AveragingNorm(attention.partial_dim, attention.pre_norm.eps)
        self.qkv, self.proj = attention.qkv, attention.proj
        self.to(next(attention.parameters()))

    def forward(self, x: Tensor) -> Tensor:
        _, _, height, width = x.shape
        qk, partial = self.qk_dim, self.partial_dim
        attending, passing = x[:, :partial], x[:, partial:]
        # Reshaped once and then cut: the three parts lie behind each other.
        qkv = self.qkv(self.pre_norm(attending)).reshape(1, 2 * qk + partial, height * width)
        query, key, value = qkv[:, :qk], qkv[:, qk : 2 * qk], qkv[:, 2 * qk :]
        weights = torch.bmm(query.transpose(1, 2), key).softmax(-1)
        attended = torch.bmm(value, weights.transpose(1, 2)).reshape(1, partial, height, width)
        return self.proj(torch.cat([attended, passing], dim=1))


class AveragingNorm(nn.Module):
    """A group norm of one group without weight and bias: over all channels and positions of an image.

    The mean over positions is XNNPACK's own; the mean over channels is a convolution with weights 1 / channels, which
    gives it to every channel at once. A bias of eps goes into the variance's.
    """

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.mean = create_channel_average(channels, 0.0)
        self.variance = create_channel_average(channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        centred = x - self.mean(x.mean((2, 3), keepdim=True))
        return centred * torch.rsqrt(self.variance((centred * centred).mean((2, 3), keepdim=True)))


def create_channel_average(channels: int, bias: float) -> nn.Conv2d:
    """A 1x1 convolution that gives the mean over the channels, plus `bias`, to each of them."""
    conv = nn.Conv2d(channels, channels, 1, dtype=torch.float64)
    nn.init.constant_(conv.weight, 1 / channels)
    nn.init.constant_(conv.bias, bias)  # type: ignore[arg-type]
    return conv
