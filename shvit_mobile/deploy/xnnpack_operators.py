"""Operators that XNNPACK does not have, or computes wrongly, in those that it has.

XNNPACK takes means only over rows and columns, reductions of no other kind, softmax over the last axis, matrix products
of three axes, and slices. Everything here is written in those. A sum over one axis is a layer with constant weights.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from shvit_mobile.deploy.rewriting import OperatorCall, OperatorRewrite

# From (batch, channels, height, width) to (batch, height, width, channels).
_CHANNELS_TO_END = (0, 2, 3, 1)
# They broadcast their operands themselves.
_BROADCASTING = ("add", "add_", "sub", "mul", "mul_", "div", "maximum", "minimum")


def _identity(call: OperatorCall, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return x


def _change_shape(call: OperatorCall, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return _reshape(x, *_get_shape(call))


def _reshape(x: Tensor, *shape: int) -> Tensor:
    """Change the shape. XNNPACK changes the order of the axes in memory, but does not copy them to another."""
    if x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        x = x.to(memory_format=torch.contiguous_format)
    return x.reshape(shape)


def _get_shape(call: OperatorCall) -> tuple[int, ...]:
    shape: tuple[int, ...] = tuple(call.node.meta["val"].shape)
    return shape


def _permute(call: OperatorCall, x: Tensor, order: Sequence[int]) -> Tensor:
    return call.permute(x, order)


def _transpose(call: OperatorCall, x: Tensor, one: int, other: int) -> Tensor:
    order = list(range(x.ndim))
    order[one], order[other] = order[other], order[one]
    return call.permute(x, order)


# -- Parts of a tensor -------------------------------------------------------------------------------------------------


def _slice(x: Tensor, axis: int, start: int, size: int) -> Tensor:
    result: Tensor = torch.ops.aten.slice.Tensor(x, axis % x.ndim, start, start + size)
    return result


def _stride(
    call: OperatorCall, x: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Tensor | None:
    """Rewrite a slice of every second value or fewer: the first of each group of `step` values."""
    if step == 1:
        return None
    first, last, _ = slice(start, end, step).indices(x.shape[dim])
    axis, count = dim % x.ndim, math.ceil((last - first) / step)
    if count < 1:
        return None
    part = _slice(x, axis, first, min(count * step, x.shape[axis] - first))
    missing = count * step - part.shape[axis]
    if missing:
        part = F.pad(part, (0, 0) * (x.ndim - 1 - axis) + (0, missing))
    groups = _reshape(part, *part.shape[:axis], count, step, *part.shape[axis + 1 :])
    return _reshape(_slice(groups, axis + 1, 0, 1), *_get_shape(call))


def _split(call: OperatorCall, x: Tensor, sizes: int | Sequence[int], dim: int = 0) -> list[Tensor]:
    """Rewrite split, split_with_sizes and chunk: a slice for each part."""
    parts, at = [], 0
    for part in call.node.meta["val"]:
        parts.append(_slice(x, dim, at, part.shape[dim]))
        at += part.shape[dim]
    return parts


def _select(call: OperatorCall, x: Tensor, dim: int, index: int) -> Tensor:
    return _reshape(_slice(x, dim, index % x.shape[dim], 1), *_get_shape(call))


def _unbind(call: OperatorCall, x: Tensor, dim: int = 0) -> list[Tensor]:
    return [_reshape(_slice(x, dim, index, 1), *part.shape) for index, part in enumerate(call.node.meta["val"])]


def _concatenate(call: OperatorCall, values: Sequence[Tensor], dim: int = 0) -> Tensor | None:
    return values[0] if len(values) == 1 else None


def _stack(call: OperatorCall, values: Sequence[Tensor], dim: int = 0) -> Tensor:
    dim %= values[0].ndim + 1
    shape = (*values[0].shape[:dim], 1, *values[0].shape[dim:])
    return torch.cat([_reshape(value, *shape) for value in values], dim)


def _roll(call: OperatorCall, x: Tensor, shifts: Sequence[int], dims: Sequence[int] = ()) -> Tensor | None:
    if not dims:
        return None
    for shift, dim in zip(shifts, dims, strict=True):
        first = -shift % x.shape[dim]
        if first:
            x = torch.cat([_slice(x, dim, first, x.shape[dim] - first), _slice(x, dim, 0, first)], dim)
    return x


def _expand(call: OperatorCall, x: Tensor, *args: Any, **kwargs: Any) -> Tensor | None:
    shape = _get_shape(call)
    if tuple(x.shape) == shape:
        return x
    if x.ndim == len(shape) and all(
        name in _BROADCASTING and result == shape for name, result in zip(call.users, call.users_shapes, strict=True)
    ):
        others = [value for user in call.node.users for value in user.all_input_nodes if value is not call.node]
        if all(tuple(value.meta["val"].shape) == shape for value in others):
            return x
    x = _reshape(x, *(1,) * (len(shape) - x.ndim), *x.shape)
    return x * call.constant("ones", lambda: torch.ones(shape, dtype=x.dtype))


# -- Means and sums ----------------------------------------------------------------------------------------------------


def _mean(call: OperatorCall, x: Tensor, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Tensor | None:
    if dim is None or kwargs.get("dtype") is not None:
        return None
    axes = _list_axes(dim, x.ndim)
    if x.ndim == 4 and axes == [2, 3] and keepdim:
        return None
    return _reshape(_average(call, x, axes, 1.0), *_get_shape(call))


def _sum(call: OperatorCall, x: Tensor, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Tensor | None:
    if dim is None or kwargs.get("dtype") is not None:
        return None
    return _reshape(_add_up(call, x, _list_axes(dim, x.ndim)), *_get_shape(call))


def _add_up(call: OperatorCall, x: Tensor, axes: list[int]) -> Tensor:
    """Compute the sum over axes, which keep the length 1."""
    return _average(call, x, axes, float(math.prod(x.shape[axis] for axis in axes)))


def _list_axes(dim: int | Sequence[int], rank: int) -> list[int]:
    return sorted(axis % rank for axis in ([dim] if isinstance(dim, int) else dim))


def _average(call: OperatorCall, x: Tensor, axes: list[int], factor: float) -> Tensor:
    """Compute `factor` times the mean over axes, which keep the length 1."""
    shape = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    if x.ndim == 4 and set(axes) <= {2, 3}:
        kernel = [x.shape[axis] if axis in axes else 1 for axis in (2, 3)]
        if axes == [2, 3]:
            mean = x.mean((2, 3), keepdim=True)
        elif max(kernel) > 1:
            mean = F.avg_pool2d(x, kernel, kernel, count_include_pad=False)
        else:
            mean = x
        return mean if factor == 1 else mean * _get_number(call, x, "factor", factor)
    size = math.prod(x.shape[axis] for axis in axes)
    if x.ndim == 4 and axes == [1]:
        return F.conv2d(x, call.constant("average", partial(_fill, (1, size, 1, 1), factor / size)))
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    if axes != list(range(x.ndim - len(axes), x.ndim)):
        x = x.permute(*kept, *axes)
    x = _reshape(x, *x.shape[: len(kept)], size)
    return _reshape(F.linear(x, call.constant("average", partial(_fill, (1, size), factor / size))), *shape)


def _fill(shape: tuple[int, ...], value: float) -> Tensor:
    return torch.full(shape, value, dtype=torch.float64)


def _get_number(call: OperatorCall, x: Tensor, name: str, value: float) -> Tensor:
    """Return a number as a constant with as many axes as `x`."""
    return call.constant(name, partial(_fill, (1,) * x.ndim, value))


def _vector_norm(
    call: OperatorCall, x: Tensor, order: float = 2, dim: Any = None, keepdim: bool = False, **kwargs: Any
) -> Tensor | None:
    if order != 2 or dim is None:
        return None
    return _reshape(torch.sqrt(_add_up(call, x * x, _list_axes(dim, x.ndim))), *_get_shape(call))


# -- Norms -------------------------------------------------------------------------------------------------------------


def _layer_norm(
    call: OperatorCall,
    x: Tensor,
    shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    image, order = call.find_origin(x)
    if order == _CHANNELS_TO_END and len(shape) == 1:
        normal = _normalize(call, image, weight, bias, eps, 1)
        return call.permute(normal, order)
    flat = _reshape(x, *x.shape[: x.ndim - len(shape)], math.prod(shape)) if len(shape) > 1 else x
    return _reshape(_normalize(call, flat, weight, bias, eps, flat.ndim - 1), *x.shape)


def _normalize(
    call: OperatorCall, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, axis: int
) -> Tensor:
    """Subtract the mean over an axis, divide by the square root of the variance plus eps, and scale and shift.

    Args:
        axis: The channels of images, or the last axis. A layer with one output computes the means.
    """
    of_images = axis == 1 and x.ndim == 4
    size, kernel = x.shape[axis], (1, 1) if of_images else ()
    average = call.constant("average", partial(_fill, (1, size, *kernel), 1 / size))
    epsilon = call.constant("eps", partial(_fill, (1,), eps))
    compute = F.conv2d if of_images else F.linear
    centered = x - compute(x, average)
    normal = centered * torch.rsqrt(compute(centered * centered, average, epsilon))
    shape = [-1 if one == axis else 1 for one in range(x.ndim)]
    return _scale_and_shift(call, normal, weight, bias, shape)


def _scale_and_shift(
    call: OperatorCall, x: Tensor, weight: Tensor | None, bias: Tensor | None, shape: Sequence[int]
) -> Tensor:
    """Multiply by a weight and add a bias, each in another shape."""
    if weight is not None:
        x = x * call.constant("weight", partial(weight.detach().reshape, shape))
    if bias is not None:
        x = x + call.constant("bias", partial(bias.detach().reshape, shape))
    return x


def _group_norm(
    call: OperatorCall,
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    """Rewrite group norm: the mean over positions, then over the channels of each group by a 1x1 convolution."""
    channels = x.shape[1]
    image = x if x.ndim == 4 else _reshape(x, x.shape[0], channels, -1, 1)
    average = call.constant("average", lambda: _create_group_average(channels, groups))
    epsilon = call.constant("eps", partial(_fill, (channels,), eps))
    centered = image - F.conv2d(image.mean((2, 3), keepdim=True), average)
    variance = F.conv2d((centered * centered).mean((2, 3), keepdim=True), average, epsilon)
    normal = centered * torch.rsqrt(variance)
    return _reshape(_scale_and_shift(call, normal, weight, bias, (1, channels, 1, 1)), *x.shape)


def _create_group_average(channels: int, groups: int) -> Tensor:
    """Create the weight of a 1x1 convolution that gives each channel the mean over its group."""
    size = channels // groups
    group = torch.arange(channels) // size
    return (group[:, None] == group[None]).double()[:, :, None, None] / size


def _batch_norm(
    call: OperatorCall,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    training: bool,
    momentum: float,
    eps: float,
    *_: Any,
) -> Tensor | None:
    if training:
        return None
    shape = (1, -1, *[1] * (x.ndim - 2))
    factor = (1.0 if weight is None else weight.detach()) / torch.sqrt(variance + eps)
    offset = (0.0 if bias is None else bias.detach()) - mean * factor
    scale = call.constant("scale", lambda: factor.reshape(shape))
    return x * scale + call.constant("shift", lambda: offset.reshape(shape))


# -- Products and attention --------------------------------------------------------------------------------------------


def _matmul(call: OperatorCall, left: Tensor, right: Tensor) -> Tensor | None:
    return _multiply(left, right) if min(left.ndim, right.ndim) > 2 and _fits(left, right) else None


def _fits(left: Tensor, right: Tensor) -> bool:
    """Return whether `_multiply` takes two values."""
    heads, shared = left.shape[:-2], right.shape[:-2]
    return heads == shared or (heads[:-1] == shared[:-1] and shared[-1:] == (1,))


def _multiply(left: Tensor, right: Tensor) -> Tensor:
    """Multiply matrices; all heads of the left may share one on the right, whose rows are then those of all heads."""
    shape = (*left.shape[:-1], right.shape[-1])
    rows = left.shape[-2] if left.shape[:-2] == right.shape[:-2] else left.shape[-2] * left.shape[-3]
    product = torch.bmm(_reshape(left, -1, rows, left.shape[-1]), _reshape(right, -1, *right.shape[-2:]))
    return _reshape(product, *shape)


def _softmax(call: OperatorCall, x: Tensor, dim: int, *args: Any, **kwargs: Any) -> Tensor | None:
    """Rewrite softmax over three axes: behind a convolution, XNNPACK runs that of four over the channels."""
    axis = dim % x.ndim
    if axis == x.ndim - 1 and x.ndim <= 3:
        return None
    return _compute_softmax(x, axis)


def _compute_softmax(x: Tensor, axis: int) -> Tensor:
    order = [*(one for one in range(x.ndim) if one != axis), axis]
    moved = x.permute(order) if axis != x.ndim - 1 else x
    weights = _reshape(_reshape(moved, -1, *moved.shape[-2:]).softmax(-1), *moved.shape)
    return weights.permute([order.index(one) for one in range(x.ndim)]) if axis != x.ndim - 1 else weights


def _attention(
    call: OperatorCall,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor | None:
    computed = mask is not None and not call.is_constant(3)
    if dropout or enable_gqa or computed or not _fits(query, key) or key.shape[:-1] != value.shape[:-1]:
        return None
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    query = query * _get_number(call, query, "scale", factor)
    scores = _multiply(query, key.transpose(-2, -1))
    if mask is not None or causal:
        added = call.constant("mask", lambda: _create_mask(mask, scores.shape))
        scores = scores + added
    return _multiply(_compute_softmax(scores, scores.ndim - 1), value)


def _create_mask(mask: Tensor | None, shape: torch.Size) -> Tensor:
    """Create what is added to scores; without a mask, a query does not see the keys that come after it."""
    mask = torch.ones(shape[-2:], dtype=torch.bool).tril() if mask is None else mask
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, -torch.inf)
    return mask.expand(shape).contiguous()


# -- Arithmetic --------------------------------------------------------------------------------------------------------


def _binary(compute: Callable[[Tensor, Tensor], Tensor], call: OperatorCall, x: Any, y: Any, **kwargs: Any) -> Any:
    """Rewrite a sum or product with a number, or with a constant of fewer axes, to one with a constant of as many."""
    if kwargs.get("alpha", 1) != 1 or kwargs.get("rounding_mode"):
        return None
    rank = len(_get_shape(call))
    operands, changed = [x, y], False
    for position, operand in enumerate(operands):
        if isinstance(operand, Tensor) and (operand.ndim == rank or not call.is_constant(position)):
            continue
        create = partial(_convert_operand, operand, rank)
        operands[position], changed = call.constant(f"operand{position}", create), True
    return compute(*operands) if changed else None


def _convert_operand(operand: float | Tensor, rank: int) -> Tensor:
    values = operand.detach() if isinstance(operand, Tensor) else torch.tensor(operand, dtype=torch.float64)
    return values.reshape((1,) * (rank - values.ndim) + tuple(values.shape)).clone()


def _pow(call: OperatorCall, x: Tensor, exponent: Any) -> Tensor | None:
    powers: dict[Any, Callable[[Tensor], Tensor]] = {
        0.5: torch.sqrt,
        1: torch.clone,
        2: lambda base: base * base,
        -0.5: torch.rsqrt,
    }
    return powers[exponent](x) if exponent in powers else None


def _clamp(call: OperatorCall, x: Tensor, low: Any = None, high: Any = None, **kwargs: Any) -> Tensor | None:
    """Rewrite a clamp on one side; with both, XNNPACK has it."""
    low, high = kwargs.get("min", low), kwargs.get("max", high)
    if (low is None) == (high is None) or isinstance(low, Tensor) or isinstance(high, Tensor):
        return None
    limit = _get_number(call, x, "limit", high if low is None else low)
    return torch.minimum(x, limit) if low is None else torch.maximum(x, limit)


def _clamp_max(call: OperatorCall, x: Tensor, high: Any) -> Tensor | None:
    return _clamp(call, x, None, high)


def _subtract_from(call: OperatorCall, x: Tensor, number: Any, alpha: float = 1) -> Tensor | None:
    if isinstance(number, Tensor) or alpha != 1:
        return None
    return _get_number(call, x, "number", number) - x


def _hardsigmoid(call: OperatorCall, x: Tensor) -> Tensor:
    return F.hardtanh(x + _get_number(call, x, "offset", 3.0), 0.0, 6.0) * _get_number(call, x, "factor", 1 / 6)


def _gelu(call: OperatorCall, x: Tensor, *, approximate: str = "none") -> Tensor | None:
    """Rewrite the approximation by tanh as a product with a sigmoid: XNNPACK would compute GELU by erf instead."""
    if approximate != "tanh":
        return None
    square = x * x * _get_number(call, x, "cubic", 0.044715) + _get_number(call, x, "one", 1.0)
    return x * torch.sigmoid(x * _get_number(call, x, "factor", math.sqrt(8 / math.pi)) * square)


def _silu(call: OperatorCall, x: Tensor) -> Tensor:
    """Rewrite SiLU as what it is: lowered by itself, one of fp16 becomes the same between casts."""
    return x * torch.sigmoid(x)


# -- Pools and layers --------------------------------------------------------------------------------------------------


def _adaptive_avg_pool2d(call: OperatorCall, x: Tensor, size: Any) -> Tensor | None:
    rows, columns = _get_shape(call)[-2:]
    if x.ndim != 4 or x.shape[2] % rows or x.shape[3] % columns:
        return None
    if (rows, columns) == (1, 1):
        return x.mean((2, 3), keepdim=True)
    return _pool(call, x, [x.shape[2] // rows, x.shape[3] // columns], [x.shape[2] // rows, x.shape[3] // columns])


def _avg_pool1d(
    call: OperatorCall,
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor | None:
    image = _reshape(x, *x.shape[:-1], 1, x.shape[-1])
    windows = ((1, *kernel), (1, *(stride or kernel)), (0, *padding))
    if ceil_mode or x.ndim != 3 or (any(padding) and not count_include_pad):
        return None
    return _reshape(_pool(call, image, *windows), *_get_shape(call))


def _avg_pool2d(
    call: OperatorCall,
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Tensor | None:
    rows, columns = _get_shape(call)[-2:]
    stride, padding = _pair(stride or kernel), _pair(padding)
    kernel = _pair(kernel)
    exact = all(
        (size + 2 * pad - side) // step + 1 == out
        for size, pad, side, step, out in zip(x.shape[-2:], padding, kernel, stride, (rows, columns), strict=True)
    )
    if x.ndim != 4 or divisor is not None or not exact:
        return None
    if not count_include_pad and any(padding):
        return None
    return _pool(call, x, kernel, stride, padding)


def _pool(
    call: OperatorCall, x: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int] = (0, 0)
) -> Tensor:
    """Average over windows; zeros around the image count. A kernel of one position, or padding, is a convolution."""
    if math.prod(kernel) > 1 and not any(padding):
        return F.avg_pool2d(x, list(kernel), list(stride), count_include_pad=False)
    channels = x.shape[1]
    weight = call.constant("window", partial(_fill, (channels, 1, *kernel), 1 / math.prod(kernel)))
    return F.conv2d(x, weight, None, list(stride), list(padding), 1, channels)


def _upsample_nearest2d(call: OperatorCall, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Rewrite the repetition of rows and columns: a transposed convolution with ones, for each channel.

    Where some are repeated more often than others, it is a product with a matrix that selects, on each side.
    """
    sizes, channels = _get_shape(call)[-2:], x.shape[1]
    if not sizes[0] % x.shape[2] and not sizes[1] % x.shape[3]:
        factors = (sizes[0] // x.shape[2], sizes[1] // x.shape[3])
        ones = call.constant("ones", partial(_fill, (channels, 1, *factors), 1.0))
        return F.conv_transpose2d(x, ones, None, factors, groups=channels)
    compute: Callable[..., Tensor] = call.node.target  # type: ignore[assignment]

    def create_selection(axis: int) -> Tensor:
        shape = [1, 1, *x.shape[2:]]
        numbers = torch.arange(shape[axis], dtype=torch.float64).reshape((-1, 1) if axis == 2 else (1, -1))
        chosen = compute(numbers.expand(shape).contiguous(), *args, **kwargs).select(5 - axis, 0).flatten()
        return (chosen[:, None] == torch.arange(shape[axis])).double()

    columns = F.linear(x, call.constant("columns", partial(create_selection, 3)))
    return F.linear(columns.transpose(2, 3), call.constant("rows", partial(create_selection, 2))).transpose(2, 3)


def _pair(value: int | Sequence[int]) -> list[int]:
    return [value, value] if isinstance(value, int) else [*value, *value][:2]


def _conv2d(call: OperatorCall, x: Tensor, *args: Any, **kwargs: Any) -> Tensor | None:
    """Give the images channels last: permuted in float they cost half of what they cost in int8."""
    if not call.takes_image:
        return None
    compute: Callable[..., Tensor] = call.node.target  # type: ignore[assignment]
    return compute(x.to(memory_format=torch.channels_last), *args, **kwargs)


_RESHAPES = ("view", "reshape", "_unsafe_view", "squeeze", "unsqueeze", "flatten", "unflatten")
_IDENTITIES = ("alias", "clone", "contiguous", "detach", "dropout")

XNNPACK_OPERATORS: Mapping[str, OperatorRewrite] = {
    **dict.fromkeys(_RESHAPES, _change_shape),
    **dict.fromkeys(_IDENTITIES, _identity),
    **dict.fromkeys(("split", "split_with_sizes", "chunk"), _split),
    "permute": _permute,
    "transpose": _transpose,
    "slice": _stride,
    "select": _select,
    "unbind": _unbind,
    "stack": _stack,
    "cat": _concatenate,
    "roll": _roll,
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), _expand),
    "mean": _mean,
    "sum": _sum,
    "linalg_vector_norm": _vector_norm,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "batch_norm": _batch_norm,
    **dict.fromkeys(("matmul", "__matmul__"), _matmul),
    "softmax": _softmax,
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(("add", "add_"), partial(_binary, torch.add)),
    **dict.fromkeys(("sub", "sub_"), partial(_binary, torch.sub)),
    "rsub": _subtract_from,
    **dict.fromkeys(("mul", "mul_"), partial(_binary, torch.mul)),
    **dict.fromkeys(("div", "div_"), partial(_binary, torch.div)),
    "pow": _pow,
    **dict.fromkeys(("clamp", "clamp_", "clamp_min", "clamp_min_"), _clamp),
    **dict.fromkeys(("clamp_max", "clamp_max_"), _clamp_max),
    **dict.fromkeys(("hardsigmoid", "hardsigmoid_"), _hardsigmoid),
    "gelu": _gelu,
    **dict.fromkeys(("silu", "silu_"), _silu),
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "avg_pool1d": _avg_pool1d,
    "avg_pool2d": _avg_pool2d,
    "upsample_nearest2d": _upsample_nearest2d,
    "conv2d": _conv2d,
}
