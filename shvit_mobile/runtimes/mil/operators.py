"""The table of MIL operators that the reference executor knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

from torch import Tensor

from shvit_mobile.runtimes.mil import compression, elementwise, norms, products, quantization, shapes, windows

REAL = "real"


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes:
        function: tensors in, tensors out; constants of the program as keywords.
        tensors: the names of its inputs that are tensors.
        keywords: those of its inputs that must be constants.
        required: those that have no default.
        wants_real: whether it is also told the dtype that floats are computed in, as `real`.
        exact: whether its results are fp16 numbers whenever its inputs are, so that nothing is left to round.
    """

    function: Callable[..., Any]
    tensors: frozenset[str]
    keywords: frozenset[str]
    required: frozenset[str]
    wants_real: bool
    exact: bool

    @classmethod
    def of(cls, function: Callable[..., Any], *, exact: bool = False) -> Operator:
        parameters = signature(function).parameters
        names = {name for name in parameters if name != REAL}
        keywords = {name for name in names if parameters[name].kind is Parameter.KEYWORD_ONLY}
        required = {name for name in names if parameters[name].default is Parameter.empty}
        return cls(
            function=function,
            tensors=frozenset(names - keywords),
            keywords=frozenset(keywords),
            required=frozenset(required),
            wants_real=REAL in parameters,
            exact=exact,
        )


def classify(probabilities: Tensor, *, classes: list[Any]) -> tuple[Any, dict[Any, float]]:
    """The likeliest class, and the probability of each; iOS15/classify.py."""
    shares = probabilities.flatten().tolist()
    likeliest = classes[shares.index(max(shares))]
    return likeliest, dict(zip(classes, shares, strict=True))


OPERATORS: dict[str, Operator] = {
    "add": Operator.of(elementwise.add),
    "avg_pool": Operator.of(windows.avg_pool),
    "batch_norm": Operator.of(norms.batch_norm),
    "cast": Operator.of(elementwise.cast),
    "classify": Operator.of(classify),
    "clip": Operator.of(elementwise.clip, exact=True),
    "concat": Operator.of(shapes.concat, exact=True),
    "constexpr_affine_dequantize": Operator.of(compression.constexpr_affine_dequantize),
    "constexpr_blockwise_shift_scale": Operator.of(compression.constexpr_blockwise_shift_scale),
    "constexpr_cast": Operator.of(compression.constexpr_cast),
    "constexpr_lut_to_dense": Operator.of(compression.constexpr_lut_to_dense),
    "constexpr_lut_to_sparse": Operator.of(compression.constexpr_lut_to_sparse),
    "constexpr_sparse_blockwise_shift_scale": Operator.of(compression.constexpr_sparse_blockwise_shift_scale),
    "constexpr_sparse_to_dense": Operator.of(compression.constexpr_sparse_to_dense),
    "conv": Operator.of(products.conv),
    "dequantize": Operator.of(quantization.dequantize),
    "einsum": Operator.of(products.einsum),
    "expand_dims": Operator.of(shapes.expand_dims, exact=True),
    "identity": Operator.of(elementwise.identity, exact=True),
    "instance_norm": Operator.of(norms.instance_norm),
    "layer_norm": Operator.of(norms.layer_norm),
    "linear": Operator.of(products.linear),
    "matmul": Operator.of(products.matmul),
    "max_pool": Operator.of(windows.max_pool, exact=True),
    "mul": Operator.of(elementwise.mul),
    "pow": Operator.of(elementwise.power),
    "quantize": Operator.of(quantization.quantize),
    "real_div": Operator.of(elementwise.real_div),
    "reduce_max": Operator.of(norms.reduce_max, exact=True),
    "reduce_mean": Operator.of(norms.reduce_mean),
    "reduce_sum": Operator.of(norms.reduce_sum),
    "relu": Operator.of(elementwise.relu, exact=True),
    "reshape": Operator.of(shapes.reshape, exact=True),
    "rsqrt": Operator.of(elementwise.rsqrt),
    "sigmoid": Operator.of(elementwise.sigmoid),
    "slice_by_index": Operator.of(shapes.slice_by_index, exact=True),
    "slice_by_size": Operator.of(shapes.slice_by_size, exact=True),
    "softmax": Operator.of(elementwise.softmax),
    "split": Operator.of(shapes.split, exact=True),
    "sqrt": Operator.of(elementwise.sqrt),
    "square": Operator.of(elementwise.square),
    "squeeze": Operator.of(shapes.squeeze, exact=True),
    "sub": Operator.of(elementwise.sub),
    "transpose": Operator.of(shapes.transpose, exact=True),
}
