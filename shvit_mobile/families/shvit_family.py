"""SHViT as a family: its folds, and its attention in the operators of each runtime."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shvit_mobile.families.batchnorm import fold_into_layer_before, fold_into_layer_behind
from shvit_mobile.families.family import Family, ModelUnit
from shvit_mobile.families.shvit import (
    NATIVE_SIZES,
    ConvNorm,
    NormLinear,
    Residual,
    SHViT,
    SHViTFeatures,
    SingleHeadAttention,
)

_LAST_STEM_LAYER = "patch_embed.6"
ModuleType = TypeVar("ModuleType", bound=nn.Module)

# -- Folds -------------------------------------------------------------------------------------------------------------


def _fold_layer(layer: nn.Module) -> nn.Module:
    """Fold a layer and its BatchNorm into one layer; return a layer without one as it is."""
    if isinstance(layer, ConvNorm):
        return fold_into_layer_before(layer.c, layer.bn)
    if isinstance(layer, NormLinear):
        return fold_into_layer_behind(layer.bn, layer.l)
    return layer


def _fold_residual(residual: nn.Module) -> nn.Module:
    """Return the depthwise convolution equal to `x + conv(x)`: add 1 at the center of each kernel.

    Another residual is returned as it is.
    """
    layer = _fold_layer(residual.m) if isinstance(residual, Residual) else None
    if not isinstance(layer, nn.Conv2d) or not _is_depthwise(layer):
        return residual
    fused = deepcopy(layer)
    height, width = layer.kernel_size
    fused.weight[:, :, height // 2, width // 2] += 1
    return fused


def _is_depthwise(conv: nn.Conv2d) -> bool:
    return conv.groups == conv.in_channels == conv.out_channels and conv.stride == (1, 1)


def fold_attention_norm(attention: nn.Module) -> nn.Module:
    """Return the equal attention whose norm has no weight and bias, and whose projection scales the queries."""
    fused = _check_type(deepcopy(attention), SingleHeadAttention)
    norm, qkv = fused.pre_norm, _check_type(_fold_layer(fused.qkv), nn.Conv2d)
    if qkv.bias is None:
        raise TypeError("the projection has a bias once its BatchNorm is folded")
    fused.qkv, fused.proj = qkv, nn.Sequential(*map(_fold_layer, fused.proj))
    if norm.affine:
        qkv.bias += qkv.weight[:, :, 0, 0] @ norm.bias
        qkv.weight *= norm.weight[:, None, None]
        fused.pre_norm = nn.GroupNorm(1, norm.num_channels, norm.eps, affine=False)
    for parameter in (qkv.weight, qkv.bias):
        parameter[: fused.qk_dim] *= fused.scale
    fused.scale = 1.0
    return fused


@torch.no_grad()
def average_heads(model: nn.Module) -> nn.Module:
    """Replace in place the two heads of a distilled model by the linear layer that equals their mean."""
    if isinstance(model, SHViT) and model.head_dist is not None:
        first, second = _fold_layer(model.head), _fold_layer(model.head_dist)
        fused = deepcopy(first)
        for name, parameter in fused.named_parameters():
            parameter.copy_((first.get_parameter(name) + second.get_parameter(name)) / 2)
        model.head, model.head_dist = fused, None
    return model


# -- Parts -------------------------------------------------------------------------------------------------------------


def list_units(model: nn.Module) -> list[ModelUnit]:
    """Return the units of a deploy form in execution order; the last pools and classifies, or returns the maps."""
    if isinstance(model, SHViTFeatures):
        return _list_feature_units(model)
    model = _check_type(model, SHViT)
    units = [unit for stage in _list_stage_units(model) for unit in stage]
    return [*units, ("head", partial(_classify, model))]


def _list_stage_units(model: SHViT | SHViTFeatures) -> list[list[ModelUnit]]:
    """Return the units of the stem, and of each stage."""
    parts: list[list[ModelUnit]] = [
        [(f"patch_embed.{name}", layer) for name, layer in model.patch_embed.named_children()]
    ]
    for index, stage in model.stages.named_children():
        units: list[ModelUnit] = []
        for name, layer in stage.get_submodule("downsample").named_children():
            units.append((f"stages.{index}.downsample.{name}", layer))
        for number, block in stage.get_submodule("blocks").named_children():
            units += [(f"stages.{index}.blocks.{number}.{name}", layer) for name, layer in block.named_children()]
        parts.append(units)
    return parts


def _list_feature_units(model: SHViTFeatures) -> list[ModelUnit]:
    """Return units whose values carry the maps of the stages that are done, behind the value itself."""
    stem, *stages = _list_stage_units(model)
    units = list(stem)
    for stage in stages:
        units += [(name, partial(_apply_to_first, unit)) for name, unit in stage]
        name, last = units.pop()
        units.append((name, partial(_keep_map, last)))
    return [*units, ("maps", _drop_first)]


def _apply_to_first(layer: Callable[[Tensor], Tensor], value: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the layer's output for a value, and behind it the maps that came with the value."""
    first, *maps = (value,) if isinstance(value, Tensor) else value
    return (layer(first), *maps)


def _keep_map(unit: Callable[[Any], tuple[Tensor, ...]], value: Any) -> tuple[Tensor, ...]:
    first, *maps = unit(value)
    return (first, *maps, first)


def _drop_first(value: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return value[1:]


def _classify(model: SHViT, features: Tensor) -> Tensor:
    logits: Tensor = model.head(features.mean((2, 3), keepdim=True).flatten(1))
    return logits


def get_block(layer: str) -> str:
    """Return the block of a layer: the stem, the downsampling before a stage, or a block of a stage."""
    parts = layer.split(".")
    if parts[0] != "stages":
        return parts[0]
    return ".".join(parts[: 4 if parts[2] == "blocks" else 3])


def get_group_kind(layer: str) -> str | None:
    """Return the kind of an equalization group by its producer.

    Groups that end in a depthwise convolution at the beginning of a stage are left alone: with them, and with smaller
    kinds, the demo model gains 0.2 dB from equalization and loses 0.2 dB in the end (`docs/quantization.md`).
    """
    if layer.startswith("patch_embed."):
        return "stem" if layer != _LAST_STEM_LAYER else None
    kinds = {"pw1": "feed-forward", "qkv": "attention", "conv1": "merging", "conv2": "merging", "fc1": "merging"}
    return kinds.get(layer.rpartition(".")[2])


# -- XNNPACK -----------------------------------------------------------------------------------------------------------


class XnnpackAttention(nn.Module):
    """A folded `SingleHeadAttention` in XNNPACK's operators, one image at a time.

    Input and output: shape (1, channels, height, width).
    """

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        attention = _check_type(attention, SingleHeadAttention)
        self.qk_dim, self.partial_dim = attention.qk_dim, attention.partial_dim
        self.pre_norm = AveragingNorm(attention.partial_dim, attention.pre_norm.eps)
        self.qkv, self.proj = attention.qkv, attention.proj
        self.to(next(attention.parameters()))

    def forward(self, x: Tensor) -> Tensor:
        _, _, height, width = x.shape
        qk, partial = self.qk_dim, self.partial_dim
        attending, passing = x[:, :partial], x[:, partial:]
        # With channels last, as convolutions have it, so that only the keys are moved in memory.
        qkv = self.qkv(self.pre_norm(attending)).permute(0, 2, 3, 1).reshape(1, height * width, 2 * qk + partial)
        query, key, value = qkv[:, :, :qk], qkv[:, :, qk : 2 * qk], qkv[:, :, 2 * qk :]
        weights = torch.bmm(query, key.transpose(1, 2)).softmax(-1)
        attended = torch.bmm(weights, value).reshape(1, height, width, partial).permute(0, 3, 1, 2)
        return self.proj(torch.cat([attended, passing], dim=1))


class AveragingNorm(nn.Module):
    """A group norm of one group without weight and bias: over all channels and positions of an image.

    The mean over positions is an XNNPACK operator; the mean over channels is a convolution with weights 1 / channels.
    It has one output, because XNNPACK applies a single number to all values at once, and a number for each channel
    position by position. The bias of the variance's convolution is eps.
    """

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.mean = create_channel_average(channels, 0.0)
        self.variance = create_channel_average(channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        centered = x - self.mean(x.mean((2, 3), keepdim=True))
        return centered * torch.rsqrt(self.variance((centered * centered).mean((2, 3), keepdim=True)))


def create_channel_average(channels: int, bias: float) -> nn.Conv2d:
    """Create a 1x1 convolution whose only output channel is the mean over the channels, plus `bias`."""
    conv = nn.Conv2d(channels, 1, 1, dtype=torch.float64)
    nn.init.constant_(conv.weight, 1 / channels)
    nn.init.constant_(conv.bias, bias)  # type: ignore[arg-type]
    return conv


# -- Core ML -----------------------------------------------------------------------------------------------------------


class CoreMLAttention(nn.Module):
    """A folded `SingleHeadAttention` in few operators of Core ML.

    Core ML has no group norm, whose conversion is a dozen operators with reshapes; a norm of one group is a layer norm
    over channels and positions. Query, key and value are reshaped once, before they are split, and the softmax runs
    over the keys along the first axis of their product with the queries.

    Input and output: shape (batch, channels, height, width).
    """

    def __init__(self, attention: nn.Module, *, einsum: bool) -> None:
        super().__init__()
        attention = _check_type(attention, SingleHeadAttention)
        self.parts = [attention.qk_dim, attention.qk_dim, attention.partial_dim]
        self.partial_dim, self.passing_dim = attention.partial_dim, attention.dim - attention.partial_dim
        self.attend = attend_by_einsum if einsum else attend_by_matmul
        self.pre_norm = SingleGroupNorm(attention.pre_norm.eps)
        self.qkv, self.proj = attention.qkv, attention.proj

    def forward(self, x: Tensor) -> Tensor:
        attending, passing = torch.split(x, [self.partial_dim, self.passing_dim], dim=1)
        attended = self.attend(self.qkv(self.pre_norm(attending)), self.parts).reshape(attending.shape)
        return self.proj(torch.cat([attended, passing], dim=1))


def attend_by_matmul(qkv: Tensor, parts: list[int]) -> Tensor:
    """Compute attention with matrix products, shape (batch, channels, queries).

    Args:
        qkv: Queries, keys and values, concatenated, shape (batch, sum(parts), height, width).
        parts: The channels of each.
    """
    query, key, value = torch.split(qkv.flatten(2), parts, dim=1)
    # The product transposes: no transpose is left in the program.
    weights = (key.transpose(1, 2) @ query).softmax(1)
    return value @ weights


def attend_by_einsum(qkv: Tensor, parts: list[int]) -> Tensor:
    """Compute attention with the two products that Core ML has einsum for, shape (batch, channels, 1, queries).

    Args:
        qkv, parts: As for `attend_by_matmul`.
    """
    batch, channels, height, width = qkv.shape
    query, key, value = torch.split(qkv.reshape(batch, channels, 1, height * width), parts, dim=1)
    weights = torch.einsum("bchq,bkhc->bkhq", query, key.transpose(1, 3)).softmax(1)
    return torch.einsum("bkhq,bchk->bchq", weights, value)


class SingleGroupNorm(nn.Module):
    """A group norm of one group without weight and bias, as a layer norm over channels, rows and columns."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[1:], eps=self.eps)


def _check_type(module: nn.Module, kind: type[ModuleType]) -> ModuleType:
    if not isinstance(module, kind):
        raise TypeError(f"{type(module).__name__} is no {kind.__name__}")
    return module


def build_features(model: nn.Module) -> nn.Module:
    """Return the stages of a SHViT as a module of their own, in eval mode."""
    return SHViTFeatures(_check_type(model, SHViT)).eval()


SHVIT = Family(
    name="SHViT",
    reparameterize=average_heads,
    folds={
        Residual: _fold_residual,
        ConvNorm: _fold_layer,
        NormLinear: _fold_layer,
        SingleHeadAttention: fold_attention_norm,
    },
    rewrites={
        "xnnpack": {SingleHeadAttention: XnnpackAttention},
        "coreml-matmul": {SingleHeadAttention: partial(CoreMLAttention, einsum=False)},
        "coreml-einsum": {SingleHeadAttention: partial(CoreMLAttention, einsum=True)},
        # It has the fewest operators in LiteRT, too, all of them in one delegate.
        "litert": {SingleHeadAttention: partial(CoreMLAttention, einsum=False)},
    },
    entry="patch_embed",
    first_layers=("patch_embed.0",),
    list_units=list_units,
    get_block=get_block,
    get_group_kind=get_group_kind,
    native_sizes=NATIVE_SIZES,
    build_features=build_features,
    has_any_size=True,
)
