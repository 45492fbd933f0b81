"""MIL operators that quantize and dequantize activations; iOS17/quantization_ops.py."""

import torch
from torch import Tensor

from shvit_mobile.errors import UnsupportedOperator

QUANTIZED_DTYPES = {"int8": torch.int8, "uint8": torch.uint8}


def quantize(
    input: Tensor, scale: Tensor, zero_point: Tensor | None = None, *, output_dtype: str, axis: int | None = None
) -> Tensor:
    """clip(round(input / scale) + zero_point), rounding half to even.

    It divides, because multiplying by 1 / scale can change the result by one step.
    """
    if output_dtype not in QUANTIZED_DTYPES:
        raise UnsupportedOperator(f"quantize to {output_dtype}", why=f"Supported: {', '.join(QUANTIZED_DTYPES)}.")
    integer = QUANTIZED_DTYPES[output_dtype]
    limits = torch.iinfo(integer)
    steps = (input / _reshape_along_axis(scale, input, axis)).round_()
    if zero_point is not None:
        steps = steps.add_(_reshape_along_axis(zero_point, input, axis))
    return steps.clamp_(limits.min, limits.max).to(integer)


def dequantize(input: Tensor, scale: Tensor, zero_point: Tensor | None = None, *, axis: int | None = None) -> Tensor:
    """scale * (input - zero_point)."""
    steps = input.to(scale.dtype)
    if zero_point is not None:
        steps = steps - _reshape_along_axis(zero_point, input, axis)
    return steps * _reshape_along_axis(scale, input, axis)


def _reshape_along_axis(parameter: Tensor, x: Tensor, axis: int | None) -> Tensor:
    """Return a scalar, or a vector along `axis` of `x`, in a shape that broadcasts with `x`."""
    if axis is None or parameter.ndim == 0:
        return parameter
    return parameter.reshape([-1 if a == axis % x.ndim else 1 for a in range(x.ndim)])
