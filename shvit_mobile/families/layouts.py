"""The two layouts of SHViT checkpoints, and the translation of tensor names between them.

This project uses timm's names. The authors number the downsampling and the blocks of a stage in one sequence:
`blocks2.0` to `blocks2.2` are the downsampling before the second stage, whose blocks start at `blocks2.3`.
"""

import re
from collections.abc import Iterable
from typing import Literal

CheckpointLayout = Literal["official", "timm"]

# The positions of the five parts of `downsample` in the authors' sequence.
_DOWNSAMPLE_POSITIONS = ("0.0", "0.1", "1", "2.0", "2.1")
_FIRST_BLOCK_POSITION = 3

_OFFICIAL_KEY = re.compile(r"blocks([1-9]\d?)\.(.+)", re.DOTALL)
_TIMM_KEY = re.compile(r"stages\.(\d{1,2})\.(downsample|blocks)\.(\d{1,4})\.(.+)", re.DOTALL)


def detect_layouts(names: Iterable[str]) -> set[CheckpointLayout]:
    """Return the layouts of the names: one for a checkpoint, two for a mixture, none if no name is of a stage."""
    layouts: set[CheckpointLayout] = set()
    for name in names:
        if _OFFICIAL_KEY.fullmatch(name):
            layouts.add("official")
        elif name.startswith("stages."):
            layouts.add("timm")
    return layouts


def to_timm_key(name: str) -> str:
    """Return timm's name of a tensor in either layout; other names are returned unchanged."""
    official = _OFFICIAL_KEY.fullmatch(name)
    if not official:
        return name
    stage, rest = int(official[1]) - 1, official[2]
    if stage:
        for part, place in enumerate(_DOWNSAMPLE_POSITIONS):
            if rest.startswith(f"{place}."):
                return f"stages.{stage}.downsample.{part}.{rest.removeprefix(f'{place}.')}"
    block, _, inside = rest.partition(".")
    index = int(block) - (_FIRST_BLOCK_POSITION if stage else 0) if block.isascii() and block.isdigit() else -1
    return f"stages.{stage}.blocks.{index}.{inside}" if index >= 0 else name


def from_timm_key(name: str, layout: CheckpointLayout) -> str:
    """Return the name in `layout` of a tensor with timm's name; the inverse of `to_timm_key`."""
    match = _TIMM_KEY.fullmatch(name)
    if layout == "timm" or not match:
        return name
    stage, part, index, inside = int(match[1]), match[2], int(match[3]), match[4]
    if part == "downsample":
        place = _DOWNSAMPLE_POSITIONS[index] if index < len(_DOWNSAMPLE_POSITIONS) else f"downsample.{index}"
    else:
        place = str(index + (_FIRST_BLOCK_POSITION if stage else 0))
    return f"blocks{stage + 1}.{place}.{inside}"
