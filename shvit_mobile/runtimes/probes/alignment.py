"""Locate the layers of the deploy form in a program whose operations are not named after them.

The converters of Core ML and Core AI name values after operators or by numbers, and their passes rename them. But they
keep the order in which layers run, and the shapes of their weights show that none is missing or added.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from shvit_mobile.deploy.wiring import Call
from shvit_mobile.errors import BadArtifact
from shvit_mobile.runtimes.probes.protocols import PointLocation

_LAYERS = ("conv", "linear")
# They pass a layer's output on: after a ReLU, rounded to int8 and back, or in another float type.
_PASS_THROUGH_OPERATORS = ("relu", "quantize", "dequantize", "cast")
_LIMITING_OPERATORS = ("relu6", "clip")
_PRODUCT_OPERATORS = ("mul", "real_div")
# What is in no module but the outermost has this name; a model that is wrapped as `model` has it, too.
OUTERMOST = "model"


@dataclass(frozen=True)
class Operation:
    """An operation of a program.

    Attributes:
        kind: In the words of MIL: "conv", "linear", "const", "add", "relu"; "bias" for a layer's bias that is added
            behind it.
        inputs: The names of all values that it takes.
        outputs: The names of the values that it computes.
        source: The name of the value that it transforms; empty if it takes none.
        weight_shape: The shape of a layer's weight, as PyTorch has it; empty for other operations.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    source: str = ""
    weight_shape: tuple[int, ...] = ()


UserMap = defaultdict[str, list[Operation]]


def locate_points(operations: Sequence[Operation], points: Iterable[Call], path: Path) -> tuple[PointLocation, ...]:
    """Locate each comparison point.

    Args:
        operations: The operations of the program, in order.
        points: The comparison points of the deploy form that it was made from.
        path: The package, for errors.

    Raises:
        BadArtifact: If its convolutions and linear layers are not those of the deploy form.
    """
    points, users = list(points), _map_users(operations)
    layers = [operation for operation in operations if operation.kind in _LAYERS]
    constants = {name for operation in operations if operation.kind == "const" for name in operation.outputs}
    _check_layers(layers, points, path)
    locations: list[PointLocation] = []
    remaining, sums = iter(layers), iter(_find_sums(operations, points, path))
    for point in points:
        if point.kind == "residual":
            locations.append(PointLocation(point, next(sums)))
        else:
            output = next(remaining).outputs[0]
            output = next((user.outputs[0] for user in users[output] if user.kind == "bias"), output)
            value, limits = _follow_pass_through(output, users, point.activation.limits if point.activation else None)
            # A pass of coremltools multiplies the factor of each channel behind a convolution into its weights.
            scaled = not any(_is_product_with_constant(operation, constants) for operation in users[output])
            locations.append(PointLocation(point, value, limits, scaled))
    return tuple(locations)


def map_values_to_layers(operations: Sequence[Operation], locations: Sequence[PointLocation]) -> dict[str, str]:
    """Map each value of a program to its layer: the one that computes it, or the module whose output it leads to.

    Args:
        operations: The operations of the program, in order.
        locations: The locations of its comparison points.
    """
    sums = {location.value: location.point.name for location in locations if location.point.kind == "residual"}
    layers = iter([location.point for location in locations if location.point.kind != "residual"])
    upcoming, last = next(layers, None), OUTERMOST
    layer_of: dict[str, str] = {}
    for operation in operations:
        if operation.outputs[0] in sums:
            layer = sums[operation.outputs[0]]
        elif operation.kind in _LAYERS and upcoming is not None:
            layer = last = upcoming.name
            upcoming = next(layers, None)
        elif operation.kind in _PASS_THROUGH_OPERATORS and operation.source in layer_of:
            layer = layer_of[operation.source]
        else:
            layer = last if upcoming is None else upcoming.input_module or OUTERMOST
        layer_of |= dict.fromkeys(operation.outputs, layer)
    return layer_of


def _check_layers(layers: Sequence[Operation], points: Sequence[Call], path: Path) -> None:
    """Raise `BadArtifact` unless the layers of a program have the kinds and shapes of the deploy form's."""
    layer_points = [point for point in points if point.kind != "residual"]
    expected = [(point.kind, point.weight_shape) for point in layer_points]
    actual = [(layer.kind, layer.weight_shape) for layer in layers]
    if len(actual) == len(expected) and all(map(_is_same_layer, actual, expected)):
        return
    pairs = zip(layer_points, expected, actual, strict=False)
    difference = next(
        (f"{point.name} is {want}, here it is {got}" for point, want, got in pairs if not _is_same_layer(got, want)), ""
    )
    raise BadArtifact(
        f"The layers of {path.name} are not its checkpoint's: {difference or f'{len(actual)} of {len(expected)}'}.",
        why="shvit-mobile finds layers by the order and the shapes of their weights.",
        hint="Export it again.",
    )


def _is_same_layer(actual: tuple[str, tuple[int, ...]], expected: tuple[str, tuple[int, ...]]) -> bool:
    """Return whether kinds and shapes are equal; a linear layer may be a convolution of one position."""
    kind, shape = expected
    return actual == expected or (kind == "linear" and actual == ("conv", (*shape, 1, 1)))


def _find_sums(operations: Sequence[Operation], points: Sequence[Call], path: Path) -> list[str]:
    """Return the values of the residual sums of `points`: where the same number of sums lies between the same layers.

    Raises:
        BadArtifact: If the numbers differ.
    """
    computed = {name for operation in operations for name in operation.outputs}
    dependent, found, expected = set[str](), list[list[str]]([[]]), list[list[str]]([[]])
    for operation in operations:
        names = [name for name in operation.inputs if name in dependent or name not in computed]
        if names:
            dependent.update(operation.outputs)
        if operation.kind in _LAYERS:
            found.append([])
        elif operation.kind == "add" and len(set(names)) == 2:
            found[-1].append(operation.outputs[0])
    for point in points:
        if point.kind == "residual":
            expected[-1].append(point.name)
        else:
            expected.append([])
    for sums, names in zip(found, expected, strict=True):
        if names and len(sums) != len(names):
            raise BadArtifact(
                f"{path.name} has {len(sums)} sums where its checkpoint has {len(names)}: {', '.join(names)}.",
                why="shvit-mobile finds residual sums by their place between layers.",
                hint="Export it again.",
            )
    return [name for sums, names in zip(found, expected, strict=True) if names for name in sums]


def _follow_pass_through(
    value: str, users: UserMap, limits: tuple[float, float] | None
) -> tuple[str, tuple[float, float] | None]:
    """Return the last float value that only passes `value` on, and the interval to which it is limited on the way.

    Args:
        value: A layer's output.
        users: The users of all values.
        limits: The interval of the activation behind the layer, if it limits values.
    """
    last, found = value, None
    while len(users[value]) == 1:
        operation = users[value][0]
        if operation.kind == "relu":
            found = (0.0, inf)
        elif operation.kind in _LIMITING_OPERATORS and limits is not None:
            found = limits
        elif operation.kind not in _PASS_THROUGH_OPERATORS:
            break
        value = operation.outputs[0]
        last = last if operation.kind == "quantize" else value
    return last, found


def _is_product_with_constant(operation: Operation, constants: Container[str]) -> bool:
    computed = [name for name in operation.inputs if name not in constants]
    return operation.kind in _PRODUCT_OPERATORS and len(computed) == 1


def _map_users(operations: Iterable[Operation]) -> UserMap:
    """Map each value to the operations that take it."""
    users: UserMap = defaultdict(list)
    for operation in operations:
        for name in operation.inputs:
            users[name].append(operation)
    return users
