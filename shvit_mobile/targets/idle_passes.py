"""Spares ExecuTorch's lowering the runs of a graph that change nothing, which take half of its time.

Each of ExecuTorch's passes ends with running its graph anew, node by node with tensors without values, to note the
shape of each value, whether or not the pass has changed anything. This is imported on first use, because it imports
ExecuTorch.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from executorch.exir.pass_base import ExportPass, _ExportPassBase
from torch import fx
from torch.export import ExportedProgram
from torch.fx.passes.infra.pass_base import PassResult

# What a pass may override to change nodes while a graph runs.
_HOOKS = (
    *("_fx", "inputs", "on_attr", "output", "placeholder", "ExportInterpreter", "ExportTracer"),
    *("call_cond", "call_delegate", "call_getitem", "call_map", "call_operator", "call_scan", "call_submodule"),
    *("call_sym", "call_while"),
)


@contextmanager
def skip_idle_runs() -> Iterator[None]:
    """Inside the context, ExecuTorch runs a graph anew only if something may change.

    A pass that changes nodes before its run leaves out the run if the graph is still what an earlier run made. A
    program that was decomposed once is not decomposed again by a table that has none of its operators.
    """
    run_pass, decompose = _ExportPassBase.call, ExportedProgram.run_decompositions
    made, decomposed = WeakKeyDictionary[fx.Graph, list[Any]](), WeakSet[ExportedProgram]()

    def run_if_changed(self: _ExportPassBase, graph_module: fx.GraphModule) -> PassResult:
        if _only_runs(type(self)) and _is_same(made.get(graph_module.graph), _describe(graph_module.graph)):
            return PassResult(graph_module, False)
        result = run_pass(self, graph_module)
        made[result.graph_module.graph] = _describe(result.graph_module.graph)
        return result

    def decompose_if_needed(
        self: ExportedProgram, decomp_table: Mapping[Any, Callable[..., Any]] | None = None, *options: Any
    ) -> ExportedProgram:
        if self in decomposed and decomp_table is not None and not _has_operators(self.graph_module, decomp_table):
            return self
        result: ExportedProgram = decompose(self, decomp_table, *options)
        decomposed.add(result)
        return result

    _ExportPassBase.call = run_if_changed
    ExportedProgram.run_decompositions = decompose_if_needed  # type: ignore[method-assign]
    try:
        yield
    finally:
        _ExportPassBase.call = run_pass
        ExportedProgram.run_decompositions = decompose  # type: ignore[method-assign]


def _only_runs(kind: type[_ExportPassBase]) -> bool:
    """Return whether a pass of this type changes no node while a graph runs."""
    base = ExportPass if issubclass(kind, ExportPass) else _ExportPassBase
    return all(getattr(kind, name, None) is getattr(base, name, None) for name in _HOOKS)


def _describe(graph: fx.Graph) -> list[Any]:
    """Return the nodes of a graph with what they compute, and the values that a run noted for them."""
    return [(node, node.op, node.target, node.args, node.kwargs, node.meta.get("val")) for node in graph.nodes]


def _is_same(before: list[Any] | None, now: list[Any]) -> bool:
    if before is None or len(before) != len(now):
        return False
    return all(
        one[0] is other[0] and one[1:5] == other[1:5] and one[5] is other[5]
        for one, other in zip(before, now, strict=True)
    )


def _has_operators(module: fx.GraphModule, table: Mapping[Any, Any]) -> bool:
    """Return whether a graph, or one inside it, may have an operator of a table."""
    if any(isinstance(child, torch.fx.GraphModule) for child in module.children()):
        return True
    return any(node.target in table for node in module.graph.nodes if node.op == "call_function")
