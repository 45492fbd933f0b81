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
from shvit_mobile.deploy.comparison_points import ComparisonPoint
from shvit_mobile.runtimes.coreml import prepare_images
from shvit_mobile.runtimes.mil.program import ComputeMode, CoreMLProgram, declares_fp16
from shvit_mobile.runtimes.probes.activations import ObservedValue, ValueCallback
from shvit_mobile.runtimes.probes.alignment import get_input_name, locate_points, map_values_to_layers
from shvit_mobile.targets.coreml.spec.package import MLPackage, find_entry_block
from shvit_mobile.targets.coreml.spec.values import decode_constant, to_python

ENGINE = "shvit-mobile reference executor"
# They square and sum what they take; `axes` says over what.
NORM_OPERATORS = ("layer_norm", "instance_norm")
REDUCTION_OPERATORS = ("reduce_mean", "reduce_sum")


class CoreMLActivationProbe:
    """A `Probe`."""

    engine = ENGINE

    def __init__(self, artifact: Artifact, points: Sequence[ComparisonPoint]) -> None:
        """Raises:
        BadArtifact: the package is damaged, or its layers are not the deploy form's.
        UnsupportedOperator: it has operators that the executor does not know.
        """
        self._artifact = artifact
        self._program = CoreMLProgram(artifact.path)
        self.locations = locate_points(list_operations(MLPackage(artifact.path)), points, artifact.path)
        self._names = {place.value: place.point.name for place in self.locations}

    def run_free(self, pixels: NDArray[np.uint8]) -> dict[str, Tensor]:
        return self._run(pixels, {})

    def run_teacher_forced(self, pixels: NDArray[np.uint8], forced_values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self._run(pixels, forced_values)

    def _run(self, pixels: NDArray[np.uint8], forced_values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        seen: dict[str, Tensor] = {}

        def observe(name: str, value: Tensor) -> Tensor | None:
            layer = self._names.get(name)
            if layer is None:
                return None
            seen[layer] = value
            return self._round_to_mode(forced_values[layer]) if layer in forced_values else None

        manifest = self._artifact.manifest
        self._program({manifest.input.name: prepare_images(manifest, pixels)}, observe=observe)
        return seen

    def _round_to_mode(self, value: Tensor) -> Tensor:
        """A float32 value as the program holds it."""
        return value.half().float() if self._program.mode == "fp16" else value


class CoreMLActivationObserver:
    """A `Watch`."""

    engine = ENGINE

    def __init__(self, artifact: Artifact, points: Sequence[ComparisonPoint]) -> None:
        """Raises what `CoreMLActivationProbe` raises."""
        self._artifact, self._programs = artifact, dict[ComputeMode, CoreMLProgram]()
        package = MLPackage(artifact.path)
        operations = list_operations(package)
        self.computes_in_fp16 = declares_fp16(operations)
        layers = map_values_to_layers(operations, locate_points(operations, points, artifact.path))
        self._values = {
            output.name: ObservedValue(output.name, layers[output.name], operation.type)
            for operation in operations
            for output in operation.outputs
        }
        self._norms, self._sums = (
            find_reductions(operations, types, package) for types in (NORM_OPERATORS, REDUCTION_OPERATORS)
        )

    def run(self, pixels: NDArray[np.uint8], on_value: ValueCallback, *, round_to_fp16: bool) -> None:
        manifest = self._artifact.manifest
        # A program without fp16 values has none that the executor would round.
        program = self._get_program("fp16" if round_to_fp16 and self.computes_in_fp16 else "fp32")
        observe = partial(self._observe, on_value, rounds=round_to_fp16 and not self.computes_in_fp16)
        program({manifest.input.name: prepare_images(manifest, pixels)}, observe=observe)

    def _get_program(self, mode: ComputeMode) -> CoreMLProgram:
        if mode not in self._programs:
            self._programs[mode] = CoreMLProgram(self._artifact.path, mode=mode)
        return self._programs[mode]

    def _observe(self, on_value: ValueCallback, name: str, value: Tensor, *, rounds: bool) -> Tensor | None:
        if rounds:
            value = value.half().float()
        on_value(self._values.get(name) or ObservedValue(name, "input", "input"), value)
        if name in self._norms:
            made, axes = self._norms[name]
            on_value(self._values[made].with_part("squares"), value.square())
            on_value(self._values[made].with_part("sum"), sum_over_axes(value.square(), axes))
        if name in self._sums:
            made, axes = self._sums[name]
            on_value(self._values[made].with_part("sum"), sum_over_axes(value, axes))
        return value if rounds else None


def list_operations(package: MLPackage) -> list[Any]:
    """The operations of the program, in its order."""
    _, block = find_entry_block(package)
    return list(block.operations)


def find_reductions(
    operations: Sequence[Any], types: Sequence[str], package: MLPackage
) -> dict[str, tuple[str, list[int] | None]]:
    """By what an operation of some types takes: what it makes, and the axes it sums over; None is all."""
    made_by = {output.name: operation for operation in operations for output in operation.outputs}
    return {
        get_input_name(operation, "x"): (operation.outputs[0].name, read_axes(operation, made_by, package))
        for operation in operations
        if operation.type in types
    }


def read_axes(operation: Any, producers: Mapping[str, Any], package: MLPackage) -> list[int] | None:
    """An instance norm, which has none, sums over all axes but the first two."""
    if operation.type == "instance_norm":
        return [2, 3]
    if "axes" not in operation.inputs:
        return None
    name = get_input_name(operation, "axes")
    value = producers[name].attributes["val"] if name else operation.inputs["axes"].arguments[0].value
    axes = to_python(decode_constant(value, package, torch.float32))
    return axes if isinstance(axes, list) else None


def sum_over_axes(value: Tensor, axes: list[int] | None) -> Tensor:
    return value.sum(list(range(value.ndim)) if axes is None else axes)
