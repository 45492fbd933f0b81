"""Create networks of timm with random weights whose numbers behave like those of trained ones.

A fresh network says little about an export: its norms are the identity, its layer scales hide the branches, and the
statistics of its BatchNorms fit no picture. Here all of these are drawn at random, the statistics come from pictures,
and the branches of residual blocks are small, so that an error does not grow from block to block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, fx, nn

from shvit_mobile.deploy.exporting import export_model, get_operator_name
from shvit_mobile.families.timm_family import create_timm_model

# What the output of a residual block's branch is multiplied by.
BRANCH_SCALE = 0.3
# An output times a factor is the output for an input times this factor, or for weights times this factor.
_LINEAR = (
    *("add", "add_", "alias", "cat", "clone", "contiguous", "dropout", "expand", "flatten", "mean", "mul", "permute"),
    *("reshape", "roll", "select", "slice", "split", "squeeze", "sub", "transpose", "unsqueeze", "view"),
)
_ADDITIONS = ("add", "add_")


def create_random_network(name: str, images: Tensor, *, classes: int = 1000, seed: int = 0) -> nn.Module:
    """Create a model of timm, in eval mode, with all its branches; equal arguments give equal weights.

    Args:
        name: timm's name of it.
        images: Normalized pictures for the statistics of BatchNorms, shape (images, 3, height, width).
        classes: The outputs of its head (default: 1000).
        seed: The seed (default: 0).

    Raises:
        ToolMissing: If timm is not installed.
        InvalidValue: If timm has no such model.
        NotSupported: If torch.export does not accept it.
    """
    torch.manual_seed(seed)
    model = create_timm_model(name, classes)
    randomize_constants(model, torch.Generator().manual_seed(seed))
    shrink_branches(model, images[:1])
    fit_batchnorms(model, images)
    return model


@torch.no_grad()
def randomize_constants(model: nn.Module, generator: torch.Generator) -> None:
    """Draw the parameters whose elements are all equal: affines of norms, layer scales, biases, tables of positions."""
    for parameter in model.parameters():
        value = float(parameter.flatten()[0])
        if not bool((parameter == value).all()):
            continue
        if value == 0:
            parameter.normal_(0, 0.2, generator=generator)
        elif abs(value) < 0.1:
            parameter.uniform_(0.1, 0.5, generator=generator)
        else:
            parameter.uniform_(0.5, 1.5, generator=generator).mul_(value)


@torch.no_grad()
def shrink_branches(model: nn.Module, image: Tensor) -> None:
    """Multiply what the branches of residual blocks end with by `BRANCH_SCALE`: a norm, a layer, or a layer scale."""
    exported = export_model(model, image)
    names = exported.graph_signature.inputs_to_parameters
    positions = {node: position for position, node in enumerate(exported.graph.nodes)}
    found = {
        name
        for node in positions
        if get_operator_name(node) in _ADDITIONS
        for branch, trunk in _list_branches(node, positions)
        for name in _list_last_parameters(branch, trunk, names)
    }
    for name in sorted(found):
        model.get_parameter(name).mul_(BRANCH_SCALE)


def _list_branches(node: fx.Node, positions: Mapping[fx.Node, int]) -> Iterator[tuple[fx.Node, fx.Node]]:
    """Yield the term of a sum that is computed from the other term, and that one."""
    first, second = node.args[:2]
    if isinstance(first, fx.Node) and isinstance(second, fx.Node):
        for branch, trunk in ((first, second), (second, first)):
            if trunk.op == "call_function" and _depends_on(branch, trunk, positions):
                yield branch, trunk


def _depends_on(node: fx.Node, source: fx.Node, positions: Mapping[fx.Node, int]) -> bool:
    waiting, seen = [node], {node}
    while waiting:
        for one in waiting.pop().all_input_nodes:
            if one is source:
                return True
            if one not in seen and positions[one] > positions[source]:
                seen.add(one)
                waiting.append(one)
    return False


def _list_last_parameters(branch: fx.Node, trunk: fx.Node, names: Mapping[str, str]) -> Iterator[str]:
    """Yield the names of the parameters that scale a branch, and the biases beside them."""
    waiting, seen = [branch], {branch, trunk}
    while waiting:
        node = waiting.pop()
        parameters = [names[one.name] for one in node.all_input_nodes if one.name in names]
        yield from parameters
        if not parameters and get_operator_name(node).removesuffix("_copy") in _LINEAR:
            product = get_operator_name(node) == "mul"
            inputs = [one for one in node.all_input_nodes[: 1 if product else None] if one not in seen]
            seen.update(inputs)
            waiting += inputs


@torch.no_grad()
def fit_batchnorms(model: nn.Module, images: Tensor) -> None:
    """Set the statistics of all BatchNorms to those of their inputs for `images`."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum, norm.training = None, True
    model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum, norm.training = momentum, False
