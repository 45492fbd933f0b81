"""Measures the latency of each layer in float and in int8 on this machine, from ONNX Runtime's profiles."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.images.ramp import draw_ramp
from shvit_mobile.quantize.layers import select_int8_ranges
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_overrides
from shvit_mobile.runtimes.onnxruntime import make_session_options, open_session
from shvit_mobile.targets.onnx import ONNXOptions, build
from shvit_mobile.targets.onnx.build import IMAGES

_KERNEL_SUFFIX = "_kernel_time"


def measure_layer_latencies(
    deployed: DeployForm,
    recipe: Recipe,
    overrides: ParameterOverrides | None = None,
    *,
    runs: int = 30,
    warm_up: int = 5,
) -> dict[str, tuple[float, float]]:
    """Measure the median latency of each int8 layer of a recipe, for one image on one thread.

    The float and the int8 artifact run in turn, so that other load on the machine affects both.

    Args:
        recipe, overrides: A static int8 recipe, and its overrides.
        runs, warm_up: The number of measured runs, and of runs before them that do not count.

    Returns:
        Milliseconds in float and in int8 by layer, in the order of the data flow. They include the layer's quantize,
        dequantize and layout operators.

    Raises:
        BadRecipe: If the recipe has another precision or belongs to another model.
    """
    layers = select_int8_ranges(deployed, recipe).keys()
    int8_form = apply_overrides(deployed, recipe, overrides)
    with TemporaryDirectory() as folder:
        profilers = [
            _LayerProfiler(form, precision_recipe, Path(folder) / precision_recipe.precision)
            for form, precision_recipe in ((deployed, Recipe(precision="fp32")), (int8_form, recipe))
        ]
        for _ in range(warm_up + runs):
            for profiler in profilers:
                profiler.run()
        float_times, int8_times = (profiler.read_layer_times(warm_up) for profiler in profilers)
    return {name: (time, int8_times[name]) for name, time in float_times.items() if name in layers}


class _LayerProfiler:
    """An ONNX artifact of a recipe, in a folder of its own, that runs with a profile of each node."""

    def __init__(self, deployed: DeployForm, recipe: Recipe, folder: Path) -> None:
        folder.mkdir()
        path = folder / "profiled.onnx"
        build(deployed, recipe, path, ONNXOptions())
        options = make_session_options()
        options.intra_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        self._image = deployed.prepare(draw_ramp(deployed.trained.preprocessing.size)).numpy()
        self._names = tuple(deployed.wiring.calls_of_layers)
        self._session = open_session(path, options)

    def run(self) -> None:
        """Run one image."""
        self._session.run(None, {IMAGES: self._image})

    def read_layer_times(self, warm_up: int) -> dict[str, float]:
        """End the profile; return the median milliseconds of each layer over all runs after the first `warm_up`."""
        events = json.loads(Path(self._session.end_profiling()).read_text(encoding="utf-8"))
        counted = [sum_layer_times(run, self._names) for run in group_kernels_by_run(events)][warm_up:]
        return {name: median(run[name] for run in counted) for name in self._names}


def group_kernels_by_run(events: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield the kernels of each run, in the order in which they ran."""
    kernels = sorted(
        (event for event in events if event["cat"] == "Node" and event["name"].endswith(_KERNEL_SUFFIX)),
        key=lambda event: event["ts"],
    )
    for run in sorted((event for event in events if event["name"] == "model_run"), key=lambda event: event["ts"]):
        end = run["ts"] + run["dur"]
        yield [kernel for kernel in kernels if run["ts"] <= kernel["ts"] <= end]


def sum_layer_times(kernels: Sequence[dict[str, Any]], layers: Sequence[str]) -> dict[str, float]:
    """Return the milliseconds of each layer in one run.

    Layout conversions that ONNX Runtime inserts are not named after a layer; they count for the layer before.
    """
    times: dict[str, float] = defaultdict(float)
    current: str | None = None
    for kernel in kernels:
        name = kernel["name"].removesuffix(_KERNEL_SUFFIX)
        if not name.startswith(kernel["args"]["op_name"]):
            current = find_layer(name, layers)
        if current is not None:
            times[current] += kernel["dur"] / 1000
    return times


def find_layer(node: str, layers: Sequence[str]) -> str | None:
    """Return the layer that a node, fused or not, comes from; None if it comes from no layer.

    The node of a layer's second call has its name and "@2".
    """
    matches = [layer for layer in layers if node == layer or node.startswith(tuple(f"{layer}{end}" for end in "._/@"))]
    return max(matches, key=len, default=None)
