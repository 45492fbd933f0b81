"""Each MIL operator against torch or numpy, in packages written with coremltools' MIL builder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813
from torch.nn import functional as F

from shvit_mobile.runtimes.mil.program import CoreMLProgram
from tests.runtimes.mil.packages import Array, Case, inputs_of, package_of, random


def t(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def elementwise() -> Iterator[tuple[str, Case]]:
    x, y, positive = random(2, 3, 5), random(3, 1, seed=1), random(2, 3, 5, seed=2, low=0.1)
    yield "relu", Case(lambda x: mb.relu(x=x), lambda x: np.maximum(x, 0), (x,))
    yield "sigmoid", Case(lambda x: mb.sigmoid(x=x), lambda x: 1 / (1 + np.exp(-x)), (x,))
    yield (
        "softmax",
        Case(lambda x: mb.softmax(x=x, axis=1), lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True), (x,)),
    )
    yield "softmax_last", Case(lambda x: mb.softmax(x=x), lambda x: t(x).softmax(-1), (x,))
    yield "add", Case(lambda x, y: mb.add(x=x, y=y), np.add, (x, y))
    yield "add_constant", Case(lambda x: mb.add(x=x, y=np.float32(1.5)), lambda x: x + 1.5, (x,))
    yield "sub", Case(lambda x, y: mb.sub(x=x, y=y), np.subtract, (x, y))
    yield "mul", Case(lambda x, y: mb.mul(x=x, y=y), np.multiply, (x, y))
    yield "real_div", Case(lambda x, y: mb.real_div(x=x, y=y), np.divide, (x, positive))
    yield "pow", Case(lambda x, y: mb.pow(x=x, y=y), np.power, (positive, x))
    yield "square", Case(lambda x: mb.square(x=x), np.square, (x,))
    yield "sqrt", Case(lambda x: mb.sqrt(x=x), np.sqrt, (positive,))
    yield "rsqrt", Case(lambda x: mb.rsqrt(x=x, epsilon=0.5), lambda x: 1 / np.sqrt(x + 0.5), (positive,))
    yield "clip", Case(lambda x: mb.clip(x=x, alpha=-0.5, beta=1.25), lambda x: x.clip(-0.5, 1.25), (x,))
    yield "identity", Case(lambda x: mb.identity(x=x), lambda x: x, (x,))
    for dtype in ("int8", "uint8", "int16", "uint16", "int32", "bool"):
        values = random(3, 4, low=0 if dtype.startswith("u") else -9, high=9)
        yield (
            f"cast_{dtype}",
            Case(
                lambda x, dtype=dtype: mb.cast(x=mb.cast(x=x, dtype=dtype), dtype="fp32"),
                lambda x, dtype=dtype: x.astype(dtype).astype(np.float32),
                (values,),
            ),
        )


def products() -> Iterator[tuple[str, Case]]:
    vector, a, b = random(6), random(2, 4, 6, seed=1), random(2, 6, 3, seed=2)
    weight, bias = random(5, 6, seed=3), random(5, seed=4)
    yield "linear", Case(lambda x: mb.linear(x=x, weight=weight, bias=bias), lambda x: x @ weight.T + bias, (a,))
    yield "linear_bare", Case(lambda x: mb.linear(x=x, weight=weight), lambda x: x @ weight.T, (vector[None],))
    for tx, ty in product((False, True), repeat=2):
        x, y = a.swapaxes(1, 2) if tx else a, b.swapaxes(1, 2) if ty else b
        yield (
            f"matmul_{tx:d}{ty:d}",
            Case(
                lambda x, y, tx=tx, ty=ty: mb.matmul(x=x, y=y, transpose_x=tx, transpose_y=ty),
                lambda *_: a @ b,
                (np.ascontiguousarray(x), np.ascontiguousarray(y)),
            ),
        )
    yield "matmul_vector", Case(lambda x, y: mb.matmul(x=x, y=y), lambda x, y: x @ y, (vector, b[0]))
    p, q = random(2, 4, 3, 5, seed=5), random(2, 5, 1, 6, seed=6)
    equation = "bchq,bqhk->bchk"
    yield (
        "einsum",
        Case(
            lambda p, q: mb.einsum(values=(p, q), equation=equation),
            lambda p, q: np.einsum(equation, p, np.broadcast_to(q, (2, 5, 3, 6))),
            (p, q),
        ),
    )


def convolutions() -> Iterator[tuple[str, Case]]:
    for axes, size in ((1, (11,)), (2, (9, 12)), (3, (5, 6, 7))):
        for pad_type, stride, dilation in product(("valid", "custom", "same", "same_lower"), (1, 2), (1, 2)):
            kernel = (3, 2, 4)[:axes]
            pad = [1, 0, 2, 1, 0, 2][: 2 * axes] if pad_type == "custom" else None
            weight, bias = random(6, 2, *kernel, seed=axes), random(6, seed=9)
            strides, dilations = [stride] * axes, [dilation] * axes
            given = {"strides": strides, "pad_type": pad_type, "dilations": dilations, "groups": 2, "pad": pad}
            given = {name: value for name, value in given.items() if value is not None}
            yield (
                f"conv{axes}d_{pad_type}_{stride}_{dilation}",
                Case(
                    lambda x, w=weight, b=bias, given=given: mb.conv(x=x, weight=w, bias=b, **given),
                    lambda x, w=weight, b=bias, s=strides, d=dilations, p=pad, kind=pad_type: convolved(
                        x, w, b, s, d, kind, p
                    ),
                    (random(2, 4, *size, seed=7),),
                ),
            )
    weight = random(3, 4, 1, 1, seed=8)
    yield (
        "conv_bare",
        Case(lambda x: mb.conv(x=x, weight=weight), lambda x: F.conv2d(t(x), t(weight)), (random(1, 4, 3, 5),)),
    )


def convolved(x: Array, weight: Array, bias: Array, strides: Any, dilations: Any, kind: str, pad: Any) -> torch.Tensor:
    """The convolution of an input padded by hand."""
    convolution = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[x.ndim]
    padded = padded_by_hand(x, weight.shape[2:], strides, dilations, kind, pad, 0.0)
    return convolution(t(padded), t(weight), t(bias), strides, 0, dilations, 2)


def padded_by_hand(x: Array, kernel: Any, strides: Any, dilations: Any, kind: str, pad: Any, fill: float) -> Array:
    widths = [(0, 0), (0, 0)]
    for axis, size in enumerate(x.shape[2:]):
        if kind == "custom":
            widths.append((pad[2 * axis], pad[2 * axis + 1]))
            continue
        outputs = -(-size // strides[axis])
        reach = (outputs - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1
        total = max(reach - size, 0) if kind.startswith("same") else 0
        small, large = total // 2, (total + 1) // 2
        widths.append((large, small) if kind == "same_lower" else (small, large))
    return np.pad(x, widths, constant_values=fill)


def pools() -> Iterator[tuple[str, Case]]:
    x = random(2, 3, 9, 12)
    for pad_type, stride in product(("valid", "custom", "same", "same_lower"), (1, 2)):
        given = {"kernel_sizes": [3, 4], "strides": [stride, stride], "pad_type": pad_type}
        pad = [1, 0, 2, 1] if pad_type == "custom" else None
        given |= {"pad": pad} if pad else {}
        name = f"{pad_type}_{stride}"
        yield (
            f"max_pool_{name}",
            Case(
                lambda x, given=given: mb.max_pool(x=x, **given),
                lambda x, s=stride, kind=pad_type, p=pad: pooled(x, [3, 4], [s, s], kind, p, np.nanmax),
                (x,),
            ),
        )
        for exclude in (False, True):
            yield (
                f"avg_pool_{name}_{exclude}",
                Case(
                    lambda x, given=given, e=exclude: mb.avg_pool(x=x, exclude_padding_from_average=e, **given),
                    lambda x, s=stride, kind=pad_type, p=pad, e=exclude: pooled(
                        x, [3, 4], [s, s], kind, p, np.nanmean if e else mean_with_zeros
                    ),
                    (x,),
                ),
            )
    even = {"kernel_sizes": [3, 3], "strides": [2, 2], "pad_type": "custom", "pad": [1, 1, 1, 1], "ceil_mode": True}
    odd = random(1, 2, 6, 8)
    yield (
        "max_pool_ceil",
        Case(lambda x: mb.max_pool(x=x, **even), lambda x: F.max_pool2d(t(x), 3, 2, 1, ceil_mode=True), (odd,)),
    )
    yield (
        "avg_pool_ceil",
        Case(lambda x: mb.avg_pool(x=x, **even), lambda x: F.avg_pool2d(t(x), 3, 2, 1, ceil_mode=True), (odd,)),
    )
    line = random(1, 2, 7)
    yield (
        "max_pool_1d",
        Case(
            lambda x: mb.max_pool(x=x, kernel_sizes=[3], pad_type="valid"), lambda x: F.max_pool1d(t(x), 3, 1), (line,)
        ),
    )


def pooled(x: Array, kernel: Any, strides: Any, kind: str, pad: Any, summary: Any) -> Array:
    """Each window of an input padded with NaN, summed up one after the other."""
    padded = padded_by_hand(x, kernel, strides, [1, 1], kind, pad, np.nan)
    rows = (padded.shape[2] - kernel[0]) // strides[0] + 1
    columns = (padded.shape[3] - kernel[1]) // strides[1] + 1
    out = np.empty((*x.shape[:2], rows, columns), np.float32)
    for row, column in product(range(rows), range(columns)):
        top, left = row * strides[0], column * strides[1]
        out[:, :, row, column] = summary(padded[:, :, top : top + kernel[0], left : left + kernel[1]], axis=(2, 3))
    return out


def mean_with_zeros(window: Array, axis: tuple[int, int]) -> Array:
    return np.nan_to_num(window).mean(axis)


def norms() -> Iterator[tuple[str, Case]]:
    x = random(2, 5, 4, 3)
    mean, gamma, beta = random(5, seed=1), random(5, seed=2), random(5, seed=3)
    variance = random(5, seed=4, low=0.2)
    yield (
        "batch_norm",
        Case(
            lambda x: mb.batch_norm(x=x, mean=mean, variance=variance, gamma=gamma, beta=beta, epsilon=0.1),
            lambda x: F.batch_norm(t(x), t(mean), t(variance), t(gamma), t(beta), eps=0.1),
            (x,),
        ),
    )
    yield (
        "batch_norm_bare",
        Case(
            lambda x: mb.batch_norm(x=x, mean=mean, variance=variance),
            lambda x: (x - mean[:, None]) / np.sqrt(variance[:, None] + 1e-5),
            (x[..., 0],),
        ),
    )
    yield (
        "instance_norm",
        Case(
            lambda x: mb.instance_norm(x=x, gamma=gamma, beta=beta, epsilon=0.1),
            lambda x: F.instance_norm(t(x), weight=t(gamma), bias=t(beta), eps=0.1),
            (x,),
        ),
    )
    for name, axes in {
        "last": [3],
        "trailing": [-3, -2, -1],
        "middle": [1, 2],
        "apart": [3, 1],
        "all": [0, 1, 2, 3],
    }.items():
        shape = tuple(x.shape[axis] for axis in sorted(a % 4 for a in axes))
        scale, shift = random(*shape, seed=5), random(*shape, seed=6)
        yield (
            f"layer_norm_{name}",
            Case(
                lambda x, a=axes, g=scale, b=shift: mb.layer_norm(x=x, axes=a, gamma=g, beta=b, epsilon=0.1),
                lambda x, a=axes, g=scale, b=shift: normalised(x, a, g, b, 0.1),
                (x,),
            ),
        )
    yield (
        "layer_norm_bare",
        Case(lambda x: mb.layer_norm(x=x, axes=[1, 2]), lambda x: normalised(x, [1, 2], 1.0, 0.0, 1e-5), (x,)),
    )
    for name, reduce in {"mean": np.mean, "sum": np.sum, "max": np.max}.items():
        for keep in (False, True):
            yield (
                f"reduce_{name}_{keep}",
                Case(
                    lambda x, name=name, k=keep: getattr(mb, f"reduce_{name}")(x=x, axes=[2, -1], keep_dims=k),
                    lambda x, reduce=reduce, k=keep: reduce(x, (2, 3), keepdims=k),
                    (x,),
                ),
            )
        yield (
            f"reduce_{name}_all",
            Case(
                lambda x, name=name: getattr(mb, f"reduce_{name}")(x=x, keep_dims=True),
                lambda x, reduce=reduce: reduce(x, keepdims=True),
                (x,),
            ),
        )


def normalised(x: Array, axes: list[int], gamma: Any, beta: Any, epsilon: float) -> Array:
    over = tuple(sorted(axis % x.ndim for axis in axes))
    shape = [size if axis in over else 1 for axis, size in enumerate(x.shape)]
    centred = x - x.mean(over, keepdims=True)
    scaled = centred / np.sqrt(np.square(centred).mean(over, keepdims=True) + epsilon)
    return scaled * np.broadcast_to(gamma, np.shape(gamma)).reshape(shape if np.ndim(gamma) else ()) + (
        np.reshape(beta, shape) if np.ndim(beta) else beta
    )


def shapes() -> Iterator[tuple[str, Case]]:
    x = random(4, 6, 5)
    yield "reshape", Case(lambda x: mb.reshape(x=x, shape=[0, -1, 2]), lambda x: x.reshape(4, 15, 2), (x,))
    yield "transpose", Case(lambda x: mb.transpose(x=x, perm=[2, 0, -2]), lambda x: x.transpose(2, 0, 1), (x,))
    yield "expand_dims", Case(lambda x: mb.expand_dims(x=x, axes=[-1, 1]), lambda x: x[:, None, :, :, None], (x,))
    thin = random(1, 3, 1, 2)
    yield "squeeze", Case(lambda x: mb.squeeze(x=x, axes=[-2]), lambda x: x.squeeze(2), (thin,))
    yield "squeeze_all", Case(lambda x: mb.squeeze(x=x), np.squeeze, (thin,))
    for index in range(3):
        yield (
            f"split_sizes_{index}",
            Case(
                lambda x, i=index: mb.split(x=x, split_sizes=[1, 3, 2], axis=1)[i],
                lambda x, i=index: np.split(x, [1, 4], 1)[i],
                (x,),
            ),
        )
    yield "split_even", Case(lambda x: mb.split(x=x, num_splits=3, axis=-2)[2], lambda x: x[:, 4:], (x,))
    y = random(4, 2, 5, seed=1)
    yield "concat", Case(lambda x, y: mb.concat(values=(x, y), axis=-2), lambda x, y: np.concatenate([x, y], 1), (x, y))
    z = random(4, 6, 5, seed=2)
    yield (
        "concat_interleaved",
        Case(
            lambda x, z: mb.concat(values=(x, z), axis=1, interleave=True),
            lambda x, z: np.stack([x, z], 2).reshape(4, 12, 5),
            (x, z),
        ),
    )
    yield (
        "slice_plain",
        Case(lambda x: mb.slice_by_index(x=x, begin=[1, -4, 0], end=[3, -1, 5]), lambda x: x[1:3, -4:-1, 0:5], (x,)),
    )
    yield (
        "slice_strided",
        Case(
            lambda x: mb.slice_by_index(x=x, begin=[0, 5, 4], end=[4, 1, 0], stride=[2, -2, -1]),
            lambda x: x[0:4:2, 5:1:-2, 4:0:-1],
            (x,),
        ),
    )
    yield (
        "slice_masked",
        Case(
            lambda x: mb.slice_by_index(
                x=x,
                begin=[2, 3, -2],
                end=[1, 4, 1],
                begin_mask=[True, False, False],
                end_mask=[False, True, False],
                squeeze_mask=[False, False, True],
            ),
            lambda x: x[:1, 3:, -2],
            (x,),
        ),
    )
    yield (
        "slice_by_size",
        Case(lambda x: mb.slice_by_size(x=x, begin=[1, 2, 0], size=[2, -1, 4]), lambda x: x[1:3, 2:, :4], (x,)),
    )


GROUPS = {
    "elementwise": dict(elementwise()),
    "products": dict(products()),
    "convolutions": dict(convolutions()),
    "pools": dict(pools()),
    "norms": dict(norms()),
    "shapes": dict(shapes()),
}
EVERY = [(group, name) for group, cases in GROUPS.items() for name in cases]
TOLERANCE = 2e-6


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """What the executor gives for every case of a group, run as one program."""
    folder = tmp_path_factory.mktemp("operators")

    @cache
    def of_group(group: str) -> dict[str, Any]:
        program = CoreMLProgram(package_of(GROUPS[group], folder / f"{group}.mlpackage"))
        return program(inputs_of(GROUPS[group]))

    return of_group


@pytest.mark.parametrize(("group", "name"), EVERY)
def test_operator_does_what_the_specification_says(results, group, name):
    case = GROUPS[group][name]
    expected = np.asarray(case.expected(*case.inputs), np.float32)
    actual = results(group)[name]
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE * np.abs(expected).max())
