"""The quantized graph: the deploy form with the recipe's int8 written into it, through PyTorch 2 export quantization.

Nothing is observed here. Ranges come from the recipe, weights from the model, so lowering needs no image and the same
recipe always gives the same graph.
"""

from __future__ import annotations

import torch
from torch import fx

from shvit_mobile.deploy.fuse import DeployForm
from shvit_mobile.errors import BadRecipe
from shvit_mobile.quantize.affine import ACTIVATION_MAX, ACTIVATION_MIN, WEIGHT_MAX, affine
from shvit_mobile.quantize.calibrate import dense_convolutions
from shvit_mobile.quantize.recipe import ActivationRange, Recipe
from shvit_mobile.quiet import quiet

with quiet():
    from torchao.quantization.pt2e import PerChannelMinMaxObserver
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import (
        FixedQParamsQuantizationSpec,
        QuantizationAnnotation,
        QuantizationSpec,
        Quantizer,
    )
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

ATEN = torch.ops.aten


def quantized(deployed: DeployForm, recipe: Recipe) -> fx.GraphModule:
    """The deploy form as a graph with quantize and dequantize operators around every layer the recipe quantizes.

    Weights are int8 constants, one scale an output channel; activations are int8 with one scale a tensor. A layer's
    output is quantized after its relu where it has one. All else is float32. The batch is 1.

    Raises:
        BadRecipe: the recipe is not int8, or its layers are not the model's.
    """
    check_layers(deployed, recipe)
    example = torch.zeros(1, deployed.module.config.in_channels, *deployed.trained.preprocessing.size)
    with quiet(), torch.no_grad():
        exported = torch.export.export(deployed.module, (example,)).module()
        prepared = prepare_pt2e(exported, RecipeQuantizer(recipe))
        # The one pass through the graph shows the weights to their observers; ranges of activations are fixed.
        prepared(example)
        return convert_pt2e(prepared)


def check_layers(deployed: DeployForm, recipe: Recipe) -> None:
    """Raises `BadRecipe` unless the recipe has a range for each dense convolution that it does not keep float."""
    if recipe.precision != "int8":
        raise BadRecipe(f"The recipe's precision is {recipe.precision}, not int8.")
    layers = {name for name, _ in dense_convolutions(deployed.module)}
    strange = sorted((set(recipe.ranges) | set(recipe.float_layers)) - layers)
    missing = sorted(layers - set(recipe.ranges) - set(recipe.float_layers))
    if strange or missing:
        first = (
            f"it names {strange[0]}, which is no dense convolution" if strange else f"it has no range of {missing[0]}"
        )
        raise BadRecipe(
            f"The recipe does not fit {deployed.trained.variant}: {first}.",
            why="A recipe belongs to the model it was calibrated on.",
            hint="Calibrate anew: shvit-mobile export --quantize int8 --calibration DIR",
        )


class RecipeQuantizer(Quantizer):  # type: ignore[misc]
    """Annotates the convolutions that a recipe quantizes, with the parameters that follow from its ranges."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.ranges = {name: seen for name, seen in recipe.ranges.items() if name not in recipe.float_layers}

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        for node in model.graph.nodes:
            if node.target in (ATEN.conv2d.default, ATEN.convolution.default) and layer_name(node) in self.ranges:
                annotate_convolution(node, self.ranges[layer_name(node)])
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Every annotation is made here, so there is nothing to validate."""


def annotate_convolution(node: fx.Node, seen: ActivationRange) -> None:
    image, weight = node.args[0], node.args[1]
    last, low = node, seen.output[0]
    followers = list(node.users)
    if len(followers) == 1 and followers[0].target in (ATEN.relu.default, ATEN.relu_.default):
        last, low = followers[0], 0.0
    node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
        input_qspec_map={image: activation(*seen.input), weight: WEIGHT},
        output_qspec=activation(low, seen.output[1]) if last is node else None,
        _annotated=True,
    )
    if last is not node:
        last.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
            output_qspec=activation(low, seen.output[1]), _annotated=True
        )


def activation(low: float, high: float) -> FixedQParamsQuantizationSpec:
    parameters = affine(low, high)
    return FixedQParamsQuantizationSpec(
        dtype=torch.int8,
        scale=parameters.scale,
        zero_point=parameters.zero_point,
        quant_min=ACTIVATION_MIN,
        quant_max=ACTIVATION_MAX,
        qscheme=torch.per_tensor_affine,
    )


WEIGHT = QuantizationSpec(
    dtype=torch.int8,
    observer_or_fake_quant_ctr=PerChannelMinMaxObserver,
    quant_min=-WEIGHT_MAX,
    quant_max=WEIGHT_MAX,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
)


def layer_name(node: fx.Node) -> str:
    """The deploy form's name of the layer that a node of the exported graph came from."""
    stack = node.meta.get("nn_module_stack") or {"": ("", None)}
    path: str = list(stack.values())[-1][0]
    return path
