"""How long each layer takes in float and in int8 on this host: ONNX Runtime's own profile of both artifacts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import nn

from shvit_mobile.contracts.budget_search import LayerLatency
from shvit_mobile.contracts.preprocessing import raw
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.fold import DeployForm
from shvit_mobile.images.ramp import ramp
from shvit_mobile.quantize.layers import int8_ranges
from shvit_mobile.quantize.overrides import corrected
from shvit_mobile.runtimes.onnxruntime import loaded, session_options
from shvit_mobile.targets.onnx import ONNXOptions, build
from shvit_mobile.targets.onnx.build import IMAGES

KERNEL = "_kernel_time"
# ONNX Runtime joins a convolution with the sigmoid behind it, under the sigmoid's name.
JOINED = (".se.gate", ".se.fc2")


def latencies(deployed: DeployForm, recipe: Recipe, *, runs: int = 30, warm_up: int = 5) -> tuple[LayerLatency, ...]:
    """The int8 layers of a recipe, in the order of the data: medians over `runs` of one image on one thread.

    The float and the int8 artifact take turns, so that what disturbs the machine disturbs both.

    Args:
        deployed: the model.
        recipe: static int8, with its corrections at hand.
        runs: that count.
        warm_up: runs before them.

    Raises:
        BadRecipe: the recipe is of another precision or of another model.
    """
    layers = int8_ranges(deployed, recipe).keys()
    with TemporaryDirectory() as folder:
        profiles = [
            Profile(form, one, Path(folder) / one.precision)
            for form, one in ((deployed, Recipe(precision="fp32")), (corrected(deployed, recipe), recipe))
        ]
        for _ in range(warm_up + runs):
            for profile in profiles:
                profile.run()
        in_float, in_int8 = (profile.layers(warm_up) for profile in profiles)
    return tuple(
        LayerLatency(layer=name, float_ms=in_float[name], int8_ms=in_int8[name])
        for name in computing(deployed.module)
        if name in layers
    )


class Profile:
    """An artifact of a recipe that is timed node by node, written into `folder`."""

    def __init__(self, deployed: DeployForm, recipe: Recipe, folder: Path) -> None:
        folder.mkdir()
        path = folder / "profiled.onnx"
        build(deployed, recipe, path, ONNXOptions())
        options = session_options()
        options.intra_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        preprocessing, pixels = deployed.trained.preprocessing, ramp(deployed.trained.preprocessing.size)
        self._image = raw(pixels) if deployed.takes == "pixels" else preprocessing.normalised(pixels)
        self._names = tuple(computing(deployed.module))
        self._session = loaded(path, options)

    def run(self) -> None:
        self._session.run(None, {IMAGES: np.asarray(self._image, np.float32)})

    def layers(self, warm_up: int) -> dict[str, float]:
        """Median milliseconds of each layer over the runs behind the first `warm_up`; ends the profile."""
        events = json.loads(Path(self._session.end_profiling()).read_text())
        counted = [layer_times(run, self._names) for run in runs_of(events)][warm_up:]
        return {name: median(run[name] for run in counted) for name in self._names}


def computing(module: nn.Module) -> Iterator[str]:
    """The convolutions and linear layers of a deploy form, in the order of the data."""
    return (name for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear))


def runs_of(events: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The kernels of each run, in the order they ran."""
    kernels = sorted(
        (event for event in events if event["cat"] == "Node" and event["name"].endswith(KERNEL)),
        key=lambda event: event["ts"],
    )
    for run in sorted((event for event in events if event["name"] == "model_run"), key=lambda event: event["ts"]):
        end = run["ts"] + run["dur"]
        yield [kernel for kernel in kernels if run["ts"] <= kernel["ts"] <= end]


def layer_times(kernels: Sequence[dict[str, Any]], layers: Sequence[str]) -> dict[str, float]:
    """The milliseconds of each layer in one run.

    What ONNX Runtime puts in between, to turn values about, has no layer's name and goes to the layer before it.
    """
    times: dict[str, float] = defaultdict(float)
    current: str | None = None
    for kernel in kernels:
        name = kernel["name"].removesuffix(KERNEL)
        if not name.startswith(kernel["args"]["op_name"]):
            current = layer_of(name, layers)
        if current is not None:
            times[current] += kernel["dur"] / 1000
    return times


def layer_of(node: str, layers: Sequence[str]) -> str | None:
    """The layer that a node was written for, or was joined with others from; None of what is no layer's."""
    node = node.replace(*JOINED)
    found = [layer for layer in layers if node == layer or node.startswith((f"{layer}.", f"{layer}_", f"{layer}/"))]
    return max(found, key=len, default=None)
