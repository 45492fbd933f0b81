"""The latency of a layer in float and in int8 comes from the profiles of ONNX Runtime."""

from __future__ import annotations

from typing import Any

import pytest

from shvit_mobile.contracts.recipe import ActivationRange, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.pipeline.layer_latency import (
    find_layer,
    group_kernels_by_run,
    measure_layer_latencies,
    sum_layer_times,
)
from shvit_mobile.quantize.layers import find_dense_layers
from tests.builders import build_random_shvit, build_trained_model

LAYERS = ("patch_embed.0", "stages.0.downsample.2.se.fc2", "stages.0.downsample.2.conv3")


@pytest.mark.parametrize(
    ("node", "layer"),
    [
        ("patch_embed.0", "patch_embed.0"),
        ("patch_embed.0.relu_nchwc", "patch_embed.0"),
        ("patch_embed.0_token_304", "patch_embed.0"),
        ("patch_embed.0.input.int8", "patch_embed.0"),
        ("patch_embed.06", None),
        ("patch_embed.centre", None),
        ("stages.0.downsample.2.se.fc2.sigmoid_nchwc", "stages.0.downsample.2.se.fc2"),
        ("stages.0.downsample.2.se.mul", None),
        ("stages.0.downsample.2.conv3@2", "stages.0.downsample.2.conv3"),
        ("stages.0.downsample.2.conv3@2.relu_nchwc", "stages.0.downsample.2.conv3"),
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
    names = [name for name, _ in find_dense_layers(deployed.module)]
    ranges = {name: ActivationRange(input=(-3, 3), output=(-3, 3)) for name in names}
    recipe = Recipe(precision="int8", ranges=ranges, float_layers=names[1:2])
    times = measure_layer_latencies(deployed, recipe, runs=3, warm_up=1)
    assert list(times) == [name for name in deployed.wiring.calls_of_layers if name in {*names} - {names[1]}]
    # ONNX Runtime counts whole microseconds; the stem takes long enough to count.
    assert min(times["patch_embed.0"]) > 0
    assert sum(float_ms > 0 for float_ms, _ in times.values()) > len(times) // 2
    assert sum(int8_ms > 0 for _, int8_ms in times.values()) > len(times) // 2
