"""Teaches ExecuTorch's lowering to XNNPACK the casts between float32 and fp16, and pads of integers.

XNNPACK converts between the two, and ExecuTorch's runtime passes that on, but its partitioner takes no change of dtype:
the casts at the ends of a program in fp16 would run in kernels that apps for iOS do not link. It takes a pad in float
only. This module uses ExecuTorch's own ways to add an operator: a partitioner's config, and a visitor that writes the
node. It is imported on first use, because it imports ExecuTorch.
"""

from typing import Any

from executorch.backends.xnnpack.operators.node_visitor import NodeVisitor, register_node_visitor
from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
from executorch.backends.xnnpack.partition.config.generic_node_configs import (
    ConstantPadConfig,
    GenericNodePartitionerConfig,
)
from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import XNNConvert, XNode


def create_partitioner() -> Any:
    """Return XNNPACK's partitioner, which also takes `shvit_mobile.deploy.fp16_form.cast`, and pads of integers."""
    others = [config for config in ALL_PARTITIONER_CONFIGS if config is not ConstantPadConfig]
    return XnnpackPartitioner(configs=[*others, _PadConfig, _CastConfig])


class _PadConfig(ConstantPadConfig):  # type: ignore[misc]
    def supported_precision_types(self) -> list[Any]:
        return [ConfigPrecisionType.FP32, ConfigPrecisionType.STATIC_QUANT]


class _CastConfig(GenericNodePartitionerConfig):  # type: ignore[misc]
    target_name = "cast.default"

    def supported_precision_types(self) -> list[Any]:
        return [ConfigPrecisionType.FP32]


@register_node_visitor  # type: ignore[untyped-decorator]
class _CastVisitor(NodeVisitor):  # type: ignore[misc]
    target = "shvit_mobile.cast.default"

    def define_node(self, node: Any, xnn_graph: Any, vals_to_ids: dict[Any, int], debug_handle: int) -> None:
        (source,) = node.all_input_nodes
        for value in (source, node):
            self.define_tensor(value, xnn_graph, vals_to_ids)
        convert = XNNConvert(input_id=vals_to_ids[source], output_id=vals_to_ids[node], flags=0)
        xnn_graph.xnodes.append(XNode(xnode_union=convert, debug_handle=debug_handle))
