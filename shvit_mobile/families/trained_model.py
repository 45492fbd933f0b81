"""A trained model and what belongs to it: where it came from, what its classes are called, how it sees pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.families.shvit import SHViT

CheckpointDialect = Literal["official", "timm", "shvit-mobile"]


@dataclass(frozen=True)
class TrainedModel:
    """What `load_checkpoint` returns.

    Attributes:
        model: the float32 SHViT, in eval mode, on the CPU.
        variant: "shvit_s1" to "shvit_s4", or "custom".
        dialect: the layout the checkpoint was in.
        labels: a name for every class, in the order of the logits.
        preprocessing: how the model expects its pictures.
        source: the file's name or the hub's id.
        sha256: of the checkpoint file.
    """

    model: SHViT
    variant: str
    dialect: CheckpointDialect
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    source: str
    sha256: str
