"""Inside a Core ML package, on any system: the reference executor shows every value of the program.

On a Mac too: Core ML itself shows nothing but the outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.deploy.comparison_points import Landmark
from shvit_mobile.runtimes.coreml import taken
from shvit_mobile.runtimes.mil.program import CoreMLProgram, Mode, declares_fp16
from shvit_mobile.runtimes.probes.activations import Look, Value
from shvit_mobile.runtimes.probes.alignment import bound, owners, places_in
from shvit_mobile.targets.coreml.spec.package import Package, entry
from shvit_mobile.targets.coreml.spec.values import constant, plain

ENGINE = "shvit-mobile reference executor"
# They square and sum what they take; `axes` says over what.
NORMS = ("layer_norm", "instance_norm")
SUMS = ("reduce_mean", "reduce_sum")


class CoreMLProbe:
    """A `Probe`."""

    engine = ENGINE

    def __init__(self, artifact: Artifact, landmarks: Sequence[Landmark]) -> None:
        """Raises:
        BadArtifact: the package is damaged, or its layers are not the deploy form's.
        UnsupportedOperator: it has operators that the executor does not know.
        """
        self._artifact = artifact
        self._program = CoreMLProgram(artifact.path)
        self.places = places_in(operations_of(Package(artifact.path)), landmarks, artifact.path)
        self._names = {place.value: place.landmark.name for place in self.places}

    def free(self, pixels: NDArray[np.uint8]) -> dict[str, Tensor]:
        return self._run(pixels, {})

    def forced(self, pixels: NDArray[np.uint8], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self._run(pixels, given)

    def _run(self, pixels: NDArray[np.uint8], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        seen: dict[str, Tensor] = {}

        def observe(name: str, value: Tensor) -> Tensor | None:
            layer = self._names.get(name)
            if layer is None:
                return None
            seen[layer] = value
            return self._held(given[layer]) if layer in given else None

        manifest = self._artifact.manifest
        self._program({manifest.input.name: taken(manifest, pixels)}, observe=observe)
        return seen

    def _held(self, value: Tensor) -> Tensor:
        """A float32 value as the program holds it."""
        return value.half().float() if self._program.mode == "fp16" else value


class CoreMLWatch:
    """A `Watch`."""

    engine = ENGINE

    def __init__(self, artifact: Artifact, landmarks: Sequence[Landmark]) -> None:
        """Raises what `CoreMLProbe` raises."""
        self._artifact, self._programs = artifact, dict[Mode, CoreMLProgram]()
        package = Package(artifact.path)
        operations = operations_of(package)
        self.computes_in_half = declares_fp16(operations)
        layers = owners(operations, places_in(operations, landmarks, artifact.path))
        self._values = {
            output.name: Value(output.name, layers[output.name], operation.type)
            for operation in operations
            for output in operation.outputs
        }
        self._norms, self._sums = (summing(operations, types, package) for types in (NORMS, SUMS))

    def run(self, pixels: NDArray[np.uint8], look: Look, *, half: bool) -> None:
        manifest = self._artifact.manifest
        # A program without fp16 values has none that the executor would round.
        program = self._program("fp16" if half and self.computes_in_half else "fp32")
        observe = partial(self._observe, look, rounds=half and not self.computes_in_half)
        program({manifest.input.name: taken(manifest, pixels)}, observe=observe)

    def _program(self, mode: Mode) -> CoreMLProgram:
        if mode not in self._programs:
            self._programs[mode] = CoreMLProgram(self._artifact.path, mode=mode)
        return self._programs[mode]

    def _observe(self, look: Look, name: str, value: Tensor, *, rounds: bool) -> Tensor | None:
        if rounds:
            value = value.half().float()
        look(self._values.get(name) or Value(name, "input", "input"), value)
        if name in self._norms:
            made, axes = self._norms[name]
            look(self._values[made].inside("squares"), value.square())
            look(self._values[made].inside("sum"), summed(value.square(), axes))
        if name in self._sums:
            made, axes = self._sums[name]
            look(self._values[made].inside("sum"), summed(value, axes))
        return value if rounds else None


def operations_of(package: Package) -> list[Any]:
    """The operations of the program, in its order."""
    _, block = entry(package)
    return list(block.operations)


def summing(
    operations: Sequence[Any], types: Sequence[str], package: Package
) -> dict[str, tuple[str, list[int] | None]]:
    """By what an operation of some types takes: what it makes, and the axes it sums over; None is all."""
    made_by = {output.name: operation for operation in operations for output in operation.outputs}
    return {
        bound(operation, "x"): (operation.outputs[0].name, axes_of(operation, made_by, package))
        for operation in operations
        if operation.type in types
    }


def axes_of(operation: Any, made_by: Mapping[str, Any], package: Package) -> list[int] | None:
    """An instance norm, which has none, sums over all axes but the first two."""
    if operation.type == "instance_norm":
        return [2, 3]
    if "axes" not in operation.inputs:
        return None
    name = bound(operation, "axes")
    value = made_by[name].attributes["val"] if name else operation.inputs["axes"].arguments[0].value
    axes = plain(constant(value, package, torch.float32))
    return axes if isinstance(axes, list) else None


def summed(value: Tensor, axes: list[int] | None) -> Tensor:
    return value.sum(list(range(value.ndim)) if axes is None else axes)
