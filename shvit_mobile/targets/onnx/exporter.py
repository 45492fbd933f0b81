"""Export a module as a float ONNX graph with PyTorch's exporter, without what it notes about this machine."""

from collections.abc import Container, Set

import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes import common
from onnxscript.optimizer import optimize_ir
from onnxscript.version_converter import convert_version
from torch import nn

from shvit_mobile.deploy.exporting import export_model
from shvit_mobile.quiet import silence_libraries
from shvit_mobile.targets.onnx.names import name_nodes, read_scopes
from shvit_mobile.targets.onnx.opsets import EXPORTED_OPSET
from shvit_mobile.targets.onnx.simplify import simplify


def export_module(
    module: nn.Module,
    parameters: Set[str],
    shape: tuple[int, ...],
    *,
    names: tuple[str, ...],
    batch: int | str,
) -> onnx.ModelProto:
    """Export a module; the graph reads its parameters by name and does not hold their values.

    Args:
        module: In eval mode, in float32, on the CPU.
        parameters: The names of the parameters and buffers whose values the graph must not depend on.
        shape: The shape of the input without the batch.
        names: The names of the graph's input and of its outputs.
        batch: A number, or a name for a dynamic batch.
    """
    with torch.inference_mode(False), torch.no_grad(), silence_libraries():
        # An example of one image would make the batch constant.
        images = torch.zeros(2 if isinstance(batch, str) else batch, *shape)
        dynamic = ({0: torch.export.Dim(batch)},) if isinstance(batch, str) else None
        model = _translate(export_model(module, images, dynamic_shapes=dynamic), names)
        scopes = read_scopes(model.graph)
        for name in parameters & model.graph.initializers.keys():
            # Without its value, a parameter cannot be folded into another constant.
            model.graph.initializers[name].const_value = None
        optimize_ir(model)
        simplify(model)
        name_nodes(model.graph, parameters, scopes)
        return _convert_to_proto(model, parameters, batch)


def convert_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return a model with the operators of a later opset."""
    with silence_libraries():
        converted = ir.from_proto(model)
        convert_version(converted, opset)
        return ir.to_proto(converted)


def _translate(exported: torch.export.ExportedProgram, names: tuple[str, ...]) -> ir.Model:
    """Translate a program to ONNX, without decomposing its operators first if there is no need to.

    To decompose operators, PyTorch's exporter traces the graph once more, which takes as long as all the rest.
    """
    decompose = exported.run_decompositions

    def decompose_if_needed(table: Container[torch._ops.OperatorBase]) -> torch.export.ExportedProgram:
        targets = {node.target for node in exported.graph.nodes if isinstance(node.target, torch._ops.OpOverload)}
        needed = any(target in table or target._schema.is_mutable for target in targets)
        return decompose(table) if needed else exported

    def run_exporter() -> ir.Model:
        program = torch.onnx.export(
            exported,
            (),
            dynamo=True,
            opset_version=EXPORTED_OPSET,
            input_names=names[:1],
            output_names=names[1:],
            optimize=False,
            verbose=False,
        )
        if program is None:
            raise TypeError("torch.onnx.export returned nothing")
        return program.model

    exported.run_decompositions = decompose_if_needed  # type: ignore[assignment, method-assign]
    try:
        return run_exporter()
    except torch.onnx.OnnxExporterError:  # an operator that is in no table
        exported.run_decompositions = decompose  # type: ignore[method-assign]
        return run_exporter()


def _convert_to_proto(model: ir.Model, parameters: Set[str], batch: int | str) -> onnx.ModelProto:
    """Return the graph without metadata: the exporter notes paths of files on this machine, and the stack of calls."""
    graph = model.graph
    used = {value.name for node in graph for value in node.inputs if value is not None}
    for name in list(graph.initializers):
        if name in parameters or name not in used:
            del graph.initializers[name]
    common.ClearMetadataAndDocStringPass()(model)
    for value in (*graph.inputs, *graph.outputs):
        if value.shape is None:
            raise TypeError(f"{value.name} has no shape")
        value.shape = ir.Shape([batch, *list(value.shape)[1:]])
        value.metadata_props.clear()
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    return proto
