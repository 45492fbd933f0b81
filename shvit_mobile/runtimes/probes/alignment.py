"""Where the layers of the deploy form are in the program of a Core ML package.

coremltools names its values after operators, not after layers, and its passes rename them. But a SHViT is a chain:
every convolution needs the one before it, so any program has them in the same order, and the shapes of their weights
prove that nothing is missing or added.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shvit_mobile.deploy.comparison_points import ComparisonPoint, ComparisonPointKind
from shvit_mobile.errors import BadArtifact
from shvit_mobile.runtimes.probes.layers import PointLocation
from shvit_mobile.targets.coreml.spec.values import read_shape

LAYER_KINDS: dict[str, ComparisonPointKind] = {"conv": "conv", "linear": "linear"}
# They carry a layer's output on: rectified, rounded to int8 and read back, in another float type.
PASS_THROUGH_OPERATORS = ("relu", "quantize", "dequantize", "cast")
# What leads to a landmark that no other stands for: the end of its name, and the layer that belongs to.
INPUT_PRODUCERS = {
    "patch_embed.0": "patch_embed.centre",
    ".mixer.m.qkv": ".mixer.m.pre_norm",
    ".mixer.m.proj.1": ".mixer.m",
    ".se.fc1": ".se",
    ".conv3": ".se",
    "head": "pooling",
}
UserMap = defaultdict[str, list[Any]]


def locate_points(
    operations: Sequence[Any], points: Iterable[ComparisonPoint], path: Path
) -> tuple[PointLocation, ...]:
    """The place of every landmark.

    Args:
        operations: of the program, in its order.
        landmarks: of the deploy form that it was made from.
        path: of the package, for errors.

    Raises:
        BadArtifact: its convolutions and linear layers are not the deploy form's.
    """
    points, users = list(points), map_users(operations)
    layers = find_layers(operations)
    check_layers(layers, points, collect_shapes(operations), path)
    places: list[PointLocation] = []
    rest = iter(layers)
    for landmark in points:
        if landmark.kind == "residual":
            places.append(PointLocation(landmark, find_residual_sum(places[-1], users, path), rectified=False))
        else:
            value, rectified = follow_pass_through(next(rest).outputs[0].name, users)
            places.append(PointLocation(landmark, value, rectified))
    return tuple(places)


def map_values_to_layers(operations: Sequence[Any], places: Sequence[PointLocation]) -> dict[str, str]:
    """The layer that each value of a program belongs to: its own, or the one it is on the way to.

    Args:
        operations: of the program, in its order.
        places: of its landmarks.
    """
    sums = {place.value: place.point.name for place in places if place.point.kind == "residual"}
    layers = iter([place.point.name for place in places if place.point.kind != "residual"])
    ahead, last = next(layers), ""
    owned: dict[str, str] = {}
    for operation in operations:
        outputs = [output.name for output in operation.outputs]
        source = get_data_input_name(operation)
        if outputs[0] in sums:
            owner = sums[outputs[0]]
        elif operation.type in LAYER_KINDS:
            owner = last = ahead
            ahead = next(layers, "")
        elif operation.type in PASS_THROUGH_OPERATORS and source in owned:
            owner = owned[source]
        else:
            owner = name_input_producer(ahead) if ahead else last
        owned |= dict.fromkeys(outputs, owner)
    return owned


def name_input_producer(layer: str) -> str:
    """The name of what computes the input of a layer."""
    for end, name in INPUT_PRODUCERS.items():
        if layer.endswith(end):
            return layer.removesuffix(end) + name
    return f"before {layer}"


def find_layers(operations: Iterable[Any]) -> list[Any]:
    return [operation for operation in operations if operation.type in LAYER_KINDS]


def check_layers(
    layers: Sequence[Any], points: Sequence[ComparisonPoint], shapes: Mapping[str, tuple[int, ...]], path: Path
) -> None:
    """Raises `BadArtifact` unless a program's layers are the deploy form's: kind by kind, shape by shape."""
    wanted = [(landmark.kind, landmark.weight_shape) for landmark in points if landmark.kind != "residual"]
    there = [(LAYER_KINDS[layer.type], shapes.get(get_input_name(layer, "weight"), ())) for layer in layers]
    if there == wanted:
        return
    names = [landmark.name for landmark in points if landmark.kind != "residual"]
    pairs = zip(names, wanted, there, strict=False)
    differ = next((f"{name} is {want}, there is {found}" for name, want, found in pairs if want != found), "")
    raise BadArtifact(
        f"The layers of {path.name} are not its checkpoint's: {differ or f'{len(there)} of {len(wanted)}'}.",
        why="Layers are found by the order and the shapes of their weights.",
        hint="Export it again.",
    )


def find_residual_sum(place: PointLocation, users: UserMap, path: Path) -> str:
    """The value of the residual sum that a layer's output goes into."""
    for operation in users[place.value]:
        if operation.type == "add":
            return str(operation.outputs[0].name)
    raise BadArtifact(
        f"{path.name} adds nothing to the output of {place.point.name}.",
        why="In the deploy form a residual sum follows it.",
        hint="Export it again.",
    )


def follow_pass_through(value: str, users: UserMap) -> tuple[str, bool]:
    """The last of the float values that only carry `value` on, and whether a relu is among them."""
    found, rectified = value, False
    while len(users[value]) == 1 and users[value][0].type in PASS_THROUGH_OPERATORS:
        operation = users[value][0]
        rectified = rectified or operation.type == "relu"
        value = operation.outputs[0].name
        found = found if operation.type == "quantize" else value
    return found, rectified


def map_users(operations: Iterable[Any]) -> UserMap:
    """The operations that take each value."""
    users: UserMap = defaultdict(list)
    for operation in operations:
        for name in iterate_input_names(operation):
            users[name].append(operation)
    return users


def collect_shapes(operations: Iterable[Any]) -> dict[str, tuple[int, ...]]:
    """The declared shape of each tensor."""
    return {
        output.name: read_shape(output.type.tensorType)
        for operation in operations
        for output in operation.outputs
        if output.type.WhichOneof("type") == "tensorType"
    }


def iterate_input_names(operation: Any) -> Iterator[str]:
    """The names of all values that an operation takes."""
    for argument in operation.inputs.values():
        yield from (binding.name for binding in argument.arguments if binding.WhichOneof("binding") == "name")


def get_input_name(operation: Any, name: str) -> str:
    """The value that an operation takes as its input `name`; empty where it takes none by name."""
    argument = operation.inputs[name].arguments if name in operation.inputs else ()
    return next((binding.name for binding in argument if binding.WhichOneof("binding") == "name"), "")


def get_data_input_name(operation: Any) -> str:
    """What an operation that carries a value on takes: `x`, or `input` where it rounds."""
    return get_input_name(operation, "x") or get_input_name(operation, "input")
