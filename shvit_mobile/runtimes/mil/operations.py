"""The steps of a program: operators bound to their constants, ready to run."""

from collections.abc import Iterable
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
class _StepOutput:
    """A result of a step, as the program declares it.

    Attributes:
        name: The value's name.
        dtype: The dtype of its tensor; None for strings and dictionaries, which are not checked.
        shape: The shape of its tensor, -1 where unknown.
        rounded: Whether to round it to fp16.
    """

    name: str
    dtype: torch.dtype | None
    shape: tuple[int, ...]
    rounded: bool

    def check(self, value: Any, rows: int | None) -> Any:
        """Return `value`, rounded if required; raise `BadArtifact` if it differs from the declaration.

        With `rows`, the declared shape is that of one row.
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
        title: The operator and its values.
        location: The package and the title, for errors.
        operator: The operator to run.
        fixed: Its constant inputs by name: keywords and tensors.
        inputs: (input, value) or, for inputs that take several values, (input, values).
        outputs: In the order of the operator's results.
        dead: Values that no later step needs.
    """

    title: str
    location: str
    operator: Operator
    fixed: dict[str, Any]
    inputs: tuple[tuple[str, str | tuple[str, ...]], ...]
    outputs: tuple[_StepOutput, ...]
    dead: tuple[str, ...] = ()

    def run(self, values: Values, rows: int | None = None) -> None:
        """Take the inputs from `values` and add the outputs.

        Args:
            values: The values by name.
            rows: The number of images for steps of `batch_steps`; None for the program as declared.

        Raises:
            BadArtifact: If the operator fails, or its result does not have the declared shape and dtype.
        """
        try:
            arguments = {
                name: values[source] if isinstance(source, str) else [values[one] for one in source]
                for name, source in self.inputs
            }
            results = self.operator.function(**arguments, **self.fixed)
            if not isinstance(results, tuple | list):
                results = (results,)
            for output, result in zip(self.outputs, results, strict=True):
                values[output.name] = output.check(result, rows)
        except Exception as reason:
            raise _add_error_location(self.location, reason) from reason

    @property
    def uses(self) -> set[str]:
        """The names of the values that the step takes."""
        return {name for _, source in self.inputs for name in ([source] if isinstance(source, str) else source)}


class StepBinder:
    """Converts a program's operations to steps, in order, and runs those that depend only on constants.

    Attributes:
        constants: Every constant by name: tensors, strings and lists.
    """

    def __init__(self, package: MLPackage, inputs: Iterable[str], real: torch.dtype, *, rounding: bool) -> None:
        self.constants: dict[str, Constant] = {}
        self._package, self._real, self._rounding = package, real, rounding
        self._computed = set(inputs)

    def bind(self, operation: Any) -> ProgramStep | None:
        """Return the step for one operation, or None if it is a constant or depends only on constants.

        Raises:
            BadArtifact: If an input or constant is missing or damaged.
            UnsupportedOperator: If a parameter is unknown, or computed although it must be a constant.
        """
        title = f"{operation.type} '{', '.join(output.name for output in operation.outputs)}'"
        location = f"{self._package.path}, {title}"
        try:
            if operation.type == "const":
                self.constants[operation.outputs[0].name] = self._decode_constant(operation.attributes["val"])
                return None
            step = self._build_step(operation, title, location)
        except Exception as reason:
            raise _add_error_location(location, reason) from reason
        if step.uses <= self.constants.keys():
            step.run(self.constants)
            return None
        self._computed |= {output.name for output in step.outputs}
        return step

    def _build_step(self, operation: Any, title: str, location: str) -> ProgramStep:
        operator = OPERATORS[operation.type]
        sources, literals = self._read_arguments(operation)
        _check_input_names(operator, sources.keys() | literals.keys())
        keywords = {name: to_python(value) for name, value in literals.items() if name in operator.keywords}
        keywords |= {name: self._read_keyword(name, sources.pop(name)) for name in operator.keywords & sources.keys()}
        tensors = {name: value for name, value in literals.items() if name in operator.tensors}
        real = {REAL: self._real} if operator.takes_float_dtype else {}
        return ProgramStep(
            title=title,
            location=location,
            operator=operator,
            fixed=keywords | tensors | real,
            inputs=tuple(sources.items()),
            outputs=tuple(self._declare_output(value, operator) for value in operation.outputs),
        )

    def _read_arguments(self, operation: Any) -> tuple[dict[str, str | tuple[str, ...]], dict[str, Constant]]:
        """Return the names of an operation's values by input, and the constants that it contains."""
        sources: dict[str, str | tuple[str, ...]] = {}
        literals = {name: self._decode_constant(v) for name, v in operation.attributes.items() if name != "name"}
        for name, argument in operation.inputs.items():
            names = [self._resolve_name(binding, name) for binding in argument.arguments]
            if name != "values" and len(names) != 1:
                raise BadArtifact(f"has {len(names)} values for its input '{name}'", why="It takes one.")
            sources[name] = tuple(names) if name == "values" else names[0]
        return sources, literals

    def _resolve_name(self, binding: Any, input_name: str) -> str:
        """Return the name of a bound value; an inline constant gets a new name."""
        if binding.WhichOneof("binding") == "name":
            if binding.name not in self._computed and binding.name not in self.constants:
                raise BadArtifact(f"takes '{binding.name}', which no operation before it computes")
            return str(binding.name)
        name = f"{input_name} in place {len(self.constants)}"
        self.constants[name] = self._decode_constant(binding.value)
        return name

    def _read_keyword(self, name: str, source: str | tuple[str, ...]) -> Any:
        if not isinstance(source, str) or source not in self.constants:
            raise UnsupportedOperator(f"computes its '{name}'", why="It must be a constant.")
        return to_python(self.constants[source])

    def _decode_constant(self, value: Any) -> Constant:
        return decode_constant(value, self._package, self._real)

    def _declare_output(self, value: Any, operator: Operator) -> _StepOutput:
        kind = value.type.WhichOneof("type")
        if kind != "tensorType" or value.type.tensorType.dataType == import_messages("MIL_pb2").STRING:
            return _StepOutput(value.name, None, (), rounded=False)
        dtype = find_dtype(value.type.tensorType.dataType)
        rounded = self._rounding and dtype.name == "FLOAT16" and not operator.exact
        return _StepOutput(value.name, dtype.to_torch_dtype(self._real), read_shape(value.type.tensorType), rounded)


def assign_lifetimes(steps: list[ProgramStep], kept: Iterable[str]) -> tuple[ProgramStep, ...]:
    """Set the dead values of each step: those that it uses last, and unused results; values in `kept` never die."""
    live, result = set(kept), []
    for step in reversed(steps):
        names = step.uses | {output.name for output in step.outputs}
        result.append(replace(step, dead=tuple(sorted(names - live))))
        live |= names
    return tuple(reversed(result))


def _add_error_location(location: str, reason: Exception) -> BadArtifact:
    """Convert any exception to `BadArtifact` with its location; a damaged program can make torch raise anything."""
    if isinstance(reason, BadArtifact):
        return type(reason)(f"{location}: {reason.what}", why=reason.why, hint=reason.hint)
    return BadArtifact(f"{location}: {reason}", why="The program is damaged, or does not follow the specification.")


def _check_input_names(operator: Operator, given_names: set[str]) -> None:
    unknown = given_names - operator.tensors - operator.keywords
    if unknown:
        raise UnsupportedOperator(f"has the unknown inputs {', '.join(sorted(unknown))}")
    missing = operator.required - given_names
    if missing:
        raise BadArtifact(f"lacks its inputs {', '.join(sorted(missing))}", why="The program is damaged.")
