"""Elementwise MIL operators.

In this package, each operator's function has the name that it has in coremltools' MIL specification
(coremltools/converters/mil/mil/ops/defs/): positional parameters are tensors, keyword parameters are constants.
"""

import torch
from torch import Tensor

from shvit_mobile.errors import UnsupportedOperator

_CAST_DTYPES = {
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "uint16": torch.int32,  # torch has few operators on uint16
    "int32": torch.int32,
    "bool": torch.bool,
}


def relu(x: Tensor) -> Tensor:
    """iOS15/activation.py."""
    return torch.relu(x)


def sigmoid(x: Tensor) -> Tensor:
    """iOS15/activation.py."""
    return torch.sigmoid(x)


def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """iOS15/activation.py."""
    return torch.softmax(x, axis)


def add(x: Tensor, y: Tensor) -> Tensor:
    """iOS15/elementwise_binary.py."""
    return x + y


def sub(x: Tensor, y: Tensor) -> Tensor:
    """iOS15/elementwise_binary.py."""
    return x - y


def mul(x: Tensor, y: Tensor) -> Tensor:
    """iOS15/elementwise_binary.py."""
    return x * y


def real_div(x: Tensor, y: Tensor) -> Tensor:
    """iOS15/elementwise_binary.py."""
    return x / y


def power(x: Tensor, y: Tensor) -> Tensor:
    """iOS15/elementwise_binary.py, `pow`."""
    return torch.pow(x, y)


def square(x: Tensor) -> Tensor:
    """iOS15/elementwise_unary.py."""
    return x * x


def sqrt(x: Tensor) -> Tensor:
    """iOS15/elementwise_unary.py."""
    return torch.sqrt(x)


def rsqrt(x: Tensor, *, epsilon: float = 1e-12) -> Tensor:
    """iOS15/elementwise_unary.py."""
    return torch.rsqrt(x + epsilon)


def clip(x: Tensor, *, alpha: float, beta: float) -> Tensor:
    """iOS15/elementwise_unary.py."""
    return torch.clamp(x, alpha, beta)


def identity(x: Tensor) -> Tensor:
    """iOS15/tensor_operation.py."""
    return x


def cast(x: Tensor, *, dtype: str, real: torch.dtype) -> Tensor:
    """iOS15 and iOS17/elementwise_unary.py; to integers it rounds toward zero. The executor rounds to fp16."""
    if dtype in ("fp16", "fp32"):
        return x.to(real)
    if dtype not in _CAST_DTYPES:
        raise UnsupportedOperator(f"cast to {dtype}", why=f"Supported: fp16, fp32, {', '.join(_CAST_DTYPES)}.")
    return x.to(_CAST_DTYPES[dtype])
