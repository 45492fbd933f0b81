"""MIL operators that normalize over axes."""

import torch
from torch import Tensor
from torch.nn import functional as F


def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    epsilon: float = 1e-5,
) -> Tensor:
    """iOS15 and iOS17/normalization.py."""
    return F.batch_norm(x, mean, variance, gamma, beta, eps=epsilon)


def instance_norm(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, *, epsilon: float = 1e-5
) -> Tensor:
    """iOS15 and iOS17/normalization.py; over all axes but the first two."""
    per_channel = [-1] + [1] * (x.ndim - 2)
    return _apply_affine(_standardize(x, list(range(2, x.ndim)), epsilon), gamma, beta, per_channel)


def layer_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    axes: list[int] | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """iOS15 and iOS17/normalization.py; `gamma` and `beta` have the shape of the normalized axes."""
    over = sorted(axis % x.ndim for axis in axes) if axes is not None else list(range(x.ndim))
    if over == list(range(over[0], x.ndim)):
        return F.layer_norm(x, x.shape[over[0] :], gamma, beta, epsilon)
    shape = [size if axis in over else 1 for axis, size in enumerate(x.shape)]
    return _apply_affine(_standardize(x, over, epsilon), gamma, beta, shape)


def l2_norm(x: Tensor, *, epsilon: float = 1e-6) -> Tensor:
    """iOS15 and iOS17/normalization.py; over the last three axes."""
    return x / torch.sqrt(x.square().sum((-3, -2, -1), keepdim=True) + epsilon)


def _standardize(x: Tensor, axes: list[int], epsilon: float) -> Tensor:
    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    return (x - mean) / torch.sqrt(variance + epsilon)


def _apply_affine(x: Tensor, gamma: Tensor | None, beta: Tensor | None, shape: list[int]) -> Tensor:
    scaled = x if gamma is None else x * gamma.reshape(shape)
    return scaled if beta is None else scaled + beta.reshape(shape)
