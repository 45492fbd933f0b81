"""Compute how many multiplications XNNPACK's int8 kernel adds to a variant, because it works in whole tiles.

    python tools/tile_waste.py

On x86 with VNNI, a tile is 7 positions by 16 output channels, and inputs come in groups of 8. The first figure counts
the channels that fill up tiles, which padding the model could not save. The second counts the positions too.
"""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor, nn

from shvit_mobile.families.shvit import NATIVE_SIZES, VARIANTS, create_shvit
from shvit_mobile.quantize.layers import find_dense_layers

ROWS, COLUMNS, DEPTH = 7, 16, 8


def main() -> None:
    for variant in VARIANTS:
        channels, tiles = measure_waste(variant)
        print(f"{variant}: {channels:.3f} with whole channels, {tiles:.3f} with whole tiles")


@torch.no_grad()
def measure_waste(variant: str) -> tuple[float, float]:
    """Return the products of whole channels and of whole tiles, each divided by those that dense convolutions need."""
    model = create_shvit(variant).eval()
    needed, channels, tiles = 0, 0, 0

    def count(conv: nn.Conv2d, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal needed, channels, tiles
        taps, positions = conv.kernel_size[0] * conv.kernel_size[1], output.shape[2] * output.shape[3]
        padded = taps * round_up(conv.in_channels, DEPTH) * round_up(conv.out_channels, COLUMNS)
        needed += positions * taps * conv.in_channels * conv.out_channels
        channels += positions * padded
        tiles += round_up(positions, ROWS) * padded

    for _, conv in find_dense_layers(model):
        conv.register_forward_hook(count)  # type: ignore[arg-type]
    model(torch.zeros(1, 3, NATIVE_SIZES[variant], NATIVE_SIZES[variant]))
    return channels / needed, tiles / needed


def round_up(count: int, step: int) -> int:
    """Return the next multiple of `step`."""
    return ceil(count / step) * step


if __name__ == "__main__":
    main()
