"""A probe of LiteRT files: the interpreter without its delegate, which keeps every value.

Its own kernels then run operator by operator, so the error that fused kernels add is visible only in the drift of the
logits. For the teacher-forced run, each comparison point becomes an input of a copy of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.deploy.wiring import Call
from shvit_mobile.errors import BadArtifact
from shvit_mobile.runtimes.litert import ENGINE, open_interpreter, run_interpreter
from shvit_mobile.runtimes.probes.protocols import PointLocation
from shvit_mobile.runtimes.runner import prepare_input
from shvit_mobile.targets.litert.editing import GraphEditor
from shvit_mobile.targets.litert.flatbuffer import (
    OperatorView,
    get_activations,
    iterate_graph,
    list_sizes,
    read_model,
    read_values,
    write_model,
)
from shvit_mobile.targets.litert.int8 import INT8

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_MOVES = ("DEQUANTIZE", "TRANSPOSE", "RESHAPE")
_CHANNELS_FIRST, _CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


class LiteRTActivationProbe:
    """An `ActivationProbe`."""

    engine = f"{ENGINE}, without XNNPACK"

    def __init__(self, artifact: Artifact, points: Sequence[Call]) -> None:
        """Open the file.

        Raises:
            BadArtifact: If it is damaged, or its tensors do not have the names of the deploy form's layers.
        """
        self._artifact = artifact
        model = read_model(artifact.path)
        self.locations = _locate_points(model, points, artifact)
        self._channels_last = _find_channels_last(model)
        self._free = _Interpreter(artifact.path)
        _cut_graph(model, [location.value for location in self.locations])
        with TemporaryDirectory() as folder:
            path = Path(folder, artifact.path.name)
            path.write_bytes(write_model(model))
            self._forced = _Interpreter(path)

    def run_free(self, pixels: NDArray[np.uint8]) -> dict[str, Tensor]:
        return self._run(self._free, self._prepare_feed(pixels))

    def run_teacher_forced(self, pixels: NDArray[np.uint8], forced_values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        feed = self._prepare_feed(pixels)
        for location in self.locations:
            value = forced_values[location.point.name].numpy()
            if location.value in self._channels_last:
                value = value.transpose(_CHANNELS_LAST)
            feed[_name_forced_input(location.value)] = np.ascontiguousarray(value)
        return self._run(self._forced, feed)

    def _prepare_feed(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        manifest = self._artifact.manifest
        return {manifest.input.name: prepare_input(manifest, pixels)}

    def _run(self, interpreter: _Interpreter, feed: Mapping[str, NDArray[np.float32]]) -> dict[str, Tensor]:
        interpreter.run(feed, self._artifact.path)
        found = {}
        for location in self.locations:
            value = interpreter.read(location.value)
            if location.value in self._channels_last:
                value = value.transpose(_CHANNELS_FIRST)
            found[location.point.name] = torch.from_numpy(np.ascontiguousarray(value))
        return found


class _Interpreter:
    """An interpreter whose values can be read by name."""

    def __init__(self, path: Path) -> None:
        self._interpreter = open_interpreter(path, keeps_values=True)
        self._details = {detail["name"]: detail for detail in self._interpreter.get_tensor_details()}
        self._inputs = [detail["name"] for detail in self._interpreter.get_input_details()]

    def run(self, feed: Mapping[str, NDArray[np.float32]], path: Path) -> None:
        *others, last = self._inputs
        for name in others:
            detail = self._details[name]
            # A linear layer over positions has one axis less than PyTorch's.
            self._interpreter.set_tensor(detail["index"], feed[name].reshape(detail["shape"]))
        detail = self._details[last]
        run_interpreter(self._interpreter, detail["index"], feed[last].reshape(detail["shape"]), path)

    def read(self, name: str) -> NDArray[np.float32]:
        """Return a value, which is dequantized if it is int8."""
        detail = self._details[name]
        value: NDArray[Any] = self._interpreter.get_tensor(detail["index"])
        if value.dtype == np.float32:
            return value
        scale, zero_point = detail["quantization"]
        return (value.astype(np.float32) - zero_point) * np.float32(scale)


def _locate_points(model: Any, points: Sequence[Call], artifact: Artifact) -> tuple[PointLocation, ...]:
    """Locate each comparison point by the name of its tensor."""
    names = {view.outputs[0].name.decode() for view in iterate_graph(model)}
    suffixes = [f".{name.lower()}" for name in get_activations().values()]
    outputs, multiplied = artifact.manifest.output.names, _find_multiplied(model)
    locations = []
    for point in points:
        name = f"{point.name}.add" if point.kind == "residual" else point.name
        limited = [f"{name}{suffix}{end}" for end in (INT8, "") for suffix in suffixes]
        candidates = (*limited, f"{name}{INT8}", name)
        value = next((one for one in candidates if one in names), outputs[-1] if point is points[-1] else None)
        if value is None:
            raise BadArtifact(
                f"{artifact.path.name} has no tensor '{name}'.",
                why="shvit-mobile finds layers by the names that it gives their outputs.",
                hint="Export it again.",
            )
        # Integers end where the activation does, even if it is an operator of its own.
        limits = point.activation.limits if value != name and point.activation else None
        # The converter multiplies factors of channels behind a layer into its weight, and int8 takes them out again.
        locations.append(PointLocation(point, value, limits, scaled=value not in multiplied))
    return tuple(locations)


def _find_multiplied(model: Any) -> set[str]:
    """Return the names of the values that an operator multiplies by a constant, directly or after they are moved."""
    found = set[str]()
    for view in reversed(list(iterate_graph(model))):
        outputs = {output.name.decode() for output in view.outputs}
        variable = [tensor for tensor in view.inputs if tensor is not None and not view.is_constant(tensor)]
        is_product = view.kind == "MUL" and len(variable) == 1
        if is_product or (view.kind in _MOVES and outputs & found):
            found.add(variable[0].name.decode())
    return found


def _find_channels_last(model: Any) -> set[str]:
    """Return the names of the tensors of four axes whose channels are last, unlike those of PyTorch."""
    found: set[str] = set()
    for view in iterate_graph(model):
        if _has_channels_last(view, model, found):
            found.update(output.name.decode() for output in view.outputs)
    return found


def _has_channels_last(view: OperatorView, model: Any, known: set[str]) -> bool:
    if len(list_sizes(view.outputs[0])) != 4 or view.kind in ("RESHAPE", "FULLY_CONNECTED", "BATCH_MATMUL"):
        return False
    if view.kind == "TRANSPOSE":
        order = tuple(read_values(model, view.inputs[1]).tolist())
        return order == _CHANNELS_LAST
    return view.kind in _CONVOLUTIONS or any(
        tensor is not None and tensor.name.decode() in known for tensor in view.inputs
    )


def _cut_graph(model: Any, names: Sequence[str]) -> None:
    """Make each use of some tensors a new float input, in place."""
    editor = GraphEditor(model)
    tensors = {tensor.name.decode(): index for index, tensor in enumerate(editor.graph.tensors)}
    operators, replaced = list(editor.graph.operators), dict[int, int]()
    for name in names:
        index = tensors[name]
        original = editor.graph.tensors[index]
        given = editor.add_tensor(_name_forced_input(name), list_sizes(original), np.dtype(np.float32))
        editor.graph.inputs = [*editor.graph.inputs, given]
        replaced[index] = given
        if original.quantization is not None and name.endswith(INT8):
            integers = editor.add_tensor(f"{_name_forced_input(name)}{INT8}", list_sizes(original), np.dtype(np.int8))
            editor.graph.tensors[integers].quantization = original.quantization
            editor.add_operator("QUANTIZE", [given], [integers])
            replaced[index] = integers
    for operator in operators:
        operator.inputs = [replaced.get(int(index), int(index)) for index in operator.inputs]
    editor.operators += operators
    # What only computes a point is kept, because it is read.
    editor.graph.outputs = [
        *editor.graph.outputs,
        *(tensors[name] for name in names if tensors[name] not in map(int, editor.graph.outputs)),
    ]
    editor.finish()


def _name_forced_input(value: str) -> str:
    return f"{value} (given)"
