"""Checkpoints of detectors with random weights, whose norms are far from the identity."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shvit_mobile.families.layouts import from_timm_key
from shvit_mobile.families.retinanet import RetinaNet
from shvit_mobile.families.shvit import SHViTConfig
from tests.builders import TINY, build_random_shvit

LABELS = ("a", "b", "c")


def build_weights(config: SHViTConfig | str = TINY) -> dict[str, Tensor]:
    """The state dict of a RetinaNet for three classes, with its authors' names."""
    return dict(build_weights_once(config))


@cache
def build_weights_once(config: SHViTConfig | str) -> dict[str, Tensor]:
    model = RetinaNet(build_random_shvit(config), len(LABELS))
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, value in model.state_dict().items():
        part, _, rest = name.partition(".")
        if part == "backbone":
            weights[f"backbone.{from_timm_key(rest, 'official')}"] = value
        else:
            scale = (2 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.3
            # Trained boxes are close to their anchors; far ones are exponentials of rounding.
            scale *= 0.1 if name.startswith("bbox_head.retina_reg") else 1
            weights[name] = scale * torch.randn(value.shape, generator=generator)
    return weights


def save_weights(path: Path, weights: dict[str, Tensor], **more: Any) -> Path:
    """Save a state dict as mmdet does."""
    torch.save({"meta": {"CLASSES": LABELS}, "state_dict": weights, **more}, path)
    return path
