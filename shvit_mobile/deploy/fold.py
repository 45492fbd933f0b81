"""Folding: a trained SHViT becomes its deploy form, with every BatchNorm folded away.

Four exact steps, each verified in float64: BatchNorm is folded into the convolution or linear layer beside it, the
identity around a residual depthwise convolution into its kernel, the affine part of an attention's norm and its scale
into the projection after them, and two heads into their mean. A fifth, optional, moves the normalization of pixels into
the graph.
"""

from collections import OrderedDict
from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.deploy.form import DeployForm, MeanSubtraction
from shvit_mobile.deploy.verification import (
    compute_relative_error,
    copy_to_float64,
    generate_layer_inputs,
    generate_pixels,
    verify_error,
)
from shvit_mobile.errors import NotSupported, VerificationFailed
from shvit_mobile.families.shvit import ConvNorm, NormLinear, Residual, SHViT, SingleHeadAttention
from shvit_mobile.families.trained_model import TrainedModel

FoldedLayer = TypeVar("FoldedLayer", bound=nn.Module)


@torch.no_grad()
def to_deploy_form(trained: TrainedModel, *, normalise: bool = True) -> DeployForm:
    """Fold a trained model, which itself does not change, to its deploy form.

    Args:
        trained: The model, in any dtype, on any device, in train or eval mode.
        normalise: Bake (pixel / 255 - mean) / std into the graph, so that the module takes pixels, 0 to 255.

    Raises:
        VerificationFailed: If the result differs from the original by more than 1e-9 relative, in float64.
        NotSupported: If the model does not take three colors.
    """
    if trained.model.config.in_channels != 3:
        raise NotSupported(f"The model takes {trained.model.config.in_channels} channels.", why="Images have three.")
    example = next(trained.model.parameters())
    original = copy_to_float64(trained.model)
    fused = fold_batchnorm(original)
    if normalise:
        bake_normalization(fused, trained.preprocessing)

    pixels = generate_pixels(trained)
    reference = original(normalize_pixels(pixels, trained.preprocessing))
    error = compute_relative_error(
        reference, fused(pixels if normalise else normalize_pixels(pixels, trained.preprocessing))
    )
    verify_error("the deploy form", error)
    module = fused.to(dtype=example.dtype, device=example.device).requires_grad_(False)
    return DeployForm(module, trained, "pixels" if normalise else "normalised", error)


@torch.no_grad()
def fold_batchnorm(model: SHViT) -> SHViT:
    """Return a copy of `model` in eval mode, with all BatchNorms and the affine part of the attention's norms folded.

    Folds are computed and verified in float64 on the CPU; the copy has the model's dtype and device. A model that is
    folded already stays the same.

    Raises:
        VerificationFailed: If a fold is not exact.
    """
    example = next(model.parameters())
    fused = copy_to_float64(model)
    _fold_children(fused)
    if fused.head_dist is not None:
        fused.head, fused.head_dist = (
            _verify_fold(_average_heads(fused.head, fused.head_dist), _HeadAverage(fused.head, fused.head_dist)),
            None,
        )
    return fused.to(dtype=example.dtype, device=example.device).eval()


def _fold_children(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, Residual) and _is_depthwise(child.m):
            setattr(module, name, _verify_fold(_fold_identity(_fold_layer(child.m)), child))
        elif isinstance(child, ConvNorm | NormLinear):
            setattr(module, name, _verify_fold(_fold_layer(child), child))
        elif isinstance(child, SingleHeadAttention):
            fused = deepcopy(child)
            _fold_children(fused)
            setattr(module, name, _verify_fold(fold_attention_norm(fused), child))
        else:
            _fold_children(child)


def _fold_layer(layer: nn.Module) -> nn.Module:
    """Fold a layer and its BatchNorm into one layer; return a layer without one as it is."""
    if isinstance(layer, ConvNorm):
        return _fold_conv_batchnorm(layer.c, layer.bn)
    if isinstance(layer, NormLinear):
        return _fold_batchnorm_linear(layer.bn, layer.l)
    return layer


def _fold_conv_batchnorm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Return the convolution equal to `norm(conv(x))`: weights scaled per output channel, and a bias."""
    scale, shift = compute_scale_and_shift(norm)
    fused = _create_conv_like(conv)
    fused.weight.copy_(conv.weight * scale[:, None, None, None])
    fused.bias = nn.Parameter(shift if conv.bias is None else shift + conv.bias * scale)
    return fused


def _fold_batchnorm_linear(norm: nn.BatchNorm1d, linear: nn.Linear) -> nn.Linear:
    """Return the linear layer equal to `linear(norm(x))`: weights scaled per input channel, and the shifted bias."""
    scale, shift = compute_scale_and_shift(norm)
    fused = nn.Linear(linear.in_features, linear.out_features).to(linear.weight)
    fused.weight.copy_(linear.weight * scale)
    fused.bias.copy_(linear.weight @ shift + (0 if linear.bias is None else linear.bias))
    return fused


def _fold_identity(conv: nn.Module) -> nn.Module:
    """Return the depthwise convolution equal to `x + conv(x)`: add 1 at the center of each kernel."""
    if not isinstance(conv, nn.Conv2d):
        raise TypeError(f"{type(conv).__name__} is no convolution")
    fused = deepcopy(conv)
    height, width = conv.kernel_size
    fused.weight[:, :, height // 2, width // 2] += 1
    return fused


def fold_attention_norm(attention: SingleHeadAttention) -> SingleHeadAttention:
    """Return the equal attention whose norm has no weight and bias, and whose projection scales the queries."""
    fused = deepcopy(attention)
    norm, qkv = attention.pre_norm, fused.qkv
    if not isinstance(qkv, nn.Conv2d) or qkv.bias is None:
        raise TypeError("the projection is folded before the norm goes into it")
    if norm.affine:
        qkv.bias += qkv.weight[:, :, 0, 0] @ norm.bias
        qkv.weight *= norm.weight[:, None, None]
        fused.pre_norm = nn.GroupNorm(1, norm.num_channels, norm.eps, affine=False)
    for parameter in (qkv.weight, qkv.bias):
        parameter[: fused.qk_dim] *= fused.scale
    fused.scale = 1.0
    return fused


def _average_heads(first: nn.Module, second: nn.Module) -> nn.Linear:
    """Return the linear layer equal to the mean of two."""
    if not isinstance(first, nn.Linear) or not isinstance(second, nn.Linear):
        raise TypeError("heads are folded before they are averaged")
    fused = deepcopy(first)
    fused.weight.copy_((first.weight + second.weight) / 2)
    fused.bias.copy_((first.bias + second.bias) / 2)
    return fused


@torch.no_grad()
def bake_normalization(fused: SHViT, preprocessing: Preprocessing) -> None:
    """Change a folded model to take pixels, 0 to 255: the graph subtracts the mean, the stem scales by 1 / (255 std).

    The mean cannot go into the stem's bias, since the stem pads with zeros after normalization: only the inside of the
    image would be right. Zero is zero at any scale, so the standard deviation can.
    """
    stem = dict(fused.patch_embed.named_children())
    first = stem["0"]
    if not isinstance(first, nn.Conv2d):
        raise TypeError("the stem is folded before the normalization is baked in")
    std = torch.tensor(preprocessing.std, dtype=first.weight.dtype, device=first.weight.device)
    first.weight.div_(255 * std[:, None, None])
    mean = torch.tensor(preprocessing.mean, dtype=first.weight.dtype, device=first.weight.device)
    fused.patch_embed = nn.Sequential(OrderedDict(centre=MeanSubtraction(255 * mean), **stem))


class _HeadAverage(nn.Module):
    """The mean of the outputs of two modules."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return (self.first(x) + self.second(x)) / 2


def _is_depthwise(layer: nn.Module) -> bool:
    conv = layer.c if isinstance(layer, ConvNorm) else layer
    return (
        isinstance(conv, nn.Conv2d) and conv.groups == conv.in_channels == conv.out_channels and conv.stride == (1, 1)
    )


def compute_scale_and_shift(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the scale and shift of a BatchNorm in eval mode, each of shape (channels,)."""
    if norm.running_mean is None or norm.running_var is None:
        raise VerificationFailed(
            "A BatchNorm has no running statistics.", why="Without them its output depends on the batch."
        )
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _create_conv_like(conv: nn.Conv2d) -> nn.Conv2d:
    """Create a convolution of the same shape with a bias."""
    return nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        conv.dilation,  # type: ignore[arg-type]
        conv.groups,
    ).to(conv.weight)


def _verify_fold(fused: FoldedLayer, original: nn.Module) -> FoldedLayer:
    """Return `fused` after verifying that its outputs on random inputs are those of `original`."""
    inputs = generate_layer_inputs(fused)
    verify_error(f"a fold of {type(original).__name__}", compute_relative_error(original(inputs), fused(inputs)))
    return fused


def normalize_pixels(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    mean = torch.tensor(preprocessing.mean, dtype=pixels.dtype)[:, None, None]
    std = torch.tensor(preprocessing.std, dtype=pixels.dtype)[:, None, None]
    return (pixels / 255 - mean) / std
