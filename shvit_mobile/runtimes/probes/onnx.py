"""Inside an ONNX file: its graph with a further output, or a cut, at every landmark.

ONNX Runtime runs it node by node, its optimisations off: they would make one kernel of several layers, whose inner
values nobody sees. So int8 layers are computed between their QuantizeLinear and DequantizeLinear as the graph says,
and what a fused kernel adds shows in the drift of the logits only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import Tensor

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.deploy.comparison_points import ComparisonPoint
from shvit_mobile.errors import BadArtifact
from shvit_mobile.runtimes.onnxruntime import LOG_LEVEL_FATAL, get_first_line
from shvit_mobile.runtimes.probes.layers import PointLocation
from shvit_mobile.runtimes.runner import prepare_input
from shvit_mobile.targets.onnx.inventory import read_onnx_model

FLOAT = onnx.TensorProto.FLOAT


class ONNXActivationProbe:
    """A `Probe`."""

    def __init__(self, artifact: Artifact, points: Sequence[ComparisonPoint]) -> None:
        """Raises:
        BadArtifact: the file is damaged, or its nodes are not named after the deploy form's layers.
        """
        self.engine = f"ONNX Runtime {onnxruntime.__version__} (CPU), optimisations off"
        self._artifact = artifact
        model = read_onnx_model(artifact.path)
        self.locations = locate_points(model.graph, points, artifact)
        self._names = [place.value for place in self.locations]
        shown = add_outputs(model, self._names)
        self._free, self._forced = (
            open_unoptimized_session(shown, artifact),
            open_unoptimized_session(cut_graph(shown, self._names), artifact),
        )

    def run_free(self, pixels: NDArray[np.uint8]) -> dict[str, Tensor]:
        return self._run(self._free, self._prepare_feed(pixels))

    def run_teacher_forced(self, pixels: NDArray[np.uint8], forced_values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        fed = {name_forced_input(place.value): forced_values[place.point.name].numpy() for place in self.locations}
        taken = {there.name for there in self._forced.get_inputs()}
        return self._run(
            self._forced, {name: x for name, x in (self._prepare_feed(pixels) | fed).items() if name in taken}
        )

    def _prepare_feed(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        manifest = self._artifact.manifest
        return {manifest.input.name: prepare_input(manifest, pixels)}

    def _run(self, session: Any, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
        try:
            values = session.run(self._names, inputs)
        except Exception as reason:  # ONNX Runtime's errors have no base of their own
            raise BadArtifact(f"ONNX Runtime cannot run {self._artifact.path}: {get_first_line(reason)}") from reason
        return {place.point.name: torch.from_numpy(value) for place, value in zip(self.locations, values, strict=True)}


def locate_points(
    graph: onnx.GraphProto, points: Sequence[ComparisonPoint], artifact: Artifact
) -> tuple[PointLocation, ...]:
    """The place of every landmark, whose name its nodes have."""
    nodes = {node.name: node for node in graph.node}
    places = []
    for landmark in points:
        name = f"{landmark.name}.add" if landmark.kind == "residual" else landmark.name
        if name not in nodes:
            raise BadArtifact(
                f"{artifact.path.name} has no node '{name}'.",
                why="Layers are found by the names that shvit-mobile gives their nodes.",
                hint="Export it again: shvit-mobile export --target onnx",
            )
        rectified, rounded = f"{name}.relu", f"{name}.output"
        last = next(node for node in (rounded, rectified, name) if node in nodes)
        places.append(PointLocation(landmark, nodes[last].output[0], rectified in nodes))
    return tuple(places)


def add_outputs(model: onnx.ModelProto, values: Sequence[str]) -> onnx.ModelProto:
    """A copy of `model` that gives `values` besides its outputs."""
    shown = deepcopy(model)
    known = {output.name for output in shown.graph.output}
    shown.graph.output.extend(make_unshaped_value_info(value) for value in values if value not in known)
    return shown


def cut_graph(model: onnx.ModelProto, values: Sequence[str]) -> onnx.ModelProto:
    """A copy of `model` in which whoever takes one of `values` takes an input in its place."""
    parts = deepcopy(model)
    wanted, used = set(values), set[str]()
    for node in parts.graph.node:
        used |= wanted & set(node.input)
        node.input[:] = [name_forced_input(name) if name in wanted else name for name in node.input]
    parts.graph.input.extend(make_unshaped_value_info(name_forced_input(value)) for value in values if value in used)
    return parts


def name_forced_input(value: str) -> str:
    return f"{value} (given)"


def make_unshaped_value_info(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, FLOAT, None)


def open_unoptimized_session(model: onnx.ModelProto, artifact: Artifact) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = LOG_LEVEL_FATAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as reason:  # ONNX Runtime's errors have no base of their own
        raise BadArtifact(f"ONNX Runtime cannot load {artifact.path}: {get_first_line(reason)}") from reason
