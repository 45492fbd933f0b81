"""Each MIL operator against torch or numpy, in packages written with coremltools' MIL builder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813
from torch.nn import functional as F

from shvit_mobile.runtimes.mil.program import CoreMLProgram
from tests.runtimes.mil import vision_cases
from tests.runtimes.mil.packages import Array, OperatorCase, collect_inputs, draw_array, save_cases
from tests.runtimes.mil.vision_cases import to_tensor


def list_elementwise() -> Iterator[tuple[str, OperatorCase]]:
    x, y, positive = draw_array(2, 3, 5), draw_array(3, 1, seed=1), draw_array(2, 3, 5, seed=2, low=0.1)
    yield "relu", OperatorCase(lambda x: mb.relu(x=x), lambda x: np.maximum(x, 0), (x,))
    yield "sigmoid", OperatorCase(lambda x: mb.sigmoid(x=x), lambda x: 1 / (1 + np.exp(-x)), (x,))
    yield (
        "softmax",
        OperatorCase(lambda x: mb.softmax(x=x, axis=1), lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True), (x,)),
    )
    yield "softmax_last", OperatorCase(lambda x: mb.softmax(x=x), lambda x: to_tensor(x).softmax(-1), (x,))
    yield "add", OperatorCase(lambda x, y: mb.add(x=x, y=y), np.add, (x, y))
    yield "add_constant", OperatorCase(lambda x: mb.add(x=x, y=np.float32(1.5)), lambda x: x + 1.5, (x,))
    yield "sub", OperatorCase(lambda x, y: mb.sub(x=x, y=y), np.subtract, (x, y))
    yield "mul", OperatorCase(lambda x, y: mb.mul(x=x, y=y), np.multiply, (x, y))
    yield "real_div", OperatorCase(lambda x, y: mb.real_div(x=x, y=y), np.divide, (x, positive))
    yield "pow", OperatorCase(lambda x, y: mb.pow(x=x, y=y), np.power, (positive, x))
    yield "square", OperatorCase(lambda x: mb.square(x=x), np.square, (x,))
    yield "sqrt", OperatorCase(lambda x: mb.sqrt(x=x), np.sqrt, (positive,))
    yield "rsqrt", OperatorCase(lambda x: mb.rsqrt(x=x, epsilon=0.5), lambda x: 1 / np.sqrt(x + 0.5), (positive,))
    yield "clip", OperatorCase(lambda x: mb.clip(x=x, alpha=-0.5, beta=1.25), lambda x: x.clip(-0.5, 1.25), (x,))
    yield "identity", OperatorCase(lambda x: mb.identity(x=x), lambda x: x, (x,))
    for dtype in ("int8", "uint8", "int16", "uint16", "int32", "bool"):
        values = draw_array(3, 4, low=0 if dtype.startswith("u") else -9, high=9)
        yield (
            f"cast_{dtype}",
            OperatorCase(
                lambda x, dtype=dtype: mb.cast(x=mb.cast(x=x, dtype=dtype), dtype="fp32"),
                lambda x, dtype=dtype: x.astype(dtype).astype(np.float32),
                (values,),
            ),
        )


def list_products() -> Iterator[tuple[str, OperatorCase]]:
    vector, a, b = draw_array(6), draw_array(2, 4, 6, seed=1), draw_array(2, 6, 3, seed=2)
    weight, bias = draw_array(5, 6, seed=3), draw_array(5, seed=4)
    yield (
        "linear",
        OperatorCase(lambda x: mb.linear(x=x, weight=weight, bias=bias), lambda x: x @ weight.T + bias, (a,)),
    )
    yield "linear_bare", OperatorCase(lambda x: mb.linear(x=x, weight=weight), lambda x: x @ weight.T, (vector[None],))
    for tx, ty in product((False, True), repeat=2):
        x, y = a.swapaxes(1, 2) if tx else a, b.swapaxes(1, 2) if ty else b
        yield (
            f"matmul_{tx:d}{ty:d}",
            OperatorCase(
                lambda x, y, tx=tx, ty=ty: mb.matmul(x=x, y=y, transpose_x=tx, transpose_y=ty),
                lambda *_: a @ b,
                (np.ascontiguousarray(x), np.ascontiguousarray(y)),
            ),
        )
    yield "matmul_vector", OperatorCase(lambda x, y: mb.matmul(x=x, y=y), lambda x, y: x @ y, (vector, b[0]))
    p, q = draw_array(2, 4, 3, 5, seed=5), draw_array(2, 5, 1, 6, seed=6)
    equation = "bchq,bqhk->bchk"
    yield (
        "einsum",
        OperatorCase(
            lambda p, q: mb.einsum(values=(p, q), equation=equation),
            lambda p, q: np.einsum(equation, p, np.broadcast_to(q, (2, 5, 3, 6))),
            (p, q),
        ),
    )


def list_convolutions() -> Iterator[tuple[str, OperatorCase]]:
    for axes, size in ((1, (11,)), (2, (9, 12)), (3, (5, 6, 7))):
        for pad_type, stride, dilation in product(("valid", "custom", "same", "same_lower"), (1, 2), (1, 2)):
            kernel = (3, 2, 4)[:axes]
            pad = [1, 0, 2, 1, 0, 2][: 2 * axes] if pad_type == "custom" else None
            weight, bias = draw_array(6, 2, *kernel, seed=axes), draw_array(6, seed=9)
            strides, dilations = [stride] * axes, [dilation] * axes
            given = {"strides": strides, "pad_type": pad_type, "dilations": dilations, "groups": 2, "pad": pad}
            given = {name: value for name, value in given.items() if value is not None}
            yield (
                f"conv{axes}d_{pad_type}_{stride}_{dilation}",
                OperatorCase(
                    lambda x, w=weight, b=bias, given=given: mb.conv(x=x, weight=w, bias=b, **given),
                    lambda x, w=weight, b=bias, s=strides, d=dilations, p=pad, kind=pad_type: convolve(
                        x, w, b, s, d, kind, p
                    ),
                    (draw_array(2, 4, *size, seed=7),),
                ),
            )
    weight = draw_array(3, 4, 1, 1, seed=8)
    yield (
        "conv_bare",
        OperatorCase(
            lambda x: mb.conv(x=x, weight=weight),
            lambda x: F.conv2d(to_tensor(x), to_tensor(weight)),
            (draw_array(1, 4, 3, 5),),
        ),
    )


def convolve(x: Array, weight: Array, bias: Array, strides: Any, dilations: Any, kind: str, pad: Any) -> torch.Tensor:
    """The convolution of an input padded by hand."""
    convolution = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[x.ndim]
    padded = pad_by_hand(x, weight.shape[2:], strides, dilations, kind, pad, 0.0)
    return convolution(to_tensor(padded), to_tensor(weight), to_tensor(bias), strides, 0, dilations, 2)


def pad_by_hand(x: Array, kernel: Any, strides: Any, dilations: Any, kind: str, pad: Any, fill: float) -> Array:
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


def list_pools() -> Iterator[tuple[str, OperatorCase]]:
    x = draw_array(2, 3, 9, 12)
    for pad_type, stride in product(("valid", "custom", "same", "same_lower"), (1, 2)):
        given = {"kernel_sizes": [3, 4], "strides": [stride, stride], "pad_type": pad_type}
        pad = [1, 0, 2, 1] if pad_type == "custom" else None
        given |= {"pad": pad} if pad else {}
        name = f"{pad_type}_{stride}"
        yield (
            f"max_pool_{name}",
            OperatorCase(
                lambda x, given=given: mb.max_pool(x=x, **given),
                lambda x, s=stride, kind=pad_type, p=pad: pool_windows(x, [3, 4], [s, s], kind, p, np.nanmax),
                (x,),
            ),
        )
        for exclude in (False, True):
            yield (
                f"avg_pool_{name}_{exclude}",
                OperatorCase(
                    lambda x, given=given, e=exclude: mb.avg_pool(x=x, exclude_padding_from_average=e, **given),
                    lambda x, s=stride, kind=pad_type, p=pad, e=exclude: pool_windows(
                        x, [3, 4], [s, s], kind, p, np.nanmean if e else average_with_zeros
                    ),
                    (x,),
                ),
            )
    even = {"kernel_sizes": [3, 3], "strides": [2, 2], "pad_type": "custom", "pad": [1, 1, 1, 1], "ceil_mode": True}
    odd = draw_array(1, 2, 6, 8)
    yield (
        "max_pool_ceil",
        OperatorCase(
            lambda x: mb.max_pool(x=x, **even), lambda x: F.max_pool2d(to_tensor(x), 3, 2, 1, ceil_mode=True), (odd,)
        ),
    )
    yield (
        "avg_pool_ceil",
        OperatorCase(
            lambda x: mb.avg_pool(x=x, **even), lambda x: F.avg_pool2d(to_tensor(x), 3, 2, 1, ceil_mode=True), (odd,)
        ),
    )
    line = draw_array(1, 2, 7)
    yield (
        "max_pool_1d",
        OperatorCase(
            lambda x: mb.max_pool(x=x, kernel_sizes=[3], pad_type="valid"),
            lambda x: F.max_pool1d(to_tensor(x), 3, 1),
            (line,),
        ),
    )


def pool_windows(x: Array, kernel: Any, strides: Any, kind: str, pad: Any, summary: Any) -> Array:
    """Each window of an input padded with NaN, summed up one after the other."""
    padded = pad_by_hand(x, kernel, strides, [1, 1], kind, pad, np.nan)
    rows = (padded.shape[2] - kernel[0]) // strides[0] + 1
    columns = (padded.shape[3] - kernel[1]) // strides[1] + 1
    out = np.empty((*x.shape[:2], rows, columns), np.float32)
    for row, column in product(range(rows), range(columns)):
        top, left = row * strides[0], column * strides[1]
        out[:, :, row, column] = summary(padded[:, :, top : top + kernel[0], left : left + kernel[1]], axis=(2, 3))
    return out


def average_with_zeros(window: Array, axis: tuple[int, int]) -> Array:
    return np.nan_to_num(window).mean(axis)


def list_norms() -> Iterator[tuple[str, OperatorCase]]:
    x = draw_array(2, 5, 4, 3)
    mean, gamma, beta = draw_array(5, seed=1), draw_array(5, seed=2), draw_array(5, seed=3)
    variance = draw_array(5, seed=4, low=0.2)
    yield (
        "batch_norm",
        OperatorCase(
            lambda x: mb.batch_norm(x=x, mean=mean, variance=variance, gamma=gamma, beta=beta, epsilon=0.1),
            lambda x: F.batch_norm(
                to_tensor(x), to_tensor(mean), to_tensor(variance), to_tensor(gamma), to_tensor(beta), eps=0.1
            ),
            (x,),
        ),
    )
    yield (
        "batch_norm_bare",
        OperatorCase(
            lambda x: mb.batch_norm(x=x, mean=mean, variance=variance),
            lambda x: (x - mean[:, None]) / np.sqrt(variance[:, None] + 1e-5),
            (x[..., 0],),
        ),
    )
    yield (
        "instance_norm",
        OperatorCase(
            lambda x: mb.instance_norm(x=x, gamma=gamma, beta=beta, epsilon=0.1),
            lambda x: F.instance_norm(to_tensor(x), weight=to_tensor(gamma), bias=to_tensor(beta), eps=0.1),
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
        scale, shift = draw_array(*shape, seed=5), draw_array(*shape, seed=6)
        yield (
            f"layer_norm_{name}",
            OperatorCase(
                lambda x, a=axes, g=scale, b=shift: mb.layer_norm(x=x, axes=a, gamma=g, beta=b, epsilon=0.1),
                lambda x, a=axes, g=scale, b=shift: normalize(x, a, g, b, 0.1),
                (x,),
            ),
        )
    yield (
        "layer_norm_bare",
        OperatorCase(lambda x: mb.layer_norm(x=x, axes=[1, 2]), lambda x: normalize(x, [1, 2], 1.0, 0.0, 1e-5), (x,)),
    )


def normalize(x: Array, axes: list[int], gamma: Any, beta: Any, epsilon: float) -> Array:
    over = tuple(sorted(axis % x.ndim for axis in axes))
    shape = [size if axis in over else 1 for axis, size in enumerate(x.shape)]
    centred = x - x.mean(over, keepdims=True)
    scaled = centred / np.sqrt(np.square(centred).mean(over, keepdims=True) + epsilon)
    return scaled * np.broadcast_to(gamma, np.shape(gamma)).reshape(shape if np.ndim(gamma) else ()) + (
        np.reshape(beta, shape) if np.ndim(beta) else beta
    )


def list_shapes() -> Iterator[tuple[str, OperatorCase]]:
    x = draw_array(4, 6, 5)
    yield "reshape", OperatorCase(lambda x: mb.reshape(x=x, shape=[0, -1, 2]), lambda x: x.reshape(4, 15, 2), (x,))
    yield "transpose", OperatorCase(lambda x: mb.transpose(x=x, perm=[2, 0, -2]), lambda x: x.transpose(2, 0, 1), (x,))
    yield (
        "expand_dims",
        OperatorCase(lambda x: mb.expand_dims(x=x, axes=[-1, 1]), lambda x: x[:, None, :, :, None], (x,)),
    )
    thin = draw_array(1, 3, 1, 2)
    yield "squeeze", OperatorCase(lambda x: mb.squeeze(x=x, axes=[-2]), lambda x: x.squeeze(2), (thin,))
    yield "squeeze_all", OperatorCase(lambda x: mb.squeeze(x=x), np.squeeze, (thin,))
    for index in range(3):
        yield (
            f"split_sizes_{index}",
            OperatorCase(
                lambda x, i=index: mb.split(x=x, split_sizes=[1, 3, 2], axis=1)[i],
                lambda x, i=index: np.split(x, [1, 4], 1)[i],
                (x,),
            ),
        )
    yield "split_even", OperatorCase(lambda x: mb.split(x=x, num_splits=3, axis=-2)[2], lambda x: x[:, 4:], (x,))
    y = draw_array(4, 2, 5, seed=1)
    yield (
        "concat",
        OperatorCase(lambda x, y: mb.concat(values=(x, y), axis=-2), lambda x, y: np.concatenate([x, y], 1), (x, y)),
    )
    z = draw_array(4, 6, 5, seed=2)
    yield (
        "concat_interleaved",
        OperatorCase(
            lambda x, z: mb.concat(values=(x, z), axis=1, interleave=True),
            lambda x, z: np.stack([x, z], 2).reshape(4, 12, 5),
            (x, z),
        ),
    )
    yield (
        "slice_plain",
        OperatorCase(
            lambda x: mb.slice_by_index(x=x, begin=[1, -4, 0], end=[3, -1, 5]), lambda x: x[1:3, -4:-1, 0:5], (x,)
        ),
    )
    yield (
        "slice_strided",
        OperatorCase(
            lambda x: mb.slice_by_index(x=x, begin=[0, 5, 4], end=[4, 1, 0], stride=[2, -2, -1]),
            lambda x: x[0:4:2, 5:1:-2, 4:0:-1],
            (x,),
        ),
    )
    yield (
        "slice_masked",
        OperatorCase(
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
        OperatorCase(lambda x: mb.slice_by_size(x=x, begin=[1, 2, 0], size=[2, -1, 4]), lambda x: x[1:3, 2:, :4], (x,)),
    )


GROUPS = {
    "elementwise": dict(list_elementwise()),
    "products": dict(list_products()),
    "convolutions": dict(list_convolutions()),
    "pools": dict(list_pools()),
    "norms": dict(list_norms()),
    "shapes": dict(list_shapes()),
    "activations": dict(vision_cases.list_activations()),
    "arithmetic": dict(vision_cases.list_arithmetic()),
    "conditions": dict(vision_cases.list_conditions()),
    "reductions": dict(vision_cases.list_reductions()),
    "resizing": dict(vision_cases.list_resizing()),
    "moves": dict(vision_cases.list_moves()),
    "gathers": dict(vision_cases.list_gathers()),
    "transposed": dict(vision_cases.list_transposed_convolutions()),
    "l2_pools": dict(vision_cases.list_l2_pools()),
    "attention": dict(vision_cases.list_attention()),
}
# The first release with a group's operators, if it is not iOS 17.
RELEASES = {"attention": ct.target.iOS18}
EVERY = [(group, name) for group, cases in GROUPS.items() for name in cases]
TOLERANCE = 2e-6


def save_group(group: str, folder: Path) -> CoreMLProgram:
    release = RELEASES.get(group, ct.target.iOS17)
    return CoreMLProgram(save_cases(GROUPS[group], folder / f"{group}.mlpackage", release))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """What the executor gives for every case of a group, run as one program."""
    folder = tmp_path_factory.mktemp("operators")

    @cache
    def of_group(group: str) -> dict[str, Any]:
        return save_group(group, folder)(collect_inputs(GROUPS[group]))

    return of_group


@pytest.mark.parametrize(("group", "name"), EVERY)
def test_the_operator_follows_the_specification(results, group, name):
    case = GROUPS[group][name]
    expected = np.asarray(case.expected(*case.inputs), np.float32)
    actual = results(group)[name]
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE * np.abs(expected).max())
