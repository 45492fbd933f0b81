"""Search of a checkpoint's content for complete SHViTs, by the names and shapes of its tensors, and choice of a model.

Training programs put the weights under keys of their own, and wrappers add prefixes to the names, or insert words into
them. So only the ends of names count: what comes before `patch_embed`, `blocks1` or `stages` is a prefix, and all
tensors with the same prefix are compared with a SHViT. Everything else in the file is ignored.
"""

import re
import sys
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from typing import Any, TypeGuard, TypeVar

import torch
from torch import Tensor

from shvit_mobile.errors import BadCheckpoint
from shvit_mobile.families.containers import build_too_many_error
from shvit_mobile.families.heads import find_head
from shvit_mobile.families.layouts import CheckpointLayout, detect_layouts, from_timm_key, to_timm_key
from shvit_mobile.families.plain_pickle import OpaqueObject, convert_array
from shvit_mobile.families.shvit_config import ConfigFit, fit_config, infer_config

# A value in the place of a weight; an object of torch that is not dense becomes an `OpaqueObject`.
StoredTensor = Tensor | OpaqueObject

_MAX_DEPTH, _MAX_CONTAINERS, _MAX_VISITS, _MAX_TENSORS = 64, 200_000, 4, 50_000
# The longest name of a SHViT has 8 words; wrappers may insert some more.
_MAX_WORDS = 48
_MAX_CANDIDATES = 32
_MAX_NAME_CHARACTERS = 80
_HEAD_PREFIXES = ("head.", "head_dist.")
_MODULE_PARTS = ("_modules", "_parameters", "_buffers")

_ROOT = re.compile(r"patch_embed|stages|blocks[1-9]\d?")
_WORDS = (
    *("patch_embed", "stages", "blocks", "downsample", "conv", "mixer", "ffn", "m", "c", "bn"),
    *("pw1", "pw2", "pre_norm", "qkv", "proj", "se", "fc1", "fc2", "conv1", "conv2", "conv3"),
)
_LEAVES = ("weight", "bias", "running_mean", "running_var")
# Counters of BatchNorm, which inference does not use, and the entries of a profiler (thop).
_COUNTERS, _PROFILES = ("num_batches_tracked",), ("total_ops", "total_params")
_POINTWISE_WEIGHT_KEY = re.compile(r".*\.(c|fc1|fc2)\.weight", re.DOTALL)
# Objects that hold plain values, whose loss nobody notices.
_PLAIN_CLASS = re.compile(rf"({'|'.join(sys.stdlib_module_names)})\.|numpy\.(dtype|ndarray|random)|torch\.device$")
# Words in the name of an average or a copy of the weights that are trained.
_COPY = re.compile(r"ema|averag|avg|swa|shadow|teacher|target|momentum|best|old|prev", re.IGNORECASE)


@dataclass(frozen=True)
class Inventory:
    """What a checkpoint contains.

    Attributes:
        tensors: All tensors by name: the keys that lead to them, joined with dots.
        mappings: All mappings and attributes of objects, with the keys that lead to them.
        classes: The classes outside of Python, numpy and torch whose objects were not built.
    """

    tensors: dict[str, StoredTensor] = field(default_factory=dict)
    mappings: list[tuple[str, Mapping[Any, Any]]] = field(default_factory=list)
    classes: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredModel:
    """Tensors of a file with one prefix.

    Attributes:
        name: The prefix, without the last dot; "root" if it is empty.
        tensors: The tensors by timm's names.
        sources: The names in the file of these tensors.
    """

    name: str
    tensors: dict[str, StoredTensor]
    sources: frozenset[str]


@dataclass(frozen=True)
class Candidate(StoredModel):
    """Tensors with one prefix, compared with a SHViT.

    Attributes:
        layout: The layout of the names.
        fit: The comparison with the configuration that the shapes have; None if they have none.
        note: What is assumed about the head.
        head_fault: Why the classifier is not exactly a BatchNorm and a linear layer.
        lacks_head: Whether its classifier is one of zeros, as `complete_head` adds it.
    """

    layout: CheckpointLayout
    fit: ConfigFit | None
    note: str = ""
    head_fault: str = ""
    lacks_head: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether the tensors are exactly those of a SHViT."""
        return self.fit is not None and not self.fit.misfits

    @property
    def rename(self) -> partial[str]:
        """The function that returns the name, in this layout, of a tensor with timm's name."""
        return partial(from_timm_key, layout=self.layout)


AnyModel = TypeVar("AnyModel", bound=StoredModel)


def complete_head(candidate: Candidate) -> Candidate:
    """Return the features of a candidate with a classifier of zeros, for those who only use the features.

    The backbone of a detector has no classifier. A complete candidate stays as it is, and so does one that lacks more.
    """
    if candidate.is_complete or candidate.fit is None:
        return candidate
    tensors = {key: one for key, one in candidate.tensors.items() if not key.startswith(_HEAD_PREFIXES)}
    dim = candidate.fit.config.dims[-1]
    tensors |= {f"head.bn.{leaf}": torch.ones(dim) for leaf in _LEAVES}
    tensors |= {"head.l.weight": torch.zeros(1, dim), "head.l.bias": torch.zeros(1)}
    shapes = {key: get_shape(tensor) for key, tensor in tensors.items()}
    config = infer_config(shapes)
    fit = fit_config(shapes, config, candidate.rename) if config else None
    return replace(candidate, tensors=tensors, fit=fit, note="", lacks_head=True)


def take_inventory(payload: object, name: str) -> Inventory:
    """List what a training program saved, the outermost first.

    Raises:
        BadCheckpoint: If it contains far more tensors than the training of a SHViT has.
    """
    found = Inventory()
    waiting: deque[tuple[str, int, object]] = deque([("", 0, payload)])
    visits: dict[int, int] = defaultdict(int)
    while waiting and len(visits) < _MAX_CONTAINERS:
        path, depth, value = waiting.popleft()
        if _is_tensor(value):
            found.tensors.setdefault(path or "tensor", value)
            if len(found.tensors) > _MAX_TENSORS:
                raise build_too_many_error(len(found.tensors), name)
            continue
        if isinstance(value, OpaqueObject):
            array = convert_array(value)
            if array is not None:
                waiting.appendleft((path, depth, array))
                continue
            if not _PLAIN_CLASS.match(value.type_name):
                found.classes[value.type_name] = None
            children: Iterable[tuple[Any, Any]] = {**dict(enumerate(value.arguments)), **value.attributes}.items()
        elif isinstance(value, Mapping):
            children = value.items()
        elif isinstance(value, list | tuple):
            children = enumerate(value)
        else:
            continue
        # Containers can contain each other many times over; some repetition keeps all names of the same weights.
        visits[id(value)] += 1
        if visits[id(value)] > _MAX_VISITS:
            continue
        if isinstance(value, Mapping | OpaqueObject):
            found.mappings.append((path, dict(children)))
        if depth < _MAX_DEPTH:
            is_module = isinstance(value, OpaqueObject)
            waiting.extend(
                (_join(path, key, is_module), depth + 1, child)
                for key, child in children
                if isinstance(child, Tensor | OpaqueObject | Mapping | list | tuple)
            )
    return found


def _join(path: str, key: object, is_module: bool) -> str:
    """Return the name of what lies under `key`; the parts of a module are not named."""
    if is_module and key in _MODULE_PARTS:
        return path
    word = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
    return f"{path}.{word}" if path else word


def _is_tensor(value: object) -> TypeGuard[StoredTensor]:
    """Return whether a value is a tensor, or a tensor that is not dense."""
    return isinstance(value, Tensor) or (
        isinstance(value, OpaqueObject) and value.type_name.startswith("torch._utils._rebuild")
    )


def get_shape(value: StoredTensor) -> tuple[int, ...]:
    """Return the shape of a tensor; () if it has none, as nested tensors."""
    return () if isinstance(value, OpaqueObject) or value.is_nested else tuple(value.shape)


def find_candidates(tensors: Mapping[str, StoredTensor], display_name: str) -> list[Candidate]:
    """Return all groups of tensors whose names are like a SHViT's: complete ones first, then by how many fit.

    Raises:
        BadCheckpoint: If the names of the only group are of both layouts.
    """
    groups: dict[str, list[tuple[str, list[str], StoredTensor]]] = defaultdict(list)
    others: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        rest, words = _split_name(name)
        root = next((i for i in reversed(range(len(words))) if _ROOT.fullmatch(words[i])), None)
        if root is None:
            others[name] = tensor
        else:
            prefix = "".join(f"{word}." for word in words[:root])
            groups[rest + prefix].append((name, words[root:], tensor))
    largest = sorted(groups, key=lambda prefix: -len(groups[prefix]))[:_MAX_CANDIDATES]
    found = [
        _build_candidate(prefix, groups[prefix], others, set(groups), display_name)
        for prefix in groups
        if prefix in largest
    ]
    if len(groups) > 1 and not any(candidate.is_complete for candidate in found):
        entries = [entry for group in groups.values() for entry in group]
        merged = _build_candidate(largest[0], entries, others, set(), display_name)
        found = [merged] if merged.is_complete else found
    # The sort is stable: complete models stay in the order of the file.
    return sorted(found, key=lambda one: (-1, 0) if one.is_complete else _count_misfits(one))


def _count_misfits(candidate: Candidate) -> tuple[int, int]:
    """Return a key that sorts tensors that are almost a SHViT before those that are not."""
    return 10**9 - (candidate.fit.fitting if candidate.fit else 0), -len(candidate.tensors)


def _split_name(name: str) -> tuple[str, list[str]]:
    """Return the last words of a name, and what comes before them."""
    words = name.rsplit(".", _MAX_WORDS)
    return (f"{words[0]}.", words[1:]) if len(words) > _MAX_WORDS else ("", words)


def _build_candidate(
    prefix: str,
    entries: Sequence[tuple[str, list[str], StoredTensor]],
    others: Mapping[str, StoredTensor],
    prefixes: Collection[str],
    display_name: str,
) -> Candidate:
    """Compare the tensors with one prefix with a SHViT."""
    tensors: dict[str, StoredTensor] = {}
    sources: set[str] = set()
    layouts: dict[CheckpointLayout, str] = {}
    # Names without inserted words come first, so that a copy inside a wrapper does not take the place of the original.
    plain = {name: [word for word in words[:-1] if _is_word(word)] + words[-1:] for name, words, _ in entries}
    for name, words, tensor in sorted(entries, key=lambda entry: len(entry[1]) - len(plain[entry[0]])):
        if words[-1] in _COUNTERS + _PROFILES:
            continue
        stripped = ".".join(plain[name])
        key = to_timm_key(stripped if words[-1] in _LEAVES else ".".join(words))
        key = ".".join(words) if key in tensors else key
        layouts |= {layout: stripped for layout in detect_layouts([stripped]) if layout not in layouts}
        tensors[key] = _restore_kernel_dimensions(key, tensor)
        sources.add(name)
    if len(layouts) == 2:
        raise BadCheckpoint(
            f"{display_name} mixes two layouts: {layouts['official']} is a name of the authors, "
            f"{layouts['timm']} of timm.",
            why="A checkpoint has one layout.",
        )
    shapes = {key: get_shape(tensor) for key, tensor in tensors.items()}
    body = infer_config(shapes)
    head = find_head(prefix, prefixes, others, body.dims[-1] if body else None, get_shape)
    tensors |= head.tensors
    shapes |= {key: get_shape(tensor) for key, tensor in head.tensors.items()}
    layout: CheckpointLayout = "official" if "official" in layouts else "timm"
    config = infer_config(shapes)
    return Candidate(
        name=prefix.rstrip(".") or "root",
        layout=layout,
        tensors=tensors,
        sources=frozenset(sources | head.sources),
        fit=fit_config(shapes, config, partial(from_timm_key, layout=layout)) if config else None,
        note=head.note,
        head_fault=head.fault,
    )


def _is_word(word: str) -> bool:
    """Return whether a SHViT's names contain a word; wrappers insert others."""
    return word in _WORDS or word.isdigit() or _ROOT.fullmatch(word) is not None


def _restore_kernel_dimensions(key: str, tensor: StoredTensor) -> StoredTensor:
    """Return the weight of a 1x1 convolution that is stored as a matrix with four dimensions."""
    if isinstance(tensor, OpaqueObject) or not _POINTWISE_WEIGHT_KEY.fullmatch(key) or len(get_shape(tensor)) != 2:
        return tensor
    return tensor[:, :, None, None]


def choose_model(
    complete: Sequence[AnyModel], inventory: Inventory, weights: str | None, display_name: str
) -> tuple[AnyModel, tuple[str, ...], list[str]]:
    """Return the model to load, the names of all different models in a file, and notes on what is not used.

    Args:
        complete: The complete models in the file.
        inventory: What the file contains.
        weights: The name of one, in full or by its first or last words (default: the first that is no copy).
        display_name: The file's name in errors.

    Raises:
        BadCheckpoint: If the file contains none of the name `weights`.
    """
    distinct = _list_distinct(complete)
    names = tuple(shorten_name(model.name) for model in distinct)
    chosen = distinct[0] if weights is None else _find_weights(weights, complete, display_name)
    notes = []
    if weights is None and len(distinct) > 1:
        found = f"{display_name} contains {len(distinct)} models: {', '.join(names)}."
        notes.append(f"{found} The weights of {chosen.name} are used.")
    rest = [one for one in inventory.tensors if not any(one in model.sources for model in complete)]
    notes += filter(None, (chosen.note if isinstance(chosen, Candidate) else "", _describe_ignored(rest, chosen)))
    if inventory.classes:
        classes = list(inventory.classes)
        more = f" and {len(classes) - 3} more" if len(classes) > 3 else ""
        notes.append(f"Objects that need code were not read: {', '.join(classes[:3])}{more}.")
    return chosen, names, notes


def _find_weights(weights: str, complete: Sequence[AnyModel], display_name: str) -> AnyModel:
    """Return the model that `weights` names, in full or by its first or last words."""
    exact = [one for one in complete if one.name == weights]
    near = [one for one in complete if f".{weights}." in f".{one.name}."]
    for matching in (exact, near):
        if len(matching) == 1:
            return matching[0]
    names = [shorten_name(one.name) for one in complete]
    close = get_close_matches(weights, names, n=1)
    raise BadCheckpoint(
        f"{display_name} contains no weights '{weights}'.",
        why=f"It contains: {', '.join(names)}.",
        hint=f"Did you mean {close[0]}?" if close else "",
        parameter="weights",
    )


def _list_distinct(complete: Sequence[AnyModel]) -> list[AnyModel]:
    """Return models without copies of an earlier one; weights that are trained come before their averages."""
    distinct: list[AnyModel] = []
    for candidate in sorted(complete, key=lambda one: bool(_COPY.search(one.name))):
        if not any(_are_equal(candidate, other) for other in distinct):
            distinct.append(candidate)
    return distinct


def _are_equal(one: StoredModel, other: StoredModel) -> bool:
    """Return whether two complete models have the same weights."""
    if one.tensors.keys() != other.tensors.keys():
        return False
    pairs = ((one.tensors[key], other.tensors[key]) for key in one.tensors)
    return all(
        isinstance(a, Tensor)
        and isinstance(b, Tensor)
        and a.dtype == b.dtype
        and a.layout is b.layout is torch.strided
        and a.shape == b.shape
        and torch.equal(a, b)
        for a, b in pairs
    )


def shorten_name(name: str) -> str:
    """Return a name for people: wrappers can repeat a prefix a thousand times."""
    return name if len(name) <= _MAX_NAME_CHARACTERS else f"...{name[3 - _MAX_NAME_CHARACTERS :]}"


def _describe_ignored(names: Iterable[str], used: StoredModel) -> str:
    """Return a sentence about the tensors that were not used; empty if there are none but counters."""
    counts: dict[str, int] = defaultdict(int)
    above = used.name.split(".") if used.name != "root" else []
    for name in names:
        if name in used.sources or name.endswith(_COUNTERS):
            continue
        words = name.split(".", len(above) + 1)
        shared = next((i for i, (a, b) in enumerate(zip(words, above, strict=False)) if a != b), len(above))
        last = name.rpartition(".")[2]
        counts[shorten_name(last if last in _PROFILES else words[min(shared, len(words) - 1)])] += 1
    if not counts:
        return ""
    parts = [f"{name} ({count})" if count > 1 else name for name, count in list(counts.items())[:5]]
    more = f" and {len(counts) - 5} more" if len(counts) > 5 else ""
    total = sum(counts.values())
    return f"{total} other tensor{'s are' if total > 1 else ' is'} ignored: {', '.join(parts)}{more}."
