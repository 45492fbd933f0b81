"""Convert a module to a float .tflite, whose tensors are called after the module's layers.

litert-torch runs in an environment of its own. A conversion takes 20 seconds or more, and its result depends only on
the module, so it is kept in memory.
"""

import re
from collections import Counter, OrderedDict
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import nn

from shvit_mobile.contracts.artifact import MAX_ARTIFACT_BYTES
from shvit_mobile.contracts.files import read_bytes
from shvit_mobile.deploy.exporting import export_model, get_module_path, get_operator_name
from shvit_mobile.deploy.wiring import name_calls
from shvit_mobile.environments import ENVIRONMENTS
from shvit_mobile.errors import BadArtifact, NotSupported
from shvit_mobile.processes import get_last_line
from shvit_mobile.quiet import silence_libraries
from shvit_mobile.targets.litert.flatbuffer import OperatorView, iterate_graph, parse_model, write_model
from shvit_mobile.targets.onnx.float_graph import compute_structure_hash, list_parameters

_WORKER = Path(__file__).with_name("worker.py")
_MAX_KEPT_MODELS = 4
# The converter makes tensors' names of the scopes of the nodes behind them: "node_17;2" or "node_18;node_17;".
_MARK = re.compile(r"node_(\d+);")
_kept_models: OrderedDict[tuple[object, ...], bytes] = OrderedDict()


class _Mark(NamedTuple):
    """What the tensors of a node are called after, and whether it is a call of a layer or a residual sum."""

    name: str
    is_layer: bool = False
    is_sum: bool = False


def convert_module(module: nn.Module, shape: tuple[int, ...], *, names: tuple[str, ...]) -> Any:
    """Convert a module in eval mode, in float32, on the CPU.

    The output of each call of a layer is called as in `Wiring.calls`, a sum's with ".add" behind it. An operator that
    also computes the activation behind it adds the activation's name: ".relu", ".relu6". Outputs keep their names.

    Args:
        module: It takes one tensor and returns one or several.
        shape: The shape of its input.
        names: The names of the input and of the outputs.

    Returns:
        A `schema_py_generated.ModelT` of its own.

    Raises:
        ToolMissing: If the environment `litert` is not installed.
        NotSupported: If torch.export or litert-torch does not accept the module.
    """
    structure = compute_structure_hash(module)
    if structure is None:
        return parse_model(_convert(module, shape, names))
    values = sha256(
        b"".join(value.detach().numpy().tobytes() for value in list_parameters(module).values())
    ).hexdigest()
    key = structure, values, shape, names
    if key not in _kept_models:
        _kept_models[key] = _convert(module, shape, names)
        if len(_kept_models) > _MAX_KEPT_MODELS:
            _kept_models.popitem(last=False)
    _kept_models.move_to_end(key)
    return parse_model(_kept_models[key])


def _convert(module: nn.Module, shape: tuple[int, ...], names: tuple[str, ...]) -> bytes:
    exported = export_model(module, torch.zeros(shape))
    marks = _mark_nodes(exported)
    with TemporaryDirectory() as folder:
        program, result = Path(folder, "program.pt2"), Path(folder, "model.tflite")
        with silence_libraries():
            torch.export.save(exported, program)
        completed = ENVIRONMENTS["litert"].run([str(_WORKER), str(program), str(result)])
        if completed.returncode != 0 or not result.exists():
            raise NotSupported(
                f"litert-torch does not convert {type(module).__name__}.",
                why=get_last_line(completed.stderr) or f"It ended with status {completed.returncode}.",
                hint="Export the model to another target, such as executorch or onnx.",
            )
        model = parse_model(read_bytes(result, limit=MAX_ARTIFACT_BYTES, error=BadArtifact, what="a LiteRT model"))
    _name_tensors(model, marks, names)
    return write_model(model)


def _mark_nodes(exported: torch.export.ExportedProgram) -> list[_Mark]:
    """Replace the scope of each node by its number, in place, and return what the numbers stand for.

    A number beyond the nodes, as of what is added at the end, is that of the node that computes the last output.
    """
    calls, marks = name_calls(exported), list[_Mark]()
    for number, node in enumerate(exported.graph.nodes):
        operator = get_operator_name(node)
        if node not in calls:
            mark = _Mark(f"{get_module_path(node)}.{operator}".strip("."))
        elif operator.startswith("add"):
            mark = _Mark(f"{calls[node]}.add", is_sum=True)
        else:
            mark = _Mark(calls[node], is_layer=True)
        marks.append(mark)
        node.meta["nn_module_stack"] = {"node": (f"node.{number}", "node")}
        node.meta.pop("stack_trace", None)
    last = exported.graph.output_node().args[0][-1]
    return [*marks, marks[list(exported.graph.nodes).index(last)]]


def _name_tensors(model: Any, marks: list[_Mark], names: tuple[str, ...]) -> None:
    """Call tensors after the layers and modules that they belong to, in place; names are unique."""
    graph = model.subgraphs[0]
    taken: Counter[str] = Counter(names)
    known: dict[int, bytes] = {}
    for view in iterate_graph(model):
        mark, is_own = _find_mark(view, marks)
        name = f"{mark.name}{view.activation}" if is_own else f"{mark.name}.{view.kind.lower()}"
        for index in view.operator.outputs:
            known[int(index)] = _make_unique(name, taken)
        for place, (index, tensor) in enumerate(zip(view.operator.inputs, view.inputs, strict=True)):
            if tensor is not None and view.is_constant(tensor) and index not in known:
                part = ("input", "weight", "bias")[place] if view.is_layer else f"{view.kind.lower()}.{place}"
                known[int(index)] = _make_unique(f"{mark.name}.{part}", taken)
    ends = (graph.inputs[0], *graph.outputs)
    known |= {int(index): name.encode() for index, name in zip(ends, names, strict=True)}
    for index, tensor in enumerate(graph.tensors):
        tensor.name = known.get(index, tensor.name)
    (signature,) = model.signatureDefs
    for entry, name in zip((*signature.inputs, *signature.outputs), names, strict=True):
        entry.name = name.encode()


def _find_mark(view: OperatorView, marks: list[_Mark]) -> tuple[_Mark, bool]:
    """Return the node that an operator belongs to, and whether it is the layer or the sum itself.

    A node becomes several operators. An operator has the marks of several nodes if it computes an activation, too, or
    shares constants with an earlier one; so the last layer among them is its own.
    """
    numbers = [int(number) for number in _MARK.findall(view.outputs[0].name.decode())] or [-1]
    for number in sorted(numbers, reverse=True):
        if (view.is_layer and marks[number].is_layer) or (view.kind == "ADD" and marks[number].is_sum):
            return marks[number], True
    return marks[numbers[-1]], False


def _make_unique(name: str, taken: Counter[str]) -> bytes:
    taken[name] += 1
    return (name if taken[name] == 1 else f"{name}#{taken[name]}").encode()
