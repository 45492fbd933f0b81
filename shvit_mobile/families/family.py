"""What differs between model families. All else about a model is read from its graph."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

# The runtimes for which a family may have modules of its own; Core ML has two layouts of attention.
RewriteName = Literal["xnnpack", "coreml-matmul", "coreml-einsum", "litert"]
# Returns a module that computes the same as its argument, which it may take apart but not change.
ModuleRewrite = Callable[[nn.Module], nn.Module]


# The name of a part of a model, and the part, which is run on the output of the part before it alone: a tensor, or a
# tuple of a tensor and the maps that are done.
ModelUnit = tuple[str, Callable[[Any], Any]]


def _keep(model: nn.Module) -> nn.Module:
    return model


def _list_one_unit(model: nn.Module) -> list[ModelUnit]:
    return [("", model)]


def _get_block(layer: str) -> str:
    """Return a layer's name up to its last number inside: "stages.1.blocks.0" of "stages.1.blocks.0.mlp.fc1"."""
    words = layer.split(".")
    last = max((place for place, word in enumerate(words[:-1]) if word.isdigit()), default=0)
    return ".".join(words[: last + 1])


def _get_group_kind(layer: str) -> str | None:
    """Return the name of a layer without numbers, which blocks of the same kind share."""
    return ".".join("#" if word.isdigit() else word for word in layer.split("."))


@dataclass(frozen=True)
class Family:
    """A model family. Whatever it rewrites is compared in float64 with what it replaces; see `shvit_mobile.deploy`.

    Attributes:
        name: The name for people: "SHViT".
        reparameterize: Merges the branches of a whole model that exist for training only. It gets a copy in float64.
        folds: By type, the fold of a module that goes beyond a layer and its BatchNorm.
        rewrites: By runtime and type, the module in the operators of that runtime.
        entry: The path of the `nn.Sequential` whose first layer takes the images; empty for one around the model.
        first_layers: The layers that take the images; None to read them from the graph.
        list_units: Splits a deploy form into units that make a chain from the images to the logits, so that a trial
            which changes one layer starts there. By default the model is one unit.
        get_block: Returns the block that a layer belongs to, by name.
        get_group_kind: Returns the kind of an equalization group by the layer that computes its channels: groups of one
            kind are equalized together, if that helps. None leaves the group as it is.
        native_sizes: By variant, the side of the square images that it is trained on.
        build_features: Returns a module that computes the map of each stage of a model, from the largest to the
            smallest, with the model's layers under their names. None if the family has no such maps.
        has_any_size: Whether modules compute the same function at every size, so that a proof at a small one is enough.
    """

    name: str
    reparameterize: ModuleRewrite = _keep
    folds: Mapping[type[nn.Module], ModuleRewrite] = field(default_factory=dict)
    rewrites: Mapping[RewriteName, Mapping[type[nn.Module], ModuleRewrite]] = field(default_factory=dict)
    entry: str = ""
    first_layers: tuple[str, ...] | None = None
    list_units: Callable[[nn.Module], list[ModelUnit]] = _list_one_unit
    get_block: Callable[[str], str] = _get_block
    get_group_kind: Callable[[str], str | None] = _get_group_kind
    native_sizes: Mapping[str, int] = field(default_factory=dict)
    build_features: ModuleRewrite | None = None
    has_any_size: bool = False
