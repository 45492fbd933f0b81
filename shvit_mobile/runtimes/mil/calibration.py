"""Calibration of a Core ML package by running it: the range of every value, whoever converted it.

coremltools' own needs a Mac, and in 9.0 keeps the range of the last image alone (coremltools#2704).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.recipe import ActivationScheme, ObserverName
from shvit_mobile.errors import BadImages
from shvit_mobile.quantize.observers import ObservedRange, Observer, create_observer
from shvit_mobile.runtimes.mil.program import ComputeMode, CoreMLProgram


def collect_value_ranges(
    package: AnyPath,
    images: Iterable[Mapping[str, NDArray[Any] | Tensor]],
    observer: ObserverName = "min-max",
    *,
    activations: ActivationScheme = "affine",
    mode: ComputeMode | None = None,
) -> dict[str, ObservedRange]:
    """The range of every float value of a package over some images, inputs and outputs among them.

    Args:
        package: an `.mlpackage` with an ML Program.
        images: the inputs of each run by name, as `CoreMLProgram` takes them.
        observer: how a range follows from the values seen.
        activations: what the ranges will be used for, which "mse" has to know.
        mode: how to compute; None as the program declares.

    Returns:
        (low, high) by the value's name in the program.

    Raises:
        BadImages: there are no images.
        BadArtifact: the package is damaged, or an operator fails.
        UnsupportedOperator: the executor does not know an operator.
        InvalidConfig, ShapeMismatch: the inputs are not the program's.
    """
    program = CoreMLProgram(package, mode=mode)
    observers: dict[str, Observer] = {}

    def see(name: str, value: Tensor) -> None:
        observers.setdefault(name, create_observer(observer, activations)).update(value)

    for inputs in images:
        program(inputs, observe=see)
    if not observers:
        raise BadImages(f"There are no images to run {package} on.", why="Ranges are measured on real images.")
    return {name: seen.compute_range() for name, seen in observers.items()}
