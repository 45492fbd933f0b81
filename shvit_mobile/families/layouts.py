"""The layouts that SHViT checkpoints come in, and how their tensors' names translate into ours.

Ours are timm's. The authors number a stage's downsampling and its blocks in one row: `blocks2.0` to `blocks2.2` lead
from the first stage into the second, whose blocks begin at `blocks2.3`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

CheckpointLayout = Literal["official", "timm"]

# Where the five parts of our `downsample` stand in the authors' row.
DOWNSAMPLE_POSITIONS = ("0.0", "0.1", "1", "2.0", "2.1")
FIRST_BLOCK_POSITION = 3

OFFICIAL_KEY = re.compile(r"blocks([1-9]\d?)\.(.+)", re.DOTALL)
TIMM_KEY = re.compile(r"stages\.(\d{1,2})\.(downsample|blocks)\.(\d{1,4})\.(.+)", re.DOTALL)


def detect_layouts(names: Iterable[str]) -> set[CheckpointLayout]:
    """The layouts that the names speak of: one for a checkpoint, two for a mixture, none where no stage is named."""
    found: set[CheckpointLayout] = set()
    for name in names:
        if OFFICIAL_KEY.fullmatch(name):
            found.add("official")
        elif name.startswith("stages."):
            found.add("timm")
    return found


def to_timm_key(name: str) -> str:
    """Our name of a tensor in either layout; a name that is in neither comes back as it is."""
    official = OFFICIAL_KEY.fullmatch(name)
    if not official:
        return name
    stage, rest = int(official[1]) - 1, official[2]
    if stage:
        for part, place in enumerate(DOWNSAMPLE_POSITIONS):
            if rest.startswith(f"{place}."):
                return f"stages.{stage}.downsample.{part}.{rest.removeprefix(f'{place}.')}"
    block, _, inside = rest.partition(".")
    index = int(block) - (FIRST_BLOCK_POSITION if stage else 0) if block.isascii() and block.isdigit() else -1
    return f"stages.{stage}.blocks.{index}.{inside}" if index >= 0 else name


def from_timm_key(name: str, layout: CheckpointLayout) -> str:
    """The name that one of our tensors has in `layout`; the inverse of `to_timm_key`."""
    own = TIMM_KEY.fullmatch(name)
    if layout == "timm" or not own:
        return name
    stage, part, index, inside = int(own[1]), own[2], int(own[3]), own[4]
    if part == "downsample":
        place = DOWNSAMPLE_POSITIONS[index] if index < len(DOWNSAMPLE_POSITIONS) else f"downsample.{index}"
    else:
        place = str(index + (FIRST_BLOCK_POSITION if stage else 0))
    return f"blocks{stage + 1}.{place}.{inside}"
