"""timm's models as a family: any classifier of timm, by its name and a state dict, and the maps of its stages.

timm is imported on first use. Nothing is downloaded here: weights come from the checkpoint alone.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadCheckpoint, InvalidValue, NotSupported, ToolMissing
from shvit_mobile.families.containers import format_faults
from shvit_mobile.families.discover import StoredModel, StoredTensor, get_shape, shorten_name
from shvit_mobile.families.family import Family
from shvit_mobile.families.training_args import CROP_MODES
from shvit_mobile.families.weights import convert_values
from shvit_mobile.quiet import silence_libraries

# Before the name of a model, where SHViT's variants have no prefix.
TIMM_PREFIX = "timm:"
# The ends of the names of weights; other tensors are counters, and tables that the model computes.
_LEAVES = (".weight", ".bias", ".running_mean", ".running_var")
# Maps of smaller strides are large, and detectors do not use them.
_MIN_MAP_STRIDE = 4
_library: list[Any] = []


@dataclass(frozen=True)
class TimmModel:
    """A model of timm with the weights of a checkpoint.

    Attributes:
        model: In float32, in eval mode, on the CPU.
        classes: The outputs of its head.
        preprocessing: That of timm's configuration of the model.
    """

    model: nn.Module
    classes: int
    preprocessing: Preprocessing


def import_timm(why: str) -> ModuleType:
    """Import timm.

    timm imports torchvision. One that was built for another torch cannot load its compiled operators and fails for want
    of two of them, which no classifier calls.

    Args:
        why: The sentence on what needs it, for the error.

    Raises:
        ToolMissing: If timm is not installed.
    """
    _prepare_torchvision()
    try:
        with silence_libraries():
            import timm
    except ImportError:
        raise ToolMissing("timm is not installed.", why=why, hint="pip install 'shvit-mobile[models]'") from None
    return timm


def _prepare_torchvision() -> None:
    """Declare the operators that torchvision asks for when it is imported, if its compiled part does not load."""
    try:
        with silence_libraries():
            import torchvision  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        return
    except RuntimeError:
        library: Any = torch.library.Library
        _library.append(library("torchvision", "DEF"))  # what it declares lasts as long as it does
        for name in ("nms", "qnms"):
            _library[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def is_timm_model(name: str) -> bool:
    """Return whether timm is installed and has a model of this name."""
    try:
        return bool(import_timm("").is_model(name))
    except ToolMissing:
        return False


def create_timm_model(name: str, classes: int | None = None, *, parameter: str = "variant") -> nn.Module:
    """Create a model of timm with random weights, in eval mode, with all its branches.

    Args:
        name: timm's name of it.
        classes: Its classes (default: those of timm's configuration).
        parameter: The parameter that the name was given as, for errors.

    Raises:
        ToolMissing: If timm is not installed.
        InvalidValue: If timm has no such model.
    """
    timm = import_timm(f"It builds {name}.")
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=3) or timm.list_models(f"*{name.split('_')[0]}*")[:5]
        hint = f"Similar: {', '.join(near)}." if near else ""
        raise InvalidValue(f"timm has no model '{name}'.", hint=hint, parameter=parameter)
    with silence_libraries():
        options = {} if classes is None else {"num_classes": classes}
        model: nn.Module = timm.create_model(name, pretrained=False, **options)
    return model.eval()


def reparameterize(model: nn.Module) -> nn.Module:
    """Merge the branches that exist for training only, as timm does it for inference.

    Merged layers are created in the default dtype, so that of the model is the default meanwhile.

    Raises:
        ToolMissing: If timm is not installed.
    """
    import_timm("It merges the branches of its models.")
    from timm.utils.model import reparameterize_model

    default = torch.get_default_dtype()
    torch.set_default_dtype(next(model.parameters()).dtype)
    try:
        merged: nn.Module = reparameterize_model(model)
    finally:
        torch.set_default_dtype(default)
    return merged


class TimmFeatures(nn.Module):
    """Stages of a model of timm without its classifier.

    Input: normalized float images, shape (batch, 3, height, width).
    Output: the output of each stage in `places`, shape (batch, channels, height / stride, width / stride).
    """

    def __init__(self, model: nn.Module, places: Sequence[int]) -> None:
        super().__init__()
        self.model, self.places = model, list(places)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        forward: Any = self.model.forward_intermediates
        return tuple(forward(images, indices=self.places, intermediates_only=True))


def build_timm_features(model: nn.Module) -> nn.Module:
    """Return the maps of a model's stages, the last one of each stride from 4 on; it shares the model's parameters.

    Raises:
        NotSupported: If timm does not know the model's stages.
    """
    stages = getattr(model, "feature_info", None)
    methods = (getattr(model, name, None) for name in ("forward_intermediates", "prune_intermediate_layers"))
    # By stride; a later stage replaces an earlier one.
    places = {stage["reduction"]: place for place, stage in enumerate(stages or ())}
    places = {stride: place for stride, place in places.items() if stride >= _MIN_MAP_STRIDE}
    if not places or not all(map(callable, methods)):
        raise NotSupported(
            f"timm's {type(model).__name__} has no feature maps that can be exported.",
            why="timm does not say which of its stages have a stride of at least 4, or cannot return their outputs.",
            hint="Wrap a module that returns its maps: wrap_module(module, task='features').",
            parameter="task",
        )
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    pruned: Any = deepcopy(model, shared)
    return TimmFeatures(pruned, pruned.prune_intermediate_layers(sorted(places.values()), prune_norm=True)).eval()


def find_timm_models(name: str, tensors: Mapping[str, StoredTensor], display_name: str) -> list[StoredModel]:
    """Return all complete models of one name in a checkpoint, in its order; their heads may have any number of classes.

    Args:
        name: timm's name of the model.
        tensors: All tensors of the file, by the keys that lead to them, joined with dots.
        display_name: The file's name in errors.

    Raises:
        ToolMissing: If timm is not installed.
        InvalidValue: If timm has no such model.
        BadCheckpoint: If the file has no complete model of this name.
    """
    blank = create_timm_model(name)
    heads, expected = _list_heads(blank.pretrained_cfg), _list_shapes(blank)
    prefixes = _find_prefixes(tensors, expected, heads)
    if not prefixes:
        raise BadCheckpoint(
            f"{display_name} contains no {name}: none of its {len(tensors)} tensors is called like one of timm's "
            f"{len(expected)}.",
            why=f"The first in the file is {shorten_name(next(iter(tensors)))}; {name} has {next(iter(expected))}.",
            hint="Save the state dict of timm's model, or name the model that it is.",
        )
    fits = {prefix: _list_faults(tensors, prefix, expected, heads) for prefix in prefixes}
    complete = [prefix for prefix in prefixes if not fits[prefix]]
    if not complete:
        best = min(prefixes, key=lambda prefix: len(fits[prefix]))
        raise BadCheckpoint(
            f"{display_name} is not a complete {name}: {len(fits[best])} of its {len(expected)} tensors do not fit; "
            f"the first: {format_faults(fits[best])}.",
            why=f"It is compared with timm's {name}.",
        )
    return [_take_model(prefix, tensors, expected) for prefix in complete]


def _take_model(
    prefix: str, tensors: Mapping[str, StoredTensor], expected: Mapping[str, tuple[int, ...]]
) -> StoredModel:
    used = {key: tensors[f"{prefix}{key}"] for key in expected}
    return StoredModel(prefix.rstrip(".") or "root", used, frozenset(f"{prefix}{key}" for key in used))


def build_timm_model(name: str, stored: StoredModel, display_name: str) -> TimmModel:
    """Build a model of timm from tensors that `find_timm_models` found.

    Raises:
        BadCheckpoint: If the values are unusable, or it has one class.
    """
    head = _list_heads(create_timm_model(name).pretrained_cfg)[0]
    classes = get_shape(stored.tensors[f"{head}.weight"])[0]
    if classes < 2:
        raise BadCheckpoint(f"{display_name} has one logit.", why=f"A {name} needs an output for each class.")
    model = create_timm_model(name, classes)
    model.load_state_dict({**model.state_dict(), **convert_values(stored.tensors, display_name)})
    return TimmModel(model.eval(), classes, _read_preprocessing(model.pretrained_cfg))


def _list_heads(config: Any) -> tuple[str, ...]:
    """Return the names of a model's classifiers; a distilled model has two."""
    found = config.get("classifier") or ()
    return (found,) if isinstance(found, str) else tuple(found)


def _list_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a model's weights, without counters and tables of integers, which the model computes."""
    return {key: tuple(value.shape) for key, value in model.state_dict().items() if value.is_floating_point()}


def _find_prefixes(
    tensors: Mapping[str, StoredTensor], expected: Mapping[str, tuple[int, ...]], heads: tuple[str, ...]
) -> list[str]:
    """Return what stands before the names of a model's tensors, in the order of the file."""
    first = next(key for key in expected if not key.startswith(heads))
    return [name.removesuffix(first) for name in tensors if f".{name}".endswith(f".{first}")]


def _list_faults(
    tensors: Mapping[str, StoredTensor], prefix: str, expected: Mapping[str, tuple[int, ...]], heads: tuple[str, ...]
) -> list[str]:
    """Return what does not fit, a phrase each; only the number of classes may differ."""
    faults = []
    for key, shape in expected.items():
        stored = tensors.get(f"{prefix}{key}")
        actual = None if stored is None else get_shape(stored)
        of_head = key.startswith(heads) and actual is not None and actual[1:] == shape[1:] and bool(actual)
        if actual is None:
            faults.append(f"{key} is missing")
        elif actual != shape and not of_head:
            faults.append(f"{key} is {actual}, not {shape}")
    roots = {key.partition(".")[0] for key in expected}
    own = (name.removeprefix(prefix) for name in tensors if name.startswith(prefix))
    more = (key for key in own if key not in expected and key.partition(".")[0] in roots and key.endswith(_LEAVES))
    return [*faults, *(f"{key} has no place" for key in more)]


def _read_preprocessing(config: Any) -> Preprocessing:
    """Return the preprocessing of timm's configuration of a model."""
    fields: dict[str, Any] = {
        "size": tuple(config["input_size"][1:]),
        "crop_ratio": config.get("crop_pct"),
        "interpolation": config.get("interpolation"),
        "mean": config.get("mean"),
        "std": config.get("std"),
        "resize_mode": CROP_MODES.get(config.get("crop_mode") or "center"),
    }
    return Preprocessing(**{name: value for name, value in fields.items() if value is not None})


TIMM = Family(name="timm", reparameterize=reparameterize, build_features=build_timm_features)
