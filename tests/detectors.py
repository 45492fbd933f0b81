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
from tests.builders import TINY, build_random_shvit, draw_smooth_pixels

LABELS = ("a", "b", "c")


def build_weights(config: SHViTConfig | str = TINY) -> dict[str, Tensor]:
    """The state dict of a RetinaNet for three classes, with its authors' names."""
    return dict(build_weights_once(config))


@cache
@torch.no_grad()
def build_weights_once(config: SHViTConfig | str) -> dict[str, Tensor]:
    model = RetinaNet(build_random_shvit(config), len(LABELS)).eval()
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if not name.startswith("backbone."):
            scale = (2 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.3
            value.copy_(scale * torch.randn(value.shape, generator=generator))
    # As trained ones, scores are not all 0 or 1, and boxes are close to their anchors: far ones are exponentials.
    # At 512 pixels, S4's are seven times as far from 0 as here.
    outputs = model(draw_smooth_pixels(1, (128, 128)) / 128 - 1)
    levels = len(outputs) // 2
    head = model.bbox_head
    for layer, maps, spread in ((head.retina_cls, outputs[:levels], 0.5), (head.retina_reg, outputs[levels:], 0.05)):
        layer.weight *= spread / torch.cat([one.flatten() for one in maps]).std()
    return {rename(name): value for name, value in model.state_dict().items()}


def rename(name: str) -> str:
    part, _, rest = name.partition(".")
    return f"backbone.{from_timm_key(rest, 'official')}" if part == "backbone" else name


def save_weights(path: Path, weights: dict[str, Tensor], **more: Any) -> Path:
    """Save a state dict as mmdet does."""
    torch.save({"meta": {"CLASSES": LABELS}, "state_dict": weights, **more}, path)
    return path
