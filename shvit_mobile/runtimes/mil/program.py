"""The reference executor: runs the program of a Core ML package with torch on the CPU, on any system.

It executes the specification, not the kernels of Apple's CPU, GPU or Neural Engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadArtifact, InvalidConfig, ShapeMismatch, UnsupportedOperator
from shvit_mobile.runtimes.mil.batching import batch_steps
from shvit_mobile.runtimes.mil.batching_rules import NotBatchable
from shvit_mobile.runtimes.mil.features import ProgramInput, describe_name_mismatch, read_inputs
from shvit_mobile.runtimes.mil.operations import ProgramStep, StepBinder, assign_lifetimes
from shvit_mobile.runtimes.mil.operators import OPERATORS
from shvit_mobile.runtimes.mil.qdq_fusion import fuse_quantize_dequantize
from shvit_mobile.targets.coreml.spec.package import MLPackage, find_entry_block
from shvit_mobile.targets.coreml.spec.proto import import_messages

ComputeMode = Literal["fp32", "fp16", "fp64"]
ValueHook = Callable[[str, Tensor], Tensor | None]
ArrayOrTensor = NDArray[Any] | Tensor
# Images that run at once. Fewer keep the processor waiting for weights, more no longer fit its caches.
MAX_BATCH_SIZE = 16


class CoreMLProgram:
    """A loaded `.mlpackage`: `CoreMLProgram("model.mlpackage")(images)`.

    Attributes:
        mode: "fp32" and "fp64" compute every float in that precision; "fp16" computes in fp32 and rounds each value
            that the program declares as fp16.
        path: of the package.
        inputs: what it takes, by name.
        outputs: the names of what it gives.
        operators: how many there are of each kind, constants left out.
        one_at_a_time: why many images do not run at once: the first operator that refuses, and its reason; None where
            they do.
    """

    def __init__(self, path: AnyPath, *, mode: ComputeMode | None = None) -> None:
        """Reads the package and decodes its constants.

        Args:
            path: of the package.
            mode: None for "fp16" where the program declares fp16 values, and "fp32" where it does not.

        Raises:
            BadArtifact: the package is missing, damaged or not an ML Program.
            UnsupportedOperator: it has operators, or forms of them, that the executor does not know.
        """
        package = MLPackage(Path(path))
        function, block = find_entry_block(package)
        operations = list(block.operations)
        self.operators = Counter(operation.type for operation in operations if operation.type != "const")
        check_operators(self.operators, package.path)
        self.mode: ComputeMode = mode or ("fp16" if declares_fp16(operations) else "fp32")
        self.inputs: dict[str, ProgramInput] = read_inputs(package.model, function)
        self.outputs: tuple[str, ...] = tuple(block.outputs)
        self.path = package.path
        self._real = torch.float64 if self.mode == "fp64" else torch.float32
        self._constants, self._steps = self._bind_steps(operations, package)
        self._by_rows, self.not_batchable_reason = self._batch_steps()

    @torch.inference_mode()
    def __call__(
        self, inputs: Mapping[str, ArrayOrTensor] | ArrayOrTensor, *, observe: ValueHook | None = None
    ) -> dict[str, Any]:
        """Runs the program on one image or many.

        Args:
            inputs: an array or tensor by name of input, of the declared shape; for an image uint8, shape (height,
                width, 3), red first, or (height, width). For many, all inputs have one more axis before these if they
                are images, and more than one row if they are tensors (1, …). The array itself where there is but one
                input.
            observe: called with the name and the tensor of every float input and every float value as it is made; it
                must not change the tensor, but may return another one to take its place. Many images come some at a
                time, along the first axis.

        Returns:
            By name of output: an array (float32, or float64 in mode "fp64"), and of a classifier the label and a
            dictionary of probabilities. For many images, arrays hold them along the first axis, and labels and
            dictionaries come in lists.

        Raises:
            InvalidConfig: the names of the inputs are not the program's, or an image is not of uint8.
            ShapeMismatch: an input is not of the declared shape, or inputs hold different numbers of images.
            BadArtifact: an operator fails, or its result is not what the program declares.
        """
        named = self.name_inputs(inputs)
        images = self.count_images(named)
        if images is None:
            values = self._run(self._steps, named, None, observe)
            return {name: value[0] if isinstance(value, list) else value for name, value in values.items()}
        parts = [self.run_batch(some, observe) for some in self._split_into_batches(named, images)]
        return {name: join_outputs([part[name] for part in parts]) for name in self.outputs}

    def name_inputs(self, inputs: Mapping[str, ArrayOrTensor] | ArrayOrTensor) -> Mapping[str, ArrayOrTensor]:
        if not isinstance(inputs, Mapping):
            if len(self.inputs) != 1:
                raise InvalidConfig("The inputs have no names.", why=f"{self.path} takes {', '.join(self.inputs)}.")
            return {next(iter(self.inputs)): inputs}
        if wrong := describe_name_mismatch(inputs, self.inputs):
            raise InvalidConfig(f"The inputs {wrong}.", why=f"{self.path} takes {', '.join(self.inputs)}.")
        return inputs

    def count_images(self, named: Mapping[str, ArrayOrTensor]) -> int | None:
        """How many images the inputs hold; None for one that stands by itself."""
        counts = {contract.count_images(named[name]) for name, contract in self.inputs.items()}
        if len(counts) > 1:
            told = ", ".join(str(count) for count in sorted(count or 1 for count in counts))
            raise ShapeMismatch(f"The inputs hold different numbers of images: {told}.", why="They belong together.")
        images = counts.pop() if counts else None
        if images == 0:
            raise ShapeMismatch("The inputs hold no image.", why="The program runs on one or more.")
        return images

    def _split_into_batches(
        self, named: Mapping[str, ArrayOrTensor], images: int
    ) -> Iterator[Mapping[str, ArrayOrTensor]]:
        """The images in as many parts as are run after one another."""
        at_once = 1 if self._by_rows is None else MAX_BATCH_SIZE
        for first in range(0, images, at_once):
            yield {name: given[first : first + at_once] for name, given in named.items()}

    def run_batch(self, named: Mapping[str, ArrayOrTensor], observe: ValueHook | None = None) -> dict[str, Any]:
        """What a part of the images gives, a row an image."""
        if self._by_rows is not None:
            return self._run(self._by_rows, named, len(next(iter(named.values()))), observe)
        alone = self._run(self._steps, named, None, observe)
        return {name: value if np.shape(value)[:1] == (1,) else value[None] for name, value in alone.items()}

    def _run(
        self,
        steps: Iterable[ProgramStep],
        named: Mapping[str, ArrayOrTensor],
        rows: int | None,
        observe: ValueHook | None,
    ) -> dict[str, Any]:
        values: dict[str, Any] = self._constants | self._prepare_inputs(named)
        if observe:
            observe_values(self.inputs, values, self._real, observe)
        for step in steps:
            step.run(values, rows)
            if observe:
                observe_values((output.name for output in step.outputs), values, self._real, observe)
            for name in step.dead:
                del values[name]
        return {name: copy_output(values[name]) for name in self.outputs}

    @torch.inference_mode()
    def _bind_steps(self, operations: list[Any], package: MLPackage) -> tuple[dict[str, Any], tuple[ProgramStep, ...]]:
        binder = StepBinder(package, self.inputs, self._real, rounding=self.mode == "fp16")
        steps = [step for step in map(binder.bind, operations) if step]
        made = self.inputs.keys() | binder.constants.keys() | {output.name for s in steps for output in s.outputs}
        if lost := set(self.outputs) - made:
            raise BadArtifact(f"{self.path} makes no {', '.join(sorted(lost))}.", why="The program is damaged.")
        used = set(self.outputs).union(*(step.uses for step in steps))
        constants = {name: value for name, value in binder.constants.items() if name in used}
        return constants, assign_lifetimes(steps, kept={*self.outputs, *constants})

    def _batch_steps(self) -> tuple[tuple[ProgramStep, ...] | None, str | None]:
        """The steps that many images take at once, or why there are none."""
        shapes = {name: contract.shape for name, contract in self.inputs.items()}
        try:
            steps = batch_steps(self._steps, shapes, self.outputs, self._constants)
        except NotBatchable as reason:
            return None, str(reason)
        kept = {*self.outputs, *self._constants}
        return assign_lifetimes(fuse_quantize_dequantize(steps, self._constants, self.outputs), kept), None

    def _prepare_inputs(self, inputs: Mapping[str, ArrayOrTensor]) -> dict[str, Tensor]:
        tensors = {name: contract.to_tensor(inputs[name], self._real) for name, contract in self.inputs.items()}
        if self.mode == "fp16":
            halves = {name for name, contract in self.inputs.items() if contract.dtype == "FLOAT16"}
            tensors |= {name: tensors[name].half().to(self._real) for name in halves}
        return tensors


def check_operators(operators: Counter[str], path: Path) -> None:
    unknown = {name: count for name, count in operators.most_common() if name not in OPERATORS}
    if unknown:
        listed = ", ".join(f"{name} ({count})" for name, count in unknown.items())
        raise UnsupportedOperator(
            f"{path} has operators that the reference executor does not know: {listed}.",
            why="It knows those that SHViT needs; Core ML on a Mac knows them all.",
        )


def declares_fp16(operations: Iterable[Any]) -> bool:
    half = import_messages("MIL_pb2").FLOAT16
    return any(output.type.tensorType.dataType == half for operation in operations for output in operation.outputs)


def observe_values(names: Iterable[str], values: dict[str, Any], real: torch.dtype, observe: ValueHook) -> None:
    """Tells `observe` of those of the named values that are floats, and puts what it returns in their place."""
    for name in names:
        if isinstance(values[name], Tensor) and values[name].dtype == real:
            other = observe(name, values[name])
            values[name] = values[name] if other is None else other


def join_outputs(parts: list[Any]) -> Any:
    """An output of all images: rows of arrays one below the other, lists one after the other."""
    if isinstance(parts[0], list):
        return [item for part in parts for item in part]
    return np.concatenate(parts)


def copy_output(value: Any) -> Any:
    """An output as a caller takes it: tensors as arrays of their own memory."""
    return value.numpy().copy() if isinstance(value, Tensor) else value
