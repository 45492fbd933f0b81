"""A trained model with its labels, preprocessing and origin."""

from dataclasses import dataclass
from typing import Literal

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.families.shvit import SHViT

CheckpointDialect = Literal["official", "timm", "shvit-mobile"]


@dataclass(frozen=True)
class TrainedModel:
    """A trained model, as `load_checkpoint` returns it.

    Attributes:
        model: The float32 SHViT, in eval mode, on the CPU.
        variant: "shvit_s1" to "shvit_s4", or "custom".
        dialect: The layout of the checkpoint.
        labels: A name for each class, in the order of the logits.
        preprocessing: The preprocessing of the model.
        source: The name of the file, or the hub id.
        sha256: The SHA-256 of the checkpoint file.
    """

    model: SHViT
    variant: str
    dialect: CheckpointDialect
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    source: str
    sha256: str
