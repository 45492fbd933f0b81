"""Make a checkpoint that is hard to quantize: the same answers, but some channels are 50 times as large.

    python tools/hard_checkpoint.py hard.safetensors
    shvit-mobile export --checkpoint hard.safetensors --target onnx --quantize int8 --calibration DIR --validate DIR

In each pair of convolutions with a ReLU between them, the BatchNorm of one channel is multiplied by a factor and the
weights that read it are divided by it. One int8 scale for all channels then hardly represents the others.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch
import typer

from shvit_mobile.demo import CHECKPOINT
from shvit_mobile.families.checkpoints import load_checkpoint, save_checkpoint
from shvit_mobile.families.shvit import ConvNorm, FeedForward, PatchMerging, SHViT

FACTOR = 50.0


@torch.no_grad()
def add_outliers(model: SHViT, factor: float = FACTOR) -> SHViT:
    """Return a copy of a trained SHViT with the same answers, and one channel of each pair `factor` times as large.

    Pairs are the stem's convolutions, those of every feed-forward part, and the first two of every patch merging. The
    channel is the largest one.
    """
    hard = deepcopy(model)
    for first, second in find_convolution_pairs(hard):
        channel = int((first.bn.bias + 2 * first.bn.weight.abs()).argmax())
        first.bn.weight[channel] *= factor
        first.bn.bias[channel] *= factor
        if second.c.groups == 1:
            second.c.weight[:, channel] /= factor
        else:
            second.c.weight[channel] /= factor
    return hard


def find_convolution_pairs(model: SHViT) -> list[tuple[ConvNorm, ConvNorm]]:
    """Find pairs of consecutive convolutions with a ReLU between them."""
    stem = [layer for layer in model.patch_embed if isinstance(layer, ConvNorm)]
    found = list(pairwise(stem))
    for part in model.modules():
        if isinstance(part, FeedForward):
            found.append((part.pw1, part.pw2))
        elif isinstance(part, PatchMerging):
            found.append((part.conv1, part.conv2))
    return found


def main(
    out: Annotated[Path, typer.Argument(help="The checkpoint to write (.safetensors).")],
    checkpoint: Annotated[Path, typer.Option(help="The checkpoint to start from.")] = CHECKPOINT,
    factor: Annotated[float, typer.Option(help="The factor by which a channel grows.")] = FACTOR,
) -> None:
    trained = load_checkpoint(checkpoint)
    save_checkpoint(replace(trained, model=add_outliers(trained.model, factor)), out)


if __name__ == "__main__":
    typer.run(main)
