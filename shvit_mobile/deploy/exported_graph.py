"""What the deploy form needs to know of a model's graph: its BatchNorms, and the layers that take the images.

No name and no type of a family is known here; `torch.export` gives the operators, and the parameters that they take.
"""

from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from shvit_mobile.deploy.exporting import (
    LAYERS,
    PADS,
    TRANSPARENT,
    export_model,
    find_dependent,
    get_operator_name,
    get_padding_value,
)
from shvit_mobile.deploy.layers import get_layer
from shvit_mobile.deploy.verification import compute_relative_error, generate_layer_inputs, verify_error
from shvit_mobile.families.batchnorm import WeightedLayer, fold_into_layer_before, fold_into_layer_behind

_RESHAPES = ("flatten", "reshape", "view", "_unsafe_view", "squeeze")


def has_batchnorm(model: nn.Module) -> bool:
    """Return whether a model contains a BatchNorm."""
    return any(isinstance(module, _BatchNorm) for module in model.modules())


class ExportedGraph:
    """The graph of a model in eval mode. The model may change afterwards, as long as its layers keep their names."""

    def __init__(self, model: nn.Module, image: Tensor) -> None:
        """Export `model`.

        Args:
            model: In eval mode.
            image: shape (1, 3, height, width), in the model's dtype.

        Raises:
            NotSupported: If torch.export does not accept it.
        """
        exported = export_model(model, image)
        signature = exported.graph_signature
        self.nodes = list(exported.graph.nodes)
        self._tensors = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        self._inputs = set(signature.user_inputs)
        self._calls = Counter(self._get_layer(node) for node in self.nodes)

    def find_input_layers(self) -> tuple[str, ...]:
        """Return the names of the convolutions that take the images, if nothing else does; otherwise an empty tuple."""
        waiting = [user for node in self.nodes if node.name in self._inputs for user in node.users]
        layers: list[str] = []
        while waiting:
            node = waiting.pop(0)
            name, layer = get_operator_name(node), self._get_layer(node)
            if name == "conv2d" and layer and self._calls[layer] == 1:
                layers.append(layer)
            elif name in TRANSPARENT or (name in PADS and not get_padding_value(node)):
                waiting += node.users
            else:
                return ()
        return tuple(layers)

    def find_constant_layers(self) -> tuple[str, ...]:
        """Return the names of the layers whose output does not depend on the images."""
        dependent = find_dependent(self.nodes, [node for node in self.nodes if node.name in self._inputs])
        layers = (self._get_single_layer(node) for node in self.nodes if node not in dependent)
        return tuple(name for name in layers if name)

    def list_batchnorms(self) -> Iterator[tuple[str, str, str]]:
        """Yield each BatchNorm that is called once, with the layer before it and the layer behind it.

        Nothing else takes the output of the layer before it, or its own. A name is empty if there is no such layer, or
        if the layer is called several times.
        """
        norms = {node: self._get_norm(node) for node in self.nodes if get_operator_name(node) == "batch_norm"}
        counts = Counter(norms.values())
        for node, norm in norms.items():
            if norm and counts[norm] == 1:
                yield norm, self._find_layer_before(node), self._find_layer_behind(node)

    def _find_layer_before(self, norm: fx.Node) -> str:
        node = norm.args[0]
        while isinstance(node, fx.Node) and len(node.users) == 1 and get_operator_name(node) in TRANSPARENT:
            node = node.args[0]
        if not isinstance(node, fx.Node) or len(node.users) != 1:
            return ""
        # The channels of a linear layer are last, those of a BatchNorm second.
        fits = get_operator_name(node) in ("conv1d", "conv2d") or node.meta["val"].ndim == 2
        return self._get_single_layer(node) if fits else ""

    def _find_layer_behind(self, norm: fx.Node) -> str:
        node, users = norm, list(norm.users)
        while len(users) == 1 and get_operator_name(users[0]) in (*TRANSPARENT, *_RESHAPES):
            node, users = users[0], list(users[0].users)
        if len(users) != 1 or users[0].args[0] is not node:
            return ""
        fits = get_operator_name(users[0]) in ("conv1d", "conv2d") or node.meta["val"].ndim == 2
        return self._get_single_layer(users[0]) if fits else ""

    def _get_single_layer(self, node: fx.Node) -> str:
        layer = self._get_layer(node)
        return layer if self._calls[layer] == 1 else ""

    def _get_layer(self, node: fx.Node) -> str:
        """Return the path of the layer that a node calls; empty if it calls none."""
        return self._get_owner(node, 1, "weight") if get_operator_name(node) in LAYERS else ""

    def _get_norm(self, node: fx.Node) -> str:
        return self._get_owner(node, 3, "running_mean")

    def _get_owner(self, node: fx.Node, position: int, leaf: str) -> str:
        tensor = node.args[position]
        path, _, last = self._tensors.get(tensor.name, "").rpartition(".") if isinstance(tensor, fx.Node) else ("",) * 3
        return path if last == leaf else ""


@torch.no_grad()
def fold_batchnorms(model: nn.Module, graph: ExportedGraph) -> None:
    """Fold in place the BatchNorms that fold exactly into the layer before them, or into the one behind.

    A fold goes into the layer behind only if the layer does not pad, because its padding would have to change too. What
    a BatchNorm does beyond its norm, such as an activation, stays in its place.

    Args:
        model: In eval mode and float64.
        graph: Its graph.

    Raises:
        VerificationFailed: If a fold is not exact.
    """
    for name, before, behind in graph.list_batchnorms():
        norm = model.get_submodule(name)
        if not isinstance(norm, _BatchNorm):
            continue
        rest = _build_rest(norm)
        if before and _fits_before(layer := get_layer(model, before), norm):
            fused, path = fold_into_layer_before(layer, norm), before
            inputs = generate_layer_inputs(layer)
            expected, actual = norm(layer(inputs)), rest(fused(inputs))
        elif behind and isinstance(rest, nn.Identity) and _fits_behind(layer := get_layer(model, behind), norm):
            fused, path = fold_into_layer_behind(norm, layer), behind
            inputs = generate_layer_inputs(layer)
            expected, actual = layer(_normalize(norm, inputs)), fused(inputs)
        else:
            continue
        verify_error(f"the fold of {name} into {path}", compute_relative_error(expected, actual))
        model.set_submodule(path, fused)
        model.set_submodule(name, rest)


def _build_rest(norm: _BatchNorm) -> nn.Module:
    """Return what a BatchNorm does after its norm: its children, such as an activation."""
    rest = [child for child in norm.children() if not isinstance(child, nn.Identity)]
    return nn.Sequential(*rest) if len(rest) > 1 else rest[0] if rest else nn.Identity()


def _fits_before(layer: WeightedLayer, norm: _BatchNorm) -> bool:
    return layer.weight.shape[0] == norm.num_features


def _fits_behind(layer: WeightedLayer, norm: _BatchNorm) -> bool:
    if isinstance(layer, nn.Linear):
        return layer.in_features == norm.num_features
    return layer.padding in ((0,), (0, 0)) and layer.groups == 1 and layer.in_channels == norm.num_features


def _normalize(norm: _BatchNorm, x: Tensor) -> Tensor:
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
