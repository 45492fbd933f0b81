"""Write the deploy form in ONNX operators, with one function for each type of module.

It does not use `torch.onnx.export`, because the types are few: this takes a third of a second instead of ten, supports
every opset from 13 on, names every node and weight after its layer, and writes int8 layers directly.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from torch import nn

from shvit_mobile.contracts.recipe import ActivationRange, ActivationScheme
from shvit_mobile.deploy.form import MeanSubtraction
from shvit_mobile.errors import NotSupported
from shvit_mobile.families import shvit
from shvit_mobile.targets.onnx.graph import GraphBuilder, GraphValue
from shvit_mobile.targets.onnx.layers import add_float_convolution, add_int8_convolution, add_linear, convert_to_array


@dataclass(frozen=True)
class ModuleWriter:
    """Writes modules into a graph, those named in `ranges` in int8."""

    graph: GraphBuilder
    ranges: Mapping[str, ActivationRange]
    activations: ActivationScheme = "affine"

    def write(self, module: nn.Module, x: GraphValue, name: str) -> GraphValue:
        """Write `module`, called `name` in the deploy form, and return its output for the input `x`.

        Raises:
            NotSupported: If `_MODULE_WRITERS` has no function for its type.
        """
        if type(module) not in _MODULE_WRITERS:
            raise NotSupported(
                f"The ONNX target cannot write {type(module).__name__}.",
                why="It writes SHViTs only, module by module.",
                hint="Export for executorch or coreml.",
                parameter="target",
            )
        return _MODULE_WRITERS[type(module)](self, module, x, name)


def _write_shvit(writer: ModuleWriter, model: shvit.SHViT, x: GraphValue, _: str) -> GraphValue:
    """Write the model; `x` are the images."""
    if model.head_dist is not None:
        raise TypeError("the deploy form has one head")
    x = writer.write(model.patch_embed, x, "patch_embed")
    x = writer.write(model.stages, x, "stages")
    pooled = writer.graph.add_node("GlobalAveragePool", "pool", x, shape=(x.shape[0], 1, 1))
    features = writer.graph.add_node("Flatten", "features", pooled, shape=(x.shape[0],))
    return writer.write(model.head, features, "head")


def _write_residual(writer: ModuleWriter, module: shvit.Residual, x: GraphValue, name: str) -> GraphValue:
    return writer.graph.add_node("Add", f"{name}.add", x, writer.write(module.m, x, f"{name}.m"))


def _write_children(writer: ModuleWriter, module: nn.Module, x: GraphValue, name: str) -> GraphValue:
    """Write a chain of modules, a convolution together with the ReLU after it."""
    layers = list(module.named_children())
    while layers:
        child, layer = layers.pop(0)
        if isinstance(layer, nn.Conv2d) and layers and isinstance(layers[0][1], nn.ReLU):
            x = _write_convolution(writer, layer, x, f"{name}.{child}", relu=True)
            layers.pop(0)
        else:
            x = writer.write(layer, x, f"{name}.{child}")
    return x


def _write_patch_merging(writer: ModuleWriter, module: shvit.PatchMerging, x: GraphValue, name: str) -> GraphValue:
    x = _write_convolution_with_relu(writer, module.conv1, x, f"{name}.conv1")
    x = _write_convolution_with_relu(writer, module.conv2, x, f"{name}.conv2")
    x = writer.write(module.se, x, f"{name}.se")
    return writer.write(module.conv3, x, f"{name}.conv3")


def _write_squeeze_excite(writer: ModuleWriter, module: shvit.SqueezeExcite, x: GraphValue, name: str) -> GraphValue:
    pooled = writer.graph.add_node("GlobalAveragePool", f"{name}.pool", x, shape=(x.shape[0], 1, 1))
    hidden = _write_convolution_with_relu(writer, module.fc1, pooled, f"{name}.fc1")
    gate = writer.graph.add_node("Sigmoid", f"{name}.gate", writer.write(module.fc2, hidden, f"{name}.fc2"))
    return writer.graph.add_node("Mul", f"{name}.mul", x, gate)


def _write_attention(writer: ModuleWriter, module: shvit.SingleHeadAttention, x: GraphValue, name: str) -> GraphValue:
    graph, qk, partial = writer.graph, module.qk_dim, module.partial_dim
    height, width = x.shape[1:]
    positions = height * width
    attending, passing = graph.add_split(f"{name}.split", x, (partial, module.dim - partial))
    qkv = writer.write(module.qkv, writer.write(module.pre_norm, attending, f"{name}.pre_norm"), f"{name}.qkv")
    # Split before reshaping: ONNX Runtime on x86 copies a QuantizeLinear past a Reshape, and from opset 21 on the copy
    # fails to load, because its zero point becomes uint8 while it declares int8 (onnxruntime#25526).
    query, key, value = (
        graph.add_reshape(f"{part.name}.flat", part, (part.shape[0], positions))
        for part in graph.add_split(f"{name}.parts", qkv, (qk, qk, partial))
    )
    if module.scale != 1:
        raise TypeError(f"{name} still scales its queries; the deploy form has that in its projection")
    turned = graph.add_node("Transpose", f"{name}.query", query, shape=(positions, qk), perm=(0, 2, 1))
    scores = graph.add_node("MatMul", f"{name}.scores", turned, key, shape=(positions, positions))
    weights = graph.add_node("Softmax", f"{name}.weights", scores, axis=-1)
    over_keys = graph.add_node("Transpose", f"{name}.over_keys", weights, perm=(0, 2, 1))
    attended = graph.add_node("MatMul", f"{name}.attended", value, over_keys)
    image = graph.add_reshape(f"{name}.image", attended, (partial, height, width))
    joined = graph.add_node("Concat", f"{name}.joined", image, passing, shape=x.shape, axis=1)
    return writer.write(module.proj, joined, f"{name}.proj")


def _write_group_norm(writer: ModuleWriter, module: nn.GroupNorm, x: GraphValue, name: str) -> GraphValue:
    """Normalize each image over all channels and positions with an InstanceNormalization of one channel.

    GroupNormalization exists only from opset 21 on, and ONNX Runtime has no CPU kernel for it.
    """
    if module.num_groups != 1 or module.affine:
        raise TypeError(f"{name} has {module.num_groups} groups or weights; the deploy form has one and none")
    graph = writer.graph
    together = graph.add_reshape(f"{name}.together", x, (1, prod(x.shape)))
    one = graph.add_constant(f"{name}.one", np.ones(1, np.float32))
    zero = graph.add_constant(f"{name}.zero", np.zeros(1, np.float32))
    unit = graph.add_node("InstanceNormalization", f"{name}.unit", together, one, zero, epsilon=module.eps)
    return graph.add_reshape(name, unit, x.shape)


def _write_convolution(
    writer: ModuleWriter, module: nn.Conv2d, x: GraphValue, name: str, *, relu: bool = False
) -> GraphValue:
    """Write a convolution in the precision of the recipe."""
    if name in writer.ranges:
        return add_int8_convolution(writer.graph, module, x, name, writer.ranges[name], writer.activations, relu=relu)
    return add_float_convolution(writer.graph, module, x, name, relu=relu)


def _write_convolution_with_relu(writer: ModuleWriter, module: nn.Module, x: GraphValue, name: str) -> GraphValue:
    """Write a convolution and the ReLU after it; int8 quantizes the output after both."""
    if not isinstance(module, nn.Conv2d):
        raise TypeError(f"{name} is a {type(module).__name__}, no convolution of the deploy form")
    return _write_convolution(writer, module, x, name, relu=True)


def _write_mean_subtraction(writer: ModuleWriter, module: MeanSubtraction, x: GraphValue, name: str) -> GraphValue:
    mean = writer.graph.add_constant(f"{name}.mean", convert_to_array(module.mean))
    return writer.graph.add_node("Sub", name, x, mean)


# By the exact type: a subclass may compute something else.
_MODULE_WRITERS: dict[type[nn.Module], Callable[[ModuleWriter, Any, GraphValue, str], GraphValue]] = {
    shvit.SHViT: _write_shvit,
    shvit.Stage: _write_children,
    shvit.Block: _write_children,
    shvit.Residual: _write_residual,
    shvit.FeedForward: _write_children,
    nn.Sequential: _write_children,
    shvit.PatchMerging: _write_patch_merging,
    shvit.SqueezeExcite: _write_squeeze_excite,
    shvit.SingleHeadAttention: _write_attention,
    nn.GroupNorm: _write_group_norm,
    nn.Conv2d: _write_convolution,
    nn.Linear: lambda writer, module, x, name: add_linear(writer.graph, module, x, name),
    nn.ReLU: lambda writer, _, x, name: writer.graph.add_node("Relu", name, x),
    nn.Identity: lambda _writer, _module, x, _name: x,
    MeanSubtraction: _write_mean_subtraction,
}
