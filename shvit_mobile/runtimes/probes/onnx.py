"""A probe of ONNX files: the graph with an additional output, or a cut, at each comparison point.

ONNX Runtime runs it node by node with optimizations off, because a fused kernel hides the values between its layers.
So int8 layers run between QuantizeLinear and DequantizeLinear as the graph says, and the error that fused kernels add
is visible only in the drift of the logits.
"""

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
from shvit_mobile.deploy.wiring import Call
from shvit_mobile.errors import BadArtifact, get_first_line
from shvit_mobile.runtimes.onnxruntime import ENGINE, LOG_LEVEL_FATAL, open_session
from shvit_mobile.runtimes.probes.protocols import PointLocation
from shvit_mobile.runtimes.runner import prepare_input
from shvit_mobile.targets.onnx.inventory import read_onnx_model

_FLOAT = onnx.TensorProto.FLOAT


class ONNXActivationProbe:
    """An `ActivationProbe`."""

    engine = f"{ENGINE}, optimisations off"

    def __init__(self, artifact: Artifact, points: Sequence[Call]) -> None:
        """Open the file.

        Raises:
            BadArtifact: If it is damaged, or its nodes do not have the names of the deploy form's layers.
        """
        self._artifact = artifact
        model = read_onnx_model(artifact.path)
        self.locations = _locate_points(model.graph, points, artifact)
        self._names = [location.value for location in self.locations]
        extended = _add_outputs(model, self._names)
        self._free, self._forced = (
            _open_unoptimized_session(extended, artifact),
            _open_unoptimized_session(_cut_graph(extended, self._names), artifact),
        )

    def run_free(self, pixels: NDArray[np.uint8]) -> dict[str, Tensor]:
        return self._run(self._free, self._prepare_feed(pixels))

    def run_teacher_forced(self, pixels: NDArray[np.uint8], forced_values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        feed = self._prepare_feed(pixels) | {
            _name_forced_input(location.value): forced_values[location.point.name].numpy()
            for location in self.locations
        }
        names = [value.name for value in self._forced.get_inputs()]
        return self._run(self._forced, {name: feed[name] for name in names})

    def _prepare_feed(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        manifest = self._artifact.manifest
        return {manifest.input.name: prepare_input(manifest, pixels)}

    def _run(self, session: Any, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
        try:
            values = session.run(self._names, inputs)
        except Exception as reason:  # ONNX Runtime's errors have no common base
            raise BadArtifact(f"ONNX Runtime cannot run {self._artifact.path}: {get_first_line(reason)}") from reason
        names = [location.point.name for location in self.locations]
        return {name: torch.from_numpy(value) for name, value in zip(names, values, strict=True)}


def _locate_points(graph: onnx.GraphProto, points: Sequence[Call], artifact: Artifact) -> tuple[PointLocation, ...]:
    """Locate each comparison point by the name of its node."""
    nodes = {node.name: node for node in graph.node}
    locations = []
    for point in points:
        name = f"{point.name}.add" if point.kind == "residual" else point.name
        if name not in nodes:
            raise BadArtifact(
                f"{artifact.path.name} has no node '{name}'.",
                why="shvit-mobile finds layers by the names that it gives their nodes.",
                hint="Export it again.",
            )
        rectified, rounded = f"{name}.relu", f"{name}.output"
        last = next(node for node in (rounded, rectified, name) if node in nodes)
        limits = point.activation.limits if last != name and point.activation else None
        locations.append(PointLocation(point, nodes[last].output[0], limits))
    return tuple(locations)


def _add_outputs(model: onnx.ModelProto, values: Sequence[str]) -> onnx.ModelProto:
    """Return a copy of `model` with `values` as additional outputs."""
    extended = deepcopy(model)
    known = {output.name for output in extended.graph.output}
    extended.graph.output.extend(_make_unshaped_value_info(value) for value in values if value not in known)
    return extended


def _cut_graph(model: onnx.ModelProto, values: Sequence[str]) -> onnx.ModelProto:
    """Return a copy of `model` in which each use of `values` is a new input."""
    cut = deepcopy(model)
    wanted, used = set(values), set[str]()
    for node in cut.graph.node:
        used |= wanted & set(node.input)
        node.input[:] = [_name_forced_input(name) if name in wanted else name for name in node.input]
    cut.graph.input.extend(_make_unshaped_value_info(_name_forced_input(value)) for value in values if value in used)
    return cut


def _name_forced_input(value: str) -> str:
    return f"{value} (given)"


def _make_unshaped_value_info(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _FLOAT, None)


def _open_unoptimized_session(model: onnx.ModelProto, artifact: Artifact) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = LOG_LEVEL_FATAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return open_session(model.SerializeToString(), options, path=artifact.path)
