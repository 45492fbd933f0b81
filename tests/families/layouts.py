"""Checkpoints as the authors' programs write them, made from our model by other means than our own tables."""

from __future__ import annotations

from torch import Tensor, nn

from shvit_mobile.families.shvit import SHViT


def official_state(model: SHViT) -> dict[str, Tensor]:
    """The state dict of the authors' SHViT with the same weights: modules put in their order, named by torch."""
    authors = nn.Module()
    authors.patch_embed = model.patch_embed
    for number, stage in enumerate(model.stages, start=1):
        row: list[nn.Module] = []
        if number > 1:
            first, second, merging, fourth, fifth = stage.downsample
            row = [nn.Sequential(first, second), merging, nn.Sequential(fourth, fifth)]
        setattr(authors, f"blocks{number}", nn.Sequential(*row, *stage.blocks))
    authors.head = model.head
    if model.head_dist is not None:
        authors.head_dist = model.head_dist
    return dict(authors.state_dict())


def with_matrices(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state where the weights of 1x1 convolutions have lost their last two dimensions."""
    return {name: value.flatten(1) if value.shape[2:] == (1, 1) else value for name, value in state.items()}
