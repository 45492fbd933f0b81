"""Name the nodes and values of an exported ONNX graph after the layers of the module.

- The node that computes a layer's output is called after the layer, by its path in the module. From its second call on,
  a layer is called "PATH@2", "PATH@3".
- The activation after a layer is called "LAYER.relu", "LAYER.sigmoid", ... if nothing else reads the layer's output.
- A sum of two values that depend on the input is called "PATH.add" after the module that adds; the second one of a
  module "PATH@2.add".
- Any other node is called after the module that it comes from, and after its operator unless it is the only one there.

Values are called as the node that computes them, constants as the node that reads them and their role there.
"""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Set

import onnx
import onnx_ir as ir

LAYER_OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_ACTIVATIONS = ("Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Relu", "Sigmoid", "Tanh")
_UNNAMED = "(unnamed) "
_NO_MODULE = "_empty_nn_module_stack"
_NAME_SCOPES = "pkg.torch.onnx.name_scopes"


def read_scopes(graph: ir.Graph) -> dict[str, str]:
    """Return the path of the module that each value of an exported graph comes from, by the value's name.

    Read them before the graph is optimized, because nodes that the optimizer adds do not have them.
    """
    scopes = {}
    for node in graph:
        if _NAME_SCOPES in node.metadata_props:
            path = ast.literal_eval(node.metadata_props[_NAME_SCOPES])
            scope = path[-2] if len(path) > 1 and not path[-2].startswith(_NO_MODULE) else ""
            scopes.update({output.name or "": scope for output in node.outputs})
    return scopes


def name_nodes(graph: ir.Graph, parameters: Set[str], scopes: Mapping[str, str]) -> None:
    """Name the nodes, their outputs and the constants of a graph in place; its input and output keep their names.

    Args:
        graph: The graph.
        parameters: The names of the module's parameters, which keep their names.
        scopes: The result of `read_scopes`.
    """
    names = _NodeNames(graph, parameters, scopes)
    for value in [*graph.initializers.values()]:
        if value.name not in parameters:
            value.name = f"{_UNNAMED}{value.name}"  # its name may be one that a node gets
    names.reserve_sums(graph)
    for node in graph:
        node.name = names.choose(node)
        for index, output in enumerate(node.outputs):
            if not output.is_graph_output():
                output.name = node.name if len(node.outputs) == 1 else f"{node.name}.{index}"
    for node in graph:
        for role, given in zip(_iterate_roles(node), node.inputs, strict=False):
            if given is not None and given.is_initializer() and (given.name or "").startswith(_UNNAMED):
                given.name = names.make_unique(f"{node.name}.{role}")


class _NodeNames:
    """Chooses the names of a graph's nodes, in the order of the graph."""

    def __init__(self, graph: ir.Graph, parameters: Set[str], scopes: Mapping[str, str]) -> None:
        self._parameters = parameters
        self._scopes: dict[ir.Node, str] = {}
        self._taken = {*parameters, *(value.name or "" for value in (*graph.inputs, *graph.outputs))}
        self._calls: Counter[str] = Counter()
        self._chosen: dict[ir.Node, str] = {}
        self._dependent = set(graph.inputs)
        for node in graph:
            # What only depends on the size of the batch is the same for every image.
            if node.op_type != "Shape" and self._dependent.intersection(node.inputs):
                self._dependent.update(node.outputs)
            self._scopes[node] = self._find_scope(node, scopes)
        paths = Counter(self._scopes.values())
        parents = {path[:end] for path in paths for end in range(len(path)) if path[end] == "."}
        self._lone_paths = {path for path, count in paths.items() if count == 1 and path and path not in parents}

    def reserve_sums(self, graph: ir.Graph) -> None:
        """Choose the names of all sums, before the addition of a constant gets one of them."""
        for node in graph:
            name = self._name_sum(node)
            if name is not None:
                self._chosen[node] = self.make_unique(name)

    def choose(self, node: ir.Node) -> str:
        """Return the name of a node; those before it in the graph have theirs."""
        if node not in self._chosen:
            self._chosen[node] = self.make_unique(self._name_layer(node) or self._name_other(node))
        return self._chosen[node]

    def make_unique(self, name: str) -> str:
        """Return `name`, with a number after it if it is taken."""
        unique, number = name, 2
        while unique in self._taken:
            unique, number = f"{name}.{number}", number + 1
        self._taken.add(unique)
        return unique

    def _name_layer(self, node: ir.Node) -> str | None:
        """Return the name of a layer's node, after choosing those of the nodes that belong to the layer."""
        path = self._find_layer(node)
        if path is None:
            return None
        name = self._count(path)
        last, bias = node, get_only_user(node)
        if node.op_type == "MatMul" and bias is not None and bias.op_type == "Add" and self._is_bias(bias, path):
            self._chosen[bias] = self.make_unique(name)
            last, name = bias, f"{name}.product"
        follower = get_only_user(last)
        if follower is not None and follower.op_type in _ACTIVATIONS:
            layer = self._chosen.get(last, name)
            self._chosen[follower] = self.make_unique(f"{layer}.{follower.op_type.lower()}")
        return name

    def _name_sum(self, node: ir.Node) -> str | None:
        if node.op_type != "Add" or not self._dependent.issuperset(node.inputs):
            return None
        return f"{self._count(self._scopes[node])}.add"

    def _name_other(self, node: ir.Node) -> str:
        scope, operator = self._scopes[node], node.op_type.lower()
        if scope in self._lone_paths:
            return scope
        return f"{scope}.{operator}" if scope else operator

    def _count(self, path: str) -> str:
        self._calls[path] += 1
        return path if self._calls[path] == 1 else f"{path}@{self._calls[path]}"

    def _find_layer(self, node: ir.Node) -> str | None:
        """Return the path of the layer whose weight a node multiplies with."""
        weight = node.inputs[1] if node.op_type in LAYER_OPERATORS else None
        while weight is not None and weight.name not in self._parameters:
            producer = weight.producer()
            weight = producer.inputs[0] if producer is not None and weight not in self._dependent else None
        return None if weight is None else (weight.name or "").rpartition(".")[0]

    def _is_bias(self, node: ir.Node, path: str) -> bool:
        names = {value.name for value in node.inputs if value is not None}
        return any(name in self._parameters and (name or "").rpartition(".")[0] == path for name in names)

    def _find_scope(self, node: ir.Node, scopes: Mapping[str, str]) -> str:
        """Return the path of the module that a node comes from, or that the node it reads from comes from."""
        for output in node.outputs:
            name = output.name or ""
            for known in (name, name.rpartition("_split_")[0]):
                if known in scopes:
                    return scopes[known]
        producers = (value.producer() for value in node.inputs if value is not None)
        return next((self._scopes[producer] for producer in producers if producer is not None), "")


def get_only_user(node: ir.Node) -> ir.Node | None:
    """Return the node that alone reads the first output of a node, which is no output of the graph."""
    users = [use.node for use in node.outputs[0].uses()]
    return users[0] if len(users) == 1 and not node.outputs[0].is_graph_output() else None


def _iterate_roles(node: ir.Node) -> Iterator[str]:
    """Yield the names of a node's inputs in the specification of its operator; the last of any number repeats."""
    formal = [given.name.lower() for given in onnx.defs.get_schema(node.op_type, node.domain).inputs]
    yield from formal
    while True:
        yield formal[-1]
