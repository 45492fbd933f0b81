"""The deploy form written in ONNX operators, one function for each kind of module.

Written by hand and not by `torch.onnx.export`, because the kinds are few: so it takes a third of a second where the
exporter takes ten, at any opset from 13 on, with every node and weight under the name of its layer, and a layer that is
to be int8 is written in int8 at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from torch import nn

from shvit_mobile.contracts.recipe import ActivationRange, Activations
from shvit_mobile.deploy.fold import Centre
from shvit_mobile.families.shvit import (
    Block,
    FeedForward,
    PatchMerging,
    Residual,
    SHViT,
    SingleHeadAttention,
    SqueezeExcite,
    Stage,
)
from shvit_mobile.targets.onnx.graph import Graph, Value
from shvit_mobile.targets.onnx.layers import array, float_convolution, int8_convolution, linear


@dataclass(frozen=True)
class Writer:
    """Writes modules into a graph, those named in `ranges` in int8."""

    graph: Graph
    ranges: Mapping[str, ActivationRange]
    activations: Activations = "affine"

    def write(self, module: nn.Module, x: Value, name: str) -> Value:
        """The output of `module`, called `name` in the deploy form, for the input `x`.

        Raises:
            TypeError: this kind of module has no function in `WRITERS`.
        """
        if type(module) not in WRITERS:
            raise TypeError(f"{name} is a {type(module).__name__}, which the ONNX target cannot write")
        return WRITERS[type(module)](self, module, x, name)


def shvit(to: Writer, model: SHViT, x: Value, _: str) -> Value:
    """The whole model; `x` are the images."""
    if model.head_dist is not None:
        raise TypeError("the deploy form has one head")
    x = to.write(model.patch_embed, x, "patch_embed")
    x = to.write(model.stages, x, "stages")
    pooled = to.graph.add("GlobalAveragePool", "pool", x, shape=(x.shape[0], 1, 1))
    features = to.graph.add("Flatten", "features", pooled, shape=(x.shape[0],))
    return to.write(model.head, features, "head")


def stage(to: Writer, module: Stage, x: Value, name: str) -> Value:
    x = to.write(module.downsample, x, f"{name}.downsample")
    return to.write(module.blocks, x, f"{name}.blocks")


def block(to: Writer, module: Block, x: Value, name: str) -> Value:
    x = to.write(module.conv, x, f"{name}.conv")
    x = to.write(module.mixer, x, f"{name}.mixer")
    return to.write(module.ffn, x, f"{name}.ffn")


def residual(to: Writer, module: Residual, x: Value, name: str) -> Value:
    return to.graph.add("Add", f"{name}.add", x, to.write(module.m, x, f"{name}.m"))


def chain(to: Writer, module: nn.Sequential, x: Value, name: str) -> Value:
    """Modules one after the other, a convolution together with the relu after it."""
    layers = list(module.named_children())
    while layers:
        child, layer = layers.pop(0)
        if isinstance(layer, nn.Conv2d) and layers and isinstance(layers[0][1], nn.ReLU):
            x = with_relu(to, layer, x, f"{name}.{child}")
            layers.pop(0)
        else:
            x = to.write(layer, x, f"{name}.{child}")
    return x


def merging(to: Writer, module: PatchMerging, x: Value, name: str) -> Value:
    x = with_relu(to, module.conv1, x, f"{name}.conv1")
    x = with_relu(to, module.conv2, x, f"{name}.conv2")
    x = to.write(module.se, x, f"{name}.se")
    return to.write(module.conv3, x, f"{name}.conv3")


def squeeze_excite(to: Writer, module: SqueezeExcite, x: Value, name: str) -> Value:
    pooled = to.graph.add("GlobalAveragePool", f"{name}.pool", x, shape=(x.shape[0], 1, 1))
    hidden = with_relu(to, module.fc1, pooled, f"{name}.fc1")
    gate = to.graph.add("Sigmoid", f"{name}.gate", to.write(module.fc2, hidden, f"{name}.fc2"))
    return to.graph.add("Mul", f"{name}.mul", x, gate)


def attention(to: Writer, module: SingleHeadAttention, x: Value, name: str) -> Value:
    graph, qk, partial = to.graph, module.qk_dim, module.partial_dim
    height, width = x.shape[1:]
    positions = height * width
    attending, passing = graph.split(f"{name}.split", x, (partial, module.dim - partial))
    qkv = to.write(module.qkv, to.write(module.pre_norm, attending, f"{name}.pre_norm"), f"{name}.qkv")
    # Split before reshaped: ONNX Runtime on an x86 copies a QuantizeLinear past a Reshape, and from opset 21 on the
    # copy then fails to load, since its zero point has become uint8 and it still says int8 (onnxruntime#25526).
    query, key, value = (
        graph.reshape(f"{part.name}.flat", part, (part.shape[0], positions))
        for part in graph.split(f"{name}.parts", qkv, (qk, qk, partial))
    )
    if module.scale != 1:
        raise TypeError(f"{name} still scales its queries; the deploy form has that in its projection")
    turned = graph.add("Transpose", f"{name}.query", query, shape=(positions, qk), perm=(0, 2, 1))
    scores = graph.add("MatMul", f"{name}.scores", turned, key, shape=(positions, positions))
    weights = graph.add("Softmax", f"{name}.weights", scores, axis=-1)
    over_keys = graph.add("Transpose", f"{name}.over_keys", weights, perm=(0, 2, 1))
    attended = graph.add("MatMul", f"{name}.attended", value, over_keys)
    image = graph.reshape(f"{name}.image", attended, (partial, height, width))
    joined = graph.add("Concat", f"{name}.joined", image, passing, shape=x.shape, axis=1)
    return to.write(module.proj, joined, f"{name}.proj")


def norm_of_one_group(to: Writer, module: nn.GroupNorm, x: Value, name: str) -> Value:
    """Each image normalised over all channels and positions: an InstanceNormalization that sees them as one channel.

    GroupNormalization itself exists from opset 21 on only, and ONNX Runtime has no kernel of it for the CPU.
    """
    if module.num_groups != 1 or module.affine:
        raise TypeError(f"{name} has {module.num_groups} groups or weights; the deploy form has one and none")
    graph = to.graph
    together = graph.reshape(f"{name}.together", x, (1, prod(x.shape)))
    one = graph.constant(f"{name}.one", np.ones(1, np.float32))
    zero = graph.constant(f"{name}.zero", np.zeros(1, np.float32))
    unit = graph.add("InstanceNormalization", f"{name}.unit", together, one, zero, epsilon=module.eps)
    return graph.reshape(name, unit, x.shape)


def convolution(to: Writer, module: nn.Conv2d, x: Value, name: str, *, relu: bool = False) -> Value:
    """A convolution in the precision that the recipe gives it."""
    if name in to.ranges:
        return int8_convolution(to.graph, module, x, name, to.ranges[name], to.activations, relu=relu)
    return float_convolution(to.graph, module, x, name, relu=relu)


def with_relu(to: Writer, module: nn.Module, x: Value, name: str) -> Value:
    """A convolution and the relu after it: int8 has its output rounded after both."""
    if not isinstance(module, nn.Conv2d):
        raise TypeError(f"{name} is a {type(module).__name__}, no convolution of the deploy form")
    return convolution(to, module, x, name, relu=True)


def centre(to: Writer, module: Centre, x: Value, name: str) -> Value:
    return to.graph.add("Sub", name, x, to.graph.constant(f"{name}.mean", array(module.mean)))


def relu(to: Writer, _: nn.ReLU, x: Value, name: str) -> Value:
    return to.graph.add("Relu", name, x)


def head(to: Writer, module: nn.Linear, x: Value, name: str) -> Value:
    return linear(to.graph, module, x, name)


def nothing(_to: Writer, _module: nn.Identity, x: Value, _name: str) -> Value:
    return x


# By the exact kind: a subclass may compute something else.
WRITERS: dict[type[nn.Module], Callable[[Writer, Any, Value, str], Value]] = {
    SHViT: shvit,
    Stage: stage,
    Block: block,
    Residual: residual,
    FeedForward: chain,
    nn.Sequential: chain,
    PatchMerging: merging,
    SqueezeExcite: squeeze_excite,
    SingleHeadAttention: attention,
    nn.GroupNorm: norm_of_one_group,
    nn.Conv2d: convolution,
    nn.Linear: head,
    nn.ReLU: relu,
    nn.Identity: nothing,
    Centre: centre,
}
