"""One operator of a program, bound to its constants and ready to run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from shvit_mobile.errors import BadArtifact, UnsupportedOperator
from shvit_mobile.runtimes.mil.features import matches_shape
from shvit_mobile.runtimes.mil.operators import OPERATORS, REAL, Operator
from shvit_mobile.targets.coreml.spec.dtypes import find_dtype
from shvit_mobile.targets.coreml.spec.package import MLPackage
from shvit_mobile.targets.coreml.spec.proto import import_messages
from shvit_mobile.targets.coreml.spec.values import Constant, decode_constant, read_shape, to_python

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StepOutput:
    """A result: its name, and what the program declares of it.

    Attributes:
        name: of the value.
        dtype: in which its tensor is held here; None for strings and dictionaries, of which nothing is checked.
        shape: of its tensor, -1 where unknown.
        rounded: whether it is to be rounded to fp16.
    """

    name: str
    dtype: torch.dtype | None
    shape: tuple[int, ...]
    rounded: bool

    def check(self, value: Any, rows: int | None) -> Any:
        """`value`, rounded if need be; raises `BadArtifact` where it is not what is declared.

        With a number of rows, the declared shape is that of one.
        """
        if self.dtype is None:
            return value
        declared = self.shape if rows is None else (rows, *self.shape[1:])
        if value.shape != declared and not matches_shape(tuple(value.shape), declared):
            raise BadArtifact(f"gives the shape {tuple(value.shape)}, declared is {declared}")
        if value.dtype != self.dtype:
            raise BadArtifact(f"gives {value.dtype}, declared is {self.dtype}")
        return value.half().to(self.dtype) if self.rounded else value


@dataclass(frozen=True, slots=True)
class ProgramStep:
    """An operator with its constants bound.

    Attributes:
        title: the operator and its values.
        place: the package and the title, for errors.
        operator: what runs.
        fixed: what it takes by name that stands in the program: keywords, and tensors.
        inputs: (input, value) or, for inputs that take several values, (input, values).
        outputs: in the order of what the operator returns.
        dead: values that no later step needs.
    """

    title: str
    location: str
    operator: Operator
    fixed: dict[str, Any]
    inputs: tuple[tuple[str, str | tuple[str, ...]], ...]
    outputs: tuple[StepOutput, ...]
    dead: tuple[str, ...] = ()

    def run(self, values: Values, rows: int | None = None) -> None:
        """Takes its inputs from `values` and puts its outputs there.

        Args:
            values: by name.
            rows: the number of images where the step is one of `batching.by_rows`; None for the program as declared.

        Raises:
            BadArtifact: the operator fails, or its result is not of the declared shape and dtype.
        """
        try:
            arguments = {name: collect_arguments(values, source) for name, source in self.inputs}
            results = self.operator.function(**arguments, **self.fixed)
            if not isinstance(results, tuple | list):
                results = (results,)
            for output, result in zip(self.outputs, results, strict=True):
                values[output.name] = output.check(result, rows)
        except Exception as reason:
            raise add_error_location(self.location, reason) from reason

    @property
    def uses(self) -> set[str]:
        """The names of the values that it takes."""
        return {name for _, source in self.inputs for name in ([source] if isinstance(source, str) else source)}


class StepBinder:
    """Makes steps of a program's operations, in their order, and runs those that depend on constants alone.

    Attributes:
        constants: every constant by name: tensors, strings and lists.
    """

    def __init__(self, package: MLPackage, inputs: Iterable[str], real: torch.dtype, *, rounding: bool) -> None:
        self.constants: dict[str, Constant] = {}
        self._package, self._real, self._rounding = package, real, rounding
        self._made = set(inputs)

    def bind(self, operation: Any) -> ProgramStep | None:
        """The step for one operation, or None where it is a constant or could be made one.

        Raises:
            BadArtifact: an input or constant is missing or damaged.
            UnsupportedOperator: a parameter is unknown, or computed where only a constant serves.
        """
        title = format_title(operation)
        place = f"{self._package.path}, {title}"
        try:
            if operation.type == "const":
                self.constants[operation.outputs[0].name] = self._decode_constant(operation.attributes["val"])
                return None
            step = self._build_step(operation, title, place)
        except Exception as reason:
            raise add_error_location(place, reason) from reason
        if step.uses <= self.constants.keys():
            step.run(self.constants)
            return None
        self._made |= {output.name for output in step.outputs}
        return step

    def _build_step(self, operation: Any, title: str, place: str) -> ProgramStep:
        operator = OPERATORS[operation.type]
        sources, literals = self._read_arguments(operation)
        check_input_names(operator, sources.keys() | literals.keys())
        keywords = {name: to_python(value) for name, value in literals.items() if name in operator.keywords}
        keywords |= {name: self._read_keyword(name, sources.pop(name)) for name in operator.keywords & sources.keys()}
        tensors = {name: value for name, value in literals.items() if name in operator.tensors}
        real = {REAL: self._real} if operator.takes_float_dtype else {}
        return ProgramStep(
            title=title,
            location=place,
            operator=operator,
            fixed=keywords | tensors | real,
            inputs=tuple(sources.items()),
            outputs=tuple(self._declare_output(value, operator) for value in operation.outputs),
        )

    def _read_arguments(self, operation: Any) -> tuple[dict[str, str | tuple[str, ...]], dict[str, Constant]]:
        """The names of the values an operation takes by input, and the constants that stand in the operation itself."""
        sources: dict[str, str | tuple[str, ...]] = {}
        literals = {name: self._decode_constant(v) for name, v in operation.attributes.items() if name != "name"}
        for name, argument in operation.inputs.items():
            bindings = argument.arguments
            names = [self._resolve_name(binding, name) for binding in bindings]
            sources[name] = tuple(names) if name == "values" else require_single(names, name)
        return sources, literals

    def _resolve_name(self, binding: Any, input_name: str) -> str:
        """The name of a bound value; a value that stands in the operation itself is given one."""
        if binding.WhichOneof("binding") == "name":
            if binding.name not in self._made and binding.name not in self.constants:
                raise BadArtifact(f"takes '{binding.name}', which nothing before it makes")
            return str(binding.name)
        name = f"{input_name} in place {len(self.constants)}"
        self.constants[name] = self._decode_constant(binding.value)
        return name

    def _read_keyword(self, name: str, source: str | tuple[str, ...]) -> Any:
        if not isinstance(source, str) or source not in self.constants:
            raise UnsupportedOperator(f"computes its '{name}'", why="Only a constant serves there.")
        return to_python(self.constants[source])

    def _decode_constant(self, value: Any) -> Constant:
        return decode_constant(value, self._package, self._real)

    def _declare_output(self, value: Any, operator: Operator) -> StepOutput:
        kind = value.type.WhichOneof("type")
        if kind != "tensorType" or value.type.tensorType.dataType == import_messages("MIL_pb2").STRING:
            return StepOutput(value.name, None, (), rounded=False)
        dtype = find_dtype(value.type.tensorType.dataType)
        rounded = self._rounding and dtype.name == "FLOAT16" and not operator.exact
        return StepOutput(value.name, dtype.to_torch_dtype(self._real), read_shape(value.type.tensorType), rounded)


def assign_lifetimes(steps: list[ProgramStep], kept: Iterable[str]) -> tuple[ProgramStep, ...]:
    """`steps`, each told which values are used by it for the last time, or by nobody; `kept` are never."""
    seen, lived = set(kept), []
    for step in reversed(steps):
        touched = step.uses | {output.name for output in step.outputs}
        lived.append(replace(step, dead=tuple(sorted(touched - seen))))
        seen |= touched
    return tuple(reversed(lived))


def add_error_location(location: str, reason: Exception) -> BadArtifact:
    """Any failure as an error that names its place: what a damaged program does to torch is past listing."""
    if isinstance(reason, BadArtifact):
        return type(reason)(f"{location}: {reason.what}", why=reason.why, hint=reason.hint)
    return BadArtifact(f"{location}: {reason}", why="The program is damaged, or not as the specification says.")


def format_title(operation: Any) -> str:
    names = ", ".join(output.name for output in operation.outputs)
    return f"{operation.type} '{names}'"


def check_input_names(operator: Operator, given_names: set[str]) -> None:
    foreign = given_names - operator.tensors - operator.keywords
    if foreign:
        raise UnsupportedOperator(f"has the inputs {', '.join(sorted(foreign))}", why="They are not known here.")
    missing = operator.required - given_names
    if missing:
        raise BadArtifact(f"lacks its inputs {', '.join(sorted(missing))}", why="The program is damaged.")


def require_single(names: list[str], input_name: str) -> str:
    if len(names) != 1:
        raise BadArtifact(f"has {len(names)} values for its input '{input_name}'", why="It takes one.")
    return names[0]


def collect_arguments(values: Mapping[str, Any], source: str | tuple[str, ...]) -> Any:
    return values[source] if isinstance(source, str) else [values[name] for name in source]
