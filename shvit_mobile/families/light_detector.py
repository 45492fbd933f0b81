"""A light detector for phones: a SHViT, a small pyramid and a depthwise head, in one file.

It has no anchors: a position of a map gives logits of the classes and the distances to the four sides of one box, like
FCOS (Tian et al., ICCV 2019). The separable convolutions with 5x5 kernels are those of NanoDet (RangiLyu, 2020).
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import log
from pathlib import Path

import safetensors.torch
from torch import Tensor, nn

from shvit_mobile.contracts.detection import Detection
from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadCheckpoint, InvalidValue
from shvit_mobile.families.containers import split_safetensors
from shvit_mobile.families.discover import get_shape
from shvit_mobile.families.loaded_detector import (
    DetectorFile,
    check_stored_sizes,
    describe_rest,
    fill_model,
    to_trained_model,
)
from shvit_mobile.families.metadata import (
    build_checkpoint_metadata,
    check_labels,
    has_shvit_mobile_metadata,
    parse_checkpoint_metadata,
)
from shvit_mobile.families.shvit import ConvNorm, SHViT, SHViTFeatures, create_shvit
from shvit_mobile.families.shvit_config import find_contradictions, find_variant, infer_config
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.families.upsampling import NearestDoubling

STRIDES = (16, 32, 64)
# What a position answers before training: few positions have an object, and a box is as large as the stride is far.
_PRIOR = 0.01
# The tensor by which a light detector is recognized.
_LATERAL_WEIGHT = "neck.laterals.0.c.weight"


class LightDetector(nn.Module):
    """A SHViT with a pyramid of `channels` channels and a head of its own for each of its three maps.

    Input: normalized float images, shape (batch, 3, height, width); each side is at least 64.
    Output: for each stride of `STRIDES` the logits, shape (batch, classes, ceil(height / stride), ceil(width /
    stride)), then for each stride the coded distances, shape (batch, 4, ...): left, top, right, bottom. `detection`
    says how they are decoded.
    """

    detection = Detection(strides=STRIDES, box_coding="distances", center_offset=0.5)

    def __init__(self, backbone: SHViT, classes: int, channels: int = 96) -> None:
        super().__init__()
        self.backbone = SHViTFeatures(backbone)
        self.neck = LightPyramid(backbone.config.dims, channels)
        self.heads = nn.ModuleList(LightHead(channels, classes) for _ in STRIDES)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        pairs = [head(one) for head, one in zip(self.heads, self.neck(self.backbone(images)), strict=True)]
        return (*(scores for scores, _ in pairs), *(boxes for _, boxes in pairs))


class LightPyramid(nn.Module):
    """Adds the coarser maps to the finer ones, top down, and returns all with the same number of channels."""

    def __init__(self, dims: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(ConvNorm(dim, channels) for dim in dims)
        self.doubling = NearestDoubling(channels)
        self.smooth = nn.ModuleList(build_separable(channels) for _ in dims)

    def forward(self, maps: tuple[Tensor, ...]) -> list[Tensor]:
        summed = [lateral(one).relu() for lateral, one in zip(self.laterals, maps, strict=True)]
        for coarse, fine in pairwise(reversed(range(len(summed)))):
            height, width = maps[fine].shape[2:]
            summed[fine] = summed[fine] + self.doubling(summed[coarse], height, width)
        return [smooth(one) for smooth, one in zip(self.smooth, summed, strict=True)]


class LightHead(nn.Module):
    """Two separable convolutions, then the logits and the coded distances of each position."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.tower = nn.Sequential(build_separable(channels), build_separable(channels))
        self.scores = nn.Conv2d(channels, classes, 1)
        self.boxes = nn.Conv2d(channels, 4, 1)
        for layer in (self.scores, self.boxes):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.constant_(self.scores.bias, log(_PRIOR / (1 - _PRIOR)))  # type: ignore[arg-type]
        nn.init.zeros_(self.boxes.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shared = self.tower(x)
        return self.scores(shared), self.boxes(shared)


def build_separable(channels: int) -> nn.Sequential:
    """Build a depthwise 5x5 convolution and a pointwise one, each with BatchNorm and ReLU."""
    return nn.Sequential(
        ConvNorm(channels, channels, 5, groups=channels),
        nn.ReLU(),
        ConvNorm(channels, channels),
        nn.ReLU(),
    )


def create_light_detector(variant: str, classes: int, channels: int = 96) -> LightDetector:
    """Create a light detector with random weights on a SHViT.

    Raises:
        UnknownChoice: If `variant` is not one of `VARIANTS`.
    """
    return LightDetector(create_shvit(variant), classes, channels).eval()


def save_light_detector(
    model: LightDetector,
    labels: Sequence[str],
    preprocessing: Preprocessing,
    path: AnyPath,
    *,
    overwrite: bool = False,
) -> None:
    """Save a light detector as safetensors, kernels in float16, with labels, preprocessing and checksum.

    Raises:
        OutputExists: If a file exists and `overwrite` is not set.
        InvalidValue: If a kernel exceeds the range of float16, or there is not one label for each class.
    """
    classes = model.heads[0].get_parameter("scores.bias").numel()
    checked = check_labels(labels, classes, InvalidValue, "There are")
    state = {}
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            state[name] = tensor.half().contiguous() if tensor.ndim > 1 else tensor.clone()
            if not state[name].isfinite().all():
                raise InvalidValue(f"{name} exceeds the range of float16.", why="Kernels are saved in float16.")
    config = model.backbone.config
    parts = split_safetensors(safetensors.torch.save(state))
    metadata = build_checkpoint_metadata(config, find_variant(config), checked, preprocessing, *parts)
    with write_atomically(Path(path), overwrite=overwrite) as (part,):
        part.write_bytes(safetensors.torch.save(state, metadata))


def is_light_detector(found: DetectorFile) -> bool:
    """Return whether a checkpoint was written by `save_light_detector`."""
    return has_shvit_mobile_metadata(found.read.contents.metadata) and _LATERAL_WEIGHT in found.inventory.tensors


def build_light_detector(found: DetectorFile) -> TrainedModel:
    """Build the light detector in a checkpoint.

    Raises:
        BadCheckpoint: As `load_detector`.
    """
    parts = split_safetensors(found.read.data)
    described = parse_checkpoint_metadata(found.read.contents.metadata, *parts, found.name)
    stored = found.inventory.tensors
    check_stored_sizes(stored, found)
    channels = get_shape(stored[_LATERAL_WEIGHT])[:1]
    if described.config is None or not described.labels or described.preprocessing is None or not channels:
        raise BadCheckpoint(f"The metadata of {found.name} does not describe a light detector.")
    if len(described.config.dims) != len(STRIDES):
        raise BadCheckpoint(
            f"The backbone in {found.name} has {len(described.config.dims)} stages, not {len(STRIDES)}."
        )
    backbone = {key.removeprefix("backbone."): get_shape(one) for key, one in stored.items() if "backbone." in key}
    inferred = infer_config(backbone)
    # The metadata builds the model: it must not claim more than the file holds.
    if inferred is None or find_contradictions(
        backbone, described.config, replace(inferred, classes=described.config.classes)
    ):
        raise BadCheckpoint(
            f"The metadata of {found.name} does not fit its tensors.", why="It is damaged or was edited by hand."
        )
    model = LightDetector(SHViT(described.config), len(described.labels), channels[0])
    fill_model(model, stored, {}, found)
    return to_trained_model(
        model,
        LightDetector.detection,
        found,
        variant=f"light_{find_variant(described.config)}",
        dialect="shvit-mobile",
        labels=described.labels,
        preprocessing=described.preprocessing,
        notes=describe_rest(found, set(model.state_dict())),
    )
