"""Write the quantize and dequantize operators of a quantized graph as Core AI's."""

import torch
from torch import fx

from shvit_mobile.quiet import import_library

_DECOMPOSED = torch.ops.quantized_decomposed


def replace_quantize_operators(graph: fx.GraphModule) -> fx.GraphModule:
    """Replace in place the quantize and dequantize operators of PyTorch 2 export by those of Core AI.

    Both round half to even and saturate, and take the same scales and zero points.

    Args:
        graph: The result of `shvit_mobile.quantize.pt2e_graph.build_quantized_graph` for static int8.

    Raises:
        ToolMissing: If coreai-torch is not installed.
    """
    import_library("coreai_torch._compression.custom_layers", "It declares Core AI's int8 operators.")
    for number, node in enumerate(list(graph.graph.nodes)):
        if node.op != "call_function":
            continue
        with graph.graph.inserting_before(node):
            if node.target == _DECOMPOSED.dequantize_per_channel.default:
                weight, scales, _, axis = node.args[:4]  # the zero points of weights are 0
                new = graph.graph.call_function(torch.ops.coreai.dequantize.default, (weight, scales, None, None, axis))
            elif node.target in (_DECOMPOSED.quantize_per_tensor.default, _DECOMPOSED.dequantize_per_tensor.default):
                value, scale, zero_point = node.args[:3]
                scale_node = _add_constant(graph, f"scale_{number}", torch.tensor(scale, dtype=torch.float32))
                zero_node = _add_constant(graph, f"zero_point_{number}", torch.tensor(zero_point, dtype=torch.int8))
                new = (
                    graph.graph.call_function(
                        torch.ops.coreai.quantize.default, (value, scale_node, torch.int8, zero_node)
                    )
                    if node.target == _DECOMPOSED.quantize_per_tensor.default
                    else graph.graph.call_function(torch.ops.coreai.dequantize.default, (value, scale_node, zero_node))
                )
            else:
                continue
        node.replace_all_uses_with(new)
        graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _add_constant(graph: fx.GraphModule, name: str, value: torch.Tensor) -> fx.Node:
    graph.register_buffer(name, value)
    return graph.graph.get_attr(name)
