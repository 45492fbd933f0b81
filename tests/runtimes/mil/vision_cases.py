"""Cases of the operators that vision models other than SHViT need: activations, reductions, resizing and more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813
from torch.nn import functional as F

from tests.runtimes.mil.packages import Array, OperatorCase, draw_array

Cases = Iterator[tuple[str, OperatorCase]]


def to_tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def call(function: Callable[..., torch.Tensor], *args: Any, **keywords: Any) -> Callable[[Array], torch.Tensor]:
    """A function of torch as one of an array."""
    return lambda x: function(to_tensor(x), *args, **keywords)


def list_activations() -> Cases:
    x = draw_array(2, 3, 7, 5, low=-9, high=9)
    yield "gelu", OperatorCase(lambda x: mb.gelu(x=x), call(F.gelu), (x,))
    for mode, gelu in {
        "EXACT": call(F.gelu),
        "TANH_APPROXIMATION": call(F.gelu, approximate="tanh"),
        "SIGMOID_APPROXIMATION": lambda x: x / (1 + np.exp(-1.702 * x)),
    }.items():
        yield f"gelu_{mode.lower()}", OperatorCase(lambda x, mode=mode: mb.gelu(x=x, mode=mode), gelu, (x,))
    yield "silu", OperatorCase(lambda x: mb.silu(x=x), lambda x: x / (1 + np.exp(-x)), (x,))
    yield "relu6", OperatorCase(lambda x: mb.relu6(x=x), lambda x: x.clip(0, 6), (x,))
    yield (
        "thresholded_relu",
        OperatorCase(lambda x: mb.thresholded_relu(x=x, alpha=-3.0), lambda x: np.where(x >= -3, x, 0), (x,)),
    )
    on_the_edge = np.array([[-1.5, -1.25, 0.0, 0.5, 1.5]], np.float32)
    yield (
        "thresholded_relu_edge",
        OperatorCase(
            lambda x: mb.thresholded_relu(x=x, alpha=-1.25), lambda x: np.where(x >= -1.25, x, 0), (on_the_edge,)
        ),
    )
    yield (
        "sigmoid_hard",
        OperatorCase(lambda x: mb.sigmoid_hard(x=x, alpha=0.25, beta=0.5), lambda x: (x / 4 + 0.5).clip(0, 1), (x,)),
    )
    yield "leaky_relu", OperatorCase(lambda x: mb.leaky_relu(x=x, alpha=0.3), call(F.leaky_relu, 0.3), (x,))
    yield (
        "clamped_relu",
        OperatorCase(
            lambda x: mb.clamped_relu(x=x, alpha=0.3, beta=4.0),
            lambda x: np.where(x >= 0, x, 0.3 * x).clip(max=4),
            (x,),
        ),
    )
    yield (
        "clamped_relu_below_zero",
        OperatorCase(
            lambda x: mb.clamped_relu(x=x, alpha=0.3, beta=-1.0),
            lambda x: np.where(x >= 0, x, 0.3 * x).clip(max=-1),
            (x,),
        ),
    )
    yield "elu", OperatorCase(lambda x: mb.elu(x=x, alpha=0.5), call(F.elu, 0.5), (x,))
    slopes = draw_array(3, seed=1)
    yield "prelu", OperatorCase(lambda x: mb.prelu(x=x, alpha=slopes), call(F.prelu, to_tensor(slopes)), (x,))
    yield (
        "linear_activation",
        OperatorCase(lambda x: mb.linear_activation(x=x, alpha=0.5, beta=-2.0), lambda x: 0.5 * x - 2, (x,)),
    )
    yield (
        "scaled_tanh",
        OperatorCase(lambda x: mb.scaled_tanh(x=x, alpha=0.5, beta=0.25), lambda x: 0.5 * np.tanh(x / 4), (x,)),
    )
    yield "softplus", OperatorCase(lambda x: mb.softplus(x=x), lambda x: np.log1p(np.exp(x)), (x,))
    alpha, beta = draw_array(3, 1, 1, seed=2), draw_array(3, 1, 1, seed=3)
    yield (
        "softplus_parametric",
        OperatorCase(
            lambda x: mb.softplus_parametric(x=x, alpha=alpha.ravel(), beta=beta.ravel()),
            lambda x: alpha * np.log1p(np.exp(beta * x)),
            (x,),
        ),
    )
    yield "softsign", OperatorCase(lambda x: mb.softsign(x=x), lambda x: x / (1 + np.abs(x)), (x,))


def list_arithmetic() -> Cases:
    x, y, positive = draw_array(2, 3, 5), draw_array(3, 1, seed=1), draw_array(2, 3, 5, seed=2, low=0.1)
    halves = np.arange(-6, 6, dtype=np.float32)[None] / 2
    for name, function, values in (
        ("abs", np.abs, x),
        ("sign", np.sign, halves),
        ("exp", np.exp, x),
        ("exp2", np.exp2, x),
        ("sin", np.sin, x),
        ("cos", np.cos, x),
        ("tanh", np.tanh, x),
        ("floor", np.floor, x),
        ("ceil", np.ceil, x),
        ("round", np.round, halves),
    ):
        yield name, OperatorCase(lambda x, name=name: getattr(mb, name)(x=x), function, (values,))
    yield "erf", OperatorCase(lambda x: mb.erf(x=x), call(torch.erf), (x,))
    yield "log", OperatorCase(lambda x: mb.log(x=x), np.log, (positive,))
    yield "log_epsilon", OperatorCase(lambda x: mb.log(x=x, epsilon=0.5), lambda x: np.log(x + 0.5), (positive,))
    yield "inverse", OperatorCase(lambda x: mb.inverse(x=x, epsilon=0.5), lambda x: 1 / (x + 0.5), (positive,))
    yield "inverse_default", OperatorCase(lambda x: mb.inverse(x=x), lambda x: 1 / (x + np.float32(1e-4)), (positive,))
    yield "threshold", OperatorCase(lambda x: mb.threshold(x=x, alpha=-0.5), lambda x: np.maximum(x, -0.5), (x,))
    yield "maximum", OperatorCase(lambda x, y: mb.maximum(x=x, y=y), np.maximum, (x, y))
    yield "minimum", OperatorCase(lambda x, y: mb.minimum(x=x, y=y), np.minimum, (x, y))
    yield "floor_div", OperatorCase(lambda x, y: mb.floor_div(x=x, y=y), np.floor_divide, (x, positive))
    yield "mod", OperatorCase(lambda x, y: mb.mod(x=x, y=y), np.mod, (x, positive))


def list_conditions() -> Cases:
    x, y = np.round(draw_array(2, 3, 5)), np.round(draw_array(3, 1, seed=1))
    for name in ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal"):
        yield (
            name,
            OperatorCase(
                lambda x, y, name=name: mb.cast(x=getattr(mb, name)(x=x, y=y), dtype="fp32"), getattr(np, name), (x, y)
            ),
        )
    for name in ("logical_and", "logical_or", "logical_xor"):
        yield (
            name,
            OperatorCase(
                lambda x, y, name=name: mb.cast(
                    x=getattr(mb, name)(x=mb.cast(x=x, dtype="bool"), y=mb.cast(x=y, dtype="bool")), dtype="fp32"
                ),
                getattr(np, name),
                (x, y),
            ),
        )
    yield (
        "logical_not",
        OperatorCase(
            lambda x: mb.cast(x=mb.logical_not(x=mb.cast(x=x, dtype="bool")), dtype="fp32"), np.logical_not, (x,)
        ),
    )
    yield (
        "select",
        OperatorCase(
            lambda x, y: mb.select(cond=mb.greater(x=x, y=y), a=x, b=np.float32(-7)),
            lambda x, y: np.where(x > y, x, -7),
            (x, y),
        ),
    )


def list_reductions() -> Cases:
    signed, positive = draw_array(2, 5, 4, 3), draw_array(2, 5, 4, 3, low=0.5)
    for name, (reduce, x) in {
        "max": (np.max, signed),
        "mean": (np.mean, signed),
        "min": (np.min, signed),
        "sum": (np.sum, signed),
        "prod": (np.prod, signed),
        "l1_norm": (lambda x, *a, **k: np.abs(x).sum(*a, **k), signed),
        "l2_norm": (lambda x, *a, **k: np.sqrt(np.square(x).sum(*a, **k)), signed),
        "sum_square": (lambda x, *a, **k: np.square(x).sum(*a, **k), signed),
        "log_sum": (lambda x, *a, **k: np.log(x.sum(*a, **k)), positive),
        "log_sum_exp": (lambda x, *a, **k: np.log(np.exp(x).sum(*a, **k)), signed),
    }.items():
        for keep in (False, True):
            yield (
                f"reduce_{name}_{keep}",
                OperatorCase(
                    lambda x, name=name, k=keep: getattr(mb, f"reduce_{name}")(x=x, axes=[2, -1], keep_dims=k),
                    lambda x, reduce=reduce, k=keep: reduce(x, (2, 3), keepdims=k),
                    (x,),
                ),
            )
        yield (
            f"reduce_{name}_all",
            OperatorCase(
                lambda x, name=name: getattr(mb, f"reduce_{name}")(x=x, keep_dims=True),
                lambda x, reduce=reduce: reduce(x, keepdims=True),
                (x,),
            ),
        )
    yield (
        "reduce_log_sum_exp_large",
        OperatorCase(
            lambda x: mb.reduce_log_sum_exp(x=x, axes=[1]), call(torch.logsumexp, 1), (draw_array(2, 5, high=500),)
        ),
    )
    for name, find in {"argmax": np.argmax, "argmin": np.argmin}.items():
        yield (
            f"reduce_{name}",
            OperatorCase(
                lambda x, name=name: getattr(mb, f"reduce_{name}")(x=x), lambda x, find=find: find(x, -1), (signed,)
            ),
        )
        yield (
            f"reduce_{name}_kept",
            OperatorCase(
                lambda x, name=name: getattr(mb, f"reduce_{name}")(x=x, axis=1, keep_dims=True),
                lambda x, find=find: find(x, 1)[:, None],
                (signed,),
            ),
        )
    yield (
        "l2_norm",
        OperatorCase(
            lambda x: mb.l2_norm(x=x, epsilon=0.5),
            lambda x: x / np.sqrt(np.square(x).sum((1, 2, 3), keepdims=True) + 0.5),
            (signed,),
        ),
    )


# By name of a sampling mode: the positions that coremltools' documentation gives for two elements at 0 and 1.
DOCUMENTED_POSITIONS = {
    ("UNALIGN_CORNERS", 5): [0, 0.1, 0.5, 0.9, 1],
    ("STRICT_ALIGN_CORNERS", 5): [0, 0.25, 0.5, 0.75, 1],
    ("ALIGN_CORNERS", 5): [0, 0.25, 0.5, 0.75, 1],
    ("DEFAULT", 5): [0, 0.4, 0.8, 1, 1],
    ("OFFSET_CORNERS", 5): [0.1, 0.3, 0.5, 0.7, 0.9],
    ("UNALIGN_CORNERS", 6): [0, 0, 1 / 3, 2 / 3, 1, 1],
    ("STRICT_ALIGN_CORNERS", 6): [0, 0.2, 0.4, 0.6, 0.8, 1],
    ("ALIGN_CORNERS", 6): [0, 0.2, 0.4, 0.6, 0.8, 1],
    ("DEFAULT", 6): [0, 1 / 3, 2 / 3, 1, 1, 1],
    ("OFFSET_CORNERS", 6): [1 / 12, 3 / 12, 5 / 12, 7 / 12, 9 / 12, 11 / 12],
    ("STRICT_ALIGN_CORNERS", 1): [0],
    ("ALIGN_CORNERS", 1): [0.5],
}


def list_resizing() -> Cases:
    x = draw_array(2, 3, 7, 5)
    for align in (False, True):
        for name, (height, width) in {"whole": (2, 3), "fraction": (2.5, 1.5), "less": (0.5, 0.8)}.items():
            size = int(7 * height), int(5 * width)
            yield (
                f"upsample_bilinear_{align}_{name}",
                OperatorCase(
                    lambda x, h=height, w=width, a=align: mb.upsample_bilinear(
                        x=x, scale_factor_height=h, scale_factor_width=w, align_corners=a
                    ),
                    call(F.interpolate, size, mode="bilinear", align_corners=align),
                    (x,),
                ),
            )
    yield (
        "upsample_bilinear_default",
        OperatorCase(
            lambda x: mb.upsample_bilinear(x=x, scale_factor_width=2),
            call(F.interpolate, (7, 10), mode="bilinear", align_corners=True),
            (x,),
        ),
    )
    yield (
        "upsample_bilinear_from_the_left",
        OperatorCase(
            lambda x: mb.upsample_bilinear(x=x, scale_factor_width=2, align_corners=False, half_pixel_centers=False),
            lambda x: np.stack([x, (x + np.concatenate([x[..., 1:], x[..., -1:]], -1)) / 2], -1).reshape(2, 3, 7, 10),
            (x,),
        ),
    )
    for (mode, outputs), positions in DOCUMENTED_POSITIONS.items():
        yield (
            f"resize_bilinear_{mode}_{outputs}",
            OperatorCase(
                lambda x, m=mode, n=outputs: mb.resize_bilinear(
                    x=x, target_size_height=n, target_size_width=n, sampling_mode=m
                ),
                lambda x, p=positions: np.add.outer(p, 10 * np.array(p))[None],
                (np.array([[[0, 10], [1, 11]]], np.float32),),
            ),
        )
    for mode, align in (("UNALIGN_CORNERS", False), ("STRICT_ALIGN_CORNERS", True)):
        yield (
            f"resize_bilinear_{mode}_torch",
            OperatorCase(
                lambda x, m=mode: mb.resize_bilinear(x=x, target_size_height=11, target_size_width=3, sampling_mode=m),
                call(F.interpolate, (11, 3), mode="bilinear", align_corners=align),
                (x,),
            ),
        )
    yield (
        "upsample_nearest_neighbor",
        OperatorCase(
            lambda x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=3, scale_factor_width=2),
            lambda x: x.repeat(3, 2).repeat(2, 3),
            (x,),
        ),
    )
    yield (
        "upsample_nearest_neighbor_fraction",
        OperatorCase(
            lambda x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=1.5, scale_factor_width=0.6),
            lambda x: x[..., [0, 0, 1, 2, 2, 3, 4, 4, 5, 6], :][..., [0, 1, 3]],
            (x,),
        ),
    )
    yield (
        "resize_nearest_neighbor",
        OperatorCase(
            lambda x: mb.resize_nearest_neighbor(x=x, target_size_height=3, target_size_width=7),
            lambda x: x[..., [0, 2, 4], :][..., [0, 0, 1, 2, 2, 3, 4]],
            (x,),
        ),
    )
    yield (
        "crop",
        OperatorCase(lambda x: mb.crop(x=x, crop_height=[1, 2], crop_width=[0, 3]), lambda x: x[..., 1:5, :2], (x,)),
    )
    channels = draw_array(2, 12, 3, 5)
    yield (
        "pixel_shuffle",
        OperatorCase(lambda x: mb.pixel_shuffle(x=x, upscale_factor=2), call(F.pixel_shuffle, 2), (channels,)),
    )
    wide = draw_array(2, 3, 4, 6)
    yield (
        "pixel_unshuffle",
        OperatorCase(
            lambda x: mb.pixel_unshuffle(x=x, downscale_factor=np.uint32(2)), call(F.pixel_unshuffle, 2), (wide,)
        ),
    )


def list_moves() -> Cases:
    x = draw_array(2, 3, 4, 5)
    yield "tile", OperatorCase(lambda x: mb.tile(x=x, reps=[1, 2, 1, 3]), lambda x: np.tile(x, (1, 2, 1, 3)), (x,))
    y = draw_array(2, 3, 4, 5, seed=1)
    for name, axis in {"second": 1, "last": -1}.items():
        yield (
            f"stack_{name}",
            OperatorCase(
                lambda x, y, a=axis: mb.stack(values=(x, y), axis=a), lambda x, y, a=axis: np.stack([x, y], a), (x, y)
            ),
        )
    for mode, numpy_mode in {"constant": "constant", "reflect": "reflect", "replicate": "edge"}.items():
        yield (
            f"pad_{mode}",
            OperatorCase(
                lambda x, m=mode: mb.pad(x=x, pad=[1, 2, 3, 0], mode=m),
                lambda x, m=numpy_mode: np.pad(x, [(0, 0), (0, 0), (1, 2), (3, 0)], m),
                (x,),
            ),
        )
        yield (
            f"pad_{mode}_all",
            OperatorCase(
                lambda x, m=mode: mb.pad(x=x, pad=[1, 0, 0, 1, 2, 1, 0, 4], mode=m),
                lambda x, m=numpy_mode: np.pad(x, [(1, 0), (0, 1), (2, 1), (0, 4)], m),
                (x,),
            ),
        )
    yield (
        "pad_value",
        OperatorCase(
            lambda x: mb.pad(x=x, pad=[1, 2], constant_val=-1.5),
            lambda x: np.pad(x, [(0, 0)] * 3 + [(1, 2)], constant_values=-1.5),
            (x,),
        ),
    )
    bands = {"whole": (-1, -1), "upper": (0, -1), "lower": (-1, 0), "band": (1, 2), "diagonal": (0, 0)}
    for name, (lower, upper) in bands.items():
        yield (
            f"band_part_{name}",
            OperatorCase(
                lambda x, low=lower, up=upper: mb.band_part(x=x, lower=low, upper=up),
                lambda x, low=lower, up=upper: x * mark_band(*x.shape[2:], low, up),
                (x,),
            ),
        )
    yield "reverse", OperatorCase(lambda x: mb.reverse(x=x, axes=[1, -1]), lambda x: x[:, ::-1, :, ::-1], (x,))
    yield "reverse_all", OperatorCase(lambda x: mb.reverse(x=x), lambda x: x[::-1, ::-1, ::-1, ::-1], (x,))
    yield "cumsum", OperatorCase(lambda x: mb.cumsum(x=x), lambda x: x.cumsum(0), (x,))
    yield (
        "cumsum_reverse",
        OperatorCase(
            lambda x: mb.cumsum(x=x, axis=2, reverse=True), lambda x: x[:, :, ::-1].cumsum(2)[:, :, ::-1], (x,)
        ),
    )
    yield (
        "cumsum_exclusive",
        OperatorCase(lambda x: mb.cumsum(x=x, axis=1, exclusive=True), lambda x: x.cumsum(1) - x, (x,)),
    )


def mark_band(rows: int, columns: int, lower: int, upper: int) -> Array:
    below = np.arange(rows)[:, None] - np.arange(columns)
    return ((lower < 0) | (below <= lower)) & ((upper < 0) | (-below <= upper))


def list_gathers() -> Cases:
    x = draw_array(4, 6, 5)
    for name, indices in {
        "scalar": np.int32(2),
        "list": np.int32([3, 0, 3]),
        "matrix": np.int32([[0, 1], [3, 2]]),
    }.items():
        for place, axis in {"first": 0, "second": 1, "last": -1}.items():
            yield (
                f"gather_{name}_{place}",
                OperatorCase(
                    lambda x, i=indices, a=axis: mb.gather(x=x, indices=i, axis=a),
                    lambda x, i=indices, a=axis: np.take(x, i, a),
                    (x,),
                ),
            )
    yield "gather_default", OperatorCase(lambda x: mb.gather(x=x, indices=[1, 0]), lambda x: x[[1, 0]], (x,))
    rows = np.int32([[5, 0], [1, 1], [0, 2], [3, 4]])
    yield (
        "gather_batch",
        OperatorCase(
            lambda x: mb.gather(x=x, indices=rows, axis=1, batch_dims=1),
            lambda x: np.stack([part[places] for part, places in zip(x, rows, strict=True)]),
            (x,),
        ),
    )
    yield (
        "gather_computed",
        OperatorCase(
            lambda x, i: mb.gather(x=x, indices=mb.cast(x=i, dtype="int32"), axis=1),
            lambda x, i: x[:, i.astype(int)],
            (x, np.float32([4, 1, 1])),
        ),
    )
    along = np.int32(draw_array(4, 6, 2, low=0, high=5))
    yield (
        "gather_along_axis",
        OperatorCase(
            lambda x: mb.gather_along_axis(x=x, indices=along, axis=-1),
            lambda x: np.take_along_axis(x, along, -1),
            (x,),
        ),
    )


def list_transposed_convolutions() -> Cases:
    for axes, size in ((1, (7,)), (2, (5, 6)), (3, (3, 4, 2))):
        for pad_type, stride, dilation in product(("valid", "custom", "same"), (1, 2, 3), (1, 2)):
            kernel = (3, 2, 4)[:axes]
            pad = [1, 0, 0, 1, 2, 1][: 2 * axes] if pad_type == "custom" else None
            weight, bias = draw_array(4, 3, *kernel, seed=axes), draw_array(6, seed=9)
            given: dict[str, Any] = {"strides": [stride] * axes, "dilations": [dilation] * axes, "pad_type": pad_type}
            given |= {"groups": 2} | ({"pad": pad} if pad else {})
            yield (
                f"conv_transpose{axes}d_{pad_type}_{stride}_{dilation}",
                OperatorCase(
                    lambda x, w=weight, b=bias, given=given: mb.conv_transpose(x=x, weight=w, bias=b, **given),
                    lambda x, w=weight, b=bias, s=stride, d=dilation, p=pad, same=pad_type == "same": transpose_by_hand(
                        x, w, b, s, d, 2, p, [n * s for n in x.shape[2:]] if same else None
                    ),
                    (draw_array(2, 4, *size, seed=7),),
                ),
            )
    weight = draw_array(4, 3, 3, 2, seed=8)
    bias = draw_array(3, seed=9)
    x = draw_array(1, 4, 5, 6)
    yield (
        "conv_transpose_bare",
        OperatorCase(
            lambda x: mb.conv_transpose(x=x, weight=weight), call(F.conv_transpose2d, to_tensor(weight)), (x,)
        ),
    )
    # torch's output_padding=1 with padding=1 and stride=2.
    yield (
        "conv_transpose_output_shape",
        OperatorCase(
            lambda x: mb.conv_transpose(
                x=x,
                weight=weight,
                bias=bias,
                strides=[2, 2],
                pad_type="custom",
                pad=[1, 1, 1, 1],
                output_shape=[1, 3, 10, 11],
            ),
            call(F.conv_transpose2d, to_tensor(weight), to_tensor(bias), 2, 1, 1),
            (x,),
        ),
    )


def transpose_by_hand(
    x: Array, weight: Array, bias: Array, stride: int, dilation: int, groups: int, pad: Any, same: Any
) -> Array:
    """Each element of the input times the kernel, added where it belongs; then the padding is cut off."""
    kernel, sizes = weight.shape[2:], x.shape[2:]
    full = [(n - 1) * stride + (k - 1) * dilation + 1 for n, k in zip(sizes, kernel, strict=True)]
    inputs, outputs = x.shape[1] // groups, weight.shape[1]
    whole = np.zeros((x.shape[0], groups * outputs, *(max(n, s) for n, s in zip(full, same or full, strict=True))))
    for place, tap in product(np.ndindex(*sizes), np.ndindex(*kernel)):
        target = tuple(p * stride + t * dilation for p, t in zip(place, tap, strict=True))
        for group in range(groups):
            values = x[(slice(None), slice(group * inputs, (group + 1) * inputs), *place)]
            matrix = weight[(slice(group * inputs, (group + 1) * inputs), slice(None), *tap)]
            whole[(slice(None), slice(group * outputs, (group + 1) * outputs), *target)] += values @ matrix
    for axis, n in enumerate(full):
        if same:
            first = max(0, n - same[axis]) // 2
            whole = whole.take(range(first, first + same[axis]), axis + 2)
        elif pad:
            whole = whole.take(range(pad[2 * axis], n - pad[2 * axis + 1]), axis + 2)
    return whole + bias.reshape([-1] + [1] * len(sizes))


def list_l2_pools() -> Cases:
    x, kernel = draw_array(2, 3, 9, 12), (3, 4)
    # A stride of 5 leaves room for a window that begins after the input, which counts only without padding.
    for pad_type, stride, ceil_mode in product(("valid", "custom", "same"), (1, 2, 3, 5), (False, True)):
        if ceil_mode and pad_type == "same":
            continue
        given = {"kernel_sizes": kernel, "strides": [stride] * 2, "pad_type": pad_type, "ceil_mode": ceil_mode}
        given |= {"pad": [1, 1, 2, 2]} if pad_type == "custom" else {}
        lacking = [max(0, (-(-n // stride) - 1) * stride + k - n) for n, k in zip(x.shape[2:], kernel, strict=True)]
        pads = {
            "valid": [(0, 0), (0, 0)],
            "custom": [(1, 1), (2, 2)],
            "same": [(total // 2, total - total // 2) for total in lacking],
        }
        yield (
            f"l2_pool_{pad_type}_{stride}_{ceil_mode}",
            OperatorCase(
                lambda x, given=given: mb.l2_pool(x=x, **given),
                lambda x, s=stride, p=pads[pad_type], c=ceil_mode: pool_by_hand(x, kernel, s, p, c),
                (x,),
            ),
        )
    yield (
        "l2_pool_1d",
        OperatorCase(
            lambda x: mb.l2_pool(x=x, kernel_sizes=[3], pad_type="valid"), call(F.lp_pool1d, 2, 3, 1), (x[..., 0],)
        ),
    )


def pool_by_hand(x: Array, kernel: tuple[int, int], stride: int, pads: Any, ceil_mode: bool) -> Array:
    squares = np.pad(np.square(x), [(0, 0), (0, 0), *pads])
    counts = []
    for axis, length in enumerate(kernel):
        size = squares.shape[axis + 2] - length
        count = (-(-size // stride) if ceil_mode else size // stride) + 1
        if ceil_mode and any(pads[axis]) and (count - 1) * stride >= x.shape[axis + 2] + pads[axis][0]:
            count -= 1
        counts.append(count)
    result = np.empty((*x.shape[:2], *counts), np.float32)
    for row, column in np.ndindex(*counts):
        window = squares[:, :, row * stride : row * stride + kernel[0], column * stride : column * stride + kernel[1]]
        result[:, :, row, column] = np.sqrt(window.sum((2, 3)))
    return result


def list_attention() -> Cases:
    q, k, v = draw_array(2, 3, 5, 4), draw_array(2, 3, 7, 4, seed=1), draw_array(2, 3, 7, 6, seed=2)
    attend = F.scaled_dot_product_attention
    yield (
        "attention",
        OperatorCase(
            lambda q, k, v: mb.scaled_dot_product_attention(query=q, key=k, value=v),
            lambda *qkv: attend(*map(to_tensor, qkv)),
            (q, k, v),
        ),
    )
    for name, mask in {"added": draw_array(5, 7, seed=3), "boolean": draw_array(5, 7, seed=3) < 1}.items():
        yield (
            f"attention_{name}",
            OperatorCase(
                lambda q, k, v, m=mask: mb.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=m),
                lambda *qkv, m=mask: attend(*map(to_tensor, qkv), attn_mask=to_tensor(m)),
                (q, k, v),
            ),
        )
