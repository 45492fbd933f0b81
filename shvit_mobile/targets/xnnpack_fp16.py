"""Lets the float part of an int8 graph for XNNPACK compute in fp16: what int8 leaves in float then costs a phone less.

The pass runs between ExecuTorch's writing of a graph and the file. Values become fp16. Filters and biases stay float32,
because XNNPACK converts them when it loads them. Conversions are put where float32 has to stay: at the ends of the
graph, around operators without kernels for fp16, and from the image to the first layer, because pixels minus their mean
are not exact in fp16 (see `deploy/fp16_form.py`). This is imported on first use, because it imports ExecuTorch.
"""

from copy import copy
from typing import Any

import numpy as np
from executorch.backends.xnnpack.serialization import xnnpack_graph_schema as xnn
from executorch.backends.xnnpack.utils.xnnpack_constants import XNN_INVALID_VALUE_ID

from shvit_mobile.errors import VerificationFailed
from shvit_mobile.quantize.affine import ACTIVATION_MAX, ACTIVATION_MIN
from shvit_mobile.targets.xnnpack_graph import get_tensor, list_values

_FP32, _FP16 = xnn.XNNDatatype.xnn_datatype_fp32, xnn.XNNDatatype.xnn_datatype_fp16
_FP16_MAX = float(np.finfo(np.float16).max)
# Where XNNPACK converts between integers and fp16, it holds the scale, or its inverse, in fp16.
_MIN_SCALE = float(np.finfo(np.float16).smallest_normal)
_LAYERS = (xnn.XNNConv2d, xnn.XNNDepthwiseConv2d, xnn.XNNConvTranspose2d, xnn.XNNFullyConnected)
# The operators that have kernels for fp16 on ARM64, which cost fewer instructions than those for float32 and err by the
# rounding of fp16.
HALF_OPERATORS = (
    *_LAYERS,
    *(xnn.XNNAdd, xnn.XNNSubtract, xnn.XNNMultiply, xnn.XNNDiv, xnn.XNNMaximum, xnn.XNNMinimum),
    *(xnn.XNNAbs, xnn.XNNNegate, xnn.XNNSquare, xnn.XNNSquareRoot, xnn.XNNReciprocalSquareRoot),
    *(xnn.XNNCeiling, xnn.XNNFloor, xnn.XNNClamp, xnn.XNNLeakyReLU, xnn.XNNHardswish),
    *(xnn.XNNSigmoid, xnn.XNNTanh, xnn.XNNSoftmax, xnn.XNNBatchMatrixMultiply),
    *(xnn.XNNGlobalAvgPooling2d, xnn.XNNMaxPooling2d, xnn.XNNStaticResizeBilinear2D),
    *(xnn.XNNConcatenate2, xnn.XNNConcatenate3, xnn.XNNConcatenate4, xnn.XNNConcatenate5),
    *(xnn.XNNStaticConstantPad, xnn.XNNStaticReshape, xnn.XNNStaticSlice, xnn.XNNStaticTranspose, xnn.XNNConvert),
)


def convert_graph(graph: xnn.XNNGraph) -> None:
    """Let a graph compute in fp16, in place, where it computes in float32 and XNNPACK can; its ends keep their dtypes.

    Args:
        graph: A graph, whose nodes are in the order of their execution.

    Raises:
        VerificationFailed: If integers that become fp16 may stand for numbers that are infinite there.
    """
    conversion = _Conversion(graph)
    conversion.select_nodes()
    conversion.set_dtypes()
    nodes, graph.xnodes = graph.xnodes, []
    for node in nodes:
        conversion.convert_inputs(node)
        graph.xnodes.append(node)
        conversion.convert_output(node)


class _Conversion:
    """A graph on its way to fp16.

    Attributes:
        graph: The graph. Its nodes are those before the next one once the nodes are converted.
        values: The values by number.
        half: The nodes that are to compute in fp16, by `id`.
        copies: The number of the same value in another dtype, by number and dtype.
    """

    def __init__(self, graph: xnn.XNNGraph) -> None:
        self.graph = graph
        self.values: dict[int, Any] = {get_tensor(value).id_out: value.xvalue_union for value in graph.xvalues}
        self.half: set[int] = set()
        self.copies: dict[tuple[int, Any], int] = {}

    def select_nodes(self) -> None:
        """Select the nodes for fp16: those that can, behind the first layer of an image in float."""
        exact = set(self.graph.input_ids)  # also constants, where ExecuTorch passes them to the graph
        for node in self.graph.xnodes:
            union = node.xnode_union
            read = {number for _, number in _list_inputs(union) if self._is_float(number)}
            if read and read <= exact:
                if not isinstance(union, _LAYERS):
                    exact.update(number for _, number in _list_outputs(union))
            elif isinstance(union, HALF_OPERATORS) and self._has_kernel(union):
                self.half.add(id(union))

    def _has_kernel(self, union: Any) -> bool:
        """Return whether XNNPACK can compute a node of a type for fp16 in fp16, given its integers and constants.

        Where each image has a scale of its own, it cannot: in fp16 the scale of small values would be infinite.
        """
        found = {name: self.values[number] for name, number in list_values(union) if number in self.values}
        integers = [one for one in found.values() if isinstance(one, xnn.XNNQuantizedTensorValue)]
        if isinstance(union, xnn.XNNConvert):
            scales = [getattr(one.quant_params, "scale", 0.0) for one in integers]
            return all(scale >= _MIN_SCALE for scale in scales)
        # A filter and a bias are constants in float32. Of other operands that are constants XNNPACK wants fp16.
        constants = {name for name, one in found.items() if get_tensor(xnn.XValue(one)).constant_buffer_idx}
        return not integers and constants == {"filter_id", "bias_id"} & found.keys()

    def set_dtypes(self) -> None:
        """Set the dtype of what nodes compute in fp16: not of the graph's outputs, nor of what only float32 reads."""
        wanted = {
            number
            for node in self.graph.xnodes
            if id(node.xnode_union) in self.half
            for _, number in _list_inputs(node.xnode_union)
        }
        for node in self.graph.xnodes:
            union = node.xnode_union
            for _, number in _list_outputs(union) if id(union) in self.half else ():
                is_converted = isinstance(union, xnn.XNNConvert) and number not in wanted
                if self._is_float(number) and number not in self.graph.output_ids and not is_converted:
                    self.values[number].datatype = _FP16

    def convert_inputs(self, node: Any) -> None:
        """Let a node read values of the dtype in which it computes."""
        union = node.xnode_union
        is_half = id(union) in self.half
        if is_half and isinstance(union, xnn.XNNConvert):
            self._check_integers(union)
            return
        for name, number in _list_inputs(union):
            if self._is_float(number):
                setattr(union, name, self._convert_value(number, _FP16 if is_half else _FP32, node.debug_handle))

    def convert_output(self, node: Any) -> None:
        """Convert an output of the graph that a node computes in fp16; the nodes behind it read it in fp16."""
        union = node.xnode_union
        if id(union) not in self.half or isinstance(union, xnn.XNNConvert):
            return
        for name, number in _list_outputs(union):
            if self._is_float(number) and number in self.graph.output_ids:
                self.copies[number, _FP16] = self._add_value(number, _FP16)
                setattr(union, name, self.copies[number, _FP16])
                self._append_convert(self.copies[number, _FP16], number, node.debug_handle)

    def _convert_value(self, number: int, dtype: Any, debug_handle: int) -> int:
        """Return the number of a value in a dtype, to which it is converted in front of the next node if need be."""
        if self.values[number].datatype == dtype:
            return number
        if (number, dtype) not in self.copies:
            self.copies[number, dtype] = self._add_value(number, dtype)
            self._append_convert(number, self.copies[number, dtype], debug_handle)
        return self.copies[number, dtype]

    def _append_convert(self, source: int, result: int, debug_handle: int) -> None:
        convert = xnn.XNNConvert(input_id=source, output_id=result, flags=0)
        self.graph.xnodes.append(xnn.XNode(xnode_union=convert, debug_handle=debug_handle))

    def _add_value(self, number: int, dtype: Any) -> int:
        """Add a value inside the graph, of another dtype, and return its number."""
        value = copy(self.values[number])
        value.datatype, value.external_id, value.flags = dtype, XNN_INVALID_VALUE_ID, 0
        value.id_out = added = 1 + max(self.values)
        self.values[added] = value
        self.graph.xvalues.append(xnn.XValue(xvalue_union=value))
        return added

    def _check_integers(self, convert: Any) -> None:
        """Raise `VerificationFailed` if integers beside fp16 may stand for numbers that are infinite there."""
        ends = [self.values[number] for number in (convert.input_id, convert.output_id)]
        integers = next((one for one in ends if isinstance(one, xnn.XNNQuantizedTensorValue)), None)
        if integers is None or not any(getattr(one, "datatype", None) == _FP16 for one in ends):
            return
        parameters = integers.quant_params
        reach = parameters.scale * max(ACTIVATION_MAX - parameters.zero_point, parameters.zero_point - ACTIVATION_MIN)
        if reach > _FP16_MAX:
            raise VerificationFailed(
                f"The range of a layer reaches {reach:.3g}, which is infinite in fp16.",
                why=f"The largest number of fp16 is {_FP16_MAX:g}.",
                hint="Set `float_dtype=fp32`.",
                parameter="float_dtype",
            )

    def _is_float(self, number: int) -> bool:
        """Return whether a value is computed in float."""
        value = self.values.get(number)
        return (
            isinstance(value, xnn.XNNTensorValue) and value.datatype in (_FP32, _FP16) and not value.constant_buffer_idx
        )


def _list_inputs(node: Any) -> list[tuple[str, int]]:
    return [(name, number) for name, number in list_values(node) if not name.startswith("output")]


def _list_outputs(node: Any) -> list[tuple[str, int]]:
    return [(name, number) for name, number in list_values(node) if name.startswith("output")]
