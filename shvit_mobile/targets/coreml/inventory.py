"""Read the inventory of a Core ML package: operators, weights and int8 layers."""

from collections import Counter
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from shvit_mobile.contracts.manifest import Inventory
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.targets.coreml.spec.dtypes import find_dtype
from shvit_mobile.targets.coreml.spec.package import MLPackage, get_input_name, list_operations, map_producers
from shvit_mobile.targets.coreml.spec.proto import import_messages
from shvit_mobile.targets.coreml.spec.values import read_shape

_LAYER_OPERATORS = ("conv", "linear")


def read_inventory(path: AnyPath) -> Inventory:
    """Count the operators by MIL type without constants, the bytes of weights by dtype, and the int8 layers.

    Raises:
        BadArtifact: If the package is missing, damaged or not an ML Program.
    """
    operations = list_operations(MLPackage(Path(path)))
    producers = map_producers(operations)
    return Inventory(
        operators=dict(Counter(o.type for o in operations if o.type != "const").most_common()),
        weight_bytes=_count_weight_bytes(operations),
        quantized_layers=sum(o.type in _LAYER_OPERATORS and _is_quantized_layer(o, producers) for o in operations),
    )


def _count_weight_bytes(operations: list[Any]) -> dict[str, int]:
    """Count the bytes of constants that are floats or small integers; the others are shapes, axes and strides."""
    counts: Counter[str] = Counter()
    for operation in operations:
        for value in _iterate_constants(operation):
            tensor_type = value.type.tensorType
            dtype = find_dtype(tensor_type.dataType)
            if dtype.floating or (dtype.bits <= 8 and dtype.name != "BOOL"):
                counts[dtype.name.lower()] += -(-prod(read_shape(tensor_type)) * dtype.bits // 8)
    return dict(counts.most_common())


def _iterate_constants(operation: Any) -> Iterator[Any]:
    """Yield the numeric constants of an operation, in attributes and inputs, as MIL.proto's Values."""
    inline = (b.value for a in operation.inputs.values() for b in a.arguments if b.WhichOneof("binding") == "value")
    for value in (*operation.attributes.values(), *inline):
        if (
            value.type.WhichOneof("type") == "tensorType"
            and value.type.tensorType.dataType != import_messages("MIL_pb2").STRING
        ):
            yield value


def _is_quantized_layer(layer: Any, producers: Mapping[str, Any]) -> bool:
    """Return whether a layer takes its activations from a `dequantize` and its weights from int8 constants."""
    image, weight = _find_producer(layer, "x", producers), _find_producer(layer, "weight", producers)
    return (
        image is not None and image.type == "dequantize" and weight is not None and _holds_integers(weight, producers)
    )


def _holds_integers(operation: Any, producers: Mapping[str, Any]) -> bool:
    """Return whether an operation decompresses int8 constants: `constexpr_…` or `dequantize`."""
    sources = [operation, *filter(None, (_find_producer(operation, name, producers) for name in operation.inputs))]
    dtypes = {
        find_dtype(value.type.tensorType.dataType).name
        for source in sources
        if source is operation or source.type == "const"
        for value in _iterate_constants(source)
    }
    decompresses = operation.type.startswith("constexpr_") or operation.type == "dequantize"
    return decompresses and bool(dtypes & {"INT8", "UINT8"})


def _find_producer(operation: Any, name: str, producers: Mapping[str, Any]) -> Any | None:
    """Return the operation that computes the input `name`; None for inputs of the program and inline values."""
    return producers.get(get_input_name(operation, name))
