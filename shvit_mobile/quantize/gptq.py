"""GPTQ: weights are rounded so that the layer's output on calibration images changes least.

It minimizes E |W x - Q x|^2 over integers Q, as AdaRound does (Nagel et al., 2020), one column at a time. The columns
that are not rounded yet compensate for the error, through the inverse of E x x^T (Frantar et al., 2023, "GPTQ", after
Hassibi and Stork, 1993). A layer takes a second, not minutes.
"""

import torch
from torch import Tensor

from shvit_mobile.quantize.affine import WEIGHT_MAX

# Added to the diagonal, relative to its mean: inputs that were almost constant must not compensate for others.
_DAMPING = 0.01
# Columns whose errors are collected before they are applied to the rest.
BLOCK = 64


def round_with_gptq(weight: Tensor, scales: Tensor, moments: Tensor) -> Tensor:
    """Round a weight to integers, int8, of its shape.

    Args:
        weight: Float, shape (out channels, ...).
        scales: The scale of each output channel, shape (out channels,).
        moments: E x x^T of the layer's input, shape (n, n), n the elements of an output channel's weight.

    Raises:
        ValueError: If the shapes differ.
    """
    free, steps = weight.detach().flatten(1).double().clone(), scales.double()[:, None]
    count = free.shape[1]
    if moments.shape != (count, count):
        raise ValueError(f"moments are {tuple(moments.shape)} for {count} columns")
    order = moments.diagonal().argsort(descending=True, stable=True)
    free = free[:, order]
    factor = _compute_inverse_factor(moments.double()[order][:, order])
    chosen = torch.empty_like(free)
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        errors = free.new_zeros(free.shape[0], stop - start)
        for column in range(start, stop):
            chosen[:, column] = (free[:, column, None] / steps)[:, 0].round().clamp(-WEIGHT_MAX, WEIGHT_MAX)
            error = (free[:, column] - chosen[:, column] * steps[:, 0]) / factor[column, column]
            free[:, column:stop] -= error[:, None] * factor[column, column:stop]
            errors[:, column - start] = error
        free[:, stop:] -= errors @ factor[start:stop, stop:]
    integers = torch.empty_like(chosen)
    integers[:, order] = chosen
    return integers.reshape(weight.shape).to(torch.int8)


def _compute_inverse_factor(moments: Tensor) -> Tensor:
    """Compute the upper Cholesky factor of the inverse of the damped moments, float64."""
    mean = moments.diagonal().mean()
    damping = torch.where(mean > 0, _DAMPING * mean, 1.0)
    damped = moments + damping * torch.eye(len(moments), dtype=moments.dtype)
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
