"""The table of MIL operators that the reference executor knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

from torch import Tensor

from shvit_mobile.runtimes.mil import batching_rules as rows
from shvit_mobile.runtimes.mil import compression, elementwise, norms, pooling, products, quantization, shapes

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
        by_row: how it takes many images at once; None where it is only ever used on constants.
    """

    function: Callable[..., Any]
    tensors: frozenset[str]
    keywords: frozenset[str]
    required: frozenset[str]
    takes_float_dtype: bool
    exact: bool
    batching_rule: rows.BatchingRule | None

    @classmethod
    def from_function(
        cls, function: Callable[..., Any], by_row: rows.BatchingRule | None = None, *, exact: bool = False
    ) -> Operator:
        parameters = signature(function).parameters
        names = {name for name in parameters if name != REAL}
        keywords = {name for name in names if parameters[name].kind is Parameter.KEYWORD_ONLY}
        required = {name for name in names if parameters[name].default is Parameter.empty}
        return cls(
            function=function,
            tensors=frozenset(names - keywords),
            keywords=frozenset(keywords),
            required=frozenset(required),
            takes_float_dtype=REAL in parameters,
            exact=exact,
            batching_rule=by_row,
        )


def classify(probabilities: Tensor, *, classes: list[Any]) -> tuple[list[Any], list[dict[Any, float]]]:
    """The likeliest class, and the probability of each, a row an image; iOS15/classify.py."""
    images = probabilities.reshape(-1, len(classes)).tolist()
    likeliest = [classes[shares.index(max(shares))] for shares in images]
    return likeliest, [dict(zip(classes, shares, strict=True)) for shares in images]


OPERATORS: dict[str, Operator] = {
    "add": Operator.from_function(elementwise.add, rows.batch_elementwise),
    "avg_pool": Operator.from_function(pooling.avg_pool, rows.batch_main_input),
    "batch_norm": Operator.from_function(norms.batch_norm, rows.batch_main_input),
    "cast": Operator.from_function(elementwise.cast, rows.batch_elementwise),
    "classify": Operator.from_function(classify, rows.batch_elementwise),
    "clip": Operator.from_function(elementwise.clip, rows.batch_elementwise, exact=True),
    "concat": Operator.from_function(shapes.concat, rows.batch_concat, exact=True),
    "constexpr_affine_dequantize": Operator.from_function(compression.constexpr_affine_dequantize),
    "constexpr_blockwise_shift_scale": Operator.from_function(compression.constexpr_blockwise_shift_scale),
    "constexpr_cast": Operator.from_function(compression.constexpr_cast),
    "constexpr_lut_to_dense": Operator.from_function(compression.constexpr_lut_to_dense),
    "constexpr_lut_to_sparse": Operator.from_function(compression.constexpr_lut_to_sparse),
    "constexpr_sparse_blockwise_shift_scale": Operator.from_function(
        compression.constexpr_sparse_blockwise_shift_scale
    ),
    "constexpr_sparse_to_dense": Operator.from_function(compression.constexpr_sparse_to_dense),
    "conv": Operator.from_function(products.conv, rows.batch_main_input),
    "dequantize": Operator.from_function(quantization.dequantize, rows.make_axis_rule("axis", ())),
    "einsum": Operator.from_function(products.einsum, rows.batch_einsum),
    "expand_dims": Operator.from_function(shapes.expand_dims, rows.batch_expand_dims, exact=True),
    "identity": Operator.from_function(elementwise.identity, rows.batch_elementwise, exact=True),
    "instance_norm": Operator.from_function(norms.instance_norm, rows.batch_main_input),
    "layer_norm": Operator.from_function(norms.layer_norm, rows.make_axis_rule("axes")),
    "linear": Operator.from_function(products.linear, rows.batch_last_axis),
    "matmul": Operator.from_function(products.matmul, rows.batch_matmul),
    "max_pool": Operator.from_function(pooling.max_pool, rows.batch_main_input, exact=True),
    "mul": Operator.from_function(elementwise.mul, rows.batch_elementwise),
    "pow": Operator.from_function(elementwise.power, rows.batch_elementwise),
    "quantize": Operator.from_function(quantization.quantize, rows.make_axis_rule("axis", ())),
    "real_div": Operator.from_function(elementwise.real_div, rows.batch_elementwise),
    "reduce_max": Operator.from_function(norms.reduce_max, rows.make_axis_rule("axes"), exact=True),
    "reduce_mean": Operator.from_function(norms.reduce_mean, rows.make_axis_rule("axes")),
    "reduce_sum": Operator.from_function(norms.reduce_sum, rows.make_axis_rule("axes")),
    "relu": Operator.from_function(elementwise.relu, rows.batch_elementwise, exact=True),
    "reshape": Operator.from_function(shapes.reshape, rows.batch_reshape, exact=True),
    "rsqrt": Operator.from_function(elementwise.rsqrt, rows.batch_elementwise),
    "sigmoid": Operator.from_function(elementwise.sigmoid, rows.batch_elementwise),
    "slice_by_index": Operator.from_function(shapes.slice_by_index, rows.batch_slice_by_index, exact=True),
    "slice_by_size": Operator.from_function(shapes.slice_by_size, rows.batch_slice_by_size, exact=True),
    "softmax": Operator.from_function(elementwise.softmax, rows.batch_single_axis),
    "split": Operator.from_function(shapes.split, rows.batch_single_axis, exact=True),
    "sqrt": Operator.from_function(elementwise.sqrt, rows.batch_elementwise),
    "square": Operator.from_function(elementwise.square, rows.batch_elementwise),
    "squeeze": Operator.from_function(shapes.squeeze, rows.make_axis_rule("axes"), exact=True),
    "sub": Operator.from_function(elementwise.sub, rows.batch_elementwise),
    "transpose": Operator.from_function(shapes.transpose, rows.batch_transpose, exact=True),
}
