"""The reference executor: runs the program of a Core ML package with torch on the CPU, on any system.

It executes the specification, not the kernels of Apple's CPU, GPU or Neural Engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from shvit_mobile.errors import BadArtifact, UnsupportedOperator, WrongConfig
from shvit_mobile.runtimes.mil.features import Input, inputs_of, missing_or_foreign
from shvit_mobile.runtimes.mil.operators import OPERATORS
from shvit_mobile.runtimes.mil.package import Package
from shvit_mobile.runtimes.mil.proto import messages
from shvit_mobile.runtimes.mil.steps import Binder, Step, with_lifetimes

Mode = Literal["fp32", "fp16", "fp64"]
Observer = Callable[[str, Tensor], Tensor | None]


class CoreMLProgram:
    """A loaded `.mlpackage`.

    Attributes:
        mode: "fp32" and "fp64" compute every float in that precision; "fp16" computes in fp32 and rounds each value
            that the program declares as fp16.
        inputs: what it takes, by name.
        outputs: the names of what it gives.
        operators: how many there are of each kind, constants left out.
    """

    def __init__(self, path: Path, *, mode: Mode | None = None) -> None:
        """Reads the package and decodes its constants.

        Args:
            path: of the package.
            mode: None for "fp16" where the program declares fp16 values, and "fp32" where it does not.

        Raises:
            BadArtifact: the package is missing, damaged or not an ML Program.
            UnsupportedOperator: it has operators, or forms of them, that the executor does not know.
        """
        package = Package(path)
        function, block = entry(package)
        operations = list(block.operations)
        self.operators = Counter(operation.type for operation in operations if operation.type != "const")
        refuse_unknown(self.operators, path)
        self.mode: Mode = mode or ("fp16" if declares_fp16(operations) else "fp32")
        self.inputs: dict[str, Input] = inputs_of(package.model, function)
        self.outputs: tuple[str, ...] = tuple(block.outputs)
        self._path = path
        self._real = torch.float64 if self.mode == "fp64" else torch.float32
        self._constants, self._steps = self._bound(operations, package)

    @torch.inference_mode()
    def __call__(
        self, inputs: Mapping[str, NDArray[Any] | Tensor], *, observe: Observer | None = None
    ) -> dict[str, Any]:
        """Runs the program once.

        Args:
            inputs: an array or tensor by name of input, of the declared shape; for an image uint8, shape (height,
                width, 3), red first, or (height, width).
            observe: called with the name and the tensor of every float input and every float value as it is made; it
                must not change the tensor, but may return another one to take its place.

        Returns:
            By name of output: an array (float32, or float64 in mode "fp64"), and of a classifier the label and a
            dictionary of probabilities.

        Raises:
            WrongConfig: the names of the inputs are not the program's, or an image is not of uint8.
            ShapeMismatch: an input is not of the declared shape.
            BadArtifact: an operator fails, or its result is not what the program declares.
        """
        values: dict[str, Any] = self._constants | self._taken(inputs)
        if observe:
            report(self.inputs, values, self._real, observe)
        for step in self._steps:
            step.run(values)
            if observe:
                report((output.name for output in step.outputs), values, self._real, observe)
            for name in step.dead:
                del values[name]
        return {name: given(values[name]) for name in self.outputs}

    @torch.inference_mode()
    def _bound(self, operations: list[Any], package: Package) -> tuple[dict[str, Any], tuple[Step, ...]]:
        binder = Binder(package, self.inputs, self._real, rounding=self.mode == "fp16")
        steps = [step for step in map(binder.step, operations) if step]
        made = self.inputs.keys() | binder.constants.keys() | {output.name for s in steps for output in s.outputs}
        if lost := set(self.outputs) - made:
            raise BadArtifact(f"{self._path} makes no {', '.join(sorted(lost))}.", why="The program is damaged.")
        used = set(self.outputs).union(*(step.uses for step in steps))
        constants = {name: value for name, value in binder.constants.items() if name in used}
        return constants, with_lifetimes(steps, kept={*self.outputs, *constants})

    def _taken(self, inputs: Mapping[str, NDArray[Any] | Tensor]) -> dict[str, Tensor]:
        if wrong := missing_or_foreign(inputs, self.inputs):
            raise WrongConfig(f"The inputs {wrong}.", why=f"{self._path} takes {', '.join(self.inputs)}.")
        tensors = {name: contract.tensor(inputs[name], self._real) for name, contract in self.inputs.items()}
        if self.mode == "fp16":
            halves = {name for name, contract in self.inputs.items() if contract.dtype == "FLOAT16"}
            tensors |= {name: tensors[name].half().to(self._real) for name in halves}
        return tensors


def entry(package: Package) -> tuple[Any, Any]:
    """The function that runs by default, and its block of operations."""
    name = package.model.description.defaultFunctionName or "main"
    functions = package.model.mlProgram.functions
    if name not in functions:
        raise BadArtifact(f"{package.path} has no function '{name}'.", why=f"It has: {', '.join(functions) or 'none'}.")
    function = functions[name]
    if function.opset not in function.block_specializations:
        raise BadArtifact(f"{package.path} has no block for its opset '{function.opset}'.", why="It is damaged.")
    return function, function.block_specializations[function.opset]


def refuse_unknown(operators: Counter[str], path: Path) -> None:
    unknown = {name: count for name, count in operators.most_common() if name not in OPERATORS}
    if unknown:
        listed = ", ".join(f"{name} ({count})" for name, count in unknown.items())
        raise UnsupportedOperator(
            f"{path} has operators that the reference executor does not know: {listed}.",
            why="It knows those that SHViT needs; Core ML on a Mac knows them all.",
        )


def declares_fp16(operations: Iterable[Any]) -> bool:
    half = messages("MIL_pb2").FLOAT16
    return any(output.type.tensorType.dataType == half for operation in operations for output in operation.outputs)


def report(names: Iterable[str], values: dict[str, Any], real: torch.dtype, observe: Observer) -> None:
    """Tells `observe` of those of the named values that are floats, and puts what it returns in their place."""
    for name in names:
        if isinstance(values[name], Tensor) and values[name].dtype == real:
            other = observe(name, values[name])
            values[name] = values[name] if other is None else other


def given(value: Any) -> Any:
    """An output as a caller takes it: tensors as arrays of their own memory."""
    return value.numpy().copy() if isinstance(value, Tensor) else value
