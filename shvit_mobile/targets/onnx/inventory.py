"""Read the inventory of an `.onnx` file: operators, constants and int8 layers."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from math import prod
from pathlib import Path

import onnx
from onnx import helper

from shvit_mobile.contracts.artifact import MAX_ARTIFACT_BYTES
from shvit_mobile.contracts.files import read_bytes
from shvit_mobile.contracts.manifest import Inventory
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadArtifact

_LAYER_OPERATORS = ("Conv", "Gemm", "MatMul")


def read_inventory(path: AnyPath) -> Inventory:
    """Count the operators, the bytes of constants by dtype, and the layers whose inputs are all dequantized.

    Raises:
        BadArtifact: If the file cannot be read or is not ONNX.
    """
    graph = read_onnx_model(Path(path)).graph
    sizes: Counter[str] = Counter()
    for constant in _iterate_constants(graph):
        dtype = helper.tensor_dtype_to_np_dtype(constant.data_type)
        sizes[dtype.name] += prod(constant.dims) * dtype.itemsize
    producers = {output: node.op_type for node in graph.node for output in node.output}
    quantized = sum(
        node.op_type in _LAYER_OPERATORS
        and all(producers.get(name) == "DequantizeLinear" for name in node.input if name)
        for node in graph.node
    )
    return Inventory(
        operators=dict(sorted(Counter(node.op_type for node in graph.node).items())),
        weight_bytes=dict(sorted(sizes.items())),
        quantized_layers=quantized,
    )


def _iterate_constants(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the graph's constants, including those that other exporters write as nodes."""
    yield from graph.initializer
    for node in graph.node:
        if node.op_type == "Constant":
            yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def read_onnx_model(path: Path) -> onnx.ModelProto:
    """Read the model in a file, without weights in other files.

    Raises:
        BadArtifact: If the file cannot be read or is not ONNX.
    """
    content = read_bytes(path, limit=MAX_ARTIFACT_BYTES, error=BadArtifact, what="an ONNX model")
    model = onnx.ModelProto()
    # protobuf raises its own error for a file that is no message; another message leaves the graph empty.
    with suppress(Exception):
        model.ParseFromString(content)
    if not model.graph.node:
        raise BadArtifact(
            f"{path} is not an ONNX model.", why="It may be damaged or cut short.", hint="Export it again."
        )
    return model
