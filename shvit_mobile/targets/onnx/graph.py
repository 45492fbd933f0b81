"""Build an ONNX graph: nodes in execution order, constants, and shapes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from shvit_mobile.quantize.affine import AffineParameters

_FLOAT_TYPE = onnx.TensorProto.FLOAT


@dataclass(frozen=True)
class GraphValue:
    """A tensor of the graph.

    Attributes:
        name: Its name, the same as that of its node.
        shape: Its shape without the batch.
        affine: The parameters of the int8 values from which it was dequantized; None for a float value.
    """

    name: str
    shape: tuple[int, ...]
    affine: AffineParameters | None = None


class GraphBuilder:
    """A graph to which you add nodes; `build_model` returns the model."""

    def __init__(self, name: str, *, images: str, shape: tuple[int, int, int]) -> None:
        self.name = name
        self.images = GraphValue(images, shape)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def add_node(
        self, op: str, name: str, *inputs: GraphValue | str, shape: tuple[int, ...] | None = None, **attributes: Any
    ) -> GraphValue:
        """Add a node with one output called `name`, of the given shape (default: that of the first input)."""
        self._append(op, name, inputs, [name], attributes)
        return GraphValue(name, _get_shape(inputs[0]) if shape is None else shape)

    def add_split(self, name: str, x: GraphValue, sizes: Sequence[int]) -> list[GraphValue]:
        """Split the channels of `x`."""
        outputs = [f"{name}.{index}" for index in range(len(sizes))]
        self._append("Split", name, [x, self.add_int64_constant(f"{name}.sizes", sizes)], outputs, {"axis": 1})
        return [GraphValue(output, (size, *x.shape[1:])) for output, size in zip(outputs, sizes, strict=True)]

    def add_reshape(self, name: str, x: GraphValue, shape: tuple[int, ...]) -> GraphValue:
        """Reshape `x`; the batch does not change."""
        if prod(shape) != prod(x.shape):
            raise ValueError(f"{x.name} of shape {x.shape} cannot become {shape}")
        return self.add_node("Reshape", name, x, self.add_int64_constant(f"{name}.shape", (0, *shape)), shape=shape)

    def add_int64_constant(self, name: str, values: Sequence[int]) -> str:
        return self.add_constant(name, np.array(values, np.int64))

    def add_constant(self, name: str, values: NDArray[Any] | np.generic) -> str:
        """Add a constant and return its name."""
        if name in self._constants:
            raise ValueError(f"two constants are called {name}")
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def build_model(self, logits: GraphValue, output: str, *, opset: int, batch: int | str) -> onnx.ModelProto:
        """Return the model, with `logits` as its only output under the name `output`.

        `batch` is a number, or a name for a dynamic batch.
        """
        for node in self._nodes:
            node.output[:] = [output if name == logits.name else name for name in node.output]
        result = replace(logits, name=output)
        graph = helper.make_graph(
            self._nodes,
            self.name,
            [helper.make_tensor_value_info(self.images.name, _FLOAT_TYPE, [batch, *self.images.shape])],
            [helper.make_tensor_value_info(result.name, _FLOAT_TYPE, [batch, *result.shape])],
            list(self._constants.values()),
        )
        imports = [helper.make_opsetid("", opset)]
        # The oldest file format with this opset, so that older runtimes can read the file.
        return helper.make_model(graph, opset_imports=imports, ir_version=helper.find_min_ir_version_for(imports))

    def _append(
        self, op: str, name: str, inputs: Sequence[GraphValue | str], outputs: list[str], attributes: dict[str, Any]
    ) -> None:
        names = [value if isinstance(value, str) else value.name for value in inputs]
        self._nodes.append(helper.make_node(op, names, outputs, name, **attributes))


def _get_shape(value: GraphValue | str) -> tuple[int, ...]:
    if isinstance(value, str):
        raise TypeError(f"the shape of a node that takes {value} first must be given")
    return value.shape
