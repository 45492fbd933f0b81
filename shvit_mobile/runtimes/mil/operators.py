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
from shvit_mobile.runtimes.mil import (
    activations,
    compression,
    norms,
    pooling,
    products,
    quantization,
    reductions,
    resizing,
    shapes,
)
from shvit_mobile.runtimes.mil import batching_rules as rules

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


def _make_elementwise(function: Callable[..., Any], *, exact: bool = False) -> Operator:
    return Operator.from_function(function, rules.batch_elementwise, exact=exact)


def _make_reduction(reduce: reductions.Reduction, *, exact: bool = False) -> Operator:
    return Operator.from_function(reductions.make_reduction(reduce), rules.make_axis_rule("axes"), exact=exact)


# Lambdas give torch's functions the names of MIL's inputs; they follow iOS15: activation.py, control_flow.py,
# elementwise_binary.py, elementwise_unary.py, linear.py, tensor_operation.py and tensor_transformation.py; iOS16:
# constexpr_ops.py, whose cast from fp16 to fp32 does nothing, because the executor stores floats in one dtype.
OPERATORS: dict[str, Operator] = {
    "abs": _make_elementwise(lambda x: torch.abs(x), exact=True),
    "add": _make_elementwise(lambda x, y: x + y),
    "avg_pool": Operator.from_function(pooling.avg_pool, rules.batch_main_input),
    "band_part": Operator.from_function(shapes.band_part, rules.make_trailing_rule(2), exact=True),
    "batch_norm": Operator.from_function(norms.batch_norm, rules.batch_main_input),
    "cast": _make_elementwise(cast),
    "ceil": _make_elementwise(lambda x: torch.ceil(x), exact=True),
    "clamped_relu": _make_elementwise(activations.clamped_relu),
    "classify": _make_elementwise(classify),
    "clip": _make_elementwise(lambda x, *, alpha, beta: torch.clamp(x, alpha, beta), exact=True),
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
    "conv_transpose": Operator.from_function(products.conv_transpose, rules.batch_main_input),
    "cos": _make_elementwise(lambda x: torch.cos(x)),
    "crop": Operator.from_function(resizing.crop, rules.make_trailing_rule(2), exact=True),
    "cumsum": Operator.from_function(shapes.cumsum, rules.make_axis_rule("axis", (0,))),
    "dequantize": Operator.from_function(quantization.dequantize, rules.make_axis_rule("axis", ())),
    "einsum": Operator.from_function(lambda values, *, equation: torch.einsum(equation, *values), rules.batch_einsum),
    "elu": _make_elementwise(lambda x, *, alpha: F.elu(x, alpha)),
    "equal": _make_elementwise(lambda x, y: x == y),
    "erf": _make_elementwise(lambda x: torch.erf(x)),
    "exp": _make_elementwise(lambda x: torch.exp(x)),
    "exp2": _make_elementwise(lambda x: torch.exp2(x)),
    "expand_dims": Operator.from_function(shapes.expand_dims, rules.batch_expand_dims, exact=True),
    "floor": _make_elementwise(lambda x: torch.floor(x), exact=True),
    "floor_div": _make_elementwise(lambda x, y: torch.floor_divide(x, y)),
    "gather": Operator.from_function(shapes.gather, rules.batch_gather, exact=True),
    "gather_along_axis": Operator.from_function(shapes.gather_along_axis, rules.batch_gather_along_axis, exact=True),
    "gelu": _make_elementwise(activations.gelu),
    "greater": _make_elementwise(lambda x, y: x > y),
    "greater_equal": _make_elementwise(lambda x, y: x >= y),
    "identity": _make_elementwise(lambda x: x, exact=True),
    "instance_norm": Operator.from_function(norms.instance_norm, rules.batch_main_input),
    "inverse": _make_elementwise(lambda x, *, epsilon=1e-4: 1 / (x + epsilon)),
    "l2_norm": Operator.from_function(norms.l2_norm, rules.make_trailing_rule(3)),
    "l2_pool": Operator.from_function(pooling.l2_pool, rules.batch_main_input),
    "layer_norm": Operator.from_function(norms.layer_norm, rules.make_axis_rule("axes")),
    "leaky_relu": _make_elementwise(lambda x, *, alpha: F.leaky_relu(x, alpha)),
    "less": _make_elementwise(lambda x, y: x < y),
    "less_equal": _make_elementwise(lambda x, y: x <= y),
    "linear": Operator.from_function(lambda x, weight, bias=None: F.linear(x, weight, bias), rules.batch_last_axis),
    "linear_activation": _make_elementwise(lambda x, *, alpha, beta: alpha * x + beta),
    "log": _make_elementwise(lambda x, *, epsilon=1e-45: torch.log(x + epsilon)),
    "logical_and": _make_elementwise(lambda x, y: x & y),
    "logical_not": _make_elementwise(lambda x: ~x),
    "logical_or": _make_elementwise(lambda x, y: x | y),
    "logical_xor": _make_elementwise(lambda x, y: x ^ y),
    "matmul": Operator.from_function(products.matmul, rules.batch_matmul),
    "max_pool": Operator.from_function(pooling.max_pool, rules.batch_main_input, exact=True),
    "maximum": _make_elementwise(lambda x, y: torch.maximum(x, y), exact=True),
    "minimum": _make_elementwise(lambda x, y: torch.minimum(x, y), exact=True),
    "mod": _make_elementwise(lambda x, y: torch.remainder(x, y)),
    "mul": _make_elementwise(lambda x, y: x * y),
    "not_equal": _make_elementwise(lambda x, y: x != y),
    "pad": Operator.from_function(shapes.pad, rules.batch_pad, exact=True),
    "pixel_shuffle": Operator.from_function(
        lambda x, *, upscale_factor: F.pixel_shuffle(x, upscale_factor), rules.batch_main_input, exact=True
    ),
    "pixel_unshuffle": Operator.from_function(
        lambda x, *, downscale_factor: F.pixel_unshuffle(x, downscale_factor), rules.batch_main_input, exact=True
    ),
    "pow": _make_elementwise(lambda x, y: torch.pow(x, y)),
    "prelu": Operator.from_function(activations.prelu, rules.batch_main_input),
    "quantize": Operator.from_function(quantization.quantize, rules.make_axis_rule("axis", ())),
    "real_div": _make_elementwise(lambda x, y: x / y),
    "reduce_argmax": Operator.from_function(reductions.reduce_argmax, rules.batch_single_axis),
    "reduce_argmin": Operator.from_function(reductions.reduce_argmin, rules.batch_single_axis),
    "reduce_l1_norm": _make_reduction(lambda x, axes, keep: reductions.sum_over_axes(x.abs(), axes, keep)),
    "reduce_l2_norm": _make_reduction(lambda x, axes, keep: torch.linalg.vector_norm(x, dim=axes, keepdim=keep)),
    "reduce_log_sum": _make_reduction(lambda x, axes, keep: torch.log(reductions.sum_over_axes(x, axes, keep))),
    "reduce_log_sum_exp": _make_reduction(lambda x, axes, keep: torch.logsumexp(x, axes, keep)),
    "reduce_max": _make_reduction(lambda x, axes, keep: torch.amax(x, axes, keep), exact=True),
    "reduce_mean": _make_reduction(lambda x, axes, keep: torch.mean(x, axes, keep)),
    "reduce_min": _make_reduction(lambda x, axes, keep: torch.amin(x, axes, keep), exact=True),
    "reduce_prod": _make_reduction(reductions.multiply_over_axes),
    "reduce_sum": _make_reduction(reductions.sum_over_axes),
    "reduce_sum_square": _make_reduction(lambda x, axes, keep: reductions.sum_over_axes(x * x, axes, keep)),
    "relu": _make_elementwise(lambda x: torch.relu(x), exact=True),
    "relu6": _make_elementwise(lambda x: F.relu6(x), exact=True),
    "reshape": Operator.from_function(shapes.reshape, rules.batch_reshape, exact=True),
    "resize_bilinear": Operator.from_function(resizing.resize_bilinear, rules.make_trailing_rule(2)),
    "resize_nearest_neighbor": Operator.from_function(
        resizing.resize_nearest_neighbor, rules.make_trailing_rule(2), exact=True
    ),
    "reverse": Operator.from_function(shapes.reverse, rules.make_axis_rule("axes"), exact=True),
    "round": _make_elementwise(lambda x: torch.round(x), exact=True),
    "rsqrt": _make_elementwise(lambda x, *, epsilon=1e-12: torch.rsqrt(x + epsilon)),
    "scaled_dot_product_attention": Operator.from_function(
        products.scaled_dot_product_attention, rules.batch_elementwise
    ),
    "scaled_tanh": _make_elementwise(lambda x, *, alpha, beta: alpha * torch.tanh(beta * x)),
    "select": _make_elementwise(lambda cond, a, b: torch.where(cond, a, b), exact=True),
    "sigmoid": _make_elementwise(lambda x: torch.sigmoid(x)),
    "sigmoid_hard": _make_elementwise(lambda x, *, alpha, beta: torch.clamp(alpha * x + beta, 0, 1)),
    "sign": _make_elementwise(lambda x: torch.sign(x), exact=True),
    "silu": _make_elementwise(lambda x: F.silu(x)),
    "sin": _make_elementwise(lambda x: torch.sin(x)),
    "slice_by_index": Operator.from_function(shapes.slice_by_index, rules.batch_slice_by_index, exact=True),
    "slice_by_size": Operator.from_function(shapes.slice_by_size, rules.batch_slice_by_size, exact=True),
    "softmax": Operator.from_function(lambda x, *, axis=-1: torch.softmax(x, axis), rules.batch_single_axis),
    "softplus": _make_elementwise(activations.softplus),
    "softplus_parametric": Operator.from_function(activations.softplus_parametric, rules.batch_main_input),
    "softsign": _make_elementwise(lambda x: F.softsign(x)),
    "split": Operator.from_function(shapes.split, rules.batch_single_axis, exact=True),
    "sqrt": _make_elementwise(lambda x: torch.sqrt(x)),
    "square": _make_elementwise(lambda x: x * x),
    "squeeze": Operator.from_function(shapes.squeeze, rules.make_axis_rule("axes"), exact=True),
    "stack": Operator.from_function(shapes.stack, rules.batch_stack, exact=True),
    "sub": _make_elementwise(lambda x, y: x - y),
    "tanh": _make_elementwise(lambda x: torch.tanh(x)),
    "threshold": _make_elementwise(lambda x, *, alpha: torch.clamp(x, min=alpha), exact=True),
    "thresholded_relu": _make_elementwise(activations.thresholded_relu, exact=True),
    "tile": Operator.from_function(shapes.tile, rules.batch_tile, exact=True),
    "transpose": Operator.from_function(lambda x, *, perm: x.permute(perm), rules.batch_transpose, exact=True),
    "upsample_bilinear": Operator.from_function(resizing.upsample_bilinear, rules.make_trailing_rule(2)),
    "upsample_nearest_neighbor": Operator.from_function(
        resizing.upsample_nearest_neighbor, rules.make_trailing_rule(2), exact=True
    ),
}
