"""A probe of Core AI packages: Apple's runtime, with the value at each comparison point as an output or an input.

An operator whose output is asked for is not fused with others, so the error that fused kernels add is visible only in
the drift of the logits.
"""

import weakref
from collections.abc import Mapping, Sequence
from contextlib import closing
from importlib.metadata import version
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.deploy.wiring import Call
from shvit_mobile.runtimes.probes.alignment import Operation, locate_points
from shvit_mobile.runtimes.runner import prepare_input
from shvit_mobile.targets.coreai.process import CoreAIProcess

# Core AI's operators in the words of `alignment`.
_KINDS = {
    "constant": "const",
    "conv2d": "conv",
    "batch_matmul": "linear",
    "add": "add",
    "mul": "mul",
    "divide": "real_div",
    "maximum": "clip",
    "minimum": "clip",
}
_MOVING_OPERATORS = ("dequantize", "transpose", "reshape", "cast")


class CoreAIActivationProbe:
    """An `ActivationProbe`."""

    engine: str

    def __init__(self, artifact: Artifact, points: Sequence[Call]) -> None:
        """Open the package, and two others with more outputs and inputs.

        Raises:
            BadArtifact: If it is damaged, or its layers are not those of the deploy form.
            ToolMissing: If coreai-core is not installed.
        """
        self._artifact = artifact
        self.engine = f"Core AI {version('coreai-core')} (CPU), with all layers as outputs"
        with TemporaryDirectory() as folder, closing(CoreAIProcess(artifact.path, "expose")) as process:
            operations = describe_operations(process.facts["operators"])
            self.locations = locate_points(operations, points, artifact.path)
            free, forced = (Path(folder, name, artifact.path.name) for name in ("free", "forced"))
            process.expose([location.value for location in self.locations], free, forced)
            self._free, self._forced = _Program(free), _Program(forced)

    def run_free(self, pixels: NDArray[np.uint8]) -> dict[str, Tensor]:
        return self._run(self._free, self._prepare_feed(pixels))

    def run_teacher_forced(self, pixels: NDArray[np.uint8], forced_values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        feed = self._prepare_feed(pixels) | {
            f"{location.value} (given)": forced_values[location.point.name].numpy() for location in self.locations
        }
        return self._run(self._forced, feed)

    def _prepare_feed(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        manifest = self._artifact.manifest
        return {manifest.input.name: prepare_input(manifest, pixels)}

    def _run(self, program: "_Program", feed: Mapping[str, NDArray[np.float32]]) -> dict[str, Tensor]:
        values, found = program.run(feed), {}
        for location in self.locations:
            value = torch.from_numpy(values[location.value])
            # In fp16, the head is a convolution.
            found[location.point.name] = (
                value.flatten(1) if location.point.kind == "linear" and value.ndim == 4 else value
            )
        return found


class _Program:
    """A package whose inputs and outputs have names, in a process that ends with this object."""

    def __init__(self, path: Path) -> None:
        self._process = CoreAIProcess(path, "run")
        weakref.finalize(self, self._process.close)

    def run(self, feed: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        facts, place, found = self._process.facts, 0, {}
        given = b"".join(np.ascontiguousarray(feed[name], np.float32).tobytes() for name, _, _ in facts["inputs"])
        values = np.frombuffer(self._process.run(given), np.float32)
        for name, _, shape in facts["outputs"]:
            found[name] = values[place : place + prod(shape)].reshape(shape).copy()
            place += prod(shape)
        return found


def describe_operations(facts: Sequence[Mapping[str, Any]]) -> list[Operation]:
    """Return what `alignment` needs to know of Core AI's operators.

    A layer is a convolution, or a product with a constant matrix, of what depends on the input. Its bias is added by an
    operator of its own.

    Args:
        facts: What `worker.py` says about each operator.
    """
    operations: list[Operation] = []
    # By the values that are constant: the shape that the constant has before it is moved or dequantized.
    constants: dict[str, tuple[int, ...]] = {}
    known, dependent, layers = set[str](), set[str](), set[str]()
    for fact in facts:
        inputs, outputs = tuple(fact["inputs"]), tuple(fact["outputs"])
        operator = str(fact["operator"]).removeprefix("broadcasting_")
        kind = _KINDS.get(operator, operator)
        shape: tuple[int, ...] = ()
        variable = [name for name in inputs if name in dependent or name not in known]
        if operator == "constant":
            constants[outputs[0]] = tuple(fact["shape"])
        elif operator in _MOVING_OPERATORS and inputs[0] in constants:
            constants[outputs[0]] = constants[inputs[0]]
        elif kind in ("conv", "linear") and inputs[0] in variable and inputs[1] in constants:
            shape = constants[inputs[1]]
            layers.update(outputs)
        elif kind == "add" and len(variable) == 1 and variable[0] in layers:
            kind = "bias"
        elif kind not in ("add", "mul", "real_div") and (kind != "clip" or len(variable) != 1):
            kind = operator
        known.update(outputs)
        if variable:
            dependent.update(outputs)
        operations.append(Operation(kind, inputs, outputs, inputs[0] if inputs else "", shape))
    return operations
