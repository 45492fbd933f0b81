"""The form for XNNPACK: one delegate, and no operator on ExecuTorch's portable kernels.

XNNPACK has no group norm, no split and no broadcasting matrix product; a graph with them is partitioned into dozens of
delegates with copies in between. Means, averaging convolutions, slices and batched matrix products compute the same.
XNNPACK's convolutions need channels last, and images are channels first: permuted in float they cost half of what they
cost in int8, whose kernel is made for more channels than three.
"""

import torch
from torch import Tensor, nn

from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.layers import replace_attention
from shvit_mobile.deploy.verification import compute_relative_error, copy_to_float64, verify_error
from shvit_mobile.families.shvit import SHViT, SingleHeadAttention


@torch.no_grad()
def rewrite_for_xnnpack(deployed: DeployForm) -> SHViT:
    """Return the deploy form with its attention in XNNPACK's operators; float32, on the CPU, for a batch of one.

    Layers keep their names, so a recipe fits both.

    Raises:
        VerificationFailed: If the result differs from the deploy form by more than 1e-9 relative, in float64.
    """
    original, rewritten = copy_to_float64(deployed.module), copy_to_float64(deployed.module)
    replace_attention(rewritten, XnnpackAttention, "XNNPACK", batch=1)
    rewritten.patch_embed = _insert_channels_last(rewritten.patch_embed)
    shape = (1, original.config.in_channels, *deployed.trained.preprocessing.size)
    image = 255 * torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    verify_error("the form for XNNPACK", compute_relative_error(original(image), rewritten(image)))
    return rewritten.float()


def _insert_channels_last(stem: nn.Sequential) -> nn.Sequential:
    """Insert `ChannelsLast` before the first convolution of the stem; layers keep their names."""
    permuted = nn.Sequential()
    for name, layer in stem.named_children():
        if name == "0":
            permuted.add_module("channels_last", ChannelsLast())
        permuted.add_module(name, layer)
    return permuted


class ChannelsLast(nn.Module):
    """A change of the memory format to channels last; shape and values stay. Float32."""

    def forward(self, x: Tensor) -> Tensor:
        return x.to(memory_format=torch.channels_last)


class XnnpackAttention(nn.Module):
    """A folded `SingleHeadAttention` in XNNPACK's operators, one image at a time.

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
        # Reshaped once, then sliced: the three parts are concatenated.
        qkv = self.qkv(self.pre_norm(attending)).reshape(1, 2 * qk + partial, height * width)
        query, key, value = qkv[:, :qk], qkv[:, qk : 2 * qk], qkv[:, 2 * qk :]
        weights = torch.bmm(query.transpose(1, 2), key).softmax(-1)
        attended = torch.bmm(value, weights.transpose(1, 2)).reshape(1, partial, height, width)
        return self.proj(torch.cat([attended, passing], dim=1))


class AveragingNorm(nn.Module):
    """A group norm of one group without weight and bias: over all channels and positions of an image.

    The mean over positions is an XNNPACK operator; the mean over channels is a convolution with weights 1 / channels.
    The bias of the variance's convolution is eps.
    """

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.mean = create_channel_average(channels, 0.0)
        self.variance = create_channel_average(channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        centered = x - self.mean(x.mean((2, 3), keepdim=True))
        return centered * torch.rsqrt(self.variance((centered * centered).mean((2, 3), keepdim=True)))


def create_channel_average(channels: int, bias: float) -> nn.Conv2d:
    """Create a 1x1 convolution whose every output channel is the mean over the channels, plus `bias`."""
    conv = nn.Conv2d(channels, channels, 1, dtype=torch.float64)
    nn.init.constant_(conv.weight, 1 / channels)
    nn.init.constant_(conv.bias, bias)  # type: ignore[arg-type]
    return conv
