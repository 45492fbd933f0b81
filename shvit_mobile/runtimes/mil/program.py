"""The reference executor: run the program of a Core ML package with torch on the CPU, on any system.

It implements the specification, not the kernels of Apple's CPU, GPU or Neural Engine.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadArtifact, InvalidValue, ShapeMismatch, UnsupportedOperator
from shvit_mobile.runtimes.mil.batching import batch_steps
from shvit_mobile.runtimes.mil.batching_rules import NotBatchable
from shvit_mobile.runtimes.mil.features import ProgramInput, read_inputs
from shvit_mobile.runtimes.mil.operations import ProgramStep, StepBinder, assign_lifetimes
from shvit_mobile.runtimes.mil.operators import OPERATORS
from shvit_mobile.runtimes.mil.qdq_fusion import fuse_quantize_dequantize
from shvit_mobile.targets.coreml.spec.package import MLPackage, find_description, find_entry_block
from shvit_mobile.targets.coreml.spec.proto import import_messages
from shvit_mobile.threads import choose_batch_size

ComputeMode = Literal["fp32", "fp16", "fp64"]
ValueHook = Callable[[str, Tensor], Tensor | None]
ArrayOrTensor = NDArray[Any] | Tensor
# Fewer images make the processor wait for weights; more do not fit into its caches. Large images are fewer at once.
MAX_BATCH_SIZE = 16


class CoreMLProgram:
    """A loaded `.mlpackage`: `CoreMLProgram("model.mlpackage")(images)`.

    Attributes:
        mode: "fp32" and "fp64" compute every float in that precision; "fp16" computes in fp32 and rounds each value
            that the program declares as fp16.
        path: The package.
        function: The function of the package that was asked for; None for that which runs by default.
        inputs: The inputs by name.
        outputs: The names of the outputs.
        operators: The number of operators of each type, without constants.
        not_batchable_reason: The first operator that cannot run many images at once, and why; None if all can.
    """

    def __init__(self, path: AnyPath, *, mode: ComputeMode | None = None, function: str | None = None) -> None:
        """Read the package and decode its constants.

        Args:
            path: The package.
            mode: The precision (default: "fp16" if the program declares fp16 values, otherwise "fp32").
            function: The function (default: that which runs by default).

        Raises:
            BadArtifact: If the package is missing, damaged or not an ML Program, or has no such function.
            UnsupportedOperator: If the executor does not implement one of its operators.
        """
        package = MLPackage(Path(path))
        entry, block = find_entry_block(package, function)
        operations = list(block.operations)
        self.operators = Counter(operation.type for operation in operations if operation.type != "const")
        _check_operators(self.operators, package.path)
        self.mode: ComputeMode = mode or ("fp16" if declares_fp16(operations) else "fp32")
        self.inputs: dict[str, ProgramInput] = read_inputs(find_description(package, function), entry)
        self.outputs: tuple[str, ...] = tuple(block.outputs)
        self.path, self.function = package.path, function
        self._real = torch.float64 if self.mode == "fp64" else torch.float32
        self._constants, self._steps = self._bind_steps(operations, package)
        self._batched_steps, self.not_batchable_reason = self._batch_steps()

    @torch.inference_mode()
    def __call__(
        self, inputs: Mapping[str, ArrayOrTensor] | ArrayOrTensor, *, observe: ValueHook | None = None
    ) -> dict[str, Any]:
        """Run the program on one image or many.

        Args:
            inputs: An array or tensor of the declared shape for each input, by name; or the array itself if there is
                one input. An image is uint8, shape (height, width, 3) in RGB, or (height, width). Many images have an
                additional first axis; many tensors (1, …) have the shape (images, …).
            observe: Called with the name and the tensor of every float input and every float value as it is computed,
                for a batch along the first axis. It must not change the tensor, but may return a replacement.

        Returns:
            For each output an array (float32, or float64 in mode "fp64"), and for a classifier the label and a
            dictionary of probabilities. For many images, arrays have a first axis of images, and labels and
            dictionaries are lists.

        Raises:
            InvalidValue: If the names of the inputs are not the program's, or an image is not uint8.
            ShapeMismatch: If an input does not have the declared shape, or inputs have different numbers of images.
            BadArtifact: If an operator fails, or its result differs from the program's declaration.
        """
        named = self.name_inputs(inputs)
        images = self.count_images(named)
        if images is None:
            values = self._run(self._steps, named, None, observe)
            return {name: value[0] if isinstance(value, list) else value for name, value in values.items()}
        size = 1 if self._batched_steps is None else self._choose_batch_size()
        parts = [
            self.run_batch({name: array[first : first + size] for name, array in named.items()}, observe)
            for first in range(0, images, size)
        ]
        return {name: join_outputs([part[name] for part in parts]) for name in self.outputs}

    def name_inputs(self, inputs: Mapping[str, ArrayOrTensor] | ArrayOrTensor) -> Mapping[str, ArrayOrTensor]:
        if not isinstance(inputs, Mapping):
            if len(self.inputs) != 1:
                raise InvalidValue("The inputs have no names.", why=f"{self.path} takes {', '.join(self.inputs)}.")
            return {next(iter(self.inputs)): inputs}
        wrong = {"lack": self.inputs.keys() - inputs.keys(), "contain": inputs.keys() - self.inputs.keys()}
        parts = [f"{verb} {', '.join(sorted(names))}" for verb, names in wrong.items() if names]
        if parts:
            raise InvalidValue(f"The inputs {' and '.join(parts)}.", why=f"{self.path} takes {', '.join(self.inputs)}.")
        return inputs

    def count_images(self, named: Mapping[str, ArrayOrTensor]) -> int | None:
        """Return the number of images in the inputs; None for one image without an axis of images."""
        counts = {program_input.count_images(named[name]) for name, program_input in self.inputs.items()}
        if len(counts) > 1:
            numbers = ", ".join(map(str, sorted(count or 1 for count in counts)))
            raise ShapeMismatch(f"The inputs have different numbers of images: {numbers}.")
        images = counts.pop() if counts else None
        if images == 0:
            raise ShapeMismatch("The inputs have no image.", why="The program runs on one or more.")
        return images

    def _choose_batch_size(self) -> int:
        """Return how many images a batch has at most: as many as the largest input, (1, channels, *size), allows."""
        sizes = [(one.shape[2], one.shape[3]) for one in self.inputs.values() if len(one.shape) == 4]
        return min((choose_batch_size(MAX_BATCH_SIZE, size) for size in sizes), default=MAX_BATCH_SIZE)

    def run_batch(self, named: Mapping[str, ArrayOrTensor], observe: ValueHook | None = None) -> dict[str, Any]:
        """Return the outputs of one batch, with a first axis of images."""
        if self._batched_steps is not None:
            return self._run(self._batched_steps, named, len(next(iter(named.values()))), observe)
        single = self._run(self._steps, named, None, observe)
        return {name: value if np.shape(value)[:1] == (1,) else value[None] for name, value in single.items()}

    def _run(
        self,
        steps: Iterable[ProgramStep],
        named: Mapping[str, ArrayOrTensor],
        rows: int | None,
        observe: ValueHook | None,
    ) -> dict[str, Any]:
        values: dict[str, Any] = self._constants | self._prepare_inputs(named)
        if observe:
            _observe_values(self.inputs, values, self._real, observe)
        for step in steps:
            step.run(values, rows)
            if observe:
                _observe_values((output.name for output in step.outputs), values, self._real, observe)
            for name in step.dead:
                del values[name]
        outputs = {name: values[name] for name in self.outputs}
        # A tensor becomes an array with its own memory.
        return {name: v.numpy().copy() if isinstance(v, Tensor) else v for name, v in outputs.items()}

    @torch.inference_mode()
    def _bind_steps(self, operations: list[Any], package: MLPackage) -> tuple[dict[str, Any], tuple[ProgramStep, ...]]:
        binder = StepBinder(package, self.inputs, self._real, rounding=self.mode == "fp16")
        steps = [step for step in map(binder.bind, operations) if step]
        computed = self.inputs.keys() | binder.constants.keys() | {output.name for s in steps for output in s.outputs}
        if missing := set(self.outputs) - computed:
            raise BadArtifact(f"{self.path} computes no {', '.join(sorted(missing))}.", why="The program is damaged.")
        used = set(self.outputs).union(*(step.uses for step in steps))
        constants = {name: value for name, value in binder.constants.items() if name in used}
        return constants, assign_lifetimes(steps, kept={*self.outputs, *constants})

    def _batch_steps(self) -> tuple[tuple[ProgramStep, ...] | None, str | None]:
        """Return the steps for many images at once, or the reason why there are none."""
        shapes = {name: program_input.shape for name, program_input in self.inputs.items()}
        try:
            steps = batch_steps(self._steps, shapes, self.outputs, self._constants)
        except NotBatchable as reason:
            return None, str(reason)
        kept = {*self.outputs, *self._constants}
        return assign_lifetimes(fuse_quantize_dequantize(steps, self._constants, self.outputs), kept), None

    def _prepare_inputs(self, inputs: Mapping[str, ArrayOrTensor]) -> dict[str, Tensor]:
        tensors = {}
        for name, program_input in self.inputs.items():
            tensor = program_input.to_tensor(inputs[name], self._real)
            rounded = self.mode == "fp16" and program_input.dtype.name == "FLOAT16"
            tensors[name] = tensor.half().to(self._real) if rounded else tensor
        return tensors


def _check_operators(operators: Counter[str], path: Path) -> None:
    unknown = {name: count for name, count in operators.most_common() if name not in OPERATORS}
    if unknown:
        names = ", ".join(f"{name} ({count})" for name, count in unknown.items())
        raise UnsupportedOperator(
            f"{path} has operators that the reference executor does not implement: {names}.",
            why="It implements those that vision models need; Core ML on a Mac implements all.",
        )


def declares_fp16(operations: Iterable[Any]) -> bool:
    fp16 = import_messages("MIL_pb2").FLOAT16
    return any(output.type.tensorType.dataType == fp16 for operation in operations for output in operation.outputs)


def _observe_values(names: Iterable[str], values: dict[str, Any], real: torch.dtype, observe: ValueHook) -> None:
    """Call `observe` with each named float value, and store the replacements that it returns."""
    for name in names:
        if isinstance(values[name], Tensor) and values[name].dtype == real:
            replacement = observe(name, values[name])
            values[name] = values[name] if replacement is None else replacement


def join_outputs(parts: list[Any]) -> Any:
    """Concatenate an output of several batches."""
    if isinstance(parts[0], list):
        return [item for part in parts for item in part]
    return np.concatenate(parts)
