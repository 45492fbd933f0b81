"""A probe and an observer of what Core ML runs: the reference executor shows every value of the program.

They use it on a Mac too, because Core ML itself shows only the outputs.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.deploy.wiring import Call
from shvit_mobile.runtimes.coreml import REFERENCE_ENGINE, get_function, prepare_images
from shvit_mobile.runtimes.mil.program import ComputeMode, CoreMLProgram, declares_fp16
from shvit_mobile.runtimes.probes.alignment import Operation, locate_points, map_values_to_layers
from shvit_mobile.runtimes.probes.protocols import ObservedValue, ValueCallback
from shvit_mobile.targets.coreml.spec.package import (
    MLPackage,
    get_input_name,
    iterate_input_names,
    list_operations,
    map_producers,
)
from shvit_mobile.targets.coreml.spec.values import decode_constant, read_shape, to_python
from shvit_mobile.targets.opened_package import OpenedPackage

# They sum the squares of their input over `axes`.
_NORM_OPERATORS = ("layer_norm", "instance_norm", "l2_norm", "reduce_l2_norm", "reduce_sum_square")
_REDUCTION_OPERATORS = ("reduce_mean", "reduce_sum", "reduce_log_sum")
# The axes of operators that have no input `axes`.
_FIXED_AXES = {"instance_norm": [2, 3], "l2_norm": [-3, -2, -1]}


class CoreMLActivationProbe:
    """An `ActivationProbe`."""

    engine = REFERENCE_ENGINE

    def __init__(self, artifact: Artifact, points: Sequence[Call]) -> None:
        """Open the package.

        Raises:
            BadArtifact: If it is damaged, or its layers are not those of the deploy form.
            UnsupportedOperator: If the executor does not implement one of its operators.
        """
        self._artifact, self._package = artifact, OpenedPackage(artifact.path)
        function = get_function(artifact.manifest)
        self._program = CoreMLProgram(self._package.path, function=function)
        operations = _describe_operations(list_operations(MLPackage(self._package.path), function))
        self.locations = locate_points(operations, points, artifact.path)
        self._names = {location.value: location.point.name for location in self.locations}

    def run_free(self, pixels: NDArray[np.uint8]) -> dict[str, Tensor]:
        return self.run_teacher_forced(pixels, {})

    def run_teacher_forced(self, pixels: NDArray[np.uint8], forced_values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}

        def observe(name: str, value: Tensor) -> Tensor | None:
            layer = self._names.get(name)
            if layer is None:
                return None
            values[layer] = value
            forced = forced_values.get(layer)
            # The program stores its values in fp16 in this mode.
            return forced.half().float() if forced is not None and self._program.mode == "fp16" else forced

        manifest = self._artifact.manifest
        self._program({manifest.input.name: prepare_images(manifest, pixels)}, observe=observe)
        return values


class CoreMLActivationObserver:
    """An `ActivationObserver`."""

    engine = REFERENCE_ENGINE

    def __init__(self, artifact: Artifact, points: Sequence[Call]) -> None:
        """Open the package; raises what `CoreMLActivationProbe` raises."""
        self._artifact, self._package = artifact, OpenedPackage(artifact.path)
        self._programs = dict[ComputeMode, CoreMLProgram]()
        package = MLPackage(self._package.path)
        operations = list_operations(package, get_function(artifact.manifest))
        self.computes_in_fp16 = declares_fp16(operations)
        described = _describe_operations(operations)
        layers = map_values_to_layers(described, locate_points(described, points, artifact.path))
        self._values = {
            output.name: ObservedValue(output.name, layers[output.name], operation.type)
            for operation in operations
            for output in operation.outputs
        }
        self._norms, self._sums = (
            _find_reductions(operations, types, package) for types in (_NORM_OPERATORS, _REDUCTION_OPERATORS)
        )

    def run(self, pixels: NDArray[np.uint8], on_value: ValueCallback, *, round_to_fp16: bool) -> None:
        manifest = self._artifact.manifest
        # The executor rounds only values that the program declares as fp16; `_observe` rounds the others.
        program = self._get_program("fp16" if round_to_fp16 and self.computes_in_fp16 else "fp32")
        observe = partial(self._observe, on_value, rounds=round_to_fp16 and not self.computes_in_fp16)
        program({manifest.input.name: prepare_images(manifest, pixels)}, observe=observe)

    def _get_program(self, mode: ComputeMode) -> CoreMLProgram:
        if mode not in self._programs:
            function = get_function(self._artifact.manifest)
            self._programs[mode] = CoreMLProgram(self._package.path, mode=mode, function=function)
        return self._programs[mode]

    def _observe(self, on_value: ValueCallback, name: str, value: Tensor, *, rounds: bool) -> Tensor | None:
        if rounds:
            value = value.half().float()
        on_value(self._values.get(name) or ObservedValue(name, "input", "input"), value)
        for result, axes in self._norms[name]:
            on_value(self._values[result].with_part("squares"), value.square())
            on_value(self._values[result].with_part("sum"), _sum_over_axes(value.square(), axes))
        for result, axes in self._sums[name]:
            on_value(self._values[result].with_part("sum"), _sum_over_axes(value, axes))
        return value if rounds else None


def _describe_operations(operations: Sequence[Any]) -> list[Operation]:
    """Return what `alignment` needs to know of operations of MIL."""
    shapes = {
        output.name: read_shape(output.type.tensorType)
        for operation in operations
        for output in operation.outputs
        if output.type.WhichOneof("type") == "tensorType"
    }
    return [
        Operation(
            kind=operation.type,
            inputs=tuple(iterate_input_names(operation)),
            outputs=tuple(output.name for output in operation.outputs),
            source=get_input_name(operation, "x") or get_input_name(operation, "input"),  # `input` where it rounds
            weight_shape=shapes.get(get_input_name(operation, "weight"), ()),
        )
        for operation in operations
    ]


def _find_reductions(
    operations: Sequence[Any], types: Sequence[str], package: MLPackage
) -> defaultdict[str, list[tuple[str, list[int] | None]]]:
    """Map each value to the results of `types` that it is the input of, with the axes summed over; None means all."""
    producers = map_producers(operations)
    reductions: defaultdict[str, list[tuple[str, list[int] | None]]] = defaultdict(list)
    for operation in operations:
        if operation.type in types:
            axes = _read_axes(operation, producers, package)
            reductions[get_input_name(operation, "x")].append((operation.outputs[0].name, axes))
    return reductions


def _read_axes(operation: Any, producers: Mapping[str, Any], package: MLPackage) -> list[int] | None:
    if operation.type in _FIXED_AXES:
        return _FIXED_AXES[operation.type]
    if "axes" not in operation.inputs:
        return None
    name = get_input_name(operation, "axes")
    value = producers[name].attributes["val"] if name else operation.inputs["axes"].arguments[0].value
    axes = to_python(decode_constant(value, package, torch.float32))
    return axes if isinstance(axes, list) else None


def _sum_over_axes(value: Tensor, axes: list[int] | None) -> Tensor:
    return value.sum(list(range(value.ndim)) if axes is None else axes)
