"""The quantized graph: the deploy form with the recipe's int8, built by PyTorch 2 export quantization.

Nothing is observed here. Ranges come from the recipe and weights from the model, so lowering needs no images, and the
same recipe always gives the same graph.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn

from shvit_mobile.contracts.recipe import ActivationRange, ActivationScheme, Recipe
from shvit_mobile.deploy.activations import find_last_node, find_moved
from shvit_mobile.deploy.exporting import export_model, get_argument, get_module_path, share_node_histories
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.head_equalization import EqualizedHead
from shvit_mobile.deploy.wiring import name_call
from shvit_mobile.quantize import affine
from shvit_mobile.quantize.layers import get_call_range, select_int8_layers
from shvit_mobile.quiet import silence_libraries

with silence_libraries():
    from torchao.quantization.pt2e import PerChannelMinMaxObserver, PlaceholderObserver
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import (
        FixedQParamsQuantizationSpec,
        QuantizationAnnotation,
        QuantizationSpec,
        Quantizer,
    )
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

_ATEN = torch.ops.aten
_DEQUANTIZE = torch.ops.quantized_decomposed.dequantize_per_tensor.default
LAYER_OPERATORS = (_ATEN.conv2d.default, _ATEN.conv2d.padding, _ATEN.convolution.default, _ATEN.linear.default)


def build_quantized_graph(
    deployed: DeployForm,
    recipe: Recipe,
    module: nn.Module | None = None,
    *,
    shape: tuple[int, int, int, int] | None = None,
    rewrite: Callable[[nn.Module], nn.Module] | None = None,
) -> fx.GraphModule:
    """Build the graph with quantize and dequantize operators around every layer that the recipe quantizes.

    Weights are int8 constants with a scale per output channel; activations are int8 with a scale per tensor. A layer's
    output is quantized after its relu or relu6 if it has one; under "int8-dynamic" it stays float. An equalized head is
    int8 too, with the range of its input measured on each image. Everything else is float32. The batch is 1.

    Args:
        deployed: The model, with the recipe's overrides applied.
        recipe: A recipe of int8 or int8-dynamic.
        module: Another form of the model, whose layers have the same names (default: the deploy form).
        shape: The shape of that form's input (default: the shape of an image).
        rewrite: Rewrites the form's operators before it is quantized; layers keep their names.

    Raises:
        BadRecipe: If the recipe has another precision, or its layers are not the model's.
    """
    form = module or deployed.module
    heads = {f"{name}.linear" for name, layer in form.named_modules() if isinstance(layer, EqualizedHead)}
    layers = select_int8_layers(deployed, recipe)
    quantizer = RecipeQuantizer(layers, recipe, heads, _collect_weight_scales(form))
    example = torch.zeros(shape or (1, 3, *deployed.trained.preprocessing.size))
    with silence_libraries(), share_node_histories(), torch.no_grad():
        rewritten = form if rewrite is None else rewrite(form)
        exported = export_model(rewritten, example).module()
    return quantize_graph(exported, example, quantizer)


def quantize_graph(graph_module: fx.GraphModule, example: Tensor, quantizer: Quantizer) -> fx.GraphModule:
    """Return an exported graph with the quantize and dequantize operators that a quantizer asks for.

    Args:
        graph_module: The graph, which changes.
        example: Its input; the values do not matter.
        quantizer: Annotates the graph, with fixed ranges of activations.
    """
    with silence_libraries(), share_node_histories(), torch.no_grad():
        prepared = prepare_pt2e(graph_module, quantizer)
        # Observers of weights need one pass through the graph; the ranges of activations are fixed.
        prepared(example)
        converted: fx.GraphModule = convert_pt2e(prepared)
    _separate_biases(converted)
    _separate_reshaped_values(converted)
    return converted


def _separate_biases(graph_module: fx.GraphModule) -> None:
    """Give each call of a layer a bias of its own, in place.

    XNNPACK's bias is integers in units of the weight's scale times the input's. ExecuTorch computes them once for a
    constant, with the scale of the first input.
    """
    seen = set[Any]()
    for node in graph_module.graph.nodes:
        bias = get_argument(node, 2, "bias") if node.target in LAYER_OPERATORS else None
        if not isinstance(bias, fx.Node) or bias.op != "get_attr":
            continue
        if bias.target in seen:
            name = f"bias_of_{node.name}"
            graph_module.register_buffer(name, attrgetter(str(bias.target))(graph_module).detach().clone())
            with graph_module.graph.inserting_before(node):
                node.replace_input_with(bias, graph_module.graph.get_attr(name))
        seen.add(bias.target)
    graph_module.recompile()


def _separate_reshaped_values(graph_module: fx.GraphModule) -> None:
    """Dequantize a value again for each reshape of it that shares it with other operators.

    A reshape takes its value contiguous, a convolution channels last. ExecuTorch 1.4.1 copies the dequantized value
    from one layout to the other, and then gives the copy to all users, those that need the first layout among them.
    """
    for node in list(graph_module.graph.nodes):
        if node.target == _DEQUANTIZE and len(node.users) > 1:
            for reshape in [user for user in node.users if user.target == _ATEN.reshape.default]:
                with graph_module.graph.inserting_before(reshape):
                    reshape.replace_input_with(node, graph_module.graph.node_copy(node))
    graph_module.recompile()


@torch.no_grad()
def compute_constants(graph_module: fx.GraphModule) -> None:
    """Compute in place what depends on no image, such as dequantized weights, once instead of in each run."""
    graph = graph_module.graph
    for node in list(graph.nodes):
        sources = node.all_input_nodes
        if node.op != "call_function" or not sources or any(source.op != "get_attr" for source in sources):
            continue
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: attrgetter(str(source.target))(graph_module))
        name = f"value_of_{node.name}"
        graph_module.register_buffer(name, node.target(*args, **kwargs))
        with graph.inserting_before(node):
            node.replace_all_uses_with(graph.get_attr(name))
        graph.erase_node(node)
    graph_module.recompile()


class RecipeQuantizer(Quantizer):  # type: ignore[misc]
    """A quantizer that annotates layers by name: with the parameters of their range, or dynamically without one."""

    def __init__(self, layers: set[str], recipe: Recipe, heads: set[str], scales: dict[str, Tensor]) -> None:
        super().__init__()
        self.layers, self.ranges, self.activations, self.heads = layers, recipe.ranges, recipe.activations, heads
        self.scales = scales

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        counts = Counter[str]()
        for node in model.graph.nodes:
            name = get_layer(node) if node.target in LAYER_OPERATORS else ""
            counts[name] += 1
            if name in self.layers:
                weight = self.create_weight_qspec(name)
                if name in self.ranges:
                    seen = get_call_range(self.ranges, name_call(name, counts[name]))
                    _annotate_static(node, seen, self.activations, weight)
                    _annotate_moves(node, name)
                else:
                    _annotate_dynamic(node, weight)
            elif node.target == _ATEN.linear.default and name in self.heads:
                _annotate_dynamic(node, _WEIGHT_QSPEC)
        return model

    def create_weight_qspec(self, layer: str) -> QuantizationSpec:
        """Return how a layer's weight is rounded."""
        if layer not in self.scales:
            return _WEIGHT_QSPEC
        observer = _FixedScalesObserver.with_args(scales=self.scales[layer])
        return replace(_WEIGHT_QSPEC, observer_or_fake_quant_ctr=observer)

    def validate(self, model: fx.GraphModule) -> None:
        """Do nothing: all annotations come from this class."""


def get_layer(node: fx.Node) -> str:
    """Return the path of the layer that a node calls: the owner of its weight, or the caller if that is computed."""
    weight = node.args[1]
    if isinstance(weight, fx.Node) and weight.op == "get_attr":
        return str(weight.target).rpartition(".")[0]
    return get_module_path(node)


def _collect_weight_scales(form: nn.Module) -> dict[str, Tensor]:
    """Return, by layer, the scales that layers hold for their weights."""
    carried = {name: affine.get_weight_scales(layer) for name, layer in form.named_modules()}
    return {name: scales for name, scales in carried.items() if scales is not None}


def _annotate_static(
    node: fx.Node, activation_range: ActivationRange, activations: ActivationScheme, weight_qspec: QuantizationSpec
) -> None:
    image, weight = node.args[0], node.args[1]
    last = find_last_node(node)
    output = _create_activation_qspec(*activation_range.output, activations)
    node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
        input_qspec_map={
            image: _find_producer_qspec(image) or _create_activation_qspec(*activation_range.input, activations),
            weight: weight_qspec,
        },
        output_qspec=output if last is node else None,
        _annotated=True,
    )
    if last is not node:
        last.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(output_qspec=output, _annotated=True)


def _annotate_moves(node: fx.Node, layer: str) -> None:
    """Let a layer that moves, pads and joins its own input do so with integers: they have a quarter of the bytes."""
    spec = node.meta[Q_ANNOTATION_KEY].input_qspec_map[node.args[0]]
    waiting: list[Any] = [node.args[0]]
    while waiting:
        value = waiting.pop()
        if get_module_path(value) == layer and Q_ANNOTATION_KEY not in value.meta:
            sources = value.all_input_nodes
            value.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
                input_qspec_map=dict.fromkeys(sources, spec), output_qspec=spec, _annotated=True
            )
            waiting += sources


def _find_producer_qspec(value: Any) -> FixedQParamsQuantizationSpec | None:
    """Return the parameters with which a value was quantized as an output: it is not rounded to other integers."""
    annotation = find_moved(value).meta.get(Q_ANNOTATION_KEY)
    return annotation.output_qspec if annotation else None


def _annotate_dynamic(node: fx.Node, weight_qspec: QuantizationSpec) -> None:
    node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
        input_qspec_map={node.args[0]: _DYNAMIC_ACTIVATION_QSPEC, node.args[1]: weight_qspec}, _annotated=True
    )


def _create_activation_qspec(low: float, high: float, activations: ActivationScheme) -> FixedQParamsQuantizationSpec:
    parameters = affine.choose_affine_parameters(low, high, activations)
    return FixedQParamsQuantizationSpec(
        dtype=torch.int8,
        scale=parameters.scale,
        zero_point=parameters.zero_point,
        quant_min=affine.ACTIVATION_MIN,
        quant_max=affine.ACTIVATION_MAX,
        qscheme=torch.per_tensor_affine,
    )


class _FixedScalesObserver(PerChannelMinMaxObserver):  # type: ignore[misc]
    """An observer with fixed scales, those that were chosen with the integers of the weight."""

    def __init__(self, scales: Tensor, **settings: Any) -> None:
        super().__init__(**settings)
        self.scales = scales

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        return self.scales, torch.zeros_like(self.scales, dtype=torch.int64)


_WEIGHT_QSPEC = QuantizationSpec(
    dtype=torch.int8,
    observer_or_fake_quant_ctr=PerChannelMinMaxObserver,
    quant_min=-affine.WEIGHT_MAX,
    quant_max=affine.WEIGHT_MAX,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
)


_DYNAMIC_ACTIVATION_QSPEC = QuantizationSpec(
    dtype=torch.int8,
    observer_or_fake_quant_ctr=PlaceholderObserver.with_args(eps=affine.MIN_SCALE),
    quant_min=affine.ACTIVATION_MIN,
    quant_max=affine.ACTIVATION_MAX,
    qscheme=torch.per_tensor_affine,
    is_dynamic=True,
)
