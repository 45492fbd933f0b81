"""MIL operators that activate elements and need more than one line; iOS15 and iOS17/activation.py."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from shvit_mobile.errors import UnsupportedOperator

_GELUS: dict[str, Callable[[Tensor], Tensor]] = {
    "EXACT": lambda x: F.gelu(x),
    "TANH_APPROXIMATION": lambda x: F.gelu(x, approximate="tanh"),
    "SIGMOID_APPROXIMATION": lambda x: x * torch.sigmoid(1.702 * x),
}


def clamped_relu(x: Tensor, *, alpha: float, beta: float) -> Tensor:
    """`leaky_relu`, but at most `beta`."""
    return F.leaky_relu(x, alpha).clamp(max=beta)


def gelu(x: Tensor, *, mode: str = "EXACT") -> Tensor:
    if mode not in _GELUS:
        raise UnsupportedOperator(f"mode {mode}", why=f"Supported: {', '.join(_GELUS)}.")
    return _GELUS[mode](x)


def prelu(x: Tensor, alpha: Tensor) -> Tensor:
    """`leaky_relu` with one slope per channel."""
    return torch.where(x > 0, x, x * _reshape_per_channel(alpha, x))


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x); torch's own softplus returns x above a threshold."""
    return torch.logaddexp(x, x.new_zeros(()))


def softplus_parametric(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """alpha * log(1 + e^(beta * x)), with one alpha and beta per channel."""
    return _reshape_per_channel(alpha, x) * softplus(_reshape_per_channel(beta, x) * x)


def thresholded_relu(x: Tensor, *, alpha: float) -> Tensor:
    """The elements from `alpha` on, and zeros for those below; Core ML builds hard-swish from it with alpha = -3."""
    return torch.where(x >= alpha, x, x.new_zeros(()))


def _reshape_per_channel(parameter: Tensor, x: Tensor) -> Tensor:
    return parameter.reshape([-1] + [1] * (x.ndim - 2))
