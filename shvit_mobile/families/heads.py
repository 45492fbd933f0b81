"""Recognition of classifiers that are exactly a BatchNorm and a linear layer, whatever their names."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

_HEADS = ("head", "fc", "classifier", "cls_head", "heads", "linear", "last_linear")
_NORM_LEAVES, _LINEAR_LEAVES = {"weight", "bias", "running_mean", "running_var"}, {"weight", "bias"}
_UNUSED_LEAVES = ("num_batches_tracked", "total_ops", "total_params")
_NORM_NAMES = ("bn", "norm")
# How many levels above the features a classifier is looked for: next to the backbone, or next to what holds it.
_MAX_LEVELS = 8
# nn.BatchNorm1d adds 1e-5 to this, which gives 1 in float32, so the BatchNorm changes nothing.
_IDENTITY_VARIANCE = 1 - 1e-5


@dataclass(frozen=True)
class Head:
    """A classifier, if it was found.

    Attributes:
        tensors: Its tensors by timm's names: head.bn.weight, head.l.weight and so on.
        sources: Their names in the file.
        note: What was assumed.
        fault: The tensors that are like a classifier, if they are not exactly a BatchNorm and a linear layer.
    """

    tensors: dict[str, Any] = field(default_factory=dict)
    sources: frozenset[str] = frozenset()
    note: str = ""
    fault: str = ""


_Modules = Mapping[tuple[str, ...], Mapping[str, tuple[str, Any]]]
_GetShape = Callable[[Any], tuple[int, ...]]


def find_head(
    prefix: str, prefixes: Collection[str], others: Mapping[str, Any], dim: int | None, get_shape: _GetShape
) -> Head:
    """Find the classifier of features.

    Args:
        prefix: The prefix of the names of the features; the classifier has it too, or the beginning of it.
        prefixes: Those of all features in the file; the classifier of others is not taken.
        others: The tensors of the file outside of the features, by name.
        dim: The channels of the features, if they are known.
        get_shape: Returns the shape of a tensor.
    """
    levels = [prefix]
    while levels[-1] and len(levels) < _MAX_LEVELS:
        levels.append(levels[-1][:-1].rpartition(".")[0] + "." if "." in levels[-1][:-1] else "")
    faults = []
    for index, level in enumerate(levels):
        if index and level in prefixes:
            break
        modules = _group_modules(level, others)
        roots = [root for root in _HEADS if root in modules]
        if index and not roots and levels[index - 1][len(level) : -1].isdigit():  # nn.Sequential(features, classifier)
            roots = [root for root in modules if root.isdigit() and root != levels[index - 1][len(level) : -1]]
        heads = [_read_head(level + root, "head", modules[root], dim, get_shape) for root in roots]
        exact = [head for head in heads if head.tensors]
        if len(exact) > 1 and roots[0] != "head":
            return Head(fault=f"it has {len(exact)} classifiers: {', '.join(level + root for root in roots)}")
        if exact:
            return _add_distillation_head(exact[0], level, modules, dim, get_shape)
        faults += [head.fault for head in heads if head.fault]
    return Head(fault=faults[0] if faults else _describe_similar(others, dim, get_shape))


def _describe_similar(others: Mapping[str, Any], dim: int | None, get_shape: _GetShape) -> str:
    """Describe matrices under unusual names that take the features; empty if there are none."""
    shapes = {name: get_shape(tensor) for name, tensor in others.items() if name.endswith("weight")}
    similar = [f"{name} {shape}" for name, shape in shapes.items() if len(shape) == 2 and shape[1] == dim]
    names = ", ".join(_HEADS[:3])
    return f"nothing is named {names}, but {', '.join(similar[:3])} may be a classifier" if similar else ""


def _add_distillation_head(
    head: Head, level: str, modules: Mapping[str, _Modules], dim: int | None, get_shape: _GetShape
) -> Head:
    """Return a head together with the second head of distillation, if there is one."""
    if "head_dist" not in modules:
        return head
    second = _read_head(f"{level}head_dist", "head_dist", modules["head_dist"], dim, get_shape)
    if second.fault:
        return Head(fault=second.fault)
    return Head(head.tensors | second.tensors, head.sources | second.sources, head.note)


def _group_modules(level: str, others: Mapping[str, Any]) -> dict[str, _Modules]:
    """Return the tensors below `level`, by their first word, by the words up to the last, and by the last word."""
    modules: dict[str, dict[tuple[str, ...], dict[str, tuple[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for name, tensor in others.items():
        words = name[len(level) :].split(".", 24) if name.startswith(level) else []
        if len(words) > 1 and words[-1] not in _UNUSED_LEAVES:
            modules[words[0]][tuple(words[1:-1])][words[-1]] = name, tensor
    return dict(modules)


def _read_head(place: str, target: str, modules: _Modules, dim: int | None, get_shape: _GetShape) -> Head:
    """Return the head in `modules`, or the fault that it is not one; `target` is the name it gets."""
    sources = frozenset(name for leaves in modules.values() for name, _ in leaves.values())
    shapes = {
        path: {leaf: get_shape(tensor) for leaf, (_, tensor) in leaves.items()} for path, leaves in modules.items()
    }
    norms = [path for path, leaves in shapes.items() if set(leaves) == _NORM_LEAVES]
    linears = [path for path, leaves in shapes.items() if "weight" in leaves and set(leaves) <= _LINEAR_LEAVES]
    if {path[-1:] for path in modules} <= {("bn",), ("l",)} and len({path[-1:] for path in modules}) == len(modules):
        named = {
            f"{target}.{path[-1]}.{leaf}": one for path, leaves in modules.items() for leaf, (_, one) in leaves.items()
        }
        return Head(named, sources)
    if len(linears) == 1 and len(norms) + 1 == len(modules) <= 2 and _is_linear(shapes[linears[0]], dim):
        linear = _read_linear(modules[linears[0]])
        if not norms:
            note = f"The classifier {place} is a linear layer without a BatchNorm; its BatchNorm is the identity."
            return Head(_name_head(target, _build_identity_norm(linear["weight"].shape[1]), linear), sources, note)
        if shapes[norms[0]]["weight"] == (dim,) and _comes_first(norms[0], linears[0]):
            norm = {leaf: tensor for leaf, (_, tensor) in modules[norms[0]].items()}
            return Head(_name_head(target, norm, linear), sources)
    first = [f"{name} {get_shape(tensor)}" for leaves in modules.values() for name, tensor in leaves.values()][:4]
    more = f" and {len(sources) - 4} more" if len(sources) > 4 else ""
    return Head(fault=f"its classifier has {', '.join(first)}{more}")


def _is_linear(shapes: Mapping[str, tuple[int, ...]], dim: int | None) -> bool:
    """Return whether the shapes are of a linear layer, or a 1x1 convolution, of `dim` features."""
    weight = shapes["weight"]
    return (
        len(weight) in (2, 4) and weight[1:] in ((dim,), (dim, 1, 1)) and shapes.get("bias", weight[:1]) == weight[:1]
    )


def _read_linear(leaves: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """Return the weight as a matrix, and the bias; zeros if there is none."""
    weight = leaves["weight"][1]
    if not isinstance(weight, Tensor):
        return {leaf: tensor for leaf, (_, tensor) in leaves.items()}
    bias = leaves["bias"][1] if "bias" in leaves else torch.zeros(len(weight))
    return {"weight": weight.flatten(1), "bias": bias}


def _build_identity_norm(dim: int) -> dict[str, Tensor]:
    return {
        "weight": torch.ones(dim),
        "bias": torch.zeros(dim),
        "running_mean": torch.zeros(dim),
        "running_var": torch.full((dim,), _IDENTITY_VARIANCE),
    }


def _comes_first(norm: tuple[str, ...], linear: tuple[str, ...]) -> bool:
    """Return whether a BatchNorm is before a linear layer, by their names."""
    if norm[-1:] and norm[-1].isdigit() and linear[-1:] and linear[-1].isdigit():
        return int(norm[-1]) < int(linear[-1])
    return norm[-1:] in {(name,) for name in _NORM_NAMES}


def _name_head(target: str, norm: Mapping[str, Any], linear: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{f"{target}.bn.{leaf}": tensor for leaf, tensor in norm.items()},
        **{f"{target}.l.{leaf}": tensor for leaf, tensor in linear.items()},
    }
