"""Removes from an XNNPACK graph what it computes for nothing, between ExecuTorch's writing of it and the file.

ExecuTorch moves a value to channels last and back for each operator that asks for it, one at a time: a permutation in
the model that undoes such a move stays, and so does the move. A relu in front of int8 stays, too, although integers
whose zero is the smallest of them cut off what is below; behind a copy in the exported graph, integers are moved as
floats; and zeros are copied around a map that a convolution could pad itself. This is imported on first use, because it
imports ExecuTorch.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from math import inf
from typing import Any

from executorch.backends.xnnpack import xnnpack_preprocess
from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import (
    PerTensorQuant,
    XNNClamp,
    XNNConv2d,
    XNNConvert,
    XNNDepthwiseConv2d,
    XNNGraph,
    XNNQuantizedTensorValue,
    XNNStaticConstantPad,
    XNNStaticReshape,
    XNNStaticSlice,
    XNNStaticTranspose,
    XNNTensorValue,
)

from shvit_mobile.quantize.affine import ACTIVATION_MIN

_MOVES = (XNNStaticConstantPad, XNNStaticReshape, XNNStaticSlice, XNNStaticTranspose)


@contextmanager
def change_graphs(*changes: Callable[[XNNGraph], None]) -> Iterator[None]:
    """Inside the context, ExecuTorch writes each XNNPACK graph after `changes`, which work in place, in their order."""
    write: Callable[..., bytes] = xnnpack_preprocess.serialize_xnnpack_binary

    def write_changed(graph: XNNGraph, constants: bytearray) -> bytes:
        for change in changes:
            change(graph)
        return write(graph, constants)

    xnnpack_preprocess.serialize_xnnpack_binary = write_changed
    try:
        yield
    finally:
        xnnpack_preprocess.serialize_xnnpack_binary = write


def simplify_graph(graph: XNNGraph) -> None:
    """Remove in place permutations that undo each other, implied relus and pads, and conversions around moves.

    The results stay the same to the bit.
    """
    values = {get_tensor(value).id_out: value.xvalue_union for value in graph.xvalues}
    steps = (_merge_permutations, _drop_relu, _move_integers, _absorb_padding)
    while any(step(graph, values) for step in steps):
        pass
    used = {value for node in graph.xnodes for _, value in list_values(node.xnode_union)}
    graph.xvalues = [
        value
        for value in graph.xvalues
        if get_tensor(value).id_out in {*used, *graph.input_ids, *graph.output_ids}
        or get_tensor(value).constant_buffer_idx
    ]


def _merge_permutations(graph: XNNGraph, values: dict[int, Any]) -> bool:
    """Let a permutation behind another read the value before both; remove what is not read then, or moves nothing."""
    producers = {_get_output(node): node.xnode_union for node in graph.xnodes}
    for node in graph.xnodes:
        permutation = node.xnode_union
        if not isinstance(permutation, XNNStaticTranspose):
            continue
        before = producers.get(permutation.input_id)
        if isinstance(before, XNNStaticTranspose):
            permutation.perm = [before.perm[axis] for axis in permutation.perm]
            permutation.input_id = before.input_id
            if not _find_readers(graph, before.output_id) and before.output_id not in graph.output_ids:
                graph.xnodes = [one for one in graph.xnodes if one.xnode_union is not before]
            return True
        if list(permutation.perm) == sorted(permutation.perm) and _bypass(graph, values, permutation):
            return True
    return False


def _drop_relu(graph: XNNGraph, values: dict[int, Any]) -> bool:
    """Remove a relu whose result is only converted to integers, the smallest of which stands for zero."""
    for node in graph.xnodes:
        relu, limits = node.xnode_union, node.output_min_max
        if not isinstance(relu, XNNClamp) or limits is None:
            continue
        if (float(limits.output_min), float(limits.output_max)) != (0.0, inf):  # "+inf" may be a string
            continue
        readers = _find_readers(graph, relu.output_id)
        if readers and all(
            isinstance(reader, XNNConvert) and _is_zero_smallest(values[reader.output_id]) for reader in readers
        ):
            return _bypass(graph, values, relu)
    return False


def _move_integers(graph: XNNGraph, values: dict[int, Any]) -> bool:
    """Move integers where they are converted to float, moved, and converted back to the same integers."""
    producers = {_get_output(node): node.xnode_union for node in graph.xnodes}
    for node in graph.xnodes:
        move = node.xnode_union
        if not isinstance(move, _MOVES) or move.output_id in graph.output_ids:
            continue
        before, readers = producers.get(move.input_id), _find_readers(graph, move.output_id)
        if not isinstance(before, XNNConvert) or len(readers) != 1 or not isinstance(readers[0], XNNConvert):
            continue
        (after,) = readers
        parameters = _get_parameters(values[before.input_id])
        if parameters and parameters == _get_parameters(values[after.output_id]):
            move.input_id, move.output_id = before.input_id, after.output_id
            is_read = before.output_id in graph.output_ids or _find_readers(graph, before.output_id)
            removed = (after,) if is_read else (before, after)
            graph.xnodes = [one for one in graph.xnodes if not any(one.xnode_union is other for other in removed)]
            return True
    return False


def _absorb_padding(graph: XNNGraph, values: dict[int, Any]) -> bool:
    """Let convolutions pad their input themselves where zeros are put around rows and columns of a map."""
    for node in graph.xnodes:
        pad = node.xnode_union
        if not isinstance(pad, XNNStaticConstantPad) or pad.padding_value != 0 or pad.output_id in graph.output_ids:
            continue
        before, after = list(pad.pre_paddings), list(pad.post_paddings)
        readers = _find_readers(graph, pad.output_id)
        if len(before) != 4 or min(before + after) < 0 or any((before[0], before[3], after[0], after[3])):
            continue
        parameters = [_get_parameters(values[number]) for number in (pad.input_id, pad.output_id)]
        if (
            parameters[0] != parameters[1]
            or not readers
            or not all(
                isinstance(reader, XNNConv2d | XNNDepthwiseConv2d) and reader.input1_id == pad.output_id
                for reader in readers
            )
        ):
            continue
        for reader in readers:
            reader.padding_top += before[1]
            reader.padding_left += before[2]
            reader.padding_bottom += after[1]
            reader.padding_right += after[2]
            reader.input1_id = pad.input_id
        graph.xnodes = [one for one in graph.xnodes if one.xnode_union is not pad]
        return True
    return False


def _is_zero_smallest(value: Any) -> bool:
    parameters = _get_parameters(value)
    return parameters is not None and parameters.zero_point == ACTIVATION_MIN


def _get_parameters(value: Any) -> PerTensorQuant | None:
    """Return the scale and zero point of a value of integers; None of any other."""
    parameters = value.quant_params if isinstance(value, XNNQuantizedTensorValue) else None
    return parameters if isinstance(parameters, PerTensorQuant) else None


def _bypass(graph: XNNGraph, values: dict[int, Any], node: Any) -> bool:
    """Let readers of a node's output read its input, and remove it; False if the two are described differently."""
    if node.output_id in graph.output_ids or not _is_described_alike(values[node.input_id], values[node.output_id]):
        return False
    for reader in _find_readers(graph, node.output_id):
        for name, value in list_values(reader):
            if value == node.output_id and name != "output_id":
                setattr(reader, name, node.input_id)
    graph.xnodes = [one for one in graph.xnodes if one.xnode_union is not node]
    return True


def _is_described_alike(one: Any, other: Any) -> bool:
    """Return whether two values have the same dtype, shape and scale."""
    if type(one) is not type(other):
        return False
    if isinstance(one, XNNQuantizedTensorValue):
        if one.quant_params != other.quant_params:
            return False
        one, other = one.tensor_value, other.tensor_value
    return bool((one.datatype, one.num_dims, list(one.dims)) == (other.datatype, other.num_dims, list(other.dims)))


def _find_readers(graph: XNNGraph, value: int) -> list[Any]:
    return [
        node.xnode_union
        for node in graph.xnodes
        if any(read == value and name != "output_id" for name, read in list_values(node.xnode_union))
    ]


def list_values(node: Any) -> Iterator[tuple[str, int]]:
    """Yield the fields of a node that hold numbers of values."""
    for field in fields(node):
        if field.name.endswith("_id"):
            yield field.name, getattr(node, field.name)


def _get_output(node: Any) -> int | None:
    return getattr(node.xnode_union, "output_id", None)


def get_tensor(value: Any) -> XNNTensorValue:
    union = value.xvalue_union
    return union.tensor_value if isinstance(union, XNNQuantizedTensorValue) else union
