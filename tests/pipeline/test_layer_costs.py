"""The cost of a layer in float: bytes of its weights, multiply-adds, and the latency that ONNX Runtime measures."""

from __future__ import annotations

from typing import Any

import pytest

from shvit_mobile.contracts.budget_search import LayerLatency
from shvit_mobile.contracts.recipe import ActivationRange, Recipe
from shvit_mobile.contracts.sensitivity import LayerSensitivity, SensitivityReport
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.errors import MissingParameter
from shvit_mobile.pipeline.layer_costs import compute_byte_costs, compute_latency_costs, compute_mac_costs
from shvit_mobile.pipeline.layer_latency import (
    find_layer,
    group_kernels_by_run,
    iterate_weighted_layers,
    measure_layer_latencies,
    sum_layer_times,
)
from shvit_mobile.quantize.layers import find_dense_convolutions
from tests.builders import build_random_shvit, build_trained_model

FIGURES = {"quantized_db": 30.0, "quantized_kl": 0.1, "float_db": 20.0, "float_kl": 0.1}
LAYERS = ("patch_embed.0", "stages.0.downsample.2.se.fc2", "stages.0.downsample.2.conv3")


def build_sensitivity(*weights: int) -> SensitivityReport:
    rows = tuple(
        LayerSensitivity(layer=layer, macs=7 * size, weights=size, **FIGURES)
        for layer, size in zip(LAYERS, weights, strict=False)
    )
    return SensitivityReport(
        checkpoint_sha256="0" * 64,
        recipe_sha256="0" * 64,
        images=1,
        int8_db=20.0,
        int8_kl=0.1,
        layers=rows,
        blocks=(),
    )


def test_fp32_adds_three_bytes_to_each_weight_and_fp16_one() -> None:
    assert compute_byte_costs(build_sensitivity(10, 20), "onnx").layers == {LAYERS[0]: 30, LAYERS[1]: 60}
    assert compute_byte_costs(build_sensitivity(10, 20), "executorch").sum_over(LAYERS[:2]) == 90
    assert compute_byte_costs(build_sensitivity(10, 20), "coreml").sum_over(LAYERS[:2]) == 30
    assert compute_mac_costs(build_sensitivity(10, 20)).sum_over(LAYERS[:1]) == 70


def test_a_layer_that_is_faster_in_float_costs_nothing() -> None:
    times = (
        LayerLatency(layer=LAYERS[0], float_ms=3, int8_ms=1),
        LayerLatency(layer=LAYERS[1], float_ms=1, int8_ms=3),
    )
    assert compute_latency_costs(build_sensitivity(1, 1), times).layers == {LAYERS[0]: 2, LAYERS[1]: 0}
    with pytest.raises(MissingParameter, match=LAYERS[1]):
        compute_latency_costs(build_sensitivity(1, 1), times[:1])


@pytest.mark.parametrize(
    ("node", "layer"),
    [
        ("patch_embed.0", "patch_embed.0"),
        ("patch_embed.0.relu_nchwc", "patch_embed.0"),
        ("patch_embed.0_token_304", "patch_embed.0"),
        ("patch_embed.0.input.int8", "patch_embed.0"),
        ("patch_embed.06", None),
        ("patch_embed.centre", None),
        ("stages.0.downsample.2.se.gate_nchwc", "stages.0.downsample.2.se.fc2"),
        ("stages.0.downsample.2.se.mul", None),
    ],
)
def test_a_node_is_found_for_its_layer_after_any_fusion(node: str, layer: str | None) -> None:
    assert find_layer(node, LAYERS) == layer


def build_kernel(name: str, start: int, op: str = "Conv") -> dict[str, Any]:
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": start, "dur": 500, "args": {"op_name": op}}


def test_kernels_between_layers_count_for_the_layer_before_within_one_run() -> None:
    events = [
        build_kernel("patch_embed.0", 10),
        build_kernel("Transpose_token_3", 11, "Transpose"),
        build_kernel("stages.0.add", 12, "Add"),
        build_kernel("ReorderInput", 13, "ReorderInput"),
        {"cat": "Session", "name": "model_run", "ts": 9, "dur": 10},
        {"cat": "Session", "name": "model_run", "ts": 29, "dur": 10},
        build_kernel("patch_embed.0", 30),
        {"cat": "Node", "name": "patch_embed.0_fence_before", "ts": 31, "dur": 900, "args": {"op_name": "Conv"}},
    ]
    first, second = group_kernels_by_run(events)
    assert sum_layer_times(first, LAYERS) == {"patch_embed.0": 1.0}
    assert sum_layer_times(second, LAYERS) == {"patch_embed.0": 0.5}


def test_every_int8_layer_is_measured_in_both_precisions() -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(), size=(64, 96)))
    names = [name for name, _ in find_dense_convolutions(deployed.module)]
    ranges = {name: ActivationRange(input=(-3, 3), output=(-3, 3)) for name in names}
    recipe = Recipe(precision="int8", ranges=ranges, float_layers=names[1:2])
    times = measure_layer_latencies(deployed, recipe, runs=3, warm_up=1)
    assert [row.layer for row in times] == [
        name for name in iterate_weighted_layers(deployed.module) if name in {*names} - {names[1]}
    ]
    # ONNX Runtime counts whole microseconds; the stem takes long enough to count.
    assert times[0].layer == "patch_embed.0"
    assert times[0].float_ms > 0
    assert times[0].int8_ms > 0
    assert sum(row.float_ms > 0 for row in times) > len(times) // 2
    assert sum(row.int8_ms > 0 for row in times) > len(times) // 2
