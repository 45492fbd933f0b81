"""Any module of PyTorch as a trained model, for use from Python."""

import hashlib
from collections.abc import Sequence

import torch
from torch import nn

from shvit_mobile.contracts.manifest import Task
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import InvalidValue
from shvit_mobile.families.family import Family
from shvit_mobile.families.metadata import check_labels
from shvit_mobile.families.trained_model import TrainedModel

MODULE = Family(name="PyTorch")


def wrap_module(
    module: nn.Module,
    *,
    labels: Sequence[str] = (),
    preprocessing: Preprocessing,
    name: str = "model",
    task: Task = "classify",
    map_names: Sequence[str] = (),
) -> TrainedModel:
    """Return a module as a trained model, which `ExportConfig(checkpoint=...)` and `to_deploy_form` take.

    Args:
        module: Takes normalized float32 images, shape (batch, 3, height, width), and returns logits, shape
            (batch, classes), or for another task a tuple of maps, shape (batch, channels, height, width). torch.export
            has to accept it. It does not change.
        labels: A name for each class, in the order of the logits; none for feature maps.
        preprocessing: How a picture becomes its input.
        name: Its name in artifacts: letters, digits, "-", "_" and ".".
        task: "classify", or "features" for maps.
        map_names: The names of the maps (default: "stride16" for a map of stride 16).

    Raises:
        InvalidValue: If the name has other characters, a label is empty or does not suit the task, or the module has no
            parameters.
    """
    if not name or not all(part.isalnum() for part in name.replace("-", "_").replace(".", "_").split("_") if part):
        raise InvalidValue(f"`name` is {name!r}.", why="It begins the names of files.", parameter="name")
    if task == "features" and labels:
        raise InvalidValue("`labels` are given for feature maps.", why="They have no classes.", parameter="labels")
    state = module.state_dict()
    if next(module.parameters(), None) is None:
        raise InvalidValue("The module has no parameters.", why="There is nothing to export.", parameter="module")
    return TrainedModel(
        model=module,
        family=MODULE,
        variant=name,
        dialect="module",
        labels=() if task == "features" else check_labels(labels, len(labels), InvalidValue, "There are"),
        preprocessing=preprocessing,
        source=type(module).__name__,
        sha256=_hash_state(state),
        task=task,
        map_names=tuple(map_names),
    )


def _hash_state(state: dict[str, torch.Tensor]) -> str:
    """Return the SHA-256 of the names, shapes, dtypes and values of tensors."""
    digest = hashlib.sha256()
    for key, tensor in sorted(state.items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{key} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
