"""Many images at once give what each gives alone, operator by operator; what cannot run so says why."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813
from torch import nn

from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.errors import InvalidValue, ShapeMismatch
from shvit_mobile.families.shvit import VARIANTS
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.runtimes.mil.operators import OPERATORS
from shvit_mobile.runtimes.mil.program import MAX_BATCH_SIZE, CoreMLProgram
from shvit_mobile.runtimes.mil.qdq_fusion import BLOCK_ELEMENTS, QUANTIZE_DEQUANTIZE, quantize_dequantize
from shvit_mobile.runtimes.mil.quantization import dequantize, quantize
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder
from tests.programs import SMALL
from tests.runtimes.mil.packages import OperatorCase, convert_module, draw_array, name_input, save_cases, save_model

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8-weights", "int8")
SIZE = (66, 98)
N = 3


@pytest.fixture(scope="module")
def lowered(tmp_path_factory):
    """A SHViT of random weights as a package in one precision."""

    @cache
    def package(variant: str, precision: Precision) -> Path:
        folder = tmp_path_factory.mktemp("lowered")
        deployed = to_deploy_form(
            build_trained_model(build_random_shvit(SMALL if variant == "small" else variant), size=SIZE)
        )
        images = open_images(write_picture_folder(folder / "pictures", count=4, size=(80, 110)))
        recipe = calibrate_recipe(deployed, images, precision=precision, count=4)[0]
        return lower(deployed, recipe, "coreml", folder).path

    return package


def draw_pictures(count: int = N) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, *SIZE, 3)).astype(np.uint8)


def compute_every_value(program: CoreMLProgram, picture: np.ndarray) -> dict[str, Any]:
    """All that a program makes of one image, by the steps of the program as it is declared."""
    values = program._constants | program._prepare_inputs({"image": picture})
    for step in program._steps:
        made = dict(values)
        step.run(made)
        values = made | values  # a classifier's probabilities have the name of the tensor they come from, which stays
    return values


def find_largest_difference(actual: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """The largest difference; none where both are infinite, as squares in fp16 may be."""
    return torch.where(actual == expected, 0.0, (actual - expected).abs()).max()


slow = pytest.mark.slow
MODELS = ["small", *(pytest.param(variant, marks=slow) for variant in VARIANTS)]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", MODELS)
def test_a_batch_gives_the_values_of_single_images(lowered, variant, precision):
    program = CoreMLProgram(lowered(variant, precision))
    assert program.not_batchable_reason is None
    with torch.inference_mode():
        alone = [compute_every_value(program, picture) for picture in draw_pictures()]
        trips = 0
        for step in program._batched_steps:
            given = {n: torch.cat([values[n] for values in alone]) for n in step.uses - program._constants.keys()}
            step.run(given := program._constants | given, N)
            for output in step.outputs:
                if output.dtype is None:
                    continue
                actual, expected = given[output.name], torch.cat([values[output.name] for values in alone])
                # Sums may be taken in another order; in fp16 that may be one number up or down.
                allowed = 0 if step.operator.exact else 1e-5 if program.mode == "fp32" else 2**-10
                scale = expected.nan_to_num(posinf=0, neginf=0).abs().max()
                assert find_largest_difference(actual, expected) <= allowed * scale, step.title
            trips += step.operator is QUANTIZE_DEQUANTIZE
    assert (trips > 0) is (precision == "int8")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", MODELS)
def test_many_images_give_the_logits_of_each(lowered, variant, precision):
    program = CoreMLProgram(lowered(variant, precision))
    alone = np.concatenate([program(picture)["logits"] for picture in draw_pictures()])
    many = program(draw_pictures())["logits"]
    assert many.shape == alone.shape
    tolerance = {"fp32": 1e-5, "int8": 0.1}.get(precision, 1e-2)  # int8: rounding flips where a sum's order differs
    assert np.abs(many - alone).max() <= tolerance * np.abs(alone).max()
    assert np.abs(alone[0] - alone[1]).max() > 10 * np.abs(many - alone).max()  # or the rows might be any image's


def build_operator_table(*cases: tuple[str, Any, tuple[int, ...]]) -> dict[str, tuple[Any, tuple[int, ...]]]:
    return {name: (build, shape) for name, build, shape in cases}


CHANNELS = draw_array(4, seed=1), draw_array(4, seed=2, low=0.5)
WEIGHT = draw_array(5, 4, 3, 3, seed=3)
MATRIX = draw_array(4, 6, seed=4)
TRANSPOSED = draw_array(4, 3, 2, 3, seed=5)
# By name: an operator, and the shape of one image.
RUN_AT_ONCE = build_operator_table(
    ("add_scalar", lambda x: mb.add(x=x, y=np.float32(2)), (1, 4, 5)),
    ("mul_channels", lambda x: mb.mul(x=x, y=draw_array(4, 1, seed=5)), (1, 4, 5)),
    ("sub_one_row", lambda x: mb.sub(x=draw_array(1, 4, 1, seed=5), y=x), (1, 4, 5)),
    ("add_itself", lambda x: mb.add(x=x, y=mb.relu(x=x)), (1, 4, 5)),
    ("sigmoid", lambda x: mb.sigmoid(x=x), (1, 4)),
    ("softmax", lambda x: mb.softmax(x=x, axis=-2), (1, 4, 5)),
    ("conv", lambda x: mb.conv(x=x, weight=WEIGHT, pad_type="same"), (1, 4, 6, 7)),
    ("max_pool", lambda x: mb.max_pool(x=x, kernel_sizes=[2, 2], pad_type="valid"), (1, 4, 6, 7)),
    ("avg_pool", lambda x: mb.avg_pool(x=x, kernel_sizes=[3, 3], pad_type="same"), (1, 4, 6, 7)),
    ("batch_norm", lambda x: mb.batch_norm(x=x, mean=CHANNELS[0], variance=CHANNELS[1]), (1, 4, 3)),
    ("instance_norm", lambda x: mb.instance_norm(x=x), (1, 4, 6, 7)),
    ("layer_norm", lambda x: mb.layer_norm(x=x, axes=[-1, 1]), (1, 4, 5)),
    ("reduce_mean", lambda x: mb.reduce_mean(x=x, axes=[-1, 2]), (1, 4, 6, 7)),
    ("reduce_max", lambda x: mb.reduce_max(x=x, axes=[1], keep_dims=True), (1, 4, 6)),
    ("reshape", lambda x: mb.reshape(x=x, shape=[1, 2, 10]), (1, 4, 5)),
    ("reshape_open", lambda x: mb.reshape(x=x, shape=[1, -1, 2]), (1, 4, 5)),
    ("reshape_kept", lambda x: mb.reshape(x=x, shape=[0, 5, -1]), (1, 4, 5)),
    ("reshape_one", lambda x: mb.reshape(x=x, shape=[-1, 20]), (1, 4, 5)),
    ("transpose", lambda x: mb.transpose(x=x, perm=[-3, 2, 1]), (1, 4, 5)),
    ("expand_dims", lambda x: mb.expand_dims(x=x, axes=[-1, 1]), (1, 4)),
    ("squeeze", lambda x: mb.squeeze(x=x, axes=[-1]), (1, 4, 1)),
    ("split", lambda x: mb.split(x=x, num_splits=2, axis=1)[1], (1, 4, 5)),
    ("concat", lambda x: mb.concat(values=(x, x), axis=-1), (1, 4, 5)),
    ("stack", lambda x: mb.stack(values=(x, mb.relu(x=x)), axis=-1), (1, 4, 5)),
    ("tile", lambda x: mb.tile(x=x, reps=[1, 2, 3]), (1, 4, 5)),
    ("pad_last", lambda x: mb.pad(x=x, pad=[1, 2], mode="reflect"), (1, 5)),
    ("pad_all", lambda x: mb.pad(x=x, pad=[0, 0, 1, 2], mode="replicate"), (1, 5)),
    ("pad_zeros", lambda x: mb.pad(x=x, pad=[0, 0, 1, 2]), (1, 5)),
    ("band_part", lambda x: mb.band_part(x=x, lower=0), (1, 4, 5)),
    ("reverse", lambda x: mb.reverse(x=x, axes=[-1]), (1, 4, 5)),
    ("cumsum", lambda x: mb.cumsum(x=x, axis=1), (1, 4, 5)),
    ("gather", lambda x: mb.gather(x=x, indices=np.int32([[3, 0], [1, 1]]), axis=-2), (1, 4, 5)),
    ("gather_one", lambda x: mb.gather(x=x, indices=np.int32(2), axis=1), (1, 4, 5)),
    ("gather_table", lambda x: mb.gather(x=MATRIX, indices=mb.cast(x=mb.abs(x=x), dtype="int32")), (1, 5)),
    ("gather_along", lambda x: mb.gather_along_axis(x=x, indices=np.int32([[3, 0, 1]]), axis=1), (1, 4)),
    ("crop", lambda x: mb.crop(x=x, crop_height=[1, 0], crop_width=[0, 2]), (1, 4, 5)),
    ("upsample", lambda x: mb.upsample_bilinear(x=x, scale_factor_height=2), (1, 4, 5)),
    ("upsample_nearest", lambda x: mb.upsample_nearest_neighbor(x=x, scale_factor_width=2), (1, 4, 5)),
    ("resize", lambda x: mb.resize_bilinear(x=x, target_size_height=3, target_size_width=7), (1, 4, 5)),
    ("resize_nearest", lambda x: mb.resize_nearest_neighbor(x=x, target_size_height=3, target_size_width=7), (1, 4, 5)),
    ("pixel_shuffle", lambda x: mb.pixel_shuffle(x=x, upscale_factor=2), (1, 4, 5, 3)),
    ("pixel_unshuffle", lambda x: mb.pixel_unshuffle(x=x, downscale_factor=np.uint32(2)), (1, 4, 6, 2)),
    ("conv_transpose", lambda x: mb.conv_transpose(x=x, weight=TRANSPOSED, bias=CHANNELS[0][:3]), (1, 4, 5, 3)),
    (
        "conv_transpose_shape",
        lambda x: mb.conv_transpose(x=x, weight=TRANSPOSED, strides=[2, 2], output_shape=[1, 3, 12, 7]),
        (1, 4, 5, 3),
    ),
    ("l2_pool", lambda x: mb.l2_pool(x=x, kernel_sizes=[2, 2], pad_type="valid"), (1, 4, 6, 7)),
    ("l2_norm", lambda x: mb.l2_norm(x=x), (1, 4, 6, 7)),
    ("prelu", lambda x: mb.prelu(x=x, alpha=CHANNELS[0]), (1, 4, 6, 7)),
    (
        "softplus_parametric",
        lambda x: mb.softplus_parametric(x=x, alpha=CHANNELS[0], beta=CHANNELS[1]),
        (1, 4, 6, 7),
    ),
    ("reduce_sum", lambda x: mb.reduce_sum(x=x, axes=[-1]), (1, 4, 6)),
    *(
        (name, lambda x, name=name: getattr(mb, name)(x=mb.abs(x=x), axes=[1], keep_dims=True), (1, 4, 6))
        for name in ("reduce_min", "reduce_prod", "reduce_l1_norm", "reduce_l2_norm", "reduce_sum_square")
    ),
    *(
        (name, lambda x, name=name: getattr(mb, name)(x=mb.abs(x=x), axes=[1, 2]), (1, 4, 6))
        for name in ("reduce_log_sum", "reduce_log_sum_exp")
    ),
    *(
        (name, lambda x, name=name: mb.cast(x=getattr(mb, name)(x=x), dtype="fp32"), (1, 4, 6))
        for name in ("reduce_argmax", "reduce_argmin")
    ),
    *(
        (name, lambda x, name=name: getattr(mb, name)(x=x), (1, 4, 5))
        for name in (
            *("ceil", "cos", "erf", "exp", "exp2", "floor", "gelu", "relu6", "round", "sign", "silu", "sin"),
            *("softplus", "softsign", "square", "tanh"),
        )
    ),
    *(
        (name, lambda x, name=name: getattr(mb, name)(x=mb.abs(x=x)), (1, 4))
        for name in ("inverse", "log", "rsqrt", "sqrt")
    ),
    *(
        (name, lambda x, name=name: getattr(mb, name)(x=x, alpha=0.5), (1, 4, 5))
        for name in ("elu", "leaky_relu", "threshold", "thresholded_relu")
    ),
    *(
        (name, lambda x, name=name: getattr(mb, name)(x=x, alpha=0.25, beta=0.5), (1, 4, 5))
        for name in ("clamped_relu", "clip", "linear_activation", "scaled_tanh", "sigmoid_hard")
    ),
    *(
        (name, lambda x, name=name: getattr(mb, name)(x=x, y=CHANNELS[1]), (1, 5, 4))
        for name in ("floor_div", "maximum", "minimum", "mod", "pow", "real_div")
    ),
    *(
        (
            name,
            lambda x, name=name: mb.cast(x=getattr(mb, name)(x=mb.round(x=x), y=np.float32(1)), dtype="fp32"),
            (1, 5, 4),
        )
        for name in ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
    ),
    *(
        (
            name,
            lambda x, name=name: mb.cast(
                x=getattr(mb, name)(x=mb.greater(x=x, y=CHANNELS[0]), y=mb.less(x=x, y=np.float32(1))), dtype="fp32"
            ),
            (1, 5, 4),
        )
        for name in ("logical_and", "logical_or", "logical_xor")
    ),
    ("logical_not", lambda x: mb.cast(x=mb.logical_not(x=mb.less(x=x, y=np.float32(0))), dtype="fp32"), (1, 5)),
    ("select", lambda x: mb.select(cond=mb.less(x=x, y=np.float32(0)), a=x, b=CHANNELS[0]), (1, 5, 4)),
    ("relu", lambda x: mb.relu(x=x), (1, 4)),
    (
        "attention",
        lambda x: mb.scaled_dot_product_attention(
            query=x, key=mb.tanh(x=x), value=mb.exp(x=x), attn_mask=draw_array(5, 5, seed=6)
        ),
        (1, 2, 5, 3),
    ),
    ("slice_index", lambda x: mb.slice_by_index(x=x, begin=[0, 1, -3], end=[1, 4, 5], stride=[3, 2, 1]), (1, 4, 5)),
    (
        "slice_last",
        lambda x: mb.slice_by_index(x=x, begin=[-1, 0, 2], end=[1, 4, 3], squeeze_mask=[False, False, True]),
        (1, 4, 5),
    ),
    ("slice_size", lambda x: mb.slice_by_size(x=x, begin=[0, 1, 2], size=[1, -1, 2]), (1, 4, 5)),
    ("linear", lambda x: mb.linear(x=x, weight=draw_array(3, 5)), (1, 4, 5)),
    ("matmul_vectors", lambda x: mb.matmul(x=x, y=MATRIX), (1, 4)),
    ("matmul_constant", lambda x: mb.matmul(x=x, y=MATRIX), (1, 5, 4)),
    ("matmul_onto", lambda x: mb.matmul(x=MATRIX, y=x, transpose_x=True), (1, 4, 5)),
    ("matmul_both", lambda x: mb.matmul(x=x, y=mb.relu(x=x), transpose_y=True), (1, 4, 5)),
    ("einsum", lambda x: mb.einsum(values=(x, mb.relu(x=x)), equation="bchq,bqhk->bchk"), (1, 4, 3, 4)),
    ("round_trip", lambda x: dequantize_value(quantize_value(x)), (1, 4, 5)),
    ("two_back", lambda x: mb.add(x=dequantize_value(q := quantize_value(x)), y=dequantize_value(q)), (1, 4, 5)),
    (
        "other_scale",
        lambda x: mb.dequantize(input=quantize_value(x), scale=np.float32(0.3), zero_point=np.int8(4)),
        (1, 4, 5),
    ),
    (
        "by_channel",
        lambda x: mb.quantize(input=x, scale=draw_array(4, low=0.1), output_dtype="int8", axis=1),
        (1, 4, 5),
    ),
)


def quantize_value(x: Any) -> Any:
    return mb.quantize(input=x, scale=np.float32(0.02), zero_point=np.int8(4), output_dtype="int8")


def dequantize_value(x: Any) -> Any:
    return mb.dequantize(input=x, scale=np.float32(0.02), zero_point=np.int8(4))


@pytest.fixture(scope="module")
def many_operators(tmp_path_factory):
    """One program of all of `RUN_AT_ONCE`, and `N` images for each."""
    folder = tmp_path_factory.mktemp("rows")
    images = {name: draw_array(N, *shape[1:], seed=7) for name, (_, shape) in RUN_AT_ONCE.items()}
    cases = {
        name: OperatorCase(cast_to_float(build), None, (images[name][:1],)) for name, (build, _) in RUN_AT_ONCE.items()
    }
    program = CoreMLProgram(save_cases(cases, folder / "rows.mlpackage", ct.target.iOS18))
    alone = [program({name_input(name): given[i : i + 1] for name, given in images.items()}) for i in range(N)]
    return program, alone, program({name_input(name): given for name, given in images.items()})


def cast_to_float(build: Any) -> Any:
    """`build` with a float result, as a package's outputs must be."""
    return lambda x: y if (y := build(x)).dtype != ct.converters.mil.mil.types.int8 else mb.cast(x=y, dtype="fp32")


def test_every_operator_with_a_rule_is_among_them(many_operators):
    program, _, _ = many_operators
    with_rule = {name for name, operator in OPERATORS.items() if operator.batching_rule}
    assert with_rule - program.operators.keys() == {"classify"}  # it comes last in a program of its own, below


@pytest.mark.parametrize("name", RUN_AT_ONCE)
def test_an_operator_runs_on_many_images_at_once(many_operators, name):
    program, alone, many = many_operators
    assert program.not_batchable_reason is None
    expected = np.concatenate([outputs[name] for outputs in alone])
    assert not np.array_equal(expected[0], expected[1])
    np.testing.assert_allclose(many[name], expected, rtol=2e-6, atol=2e-6)


def test_only_pairs_without_other_users_are_fused(many_operators):
    program, _, _ = many_operators
    joined = [step.title for step in program._batched_steps if step.operator is QUANTIZE_DEQUANTIZE]
    left = [step.title for step in program._batched_steps if step.operator.function is quantize]
    assert len(joined) == 1
    assert len(left) == 3


def slice_first_row(x: Any) -> Any:
    return mb.slice_by_index(x=x, begin=[0, 0], end=[1, 1], squeeze_mask=[True, False])


def gather_from_itself(x: Any) -> Any:
    return mb.gather(x=x, indices=mb.reduce_argmax(x=x), axis=1)


def contract_rows(x: Any) -> Any:
    return mb.einsum(values=(x, x), equation="abc,cbd->abd")


# The reason, an operator that cannot run many images, and the shape of one.
REFUSED = (
    ("takes the constant (3, 4), which has rows of its own", lambda x: mb.add(x=x, y=draw_array(3, 4)), (1, 4)),
    ("lays the rows of (1, 4) along another axis of 3", lambda x: mb.add(x=x, y=draw_array(1, 2, 4)), (1, 4)),
    ("works along the rows: its axis is 0", lambda x: mb.softmax(x=x, axis=0), (1, 4)),
    ("works along the rows: its axes is [-2]", lambda x: mb.reduce_sum(x=x, axes=[-2], keep_dims=True), (1, 4)),
    ("works along the rows: its axes is None", lambda x: mb.reduce_max(x=x, keep_dims=True), (1, 4)),
    ("works along the rows: its axes is [0, 1]", lambda x: mb.layer_norm(x=x, axes=[0, 1]), (1, 4)),
    ("moves the rows: its perm is [1, 0]", lambda x: mb.transpose(x=x, perm=[1, 0]), (1, 1)),
    ("puts an axis before the rows: its axes are [0]", lambda x: mb.expand_dims(x=x, axes=[0]), (1, 4)),
    ("works along the rows: its axes is [0]", lambda x: mb.squeeze(x=x, axes=[0]), (1, 1, 4)),
    (
        "takes away the axis of rows",
        slice_first_row,
        (1, 4),
    ),
    ("' has the shape (4, 1), without a first axis of one", lambda x: mb.reshape(x=x, shape=[4, 1]), (1, 4)),
    ("' has the shape (2, 4), without a first axis of one", lambda x: mb.identity(x=x), (2, 4)),
    ("takes a constant", lambda x: mb.concat(values=(x, draw_array(1, 2)), axis=1), (1, 4)),
    ("sums over the rows of its 'y' (1, 4)", lambda x: mb.matmul(x=draw_array(2, 1), y=x), (1, 4)),
    ("sums over the rows of its 'x' (1, 4)", lambda x: mb.matmul(x=x, y=draw_array(1, 2), transpose_x=True), (1, 4)),
    ("computes its 'weight' from the image", lambda x: mb.conv(x=draw_array(1, 1, 5, 5), weight=x), (1, 1, 3, 3)),
    ("has rows within 'abc,cbd->abd'", contract_rows, (1, 1, 1)),
    ("puts an axis before the rows: its axis is -3", lambda x: mb.stack(values=(x,), axis=-3), (1, 4)),
    ("takes a constant", lambda x: mb.stack(values=(x, draw_array(1, 4)), axis=1), (1, 4)),
    ("repeats the rows: its reps are [2, 1]", lambda x: mb.tile(x=x, reps=[2, 1]), (1, 4)),
    ("pads the rows: its pad is [0, 1, 0, 0]", lambda x: mb.pad(x=x, pad=[0, 1, 0, 0]), (1, 4)),
    ("works along all axes of (1, 4)", lambda x: mb.band_part(x=x, lower=0), (1, 4)),
    ("works along all axes of (1, 4, 3)", lambda x: mb.l2_norm(x=x), (1, 4, 3)),
    ("works along the rows: its axis is 0", lambda x: mb.cumsum(x=x), (1, 4)),
    ("works along the rows: its axes is [0]", lambda x: mb.reverse(x=x, axes=[0]), (1, 4)),
    ("works along the rows: its axis is -2", lambda x: mb.gather(x=x, indices=np.int32([0]), axis=-2), (1, 4)),
    (
        "works along the rows: its axis is 0",
        lambda x: mb.gather_along_axis(x=x, indices=np.int32([[0, 0, 0, 0]]), axis=0),
        (1, 4),
    ),
    ("computes its 'indices' from the image", gather_from_itself, (1, 4)),
    (
        "takes other places for each row",
        lambda x: mb.gather(x=x, indices=np.int32([[1, 0]]), axis=1, batch_dims=1),
        (1, 4),
    ),
)


@pytest.mark.parametrize(("reason", "build", "shape"), REFUSED)
def test_a_program_that_cannot_be_batched_says_why_and_runs_single_images(tmp_path, reason, build, shape):
    program = CoreMLProgram(
        save_cases({"y": OperatorCase(build, None, (draw_array(*shape),))}, tmp_path / "r.mlpackage")
    )
    assert reason in program.not_batchable_reason
    if shape[0] == 1:
        images = draw_array(N, *shape[1:])
        expected = [program(images[i : i + 1])["y"] for i in range(N)]
        actual = program(images)["y"]
        assert len(actual) == N
        np.testing.assert_array_equal(actual.reshape(-1), np.concatenate([one.reshape(-1) for one in expected]))


def test_an_output_that_depends_on_no_image_is_rejected(tmp_path):
    cases = {
        "x": OperatorCase(lambda x: mb.relu(x=x), None, (draw_array(1, 4),)),
        "c": OperatorCase(lambda: mb.square(x=draw_array(1, 3)), None),
    }
    program = CoreMLProgram(save_cases(cases, tmp_path / "c.mlpackage"))
    assert program.not_batchable_reason == "The output 'c' depends on no input."


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("half", [False, True])
def test_a_fused_pair_gives_the_same_bits_as_two_steps(dtype, half):
    generator = torch.Generator().manual_seed(0)
    scale, zero = torch.tensor(0.0371), torch.tensor(7, dtype=getattr(torch, dtype))
    x = torch.randn(BLOCK_ELEMENTS + 1000, generator=generator) * 8
    x[:400] = (torch.arange(400) - 200.5) * scale  # close to ties
    x[400], x[401] = torch.inf, -1e30
    expected = dequantize(quantize(x, scale, zero, output_dtype=dtype), scale, zero)
    actual = quantize_dequantize(x.reshape(8, -1), scale=scale, zero_point=zero.long(), output_dtype=dtype, fp16=half)
    assert torch.equal(actual.reshape(-1), expected.half().float() if half else expected)


def build_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(-1)).eval()


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    image = ct.ImageType("image", shape=(1, 3, *SIZE), color_layout=ct.colorlayout.RGB)
    labels = ct.ClassifierConfig([f"class {index}" for index in range(5)])
    model = convert_module(build_network(), 1, 3, *SIZE, inputs=[image], outputs=None, classifier_config=labels)
    return save_model(model, tmp_path_factory.mktemp("many") / "classifier.mlpackage")


def test_labels_and_probabilities_come_in_lists(classifier):
    program = CoreMLProgram(str(classifier))
    images = draw_pictures(MAX_BATCH_SIZE + 2)
    many, alone = program(images), [program(image) for image in images]
    assert many["classLabel"] == [outputs["classLabel"] for outputs in alone]
    assert [list(shares) for shares in many["classLabel_probs"]] == [list(o["classLabel_probs"]) for o in alone]
    np.testing.assert_allclose(
        [list(shares.values()) for shares in many["classLabel_probs"]],
        [list(outputs["classLabel_probs"].values()) for outputs in alone],
        atol=1e-6,
    )
    assert program(images[:1])["classLabel"] == [alone[0]["classLabel"]]


@pytest.mark.parametrize("greys", [False, True])
def test_many_pictures_are_brought_as_each_is(tmp_path, greys):
    image = ct.ImageType("x", shape=(1, 1, *SIZE), color_layout=ct.colorlayout.GRAYSCALE)
    model = convert_module(nn.Conv2d(1, 2, 3), 1, 1, *SIZE, inputs=[image])
    program = CoreMLProgram(save_model(model, tmp_path / "grey.mlpackage"))
    images = draw_pictures()[..., 0] if greys else draw_pictures()
    expected = np.concatenate([program(image)["y"] for image in images])
    np.testing.assert_allclose(program({"x": images})["y"], expected, atol=1e-3)


def test_an_observer_sees_the_values_of_many_images(classifier):
    program, seen = CoreMLProgram(classifier), {}
    program(draw_pictures(MAX_BATCH_SIZE + 2), observe=lambda name, value: seen.setdefault(name, []).append(len(value)))
    assert set(map(tuple, seen.values())) == {(MAX_BATCH_SIZE, 2)}
    assert "image" in seen


def test_large_images_are_fewer_at_once(tmp_path):
    image = ct.ImageType("image", shape=(1, 3, 512, 768), color_layout=ct.colorlayout.RGB)
    model = convert_module(nn.Conv2d(3, 2, 3, 64), 1, 3, 512, 768, inputs=[image])
    program, seen = CoreMLProgram(save_model(model, tmp_path / "large.mlpackage")), []
    images = np.random.default_rng(5).integers(0, 256, (5, 512, 768, 3)).astype(np.uint8)
    outputs = program(images, observe=lambda name, value: seen.append(len(value)) if name == "image" else None)
    assert seen == [2, 2, 1]
    np.testing.assert_allclose(outputs["y"], np.concatenate([program(one)["y"] for one in images]), atol=1e-3)


def test_wrong_numbers_of_images_are_rejected(classifier, tmp_path):
    program = CoreMLProgram(classifier)
    with pytest.raises(ShapeMismatch, match="have no image"):
        program(draw_pictures(0))
    with pytest.raises(ShapeMismatch, match=r"takes \(1, 3, 66, 98\), not \(2, 3, 98, 66\)"):
        program(draw_pictures(2).transpose(0, 2, 1, 3))
    add = OperatorCase(lambda x, y: mb.add(x=x, y=y), None, (draw_array(1, 4), draw_array(1, 4)))
    two = CoreMLProgram(save_cases({"s": add}, tmp_path / "two.mlpackage"))
    with pytest.raises(ShapeMismatch, match="different numbers of images: 2, 3"):
        two({name_input("s"): draw_array(2, 4), name_input("s", 1): draw_array(3, 4)})
    with pytest.raises(InvalidValue, match=r"have no names.\n.*takes s_input_0, s_input_1"):
        two(draw_array(2, 4))
