"""Export a module as an ONNX graph in float, through PyTorch's exporter, with names after the module's layers.

The exporter takes seconds. Its graph depends on the structure of the module and not on its weights, so it is kept in
memory without them; a second artifact of the same form takes milliseconds.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn

from shvit_mobile.quantize.affine import WEIGHT_SCALE

_MAX_KEPT_GRAPHS = 16
# Operators that only move the values of their first input: numpy's functions of it, further inputs, and attributes.
_MOVES: dict[str, Callable[[NDArray[Any], list[NDArray[Any]], dict[str, Any]], NDArray[Any]]] = {
    "Reshape": lambda value, given, _: value.reshape(given[0]),
    "Squeeze": lambda value, given, _: value.squeeze(tuple(given[0]) if given else None),
    "Transpose": lambda value, _, attributes: value.transpose(attributes.get("perm")),
    "Unsqueeze": lambda value, given, _: np.expand_dims(value, tuple(given[0])),
}


@dataclass(frozen=True)
class FloatGraph:
    """A graph without the values of the module's parameters and buffers.

    Attributes:
        model: The graph; each parameter that a node reads is missing from its constants.
        parameters: The names of these parameters, as in the module, in the order of their use.
    """

    model: onnx.ModelProto
    parameters: tuple[str, ...]


_kept_graphs: OrderedDict[tuple[object, ...], FloatGraph] = OrderedDict()


def export_float_graph(
    module: nn.Module, shape: tuple[int, ...], *, names: tuple[str, ...], batch: int | str
) -> FloatGraph:
    """Export a module in eval mode with the operators of `opsets.EXPORTED_OPSET`, or return the graph that is kept.

    Args:
        module: It takes one tensor and returns one or several; the graph computes in float32 whatever its dtype.
        shape: The shape of its input without the batch.
        names: The names of the graph's input and of its outputs.
        batch: A number, or a name for a dynamic batch.
    """
    module = copy_as_float32(module)
    structure = compute_structure_hash(module)
    key = (structure, shape, names, batch)
    if key in _kept_graphs:
        _kept_graphs.move_to_end(key)
        return _kept_graphs[key]
    # The exporter's libraries take a second to load, which only an export needs.
    from shvit_mobile.targets.onnx.exporter import export_module

    parameters = list_parameters(module).keys()
    model = export_module(module, parameters, shape, names=names, batch=batch)
    used = dict.fromkeys(name for node in model.graph.node for name in node.input)
    graph = FloatGraph(model, tuple(name for name in used if name in parameters))
    if structure is not None:
        _kept_graphs[key] = graph
        if len(_kept_graphs) > _MAX_KEPT_GRAPHS:
            _kept_graphs.popitem(last=False)
    return graph


def fill_graph(graph: FloatGraph, module: nn.Module) -> onnx.ModelProto:
    """Return a copy of a graph with the values of its parameters.

    Args:
        graph: The result of `export_float_graph`.
        module: The module, or another one that differs from it only in the values of its parameters.
    """
    model, parameters = onnx.ModelProto(), list_parameters(module)
    model.CopyFrom(graph.model)
    values = {name: parameters[name].detach().cpu().float().numpy() for name in graph.parameters}
    _fold_moves(model.graph, values)
    constants = [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in values.items()]
    constants += model.graph.initializer
    del model.graph.initializer[:]
    model.graph.initializer.extend(constants)
    return model


def _fold_moves(graph: onnx.GraphProto, values: dict[str, NDArray[Any]]) -> None:
    """Replace nodes that only move the values of a parameter by constants, which `values` then holds."""
    constants = {constant.name: constant for constant in graph.initializer}
    kept = []
    for node in graph.node:
        moved = values.get(node.input[0]) if node.op_type in _MOVES else None
        others = [numpy_helper.to_array(constants[name]) for name in node.input[1:] if name in constants]
        if moved is None or len(others) != len(node.input) - 1:
            kept.append(node)
            continue
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        values[node.output[0]] = _MOVES[node.op_type](moved, others, attributes)
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    for name in values.keys() - used:
        del values[name]
    unused = [constant for constant in graph.initializer if constant.name not in used]
    for constant in unused:
        graph.initializer.remove(constant)


def copy_as_float32(module: nn.Module) -> nn.Module:
    """Return a copy in float32 on the CPU that shares tensors with `module` where it can.

    The copy lacks the scales that layers hold for their int8 weights, which are no part of the float graph. It is in
    eval mode, coming from train mode: timm's attention then forgets what it has computed from its parameters.
    """
    tensors = [tensor for _, tensor in _iterate_tensors(module)]
    shareable = all(tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.int64) for tensor in tensors)
    copy = deepcopy(module, {id(tensor): tensor for tensor in tensors if shareable})
    if not shareable:
        copy = copy.cpu().float()
    for layer in copy.modules():
        layer._buffers.pop(WEIGHT_SCALE, None)
    return copy.train().eval()


def list_parameters(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a module that are no integers, by each name that they have."""
    return {name: tensor for name, tensor in _iterate_tensors(module) if tensor.is_floating_point()}


def _iterate_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def compute_structure_hash(module: nn.Module) -> str | None:
    """Compute a hash of all that a module consists of but the values of its parameters; see `list_parameters`.

    Returns:
        The hash, or None if the module cannot be pickled.
    """
    file = io.BytesIO()
    try:
        _StructurePickler(file, module).dump(module)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    return sha256(file.getbuffer()).hexdigest()


class _StructurePickler(pickle.Pickler):
    """Writes a module with the names of its parameters in place of their values."""

    def __init__(self, file: io.BytesIO, module: nn.Module) -> None:
        super().__init__(file, protocol=5)
        self._names = {id(tensor): name for name, tensor in list_parameters(module).items()}

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return None
        name = self._names.get(id(value))
        content = name or value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return content, tuple(value.shape), str(value.dtype)
