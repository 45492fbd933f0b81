"""Read, check and write .tflite files: flatbuffers of the schema in ai-edge-litert.

The interpreter trusts a file: damage in it may end the process. `parse_model` therefore checks every reference, the
order of operators and the size of every constant before a file gets there.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import MAX_ARTIFACT_BYTES
from shvit_mobile.contracts.files import read_bytes
from shvit_mobile.errors import BadArtifact
from shvit_mobile.quiet import import_library

IDENTIFIER = b"TFL3"
# The alignment of constants in the schema, which Python's flatbuffers do not know.
_ALIGNMENT = 16
_MAX_ELEMENTS = 2**31
_LAYER_KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def load_schema() -> Any:
    """Return the module of the schema's classes.

    Raises:
        ToolMissing: If ai-edge-litert is not installed.
    """
    return import_library("ai_edge_litert.schema_py_generated", "It reads and writes LiteRT models.")


@cache
def get_dtypes() -> dict[int, np.dtype[Any]]:
    """Return numpy's dtype of each type of tensor that is supported."""
    types = load_schema().TensorType
    names = ("float32", "float16", "int32", "uint8", "int64", "bool", "int16", "int8", "float64", "uint32")
    return {getattr(types, name.upper()): np.dtype(name) for name in names}


@cache
def get_operator_kinds() -> dict[int, str]:
    """Return the name of each builtin operator: "CONV_2D"."""
    found = vars(load_schema().BuiltinOperator).items()
    return {number: name for name, number in found if isinstance(number, int)}


@cache
def get_activations() -> dict[int, str]:
    """Return the name of each activation that an operator may compute with its own output: "RELU"."""
    found = vars(load_schema().ActivationFunctionType).items()
    return {number: name for name, number in found if isinstance(number, int)}


@dataclass(frozen=True)
class OperatorView:
    """An operator with its tensors.

    Attributes:
        operator: The `OperatorT`.
        kind: The name of its builtin operator.
        inputs: Its `TensorT`s; None for one that is left out.
        outputs: Its `TensorT`s.
    """

    model: Any
    operator: Any
    kind: str
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]

    @property
    def is_layer(self) -> bool:
        """Whether it is a convolution or a linear layer with a constant weight."""
        return self.kind in _LAYER_KINDS and self.is_constant(self.inputs[1])

    @property
    def activation(self) -> str:
        """The activation that it also computes, as a suffix, such as ".relu"; empty if there is none."""
        number = self.activation_number
        return f".{get_activations()[number].lower()}" if number else ""

    @property
    def activation_number(self) -> int:
        """The schema's number of that activation; 0 if there is none."""
        return int(getattr(self.operator.builtinOptions, "fusedActivationFunction", 0))

    def is_constant(self, tensor: Any) -> bool:
        return is_constant(self.model, tensor)


def iterate_graph(model: Any) -> Iterator[OperatorView]:
    """Yield the operators of a model, in execution order."""
    graph = model.subgraphs[0]
    for operator in graph.operators:
        inputs = tuple(None if index < 0 else graph.tensors[index] for index in operator.inputs)
        outputs = tuple(graph.tensors[index] for index in operator.outputs)
        yield OperatorView(model, operator, get_kind(model, operator), inputs, outputs)


def get_kind(model: Any, operator: Any) -> str:
    """Return the name of an operator's kind: "CONV_2D"."""
    code = model.operatorCodes[operator.opcodeIndex]
    # Files from before there were more than 127 operators have only the first.
    return get_operator_kinds()[max(code.deprecatedBuiltinCode, code.builtinCode)]


def is_constant(model: Any, tensor: Any) -> bool:
    """Return whether a tensor has values in the file."""
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def read_values(model: Any, tensor: Any) -> NDArray[Any]:
    """Return the values of a constant."""
    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    return data.view(get_dtypes()[tensor.type]).reshape(list_sizes(tensor))


def list_sizes(tensor: Any) -> tuple[int, ...]:
    """Return the shape of a tensor."""
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def read_model(path: Path) -> Any:
    """Read a file and check it; see `parse_model`.

    Raises:
        BadArtifact: If it cannot be read, is not a LiteRT model, or is damaged.
        ToolMissing: If ai-edge-litert is not installed.
    """
    content = read_bytes(path, limit=MAX_ARTIFACT_BYTES, error=BadArtifact, what="a LiteRT model")
    try:
        return parse_model(content)
    except ValueError as reason:
        raise BadArtifact(
            f"{path} is not a LiteRT model: {reason}.", why="It may be damaged or cut short.", hint="Export it again."
        ) from reason


def parse_model(content: bytes) -> Any:
    """Return the `ModelT` in the bytes of a file, whose references, order and sizes are right.

    Raises:
        ValueError: If they are not, or the model has what no model of this project has: several graphs, variables,
            operators of one's own, or values outside of the flatbuffer.
    """
    if content[4:8] != IDENTIFIER:
        raise ValueError("it does not begin like one")
    try:
        model = load_schema().ModelT.InitFromPackedBuf(content, 0)
        fault = _find_fault(model)
    except (struct.error, ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError) as reason:
        raise ValueError("its fields cannot be read") from reason
    if fault:
        raise ValueError(fault)
    return model


def _find_fault(model: Any) -> str:
    """Return the first reference, order or size that is wrong; empty if there is none."""
    if len(model.subgraphs or ()) != 1:
        return "it does not have one graph"
    (graph,) = model.subgraphs
    if any(buffer.offset or buffer.size for buffer in model.buffers) or model.externalBufferGroups:
        return "it has values outside of its fields"
    for tensor in graph.tensors:
        if fault := _find_tensor_fault(model, tensor):
            return f"its tensor {(tensor.name or b'').decode(errors='replace')} {fault}"
    written = {index for index, tensor in enumerate(graph.tensors) if is_constant(model, tensor)}
    if not len(graph.inputs) or any(not 0 <= index < len(graph.tensors) for index in graph.inputs):
        return "its inputs are none of its tensors"
    written |= {int(index) for index in graph.inputs}
    for operator in graph.operators:
        if get_kind(model, operator) in ("CUSTOM", "DELEGATE"):
            return "it has an operator of its own"
        if any(index != -1 and index not in written for index in operator.inputs):
            return "an operator reads what no other has written"
        if any(not 0 <= index < len(graph.tensors) or index in written for index in operator.outputs):
            return "an operator writes what it must not"
        written |= {int(index) for index in operator.outputs}
    if not len(graph.outputs) or any(index not in written for index in graph.outputs):
        return "nothing computes its outputs"
    return ""


def _find_tensor_fault(model: Any, tensor: Any) -> str:
    dtype, sizes = get_dtypes().get(tensor.type), list_sizes(tensor)
    if dtype is None:
        return f"has the unknown type {tensor.type}"
    if any(size < 0 for size in sizes) or prod(sizes) > _MAX_ELEMENTS or len(sizes) > 8:
        return f"has the shape {sizes}"
    if not 0 <= tensor.buffer < len(model.buffers):
        return "has no buffer"
    if tensor.externalBuffer or tensor.isVariable or tensor.sparsity is not None or tensor.shapeSignature is not None:
        return "is not of a fixed size"
    data = model.buffers[tensor.buffer].data
    if data is not None and len(data) and len(data) != prod(sizes) * dtype.itemsize:
        return f"of {prod(sizes)} values has {len(data)} bytes"
    scales = None if tensor.quantization is None else tensor.quantization.scale
    if scales is None:
        return ""
    zeros, axis = tensor.quantization.zeroPoint, tensor.quantization.quantizedDimension
    count = 1 if len(scales) == 1 else sizes[axis] if 0 <= axis < len(sizes) else -1
    if len(scales) != count or len(zeros) != count or not np.all(np.isfinite(scales)):
        return "has scales that do not fit"
    return ""


def write_model(model: Any) -> bytes:
    """Return a model as the bytes of a file; equal models give equal bytes."""
    import flatbuffers

    aligned = _define_aligned_buffer()
    model.buffers = [aligned(buffer.data) for buffer in model.buffers]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


@cache
def _define_aligned_buffer() -> Any:
    schema = load_schema()

    class AlignedBuffer(schema.BufferT):  # type: ignore[misc, name-defined]
        """A buffer that begins where the kernels can read it fastest."""

        def __init__(self, data: Any) -> None:
            super().__init__()
            self.data = data

        def Pack(self, builder: Any) -> Any:  # noqa: N802, the schema's name
            vector = None
            if self.data is not None and len(self.data):
                content = np.asarray(self.data, np.uint8).tobytes()
                builder.StartVector(1, len(content), _ALIGNMENT)
                builder.head -= len(content)
                builder.Bytes[builder.head : builder.head + len(content)] = content
                vector = builder.EndVector()
            schema.BufferStart(builder)
            if vector is not None:
                schema.BufferAddData(builder, vector)
            return schema.BufferEnd(builder)

    return AlignedBuffer
