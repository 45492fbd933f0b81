"""A trained model with its labels, preprocessing and origin."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import nn

from shvit_mobile.contracts.detection import Detection
from shvit_mobile.contracts.manifest import Task
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import NotSupported
from shvit_mobile.families.family import Family

CheckpointDialect = Literal["official", "timm", "shvit-mobile", "module"]


@dataclass(frozen=True)
class TrainedModel:
    """A trained model, as `load_checkpoint` returns it.

    Attributes:
        model: The float32 model, in eval mode, on the CPU: normalized images in, logits or a tuple of maps out.
        family: Its family.
        variant: Its architecture: "shvit_s1" to "shvit_s4" or "custom" for a SHViT, or timm's name.
        dialect: The layout of the checkpoint.
        labels: A name for each class, in the order of the logits; empty for feature maps.
        preprocessing: The preprocessing of the model.
        source: The name of the file, or the hub id with the revision.
        sha256: The SHA-256 of the checkpoint file; of the list of their SHA-256 for a checkpoint of several files; of
            the file's SHA-256 and the name of the weights, for another model than the first in a file.
        notes: What was recognized, ignored and assumed, a sentence each.
        weights: The name of this model in the file.
        weights_found: The names of all complete models in the file that differ.
        training_arguments: What the file says about preprocessing and classes, by the keys that lead to it.
        stated: The fields of the preprocessing that the file or a config.json beside it states for this training.
        task: What the model computes.
        map_names: The names of its maps (default: "stride16" for a map of stride 16).
        detection: How the maps of a detector become boxes; None for other tasks.
    """

    model: nn.Module
    family: Family
    variant: str
    dialect: CheckpointDialect
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    source: str
    sha256: str
    notes: tuple[str, ...] = ()
    weights: str = "root"
    weights_found: tuple[str, ...] = ("root",)
    training_arguments: Mapping[str, Any] = field(default_factory=dict)
    stated: frozenset[str] = frozenset()
    task: Task = "classify"
    map_names: tuple[str, ...] = ()
    detection: Detection | None = None

    @property
    def classes(self) -> int:
        """The number of logits."""
        return len(self.labels)


def build_features(trained: TrainedModel) -> TrainedModel:
    """Return the feature maps of a classifier as a model of its own, which shares its parameters.

    Raises:
        NotSupported: If the model's family has no such maps.
    """
    if trained.task == "features":
        return trained
    if trained.task != "classify" or trained.family.build_features is None:
        raise NotSupported(
            f"{trained.variant} has no feature maps that can be exported.",
            why=f"Those of SHViT and of timm's models are known, and this is a model of {trained.family.name}.",
            hint="Wrap a module that returns its maps: wrap_module(module, task='features').",
            parameter="task",
        )
    note = "The maps of its stages are exported, without its classifier."
    model = trained.family.build_features(trained.model)
    return replace(trained, model=model, labels=(), task="features", notes=(*trained.notes, note))


def override_preprocessing(trained: TrainedModel, changes: Mapping[str, Any]) -> TrainedModel:
    """Return the model with some fields of its preprocessing replaced, and a note for each that contradicts the file.

    Raises:
        InvalidValue: If a value is out of range.
    """
    # Only a letterbox is padded.
    replaced = changes.get("resize_mode") not in (None, "letterbox", trained.preprocessing.resize_mode)
    unpadded = {"padding": None, "padding_value": None} if replaced else {}
    preprocessing = replace(trained.preprocessing, **unpadded | dict(changes))
    notes = [
        f"The given {name.replace('_', ' ')} is {getattr(preprocessing, name)}; the checkpoint was trained with "
        f"{getattr(trained.preprocessing, name)}."
        for name in changes
        if name in trained.stated and getattr(preprocessing, name) != getattr(trained.preprocessing, name)
    ]
    return replace(trained, preprocessing=preprocessing, notes=(*trained.notes, *notes))
