"""Graphs keep the histories of their nodes, without copies of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from shvit_mobile.deploy.exporting import export_model, share_node_histories


def trace_again(graph_module: fx.GraphModule) -> fx.GraphModule:
    with fx.traceback.preserve_node_meta():
        return fx.Transformer(graph_module).transform()


def describe_history(source: Any) -> Any:
    return (source.name, source.pass_name, [describe_history(one) for one in source.from_node])


def collect_histories(graph_module: fx.GraphModule) -> dict[str, Any]:
    return {
        node.name: [describe_history(source) for source in node.meta["from_node"]]
        for node in graph_module.graph.nodes
        if "from_node" in node.meta
    }


def test_shared_histories_say_what_copied_ones_say() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    exported = export_model(model, torch.zeros(1, 3, 9, 7)).graph_module
    copied = trace_again(trace_again(exported))
    with share_node_histories():
        first = trace_again(exported)
        with share_node_histories():
            second = trace_again(first)
        assert hasattr(fx.traceback.NodeSource, "__deepcopy__")
    assert not hasattr(fx.traceback.NodeSource, "__deepcopy__")
    histories = collect_histories(second)
    assert histories
    assert histories == collect_histories(copied)
    before = {node.name: node for node in first.graph.nodes}
    later = next(node for node in second.graph.nodes if "from_node" in node.meta and node.op == "call_function")
    (source,) = later.meta["from_node"]
    assert source.from_node[0] is before[source.name].meta["from_node"][0]
