"""How long each layer takes in float and in int8 on this host: ONNX Runtime's own profile of both artifacts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from shvit_mobile.contracts.budget_search import LayerLatency
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.images.ramp import draw_ramp
from shvit_mobile.quantize.layers import select_int8_ranges
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_overrides
from shvit_mobile.runtimes.onnxruntime import make_session_options, open_session
from shvit_mobile.targets.onnx import ONNXOptions, build
from shvit_mobile.targets.onnx.build import IMAGES

KERNEL_SUFFIX = "_kernel_time"
# ONNX Runtime joins a convolution with the sigmoid behind it, under the sigmoid's name.
FUSED_GATE = (".se.gate", ".se.fc2")


def measure_layer_latencies(
    deployed: DeployForm,
    recipe: Recipe,
    overrides: ParameterOverrides | None = None,
    *,
    runs: int = 30,
    warm_up: int = 5,
) -> tuple[LayerLatency, ...]:
    """The int8 layers of a recipe, in the order of the data: medians over `runs` of one image on one thread.

    The float and the int8 artifact take turns, so that what disturbs the machine disturbs both.

    Args:
        deployed: the model.
        recipe: static int8.
        overrides: the recipe's overrides, if it has any.
        runs: that count.
        warm_up: runs before them.

    Raises:
        BadRecipe: the recipe is of another precision or of another model.
    """
    layers = select_int8_ranges(deployed, recipe).keys()
    int8_form = apply_overrides(deployed, recipe, overrides)
    with TemporaryDirectory() as folder:
        profiles = [
            LayerProfiler(form, one, Path(folder) / one.precision)
            for form, one in ((deployed, Recipe(precision="fp32")), (int8_form, recipe))
        ]
        for _ in range(warm_up + runs):
            for profile in profiles:
                profile.run()
        in_float, in_int8 = (profile.read_layer_times(warm_up) for profile in profiles)
    return tuple(
        LayerLatency(layer=name, float_ms=in_float[name], int8_ms=in_int8[name])
        for name in iterate_weighted_layers(deployed.module)
        if name in layers
    )


class LayerProfiler:
    """An artifact of a recipe that is timed node by node, written into `folder`."""

    def __init__(self, deployed: DeployForm, recipe: Recipe, folder: Path) -> None:
        folder.mkdir()
        path = folder / "profiled.onnx"
        build(deployed, recipe, path, ONNXOptions())
        options = make_session_options()
        options.intra_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        self._image = deployed.prepare(draw_ramp(deployed.trained.preprocessing.size)).numpy()
        self._names = tuple(iterate_weighted_layers(deployed.module))
        self._session = open_session(path, options)

    def run(self) -> None:
        self._session.run(None, {IMAGES: self._image})

    def read_layer_times(self, warm_up: int) -> dict[str, float]:
        """Median milliseconds of each layer over the runs behind the first `warm_up`; ends the profile."""
        events = json.loads(Path(self._session.end_profiling()).read_text())
        counted = [sum_layer_times(run, self._names) for run in group_kernels_by_run(events)][warm_up:]
        return {name: median(run[name] for run in counted) for name in self._names}


def iterate_weighted_layers(module: nn.Module) -> Iterator[str]:
    """The convolutions and linear layers of a deploy form, in the order of the data."""
    return (name for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear))


def group_kernels_by_run(events: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The kernels of each run, in the order they ran."""
    kernels = sorted(
        (event for event in events if event["cat"] == "Node" and event["name"].endswith(KERNEL_SUFFIX)),
        key=lambda event: event["ts"],
    )
    for run in sorted((event for event in events if event["name"] == "model_run"), key=lambda event: event["ts"]):
        end = run["ts"] + run["dur"]
        yield [kernel for kernel in kernels if run["ts"] <= kernel["ts"] <= end]


def sum_layer_times(kernels: Sequence[dict[str, Any]], layers: Sequence[str]) -> dict[str, float]:
    """The milliseconds of each layer in one run.

    What ONNX Runtime puts in between, to turn values about, has no layer's name and goes to the layer before it.
    """
    times: dict[str, float] = defaultdict(float)
    current: str | None = None
    for kernel in kernels:
        name = kernel["name"].removesuffix(KERNEL_SUFFIX)
        if not name.startswith(kernel["args"]["op_name"]):
            current = find_layer(name, layers)
        if current is not None:
            times[current] += kernel["dur"] / 1000
    return times


def find_layer(node: str, layers: Sequence[str]) -> str | None:
    """The layer that a node was written for, or was joined with others from; None of what is no layer's."""
    node = node.replace(*FUSED_GATE)
    found = [layer for layer in layers if node == layer or node.startswith((f"{layer}.", f"{layer}_", f"{layer}/"))]
    return max(found, key=len, default=None)
