"""What is inside a Core ML package, read from the package alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from shvit_mobile.contracts.manifest import Inventory
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.targets.coreml.spec.dtypes import Dtype, find_dtype
from shvit_mobile.targets.coreml.spec.package import MLPackage, find_entry_block
from shvit_mobile.targets.coreml.spec.proto import import_messages
from shvit_mobile.targets.coreml.spec.values import read_shape

LAYER_OPERATORS = ("conv", "linear")


def read_inventory(path: AnyPath) -> Inventory:
    """Operators by their MIL type (constants left out), bytes of weights by dtype, and the layers that run in int8.

    Raises:
        BadArtifact: the package is missing, damaged or not an ML Program.
    """
    _, block = find_entry_block(MLPackage(Path(path)))
    operations = list(block.operations)
    made_by = {output.name: operation for operation in operations for output in operation.outputs}
    return Inventory(
        operators=dict(Counter(o.type for o in operations if o.type != "const").most_common()),
        weight_bytes=count_weight_bytes(operations),
        quantized_layers=sum(o.type in LAYER_OPERATORS and is_quantized_layer(o, made_by) for o in operations),
    )


def count_weight_bytes(operations: list[Any]) -> dict[str, int]:
    """Bytes of the constants that are floats or small integers: the others are shapes, axes and strides."""
    counted: Counter[str] = Counter()
    for operation in operations:
        for value in iterate_constants(operation):
            tensor_type = value.type.tensorType
            dtype = find_dtype(tensor_type.dataType)
            if is_weight_dtype(dtype):
                counted[get_python_dtype_name(dtype)] += -(-prod(read_shape(tensor_type)) * dtype.bits // 8)
    return dict(counted.most_common())


def iterate_constants(operation: Any) -> Iterator[Any]:
    """The numbers that an operation holds, in attributes and in inputs, as MIL.proto's Values."""
    inline = (b.value for a in operation.inputs.values() for b in a.arguments if b.WhichOneof("binding") == "value")
    for value in (*operation.attributes.values(), *inline):
        if (
            value.type.WhichOneof("type") == "tensorType"
            and value.type.tensorType.dataType != import_messages("MIL_pb2").STRING
        ):
            yield value


def is_weight_dtype(dtype: Dtype) -> bool:
    return dtype.floating or (dtype.bits <= 8 and dtype.name != "BOOL")


def get_python_dtype_name(dtype: Dtype) -> str:
    """ "float16" for FLOAT16."""
    return dtype.name.lower()


def is_quantized_layer(layer: Any, producers: Mapping[str, Any]) -> bool:
    """Whether a layer takes its activations from a `dequantize` and its weights from integers."""
    image, weight = find_producer(layer, "x", producers), find_producer(layer, "weight", producers)
    return image is not None and image.type == "dequantize" and weight is not None and holds_integers(weight, producers)


def holds_integers(operation: Any, producers: Mapping[str, Any]) -> bool:
    """Whether an operation that makes weights makes them of int8 constants: `constexpr_…` or `dequantize`."""
    sources = [operation, *filter(None, (find_producer(operation, name, producers) for name in operation.inputs))]
    dtypes = {
        find_dtype(value.type.tensorType.dataType).name
        for source in sources
        if source is operation or source.type == "const"
        for value in iterate_constants(source)
    }
    decompresses = operation.type.startswith("constexpr_") or operation.type == "dequantize"
    return decompresses and bool(dtypes & {"INT8", "UINT8"})


def find_producer(operation: Any, name: str, producers: Mapping[str, Any]) -> Any | None:
    """The operation that makes the input `name` of another one; None for inputs of the program and inline values."""
    arguments = operation.inputs[name].arguments if name in operation.inputs else ()
    return next((producers.get(a.name) for a in arguments if a.WhichOneof("binding") == "name"), None)
