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
from shvit_mobile.deploy.comparison_points import Landmark
from shvit_mobile.errors import BadArtifact
from shvit_mobile.runtimes.onnxruntime import FATAL, first_line
from shvit_mobile.runtimes.probes.layers import Place
from shvit_mobile.runtimes.runner import input_values
from shvit_mobile.targets.onnx.inventory import read

FLOAT = onnx.TensorProto.FLOAT


class ONNXProbe:
    """A `Probe`."""

    def __init__(self, artifact: Artifact, landmarks: Sequence[Landmark]) -> None:
        """Raises:
        BadArtifact: the file is damaged, or its nodes are not named after the deploy form's layers.
        """
        self.engine = f"ONNX Runtime {onnxruntime.__version__} (CPU), optimisations off"
        self._artifact = artifact
        model = read(artifact.path)
        self.places = places_in(model.graph, landmarks, artifact)
        self._names = [place.value for place in self.places]
        shown = with_outputs(model, self._names)
        self._free, self._forced = session(shown, artifact), session(cut(shown, self._names), artifact)

    def free(self, pixels: NDArray[np.uint8]) -> dict[str, Tensor]:
        return self._run(self._free, self._image(pixels))

    def forced(self, pixels: NDArray[np.uint8], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        fed = {as_input(place.value): given[place.landmark.name].numpy() for place in self.places}
        taken = {there.name for there in self._forced.get_inputs()}
        return self._run(self._forced, {name: x for name, x in (self._image(pixels) | fed).items() if name in taken})

    def _image(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        manifest = self._artifact.manifest
        return {manifest.input.name: input_values(manifest, pixels)}

    def _run(self, session: Any, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
        try:
            values = session.run(self._names, inputs)
        except Exception as reason:  # ONNX Runtime's errors have no base of their own
            raise BadArtifact(f"ONNX Runtime cannot run {self._artifact.path}: {first_line(reason)}") from reason
        return {place.landmark.name: torch.from_numpy(value) for place, value in zip(self.places, values, strict=True)}


def places_in(graph: onnx.GraphProto, landmarks: Sequence[Landmark], artifact: Artifact) -> tuple[Place, ...]:
    """The place of every landmark, whose name its nodes have."""
    nodes = {node.name: node for node in graph.node}
    places = []
    for landmark in landmarks:
        name = f"{landmark.name}.add" if landmark.kind == "residual" else landmark.name
        if name not in nodes:
            raise BadArtifact(
                f"{artifact.path.name} has no node '{name}'.",
                why="Layers are found by the names that shvit-mobile gives their nodes.",
                hint="Export it again: shvit-mobile export --target onnx",
            )
        rectified, rounded = f"{name}.relu", f"{name}.output"
        last = next(node for node in (rounded, rectified, name) if node in nodes)
        places.append(Place(landmark, nodes[last].output[0], rectified in nodes))
    return tuple(places)


def with_outputs(model: onnx.ModelProto, values: Sequence[str]) -> onnx.ModelProto:
    """A copy of `model` that gives `values` besides its outputs."""
    shown = deepcopy(model)
    known = {output.name for output in shown.graph.output}
    shown.graph.output.extend(unshaped(value) for value in values if value not in known)
    return shown


def cut(model: onnx.ModelProto, values: Sequence[str]) -> onnx.ModelProto:
    """A copy of `model` in which whoever takes one of `values` takes an input in its place."""
    parts = deepcopy(model)
    wanted, used = set(values), set[str]()
    for node in parts.graph.node:
        used |= wanted & set(node.input)
        node.input[:] = [as_input(name) if name in wanted else name for name in node.input]
    parts.graph.input.extend(unshaped(as_input(value)) for value in values if value in used)
    return parts


def as_input(value: str) -> str:
    return f"{value} (given)"


def unshaped(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, FLOAT, None)


def session(model: onnx.ModelProto, artifact: Artifact) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as reason:  # ONNX Runtime's errors have no base of their own
        raise BadArtifact(f"ONNX Runtime cannot load {artifact.path}: {first_line(reason)}") from reason
