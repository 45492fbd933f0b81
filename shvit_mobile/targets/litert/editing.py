"""Changes the graph of a LiteRT model: new tensors, constants and operators, without what is no longer used."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.targets.litert.flatbuffer import get_dtypes, get_operator_kinds, is_constant, load_schema


class GraphEditor:
    """A model that is being changed in place.

    Attributes:
        graph: Its `SubGraphT`; operators refer to tensors by their place in it.
        operators: The operators that it will have, in execution order; those whose outputs nobody reads are left out.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.graph = model, model.subgraphs[0]
        self.operators: list[Any] = []

    def is_constant(self, tensor: int) -> bool:
        return is_constant(self.model, self.graph.tensors[tensor])

    def add_tensor(self, name: str, shape: Sequence[int], dtype: np.dtype[Any], buffer: int = 0) -> int:
        """Add a tensor without values, and return its place."""
        tensor = load_schema().TensorT()
        tensor.name, tensor.shape, tensor.buffer = name.encode(), [int(size) for size in shape], buffer
        tensor.type = next(number for number, known in get_dtypes().items() if known == dtype)
        tensor.hasRank = True
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def add_constant(self, name: str, values: NDArray[Any]) -> int:
        """Add a tensor with values, and return its place."""
        return self.add_tensor(name, values.shape, values.dtype, self._add_buffer(values.tobytes()))

    def set_quantization(
        self, tensor: int, scales: NDArray[np.float32], zero_points: Sequence[int] | NDArray[np.int64], axis: int = 0
    ) -> None:
        """Say what the integers of a tensor stand for: one scale for all, or one for each place on `axis`."""
        quantization = load_schema().QuantizationParametersT()
        quantization.scale = np.asarray(scales, np.float32)
        quantization.zeroPoint = np.asarray(zero_points, np.int64)
        quantization.quantizedDimension = axis
        self.graph.tensors[tensor].quantization = quantization

    def add_operator(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], *, version: int = 1) -> None:
        """Add an operator without options."""
        self.operators.append(self._create_operator(kind, inputs, outputs, version))

    def add_arithmetic(self, kind: Literal["MUL", "ADD"], inputs: Sequence[int], output: int) -> Any:
        """Add the product or the sum of two tensors, and return its options, with no activation yet."""
        operator, schema = self._create_operator(kind, inputs, [output], version=1), load_schema()
        name = f"{kind.capitalize()}Options"
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        operator.builtinOptions = getattr(schema, f"{name}T")()
        self.operators.append(operator)
        return operator.builtinOptions

    def _create_operator(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], version: int) -> Any:
        operator = load_schema().OperatorT()
        operator.opcodeIndex = self.find_code(kind, version)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        return operator

    def find_code(self, kind: str, version: int) -> int:
        """Return the place of an operator's code, which is added if the model lacks it; a newer version stays."""
        number = next(number for number, name in get_operator_kinds().items() if name == kind)
        for index, code in enumerate(self.model.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == number and code.version >= version:
                return index
        code = load_schema().OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def set_metadata(self, name: str, content: bytes) -> None:
        """Store bytes under a name."""
        metadata = load_schema().MetadataT()
        metadata.name, metadata.buffer = name.encode(), self._add_buffer(content)
        self.model.metadata = [*(self.model.metadata or ()), metadata]

    def finish(self) -> None:
        """Set the operators, and drop tensors, constants and operator codes that are not used."""
        needed, kept = {int(index) for index in self.graph.outputs}, []
        for operator in reversed(self.operators):
            if needed.intersection(int(index) for index in operator.outputs):
                needed.update(int(index) for index in operator.inputs if index >= 0)
                kept.append(operator)
        self.graph.operators = kept[::-1]
        needed.update(int(index) for operator in kept for index in operator.outputs)
        needed.update(int(index) for index in self.graph.inputs)
        places = {old: new for new, old in enumerate(sorted(needed))} | {-1: -1}
        self.graph.tensors = [self.graph.tensors[index] for index in sorted(needed)]
        for operator in kept:
            operator.inputs, operator.outputs = _replace(operator.inputs, places), _replace(operator.outputs, places)
        self.graph.inputs, self.graph.outputs = (
            _replace(self.graph.inputs, places),
            _replace(self.graph.outputs, places),
        )
        for signature in self.model.signatureDefs or ():
            for entry in (*signature.inputs, *signature.outputs):
                entry.tensorIndex = places[int(entry.tensorIndex)]
        self._drop_codes()
        self._drop_buffers()

    def _drop_codes(self) -> None:
        used = sorted({int(operator.opcodeIndex) for operator in self.graph.operators})
        self.model.operatorCodes = [self.model.operatorCodes[index] for index in used]
        for operator in self.graph.operators:
            operator.opcodeIndex = used.index(operator.opcodeIndex)

    def _drop_buffers(self) -> None:
        owners = [*self.graph.tensors, *(self.model.metadata or ())]
        used = sorted({0, *(int(owner.buffer) for owner in owners)})
        places = {old: new for new, old in enumerate(used)}
        self.model.buffers = [self.model.buffers[index] for index in used]
        for owner in owners:
            owner.buffer = places[int(owner.buffer)]

    def _add_buffer(self, content: bytes) -> int:
        buffer = load_schema().BufferT()
        buffer.data = np.frombuffer(content, np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1


def _replace(indices: Iterable[int], places: dict[int, int]) -> list[int]:
    return [places[int(index)] for index in indices]
