"""Cuts an exported graph into the parts in which layers pass int8 to each other.

What a layer costs in int8 and in float depends on its neighbors: between two int8 layers nothing is converted. Parts
have float values at both ends, whatever else the graph does, so each can be lowered and run alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from torch import fx

from shvit_mobile.deploy.activations import find_last_node, find_moved
from shvit_mobile.quantize.pt2e_graph import LAYER_OPERATORS, get_layer


@dataclass(frozen=True)
class Int8Part:
    """A part of a graph.

    Attributes:
        module: The part: it takes one float32 value, and returns those that the rest of the graph uses.
        layers: The layers that it calls, one for each call, in execution order.
        shape: The shape of the value that it takes.
        takes_image: Whether that is the graph's own input.
    """

    module: fx.GraphModule
    layers: tuple[str, ...]
    shape: tuple[int, ...]
    takes_image: bool

    def describe(self) -> str:
        """Return what the part computes: operators, shapes and constants, without names and weights.

        Parts that are described alike execute the same instructions.
        """
        numbers, lines = dict[fx.Node, str](), list[str]()
        for node in self.module.graph.nodes:
            numbers[node] = f"%{len(numbers)}"
            if node.op == "placeholder":
                lines.append(f"{self.shape} {self.takes_image}")
            elif node.op == "get_attr":
                lines.append(str(tuple(attrgetter(str(node.target))(self.module).shape)))
            else:
                arguments = fx.map_arg((node.args, dict(node.kwargs)), numbers.__getitem__)
                lines.append(f"{node.target} {arguments}")
        return "\n".join(lines)


def cut_int8_parts(graph_module: fx.GraphModule, layers: Iterable[str]) -> list[Int8Part]:
    """Return the parts of a graph, in execution order; every call of every layer is in one of them.

    The part of a layer that reads the graph's input, before any other layer, begins with that input.

    Args:
        graph_module: A graph of `export_model`, in float.
        layers: The layers that are int8.
    """
    chosen, parts, last_nodes = set(layers), list[list[fx.Node]](), dict[fx.Node, int]()
    for node in graph_module.graph.nodes:
        if node.target not in LAYER_OPERATORS or get_layer(node) not in chosen:
            continue
        before = find_moved(node.args[0])
        number = last_nodes.get(before)
        if number is None:
            number = len(parts)
            parts.append(_list_what_leads_to_first_layer(node))
        else:
            parts[number] += _list_between(before, node)
        last = find_last_node(node)
        parts[number] += [node, *_list_between(node, last), *([] if last is node else [last])]
        last_nodes[last] = number
    return [_cut(graph_module, set(nodes), chosen) for nodes in parts]


def _list_between(start: fx.Node, end: fx.Node) -> list[fx.Node]:
    """Return the nodes through which a value passes between two nodes."""
    passed, node = list[fx.Node](), end
    while node is not start and (node := node.args[0]) is not start:  # type: ignore[assignment]
        passed.append(node)
    return passed


def _list_what_leads_to_first_layer(layer: fx.Node) -> list[fx.Node]:
    """Return the nodes between the graph's input and a layer; none if there are other layers among them."""
    found, waiting = dict[fx.Node, None](), [layer.args[0]]
    while waiting:
        node: Any = waiting.pop()
        if node.target in LAYER_OPERATORS:
            return []
        if node.op == "call_function" and node not in found:
            found[node] = None
            waiting += node.all_input_nodes
    return list(found)


def _cut(graph_module: fx.GraphModule, nodes: set[fx.Node], layers: set[str]) -> Int8Part:
    graph, copies, taken, called = fx.Graph(), dict[fx.Node, fx.Node](), list[fx.Node](), list[str]()
    for node in graph_module.graph.nodes:
        if node not in nodes:
            continue
        for source in node.all_input_nodes:
            if source in copies:
                continue
            if source.op == "get_attr":
                copies[source] = graph.node_copy(source)
            else:
                copies[source] = graph.placeholder(source.name)
                copies[source].meta = dict(source.meta)
                taken.append(source)
        copies[node] = graph.node_copy(node, copies.__getitem__)
        if node.target in LAYER_OPERATORS and get_layer(node) in layers:
            called.append(get_layer(node))
    (source,) = taken
    graph.output(tuple(copies[node] for node in copies if node in nodes and not nodes.issuperset(node.users)))
    shape = tuple(map(int, source.meta["val"].shape))
    return Int8Part(fx.GraphModule(graph_module, graph), tuple(called), shape, source.op == "placeholder")
