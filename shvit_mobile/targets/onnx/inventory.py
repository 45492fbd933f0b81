"""What is inside an `.onnx` file, read from the file itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from math import prod
from pathlib import Path

import onnx
from onnx import helper

from shvit_mobile.contracts.manifest import Inventory
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadArtifact

LAYER_OPERATORS = ("Conv", "Gemm", "MatMul")


def read_inventory(path: AnyPath) -> Inventory:
    """Operators, bytes of the constants by dtype, and the layers whose every input is read back from integers.

    Raises:
        BadArtifact: the file cannot be read or is not ONNX.
    """
    graph = read_onnx_model(Path(path)).graph
    sizes: Counter[str] = Counter()
    for constant in iterate_constants(graph):
        dtype = helper.tensor_dtype_to_np_dtype(constant.data_type)
        sizes[dtype.name] += prod(constant.dims) * dtype.itemsize
    makers = {output: node.op_type for node in graph.node for output in node.output}
    quantized = sum(
        node.op_type in LAYER_OPERATORS
        and all(makers.get(given) == "DequantizeLinear" for given in node.input if given)
        for node in graph.node
    )
    return Inventory(
        operators=dict(sorted(Counter(node.op_type for node in graph.node).items())),
        weight_bytes=dict(sorted(sizes.items())),
        quantized_layers=quantized,
    )


def iterate_constants(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """The graph's constants, those that other exporters write as nodes among them."""
    yield from graph.initializer
    for node in graph.node:
        if node.op_type == "Constant":
            yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def read_onnx_model(path: Path) -> onnx.ModelProto:
    """The model in a file; weights that lie in other files are left there.

    Raises:
        BadArtifact: the file cannot be read or is not ONNX.
    """
    try:
        content = path.read_bytes()
    except OSError as reason:
        raise BadArtifact(f"{path} cannot be read: {reason.strerror}.") from None
    model = onnx.ModelProto()
    # What is not a message raises, of protobuf's own kind; what is another message leaves the graph empty.
    with suppress(Exception):
        model.ParseFromString(content)
    if not model.graph.node:
        raise BadArtifact(
            f"{path} is not an ONNX model.", why="It may be damaged or cut short.", hint="Export it again."
        )
    return model
