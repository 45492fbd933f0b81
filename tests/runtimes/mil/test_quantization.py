"""Quantized activations exactly as the specification says; compressed weights as coremltools decompresses them."""

from __future__ import annotations

import coremltools as ct
import coremltools.optimize.coreml as cto
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from shvit_mobile.runtimes.mil.program import CoreMLProgram
from shvit_mobile.runtimes.mil.quantization import quantize
from shvit_mobile.targets.coreml.spec.blobs import unpack_bits
from tests.runtimes.mil.packages import (
    OperatorCase,
    collect_inputs,
    convert_module,
    draw_array,
    name_input,
    save_cases,
    save_model,
)

SCALES = np.float32([0.1, 0.03, 2.5])
POINTS = np.array([3, -7, 100], np.int8)


def quantize_values(x, scale, point, dtype):
    limits = np.iinfo(dtype)
    return np.clip(np.rint(x / scale) + point, limits.min, limits.max)


def make_round_trip(dtype, scale, point=None, axis=None):
    """MIL's quantize and dequantize with a scale of 1 for the way back, so that the steps themselves come out."""
    parameters = {"scale": scale, "zero_point": point, "axis": axis}
    given = {name: value for name, value in parameters.items() if value is not None}

    def build(x):
        steps = mb.quantize(input=x, output_dtype=dtype, **given)
        return mb.dequantize(input=steps, scale=np.float32(1))

    return build


def list_cases():
    wide, halves = draw_array(2, 3, 64, low=-400, high=400), np.arange(-20, 20, dtype=np.float32) / 2
    point = np.int8(-5)
    yield (
        "signed",
        OperatorCase(
            make_round_trip("int8", np.float32(1.7), point),
            lambda x: quantize_values(x, np.float32(1.7), -5, "int8"),
            (wide,),
        ),
    )
    yield (
        "unsigned",
        OperatorCase(
            make_round_trip("uint8", np.float32(0.9), np.uint8(128)),
            lambda x: quantize_values(x, np.float32(0.9), 128, "uint8"),
            (wide,),
        ),
    )
    yield (
        "no_point",
        OperatorCase(
            make_round_trip("int8", np.float32(3)), lambda x: quantize_values(x, np.float32(3), 0, "int8"), (wide,)
        ),
    )
    yield "ties", OperatorCase(make_round_trip("int8", np.float32(1)), lambda x: np.rint(x), (halves,))
    yield (
        "by_axis",
        OperatorCase(
            make_round_trip("int8", SCALES, POINTS, 1),
            lambda x: quantize_values(x, SCALES[:, None], POINTS[:, None].astype(np.float32), "int8"),
            (wide,),
        ),
    )
    yield (
        "back_by_axis",
        OperatorCase(
            lambda x: mb.dequantize(
                input=mb.quantize(input=x, scale=np.float32(3), output_dtype="int8"),
                scale=SCALES,
                zero_point=POINTS,
                axis=-2,
            ),
            lambda x: (
                (quantize_values(x, np.float32(3), 0, "int8") - POINTS[:, None].astype(np.float32)) * SCALES[:, None]
            ),
            (wide,),
        ),
    )


CASES = dict(list_cases())


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    path = save_cases(CASES, tmp_path_factory.mktemp("quantize") / "p.mlpackage")
    return CoreMLProgram(path)(collect_inputs(CASES))


@pytest.mark.parametrize("name", CASES)
def test_quantized_activations_are_exact(steps, name):
    np.testing.assert_array_equal(steps[name], CASES[name].expected(*CASES[name].inputs).astype(np.float32))


def test_quantize_divides_by_the_scale_rather_than_multiplying_with_its_inverse():
    scale = torch.tensor(0.03)
    x = (torch.arange(-100, 100) + 0.5) * scale  # close to ties, where the two differ
    by_division, by_inverse = torch.round(x / scale), torch.round(x * (1 / scale))
    assert not torch.equal(by_division, by_inverse)
    assert torch.equal(quantize(x, scale, output_dtype="int8").float(), by_division)


@given(st.sampled_from([1, 2, 3, 4, 6, 8]), st.booleans(), st.data())
def test_unpacked_elements_are_those_packed(bits, signed, data):
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    values = data.draw(st.lists(st.integers(low, high), min_size=1, max_size=20))
    whole = sum((value & ((1 << bits) - 1)) << (index * bits) for index, value in enumerate(values))
    packed = np.frombuffer(whole.to_bytes(-(-len(values) * bits // 8), "little"), np.uint8)
    assert unpack_bits(packed, bits, len(values), signed=signed).tolist() == values


class Small(nn.Module):
    """One convolution and one linear layer, with weights whose channels differ in range."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.linear = nn.Conv2d(8, 16, 3), nn.Linear(16, 32)
        with torch.no_grad():
            self.conv.weight *= torch.linspace(0.2, 3, 16).reshape(-1, 1, 1, 1)

    def forward(self, x):
        return self.linear(self.conv(x).relu().mean((2, 3)))


SHAPE = (1, 8, 6, 6)
LINEAR, PALETTE, PRUNE = cto.OpLinearQuantizerConfig, cto.OpPalettizerConfig, cto.OpThresholdPrunerConfig
QUANTIZE, PALETTIZE, SPARSIFY = cto.linear_quantize_weights, cto.palettize_weights, cto.prune_weights
iOS16, iOS18 = ct.target.iOS16, ct.target.iOS18  # noqa: N816
SPARSE = (SPARSIFY, PRUNE(threshold=0.05, minimum_sparsity_percentile=0.01, weight_threshold=0), {})
FORMS = {
    "affine": (iOS16, [(QUANTIZE, LINEAR(mode="linear", weight_threshold=0), {})], {"constexpr_affine_dequantize"}),
    "symmetric": (
        iOS16,
        [(QUANTIZE, LINEAR(mode="linear_symmetric", weight_threshold=0), {})],
        {"constexpr_affine_dequantize"},
    ),
    "per-tensor": (
        iOS16,
        [(QUANTIZE, LINEAR(granularity="per_tensor", weight_threshold=0), {})],
        {"constexpr_affine_dequantize"},
    ),
    "blocks of 4 bits": (
        iOS18,
        [
            (
                QUANTIZE,
                LINEAR(mode="linear", dtype="int4", granularity="per_block", block_size=4, weight_threshold=0),
                {},
            )
        ],
        {"constexpr_blockwise_shift_scale"},
    ),
    "blocks of unsigned 8 bits": (
        iOS18,
        [
            (
                QUANTIZE,
                LINEAR(mode="linear", dtype="uint8", granularity="per_block", block_size=4, weight_threshold=0),
                {},
            )
        ],
        {"constexpr_blockwise_shift_scale"},
    ),
    "palette of 8 bits": (
        iOS16,
        [(PALETTIZE, PALETTE(mode="uniform", nbits=8, weight_threshold=0), {})],
        {"constexpr_lut_to_dense"},
    ),
    "palette of 6 bits": (
        iOS16,
        [(PALETTIZE, PALETTE(mode="uniform", nbits=6, weight_threshold=0), {})],
        {"constexpr_lut_to_dense"},
    ),
    "palette of 3 bits by group": (
        iOS18,
        [
            (
                PALETTIZE,
                PALETTE(
                    mode="uniform",
                    nbits=3,
                    granularity="per_grouped_channel",
                    group_size=4,
                    channel_axis=0,
                    weight_threshold=0,
                ),
                {},
            )
        ],
        {"constexpr_lut_to_dense"},
    ),
    "palette of vectors": (
        iOS18,
        [(PALETTIZE, PALETTE(mode="kmeans", nbits=4, cluster_dim=2, weight_threshold=0), {})],
        {"constexpr_lut_to_dense"},
    ),
    "sparse": (iOS16, [SPARSE], {"constexpr_sparse_to_dense"}),
    "sparse, iOS18": (iOS18, [SPARSE], {"constexpr_sparse_to_dense"}),
    "sparse palette": (
        iOS18,
        [SPARSE, (PALETTIZE, PALETTE(mode="uniform", nbits=4, weight_threshold=0), {"joint_compression": True})],
        {"constexpr_lut_to_sparse", "constexpr_sparse_to_dense"},
    ),
    "sparse, quantized": (
        iOS18,
        [SPARSE, (QUANTIZE, LINEAR(mode="linear_symmetric", weight_threshold=0), {"joint_compression": True})],
        {"constexpr_sparse_blockwise_shift_scale", "constexpr_sparse_to_dense"},
    ),
}


@pytest.fixture(scope="module")
def models():
    return {opset: convert_module(Small().eval(), *SHAPE, opset=opset) for opset in (iOS16, iOS18)}


@pytest.mark.parametrize("form", FORMS)
def test_compressed_weights_are_those_that_coremltools_decompresses(models, tmp_path, form):
    opset, stages, operators = FORMS[form]
    model = models[opset]
    for compress, config, options in stages:
        model = compress(model, cto.OptimizationConfig(global_config=config), **options)
    compressed = CoreMLProgram(save_model(model, tmp_path / "compressed.mlpackage"))
    plain = CoreMLProgram(save_model(cto.decompress_weights(model), tmp_path / "plain.mlpackage"))
    assert operators <= compressed.operators.keys()
    assert not operators & plain.operators.keys()
    x = {"x": draw_array(*SHAPE)}
    np.testing.assert_allclose(compressed(x)["y"], plain(x)["y"], rtol=1e-6, atol=1e-6)


def test_decompressed_weights_of_an_fp16_program_are_fp16(tmp_path):
    model = convert_module(Small().eval(), *SHAPE, fp16=True)
    config = cto.OptimizationConfig(global_config=LINEAR(mode="linear", weight_threshold=0))
    model = QUANTIZE(model, config)
    compressed = CoreMLProgram(save_model(model, tmp_path / "compressed.mlpackage"))
    plain = CoreMLProgram(save_model(cto.decompress_weights(model), tmp_path / "plain.mlpackage"))
    x = {"x": draw_array(*SHAPE)}
    assert compressed.mode == "fp16"
    np.testing.assert_array_equal(compressed(x)["y"], plain(x)["y"])


def test_weights_stored_as_fp16_are_cast(tmp_path):
    weight, x = draw_array(4, 6).astype(np.float16), draw_array(2, 6)

    def build(x):
        return mb.matmul(x=x, y=mb.constexpr_cast(source_val=weight, output_dtype="fp32"), transpose_y=True)

    program = CoreMLProgram(save_cases({"y": OperatorCase(build, None, (x,))}, tmp_path / "cast.mlpackage"))
    assert program.operators["constexpr_cast"] == 1
    np.testing.assert_allclose(
        program({name_input("y"): x})["y"], x @ weight.astype(np.float32).T, rtol=1e-5, atol=1e-6
    )
