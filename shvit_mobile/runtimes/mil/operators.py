"""The table of MIL operators that the reference executor implements.

Each operator's function has the name that it has in coremltools' MIL specification
(coremltools/converters/mil/mil/ops/defs/): positional parameters are tensors, keyword parameters are constants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from shvit_mobile.errors import UnsupportedOperator
from shvit_mobile.runtimes.mil import batching_rules as rules
from shvit_mobile.runtimes.mil import compression, norms, pooling, products, quantization, shapes

REAL = "real"
_CAST_DTYPES = {
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "uint16": torch.int32,  # torch has few operators on uint16
    "int32": torch.int32,
    "bool": torch.bool,
}


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes:
        function: Takes tensors, and constants of the program as keywords; returns tensors.
        tensors: The names of its tensor inputs.
        keywords: The names of its constant inputs.
        required: The names of its inputs without a default.
        takes_float_dtype: Whether it takes the dtype in which floats are computed, as `real`.
        exact: Whether fp16 inputs give fp16 results, so that no rounding is needed.
        batching_rule: How it runs many images at once; None if it is used only on constants.
    """

    function: Callable[..., Any]
    tensors: frozenset[str]
    keywords: frozenset[str]
    required: frozenset[str]
    takes_float_dtype: bool
    exact: bool
    batching_rule: rules.BatchingRule | None

    @classmethod
    def from_function(
        cls, function: Callable[..., Any], batching_rule: rules.BatchingRule | None = None, *, exact: bool = False
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
            batching_rule=batching_rule,
        )


def cast(x: Tensor, *, dtype: str, real: torch.dtype) -> Tensor:
    """iOS15 and iOS17/elementwise_unary.py; to integers it rounds toward zero. The executor rounds to fp16."""
    if dtype in ("fp16", "fp32"):
        return x.to(real)
    if dtype not in _CAST_DTYPES:
        raise UnsupportedOperator(f"cast to {dtype}", why=f"Supported: fp16, fp32, {', '.join(_CAST_DTYPES)}.")
    return x.to(_CAST_DTYPES[dtype])


def classify(probabilities: Tensor, *, classes: list[Any]) -> tuple[list[Any], list[dict[Any, float]]]:
    """The most likely class of each image, and the probability of each class; iOS15/classify.py."""
    rows = probabilities.reshape(-1, len(classes)).tolist()
    labels = [classes[row.index(max(row))] for row in rows]
    return labels, [dict(zip(classes, row, strict=True)) for row in rows]


# Lambdas give torch's functions the names of MIL's inputs; they follow iOS15: activation.py, elementwise_binary.py,
# elementwise_unary.py, linear.py, tensor_operation.py and tensor_transformation.py; iOS16: constexpr_ops.py, whose cast
# from fp16 to fp32 does nothing, because the executor stores floats in one dtype.
OPERATORS: dict[str, Operator] = {
    "add": Operator.from_function(lambda x, y: x + y, rules.batch_elementwise),
    "avg_pool": Operator.from_function(pooling.avg_pool, rules.batch_main_input),
    "batch_norm": Operator.from_function(norms.batch_norm, rules.batch_main_input),
    "cast": Operator.from_function(cast, rules.batch_elementwise),
    "classify": Operator.from_function(classify, rules.batch_elementwise),
    "clip": Operator.from_function(
        lambda x, *, alpha, beta: torch.clamp(x, alpha, beta), rules.batch_elementwise, exact=True
    ),
    "concat": Operator.from_function(shapes.concat, rules.batch_concat, exact=True),
    "constexpr_affine_dequantize": Operator.from_function(compression.constexpr_affine_dequantize),
    "constexpr_blockwise_shift_scale": Operator.from_function(compression.constexpr_blockwise_shift_scale),
    "constexpr_cast": Operator.from_function(lambda source_val, *, output_dtype: source_val),
    "constexpr_lut_to_dense": Operator.from_function(compression.constexpr_lut_to_dense),
    "constexpr_lut_to_sparse": Operator.from_function(compression.constexpr_lut_to_sparse),
    "constexpr_sparse_blockwise_shift_scale": Operator.from_function(
        compression.constexpr_sparse_blockwise_shift_scale
    ),
    "constexpr_sparse_to_dense": Operator.from_function(compression.constexpr_sparse_to_dense),
    "conv": Operator.from_function(products.conv, rules.batch_main_input),
    "dequantize": Operator.from_function(quantization.dequantize, rules.make_axis_rule("axis", ())),
    "einsum": Operator.from_function(lambda values, *, equation: torch.einsum(equation, *values), rules.batch_einsum),
    "expand_dims": Operator.from_function(shapes.expand_dims, rules.batch_expand_dims, exact=True),
    "identity": Operator.from_function(lambda x: x, rules.batch_elementwise, exact=True),
    "instance_norm": Operator.from_function(norms.instance_norm, rules.batch_main_input),
    "layer_norm": Operator.from_function(norms.layer_norm, rules.make_axis_rule("axes")),
    "linear": Operator.from_function(lambda x, weight, bias=None: F.linear(x, weight, bias), rules.batch_last_axis),
    "matmul": Operator.from_function(products.matmul, rules.batch_matmul),
    "max_pool": Operator.from_function(pooling.max_pool, rules.batch_main_input, exact=True),
    "mul": Operator.from_function(lambda x, y: x * y, rules.batch_elementwise),
    "pow": Operator.from_function(lambda x, y: torch.pow(x, y), rules.batch_elementwise),
    "quantize": Operator.from_function(quantization.quantize, rules.make_axis_rule("axis", ())),
    "real_div": Operator.from_function(lambda x, y: x / y, rules.batch_elementwise),
    "reduce_max": Operator.from_function(norms.reduce_max, rules.make_axis_rule("axes"), exact=True),
    "reduce_mean": Operator.from_function(norms.reduce_mean, rules.make_axis_rule("axes")),
    "reduce_sum": Operator.from_function(norms.reduce_sum, rules.make_axis_rule("axes")),
    "relu": Operator.from_function(lambda x: torch.relu(x), rules.batch_elementwise, exact=True),
    "reshape": Operator.from_function(shapes.reshape, rules.batch_reshape, exact=True),
    "rsqrt": Operator.from_function(lambda x, *, epsilon=1e-12: torch.rsqrt(x + epsilon), rules.batch_elementwise),
    "sigmoid": Operator.from_function(lambda x: torch.sigmoid(x), rules.batch_elementwise),
    "slice_by_index": Operator.from_function(shapes.slice_by_index, rules.batch_slice_by_index, exact=True),
    "slice_by_size": Operator.from_function(shapes.slice_by_size, rules.batch_slice_by_size, exact=True),
    "softmax": Operator.from_function(lambda x, *, axis=-1: torch.softmax(x, axis), rules.batch_single_axis),
    "split": Operator.from_function(shapes.split, rules.batch_single_axis, exact=True),
    "sqrt": Operator.from_function(lambda x: torch.sqrt(x), rules.batch_elementwise),
    "square": Operator.from_function(lambda x: x * x, rules.batch_elementwise),
    "squeeze": Operator.from_function(shapes.squeeze, rules.make_axis_rule("axes"), exact=True),
    "sub": Operator.from_function(lambda x, y: x - y, rules.batch_elementwise),
    "transpose": Operator.from_function(lambda x, *, perm: x.permute(perm), rules.batch_transpose, exact=True),
}
