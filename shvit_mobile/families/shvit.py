"""SHViT, the Single-Head Vision Transformer (Yun and Ro, CVPR 2024, arXiv 2401.16456), in one file.

A stride-16 convolutional stem leaves few tokens. Attention has a single head on part of the channels; the others pass
through. Every convolution has its own BatchNorm, which `shvit_mobile.deploy` folds into it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import torch
from torch import Tensor, nn

from shvit_mobile.errors import InvalidValue, parse_choice


@dataclass(frozen=True)
class SHViTConfig:
    """The hyperparameters of a SHViT.

    Attributes:
        dims: Channels of each stage.
        partial_dims: Channels of each stage that attention uses; the others pass through.
        qk_dims: Channels of queries and keys in each stage.
        depths: Blocks in each stage.
        block_types: "i" for a stage of convolution blocks, "s" for one with single-head attention.
        classes: Outputs of the head.
        in_channels: Channels of the input image.
        kernel_size: Side of the square depthwise kernels; odd.
        mlp_ratio: Hidden channels of a feed-forward part, divided by its input channels.
        distilled: Whether a second head is averaged with the first.
    """

    dims: tuple[int, ...]
    partial_dims: tuple[int, ...]
    qk_dims: tuple[int, ...] = (16, 16, 16)
    depths: tuple[int, ...] = (2, 4, 5)
    block_types: tuple[str, ...] = ("i", "s", "s")
    classes: int = 1000
    in_channels: int = 3
    kernel_size: int = 3
    mlp_ratio: float = 2.0
    distilled: bool = False

    def __post_init__(self) -> None:
        stages = len(self.dims)
        for name in ("partial_dims", "qk_dims", "depths", "block_types"):
            values = getattr(self, name)
            self._check(name, len(values) == stages, f"It has one entry for each of the {stages} stages of dims.")
        self._check("dims", stages > 0 and self.dims[0] % 8 == 0, "The stem needs dims[0] to be a multiple of 8.")
        partial = all(0 < part < dim for part, dim in zip(self.partial_dims, self.dims, strict=True))
        self._check("partial_dims", partial, f"Each is above 0 and below the same stage of dims, {self.dims}.")
        self._check(
            "block_types", set(self.block_types) <= {"i", "s"}, "'i' is a convolution block, 's' has attention."
        )
        self._check("kernel_size", self.kernel_size % 2 == 1, "Only odd kernels keep the size of their input.")
        self._check("classes", self.classes >= 1, "It is at least 1.")
        self._check("in_channels", self.in_channels >= 1, "It is at least 1.")

    def _check(self, name: str, valid: bool, why: str) -> None:
        if not valid:
            raise InvalidValue(f"`{name}` is {getattr(self, name)}.", why=why, parameter=name)


VARIANTS: dict[str, SHViTConfig] = {
    "shvit_s1": SHViTConfig(dims=(128, 224, 320), partial_dims=(32, 48, 68)),
    "shvit_s2": SHViTConfig(dims=(128, 308, 448), partial_dims=(32, 66, 96)),
    "shvit_s3": SHViTConfig(dims=(192, 352, 448), partial_dims=(48, 75, 96), depths=(3, 5, 5)),
    "shvit_s4": SHViTConfig(dims=(224, 336, 448), partial_dims=(48, 72, 96), depths=(4, 7, 6)),
}
NATIVE_SIZES: dict[str, int] = {"shvit_s1": 224, "shvit_s2": 224, "shvit_s3": 224, "shvit_s4": 256}


def create_shvit(variant: str, *, classes: int = 1000, distilled: bool = False) -> SHViT:
    """Create a SHViT with random weights by the name of its variant.

    Raises:
        UnknownChoice: If `variant` is not one of `VARIANTS`.
    """
    return SHViT(replace(VARIANTS[parse_choice(variant, VARIANTS, "variant")], classes=classes, distilled=distilled))


class SHViT(nn.Module):
    """An image classifier: a stem, stages of blocks, global average pooling and a linear head.

    Input: normalized float images, shape (batch, in_channels, height, width), of any size.
    Output: logits, shape (batch, classes); with a distillation head, the average of both heads.
    """

    def __init__(self, config: SHViTConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = _build_stem(config.in_channels, config.dims[0])
        self.stages = nn.Sequential(*(Stage(config, index) for index in range(len(config.dims))))
        self.head: nn.Module = NormLinear(config.dims[-1], config.classes)
        self.head_dist: nn.Module | None = NormLinear(config.dims[-1], config.classes) if config.distilled else None

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the output of the last stage, shape (batch, dims[-1], ceil(height / 64), ceil(width / 64))."""
        return self.stages(self.patch_embed(images))

    def forward(self, images: Tensor) -> Tensor:
        pooled = self.forward_features(images).mean((2, 3), keepdim=True).flatten(1)
        if self.head_dist is None:
            return self.head(pooled)
        return (self.head(pooled) + self.head_dist(pooled)) / 2


class SHViTFeatures(nn.Module):
    """The stages of a SHViT without its head; layers are those of the model, under their names.

    Input: normalized float images, shape (batch, in_channels, height, width), of any size.
    Output: the output of each stage, shape (batch, dims[i], ceil(height / 2^(4 + i)), ceil(width / 2^(4 + i))).
    """

    def __init__(self, model: SHViT) -> None:
        super().__init__()
        self.config, self.patch_embed, self.stages = model.config, model.patch_embed, model.stages

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        maps, features = [], self.patch_embed(images)
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return tuple(maps)


class ConvNorm(nn.Sequential):
    """A convolution without bias and its BatchNorm, `c` and `bn`; same padding at stride 1."""

    def __init__(
        self, dim: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1, norm_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.c = nn.Conv2d(dim, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out)
        nn.init.constant_(self.bn.weight, norm_weight)


class NormLinear(nn.Sequential):
    """A BatchNorm of pooled features and a linear layer, `bn` and `l`."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(dim)
        self.l = nn.Linear(dim, out)
        nn.init.trunc_normal_(self.l.weight, std=0.02)
        nn.init.zeros_(self.l.bias)


class Residual(nn.Module):
    """`x + m(x)`."""

    def __init__(self, m: nn.Module) -> None:
        super().__init__()
        self.m = m

    def forward(self, x: Tensor) -> Tensor:
        return x + self.m(x)


class FeedForward(nn.Sequential):
    """Two pointwise convolutions with a relu between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.pw1 = ConvNorm(dim, hidden)
        self.act = nn.ReLU()
        self.pw2 = ConvNorm(hidden, dim, norm_weight=0.0)


class SingleHeadAttention(nn.Module):
    """Self-attention with one head on the first `partial_dim` channels; the others join before the projection."""

    def __init__(self, dim: int, qk_dim: int, partial_dim: int) -> None:
        super().__init__()
        self.dim, self.qk_dim, self.partial_dim = dim, qk_dim, partial_dim
        self.in_channels = dim
        self.scale = 1 / sqrt(qk_dim)
        self.pre_norm = nn.GroupNorm(1, partial_dim)
        self.qkv: nn.Module = ConvNorm(partial_dim, 2 * qk_dim + partial_dim)
        self.proj = nn.Sequential(nn.ReLU(), ConvNorm(dim, dim, norm_weight=0.0))

    def forward(self, x: Tensor) -> Tensor:
        attending, passing = torch.split(x, [self.partial_dim, self.dim - self.partial_dim], dim=1)
        qkv = self.qkv(self.pre_norm(attending))
        query, key, value = torch.split(qkv, [self.qk_dim, self.qk_dim, self.partial_dim], dim=1)
        weights = (query.flatten(2).transpose(1, 2) @ key.flatten(2)) * self.scale
        attended = (value.flatten(2) @ weights.softmax(-1).transpose(1, 2)).reshape(attending.shape)
        return self.proj(torch.cat([attended, passing], dim=1))


class SqueezeExcite(nn.Module):
    """Channel gates, computed from the mean over all positions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = round_to_multiple(dim / 4, of=8)
        self.fc1 = nn.Conv2d(dim, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True)
        return x * self.fc2(self.fc1(pooled).relu()).sigmoid()


class PatchMerging(nn.Module):
    """Downsampling by 2: expand, depthwise convolution with stride 2, gate, project to the next stage's channels."""

    def __init__(self, dim: int, out: int, kernel: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(dim, 4 * dim)
        self.conv2 = ConvNorm(4 * dim, 4 * dim, kernel, stride=2, groups=4 * dim)
        self.se = SqueezeExcite(4 * dim)
        self.conv3 = ConvNorm(4 * dim, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.se(self.conv2(self.conv1(x).relu()).relu()))


class Block(nn.Module):
    """A depthwise convolution, single-head attention (in "s" stages) and a feed-forward part, all residual."""

    def __init__(self, config: SHViTConfig, stage: int) -> None:
        super().__init__()
        dim = config.dims[stage]
        self.conv = _build_residual_depthwise(dim, config.kernel_size)
        self.mixer = (
            Residual(SingleHeadAttention(dim, config.qk_dims[stage], config.partial_dims[stage]))
            if config.block_types[stage] == "s"
            else nn.Identity()
        )
        self.ffn = _build_residual_feed_forward(dim, config.mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        return self.ffn(self.mixer(self.conv(x)))


class Stage(nn.Module):
    """The downsampling before the stage (except the first), and its blocks."""

    def __init__(self, config: SHViTConfig, index: int) -> None:
        super().__init__()
        self.downsample = _build_downsampling(config, index) if index else nn.Identity()
        self.blocks = nn.Sequential(*(Block(config, index) for _ in range(config.depths[index])))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.downsample(x))


def _build_stem(in_channels: int, dim: int) -> nn.Sequential:
    """Build four 3x3 convolutions with stride 2, each doubling the channels, with ReLUs between them."""
    return nn.Sequential(
        ConvNorm(in_channels, dim // 8, 3, stride=2),
        nn.ReLU(),
        ConvNorm(dim // 8, dim // 4, 3, stride=2),
        nn.ReLU(),
        ConvNorm(dim // 4, dim // 2, 3, stride=2),
        nn.ReLU(),
        ConvNorm(dim // 2, dim, 3, stride=2),
    )


def _build_downsampling(config: SHViTConfig, stage: int) -> nn.Sequential:
    """Build the downsampling before `stage`: patch merging with a convolution and feed-forward part on either side."""
    dim, out = config.dims[stage - 1], config.dims[stage]
    return nn.Sequential(
        _build_residual_depthwise(dim, config.kernel_size),
        _build_residual_feed_forward(dim, config.mlp_ratio),
        PatchMerging(dim, out, config.kernel_size),
        _build_residual_depthwise(out, config.kernel_size),
        _build_residual_feed_forward(out, config.mlp_ratio),
    )


def _build_residual_depthwise(dim: int, kernel: int) -> Residual:
    return Residual(ConvNorm(dim, dim, kernel, groups=dim, norm_weight=0.0))


def _build_residual_feed_forward(dim: int, ratio: float) -> Residual:
    return Residual(FeedForward(dim, int(dim * ratio)))


def round_to_multiple(value: float, of: int) -> int:
    """Round `value` to the nearest multiple of `of`, halves up, and to at least `of`."""
    return max(of, int(value + of / 2) // of * of)
