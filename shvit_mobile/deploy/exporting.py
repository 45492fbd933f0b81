"""The graph of torch.export: how a module becomes one, and what its nodes say."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.traceback import NodeSource

from shvit_mobile.errors import NotSupported, get_first_line
from shvit_mobile.quiet import silence_libraries

# What changes no value, and moves none between channels.
TRANSPARENT = ("alias", "clone", "contiguous", "detach", "dropout", "dropout_", "to", "_to_copy")
PADS = ("pad", "constant_pad_nd")
# Operators of layers with a weight.
LAYERS = ("conv1d", "conv2d", "linear")


def export_model(model: nn.Module, images: Tensor, *, dynamic_shapes: Any = None) -> torch.export.ExportedProgram:
    """Export a model in eval mode.

    Args:
        model: It takes one tensor.
        images: Its input; its values do not matter.
        dynamic_shapes: Which sizes may change, as for `torch.export.export` (default: none).

    Raises:
        NotSupported: If torch.export does not accept it.
    """
    try:
        with silence_libraries(), share_node_histories(), torch.inference_mode(False), torch.no_grad():
            exported = torch.export.export(model, (images.clone(),), dynamic_shapes=dynamic_shapes)
            _inline_autocast(exported.graph_module)
            return exported
    except Exception as reason:
        raise NotSupported(
            f"torch.export does not accept {type(model).__name__}: {get_first_line(reason)}",
            why="Every target is lowered from the graph that it returns.",
            hint="Rewrite what depends on values of tensors, or export a part of the model.",
        ) from reason


@contextmanager
def share_node_histories() -> Iterator[None]:
    """Let the nodes of graphs that are made inside the context share the histories of those they were made from.

    torch.fx notes for each node which node of which graph it was made from, and copies that history deeply whenever a
    node runs. Lowering to ExecuTorch runs a graph about a hundred times; a fifth of its time went into these copies.
    Nothing changes a history once it is made.
    """
    if hasattr(NodeSource, "__deepcopy__"):  # a context around this one
        yield
        return
    NodeSource.__deepcopy__ = lambda history, _: history  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del NodeSource.__deepcopy__  # type: ignore[attr-defined]


def _inline_autocast(module: fx.GraphModule) -> None:
    """Replace in place each part of a graph for which a model switches autocast off by its operators: it is off."""
    for node in list(module.graph.nodes):
        if str(node.target) != "wrap_with_autocast" or node.args[2]:
            continue
        part: fx.GraphModule = getattr(module, node.args[4].target)
        operands, copies, results = iter(node.args[5:]), dict[fx.Node, Any](), ()
        with module.graph.inserting_before(node):
            for inner in part.graph.nodes:
                if inner.op == "placeholder":
                    copies[inner] = next(operands)
                elif inner.op != "output":
                    copies[inner] = module.graph.node_copy(inner, copies.__getitem__)
                else:
                    results = fx.map_arg(inner.args[0], copies.__getitem__)
        for user in list(node.users):
            user.replace_all_uses_with(results[user.args[1]])
            module.graph.erase_node(user)
        module.graph.erase_node(node)


def find_dependent(nodes: Iterable[fx.Node], inputs: Iterable[fx.Node]) -> set[fx.Node]:
    """Return the nodes that depend on some of them, which are among them, too.

    Args:
        nodes: The nodes of a graph, in order.
        inputs: Some of them.
    """
    dependent = set(inputs)
    for node in nodes:
        if dependent.intersection(node.all_input_nodes):
            dependent.add(node)
    return dependent


def get_operator_name(node: fx.Node) -> str:
    """Return the name of an operator without its namespace and overload, "conv2d"; empty if a node calls none."""
    packet = getattr(node.target, "overloadpacket", None)
    return packet.__name__ if node.op == "call_function" and packet is not None else ""


def get_argument(node: fx.Node, position: int, name: str, default: Any = None) -> Any:
    """Return an operator's argument, given by position or by name."""
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def get_padding_value(node: fx.Node) -> Any:
    """Return the number that an operator of `PADS` pads with, or the name of the mode if it copies values."""
    is_pad = get_operator_name(node) == "pad"
    mode = get_argument(node, 2, "mode", "constant") if is_pad else "constant"
    return get_argument(node, 3 if is_pad else 2, "value", 0) if mode == "constant" else mode


def get_module_path(node: fx.Node) -> str:
    """Return the path of the module that called an operator; empty for the exported module itself."""
    stack = node.meta.get("nn_module_stack") or {"": ("", None)}
    path: str = list(stack.values())[-1][0]
    return path
