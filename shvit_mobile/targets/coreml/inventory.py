"""What is inside a Core ML package, read from the package alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from shvit_mobile.contracts.manifest import Inventory
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.targets.coreml.spec.dtypes import Dtype, dtype_of
from shvit_mobile.targets.coreml.spec.package import Package, entry
from shvit_mobile.targets.coreml.spec.proto import messages
from shvit_mobile.targets.coreml.spec.values import shape_of

LAYERS = ("conv", "linear")


def inventory(path: AnyPath) -> Inventory:
    """Operators by their MIL type (constants left out), bytes of weights by dtype, and the layers that run in int8.

    Raises:
        BadArtifact: the package is missing, damaged or not an ML Program.
    """
    _, block = entry(Package(Path(path)))
    operations = list(block.operations)
    made_by = {output.name: operation for operation in operations for output in operation.outputs}
    return Inventory(
        operators=dict(Counter(o.type for o in operations if o.type != "const").most_common()),
        weight_bytes=weight_bytes(operations),
        quantized_layers=sum(o.type in LAYERS and quantized(o, made_by) for o in operations),
    )


def weight_bytes(operations: list[Any]) -> dict[str, int]:
    """Bytes of the constants that are floats or small integers: the others are shapes, axes and strides."""
    counted: Counter[str] = Counter()
    for operation in operations:
        for value in constants(operation):
            tensor_type = value.type.tensorType
            dtype = dtype_of(tensor_type.dataType)
            if weight_like(dtype):
                counted[python_name(dtype)] += -(-prod(shape_of(tensor_type)) * dtype.bits // 8)
    return dict(counted.most_common())


def constants(operation: Any) -> Iterator[Any]:
    """The numbers that an operation holds, in attributes and in inputs, as MIL.proto's Values."""
    inline = (b.value for a in operation.inputs.values() for b in a.arguments if b.WhichOneof("binding") == "value")
    for value in (*operation.attributes.values(), *inline):
        if (
            value.type.WhichOneof("type") == "tensorType"
            and value.type.tensorType.dataType != messages("MIL_pb2").STRING
        ):
            yield value


def weight_like(dtype: Dtype) -> bool:
    return dtype.floating or (dtype.bits <= 8 and dtype.name != "BOOL")


def python_name(dtype: Dtype) -> str:
    """ "float16" for FLOAT16."""
    return dtype.name.lower()


def quantized(layer: Any, made_by: Mapping[str, Any]) -> bool:
    """Whether a layer takes its activations from a `dequantize` and its weights from integers."""
    image, weight = maker(layer, "x", made_by), maker(layer, "weight", made_by)
    return image is not None and image.type == "dequantize" and weight is not None and holds_integers(weight, made_by)


def holds_integers(operation: Any, made_by: Mapping[str, Any]) -> bool:
    """Whether an operation that makes weights makes them of int8 constants: `constexpr_…` or `dequantize`."""
    sources = [operation, *filter(None, (maker(operation, name, made_by) for name in operation.inputs))]
    dtypes = {
        dtype_of(value.type.tensorType.dataType).name
        for source in sources
        if source is operation or source.type == "const"
        for value in constants(source)
    }
    decompresses = operation.type.startswith("constexpr_") or operation.type == "dequantize"
    return decompresses and bool(dtypes & {"INT8", "UINT8"})


def maker(operation: Any, name: str, made_by: Mapping[str, Any]) -> Any | None:
    """The operation that makes the input `name` of another one; None for inputs of the program and inline values."""
    arguments = operation.inputs[name].arguments if name in operation.inputs else ()
    return next((made_by.get(a.name) for a in arguments if a.WhichOneof("binding") == "name"), None)
