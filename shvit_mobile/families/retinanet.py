"""RetinaNet (Lin et al., ICCV 2017) on a SHViT as its authors train it on COCO, in one file.

The layers are named as in their checkpoints, which mmdet writes. The pyramid is that of EfficientViT's detectors: a
finer level by a transposed convolution, and a coarser one by a convolution of the backbone's last map.
"""

from collections import OrderedDict
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from shvit_mobile.contracts.detection import Detection
from shvit_mobile.contracts.preprocessing import IMAGENET_MEAN, Preprocessing
from shvit_mobile.errors import BadCheckpoint
from shvit_mobile.families.discover import Inventory, StoredTensor, get_shape, shorten_name
from shvit_mobile.families.layouts import CheckpointLayout, detect_layouts, from_timm_key, to_timm_key
from shvit_mobile.families.loaded_detector import (
    DetectorFile,
    check_stored_sizes,
    describe_rest,
    fill_model,
    to_trained_model,
)
from shvit_mobile.families.shvit import SHViT, SHViTConfig, SHViTFeatures
from shvit_mobile.families.shvit_config import find_variant, infer_config
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.families.upsampling import NearestDoubling

STRIDES = (8, 16, 32, 64, 128)
# mmdet's anchors for RetinaNet: a base of 4 strides in three octaves of a third.
ANCHOR_SCALES, ANCHOR_RATIOS = tuple(4 * 2 ** (octave / 3) for octave in range(3)), (0.5, 1.0, 2.0)
_ANCHORS = len(ANCHOR_SCALES) * len(ANCHOR_RATIOS)
_PYRAMID_CHANNELS, _HEAD_CONVOLUTIONS = 256, 4
# The tensor by which a RetinaNet is found.
_SCORES_WEIGHT = "bbox_head.retina_cls.weight"
_COUNTER = ".num_batches_tracked"
_MAX_CLASSES = 10_000


class RetinaNet(nn.Module):
    """A SHViT with three stages, its pyramid and the head that all levels share.

    Input: normalized float images, shape (batch, 3, height, width); sides are multiples of 16, at least 64.
    Output: for each stride of `STRIDES` the logits, shape (batch, 9 * classes, ceil(height / stride), ceil(width /
    stride)), then for each stride the coded boxes, shape (batch, 36, ...). `detection` says how they are decoded.
    """

    detection = Detection(
        strides=STRIDES, box_coding="deltas", anchor_scales=ANCHOR_SCALES, anchor_ratios=ANCHOR_RATIOS
    )

    def __init__(self, backbone: SHViT, classes: int) -> None:
        super().__init__()
        self.backbone = SHViTFeatures(backbone)
        self.neck = RetinaPyramid(backbone.config.dims, _PYRAMID_CHANNELS)
        self.bbox_head = RetinaHead(_PYRAMID_CHANNELS, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        pairs = [self.bbox_head(level) for level in self.neck(self.backbone(images))]
        return (*(scores for scores, _ in pairs), *(boxes for _, boxes in pairs))


class RetinaPyramid(nn.Module):
    """Five levels from three maps, top down by nearest upsampling."""

    def __init__(self, dims: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(_name_conv(nn.Conv2d(dim, channels, 1)) for dim in dims)
        self.fpn_convs = nn.ModuleList(_name_conv(nn.Conv2d(channels, channels, 3, padding=1)) for _ in dims)
        self.fpn_convs.append(_name_conv(nn.Conv2d(dims[-1], channels, 3, stride=2, padding=1)))
        self.extra_trans_convs = nn.ModuleList([_name_conv(nn.ConvTranspose2d(channels, channels, 2, stride=2))])
        self.extra_fpn_convs = nn.ModuleList([_name_conv(nn.Conv2d(channels, channels, 3, padding=1))])
        self.doubling = NearestDoubling(channels)

    def forward(self, maps: tuple[Tensor, ...]) -> list[Tensor]:
        summed = [lateral(one) for lateral, one in zip(self.lateral_convs, maps, strict=True)]
        for coarse, fine in pairwise(reversed(range(len(summed)))):
            height, width = maps[fine].shape[2:]
            summed[fine] = summed[fine] + self.doubling(summed[coarse], height, width)
        finest = self.extra_fpn_convs[0](self.extra_trans_convs[0](summed[0]))
        levels = [conv(one) for conv, one in zip(self.fpn_convs, summed, strict=False)]
        return [finest, *levels, self.fpn_convs[len(summed)](maps[-1])]


class RetinaHead(nn.Module):
    """Four convolutions for the scores of a level, and four for its boxes."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.cls_convs, self.reg_convs = (
            nn.ModuleList(_name_conv(nn.Conv2d(channels, channels, 3, padding=1)) for _ in range(_HEAD_CONVOLUTIONS))
            for _ in range(2)
        )
        self.retina_cls = nn.Conv2d(channels, _ANCHORS * classes, 3, padding=1)
        self.retina_reg = nn.Conv2d(channels, _ANCHORS * 4, 3, padding=1)

    def forward(self, level: Tensor) -> tuple[Tensor, Tensor]:
        scores = boxes = level
        for score_conv, box_conv in zip(self.cls_convs, self.reg_convs, strict=True):
            scores, boxes = score_conv(scores).relu(), box_conv(boxes).relu()
        return self.retina_cls(scores), self.retina_reg(boxes)


def _name_conv(conv: nn.Module) -> nn.Sequential:
    """Return a convolution under mmdet's name for it."""
    return nn.Sequential(OrderedDict(conv=conv))


def build_retinanet(found: DetectorFile) -> TrainedModel:
    """Build the RetinaNet in a checkpoint of mmdet: `backbone.`, `neck.` and `bbox_head.` under any prefix.

    Pictures become 512 x 512 as the authors' do: their proportions are kept, and the right or the bottom is padded with
    the mean color, rounded to whole numbers. The authors pad with the exact mean.

    Raises:
        BadCheckpoint: As `load_detector`.
    """
    prefix = _find_prefix(found.inventory, found.name)
    stored, sources = _select_tensors(found.inventory.tensors, prefix)
    check_stored_sizes(stored, found)
    shapes = {key: get_shape(one) for key, one in stored.items()}
    config = _infer_backbone(shapes, found.name)
    classes = _count_classes(shapes, found.name)
    model = RetinaNet(SHViT(config), classes)
    layouts = detect_layouts(source.partition("backbone.")[2] for source in sources.values())
    layout: CheckpointLayout = "timm" if layouts == {"timm"} else "official"
    fill_model(model, stored, {key: _restore_name(key, layout) for key in model.state_dict()}, found)
    labels, label_notes = _read_labels(found.inventory, classes)
    used = {sources[key] for key in model.state_dict() if key in sources}
    return to_trained_model(
        model,
        RetinaNet.detection,
        found,
        variant=f"retinanet_{find_variant(config)}",
        dialect=layout,
        labels=labels,
        preprocessing=Preprocessing(
            size=(512, 512),
            crop_ratio=1.0,
            interpolation="bilinear",
            resize_mode="letterbox",
            padding="end",
            padding_value=tuple(round(255 * value) for value in IMAGENET_MEAN),
        ),
        notes=(*describe_rest(found, used), *label_notes),
    )


def _find_prefix(inventory: Inventory, name: str) -> str:
    """Return what comes before the names of a RetinaNet's tensors in a file."""
    found = [key.removesuffix(_SCORES_WEIGHT) for key in inventory.tensors if key.endswith(_SCORES_WEIGHT)]
    prefixes = [prefix for prefix in found if not prefix or prefix.endswith(".")]
    if len(prefixes) == 1:
        return prefixes[0]
    if prefixes:
        listed = ", ".join(shorten_name(prefix.rstrip(".") or "root") for prefix in prefixes[:5])
        raise BadCheckpoint(f"{name} contains {len(prefixes)} RetinaNets: {listed}.", why="One is expected.")
    first = ", ".join(shorten_name(key) for key in list(inventory.tensors)[:3])
    raise BadCheckpoint(
        f"{name} contains no RetinaNet: no tensor is named {_SCORES_WEIGHT}; the first are {first or 'none'}.",
        why="mmdet names its parts backbone, neck and bbox_head.",
    )


def _select_tensors(tensors: Mapping[str, StoredTensor], prefix: str) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return the tensors of a detector by this project's names, and their names in the file."""
    sources: dict[str, str] = {}
    for key in tensors:
        if key.startswith(prefix) and not key.endswith(_COUNTER):
            part, _, rest = key.removeprefix(prefix).partition(".")
            sources.setdefault(f"backbone.{to_timm_key(rest)}" if part == "backbone" else f"{part}.{rest}", key)
    return {key: tensors[source] for key, source in sources.items()}, sources


def _restore_name(key: str, layout: CheckpointLayout) -> str:
    """Return the name in a layout of a tensor with this project's name."""
    part, _, rest = key.partition(".")
    return f"{part}.{from_timm_key(rest, layout)}" if part == "backbone" else key


def _infer_backbone(shapes: Mapping[str, tuple[int, ...]], name: str) -> SHViTConfig:
    backbone = {key.removeprefix("backbone."): shape for key, shape in shapes.items() if key.startswith("backbone.")}
    config = infer_config(backbone)
    if config is None or config.in_channels != 3 or len(config.dims) != 3:
        raise BadCheckpoint(
            f"The backbone in {name} is not a SHViT with three stages for color images.",
            why=f"{len(backbone)} tensors are named backbone.",
        )
    return config


def _count_classes(shapes: Mapping[str, tuple[int, ...]], name: str) -> int:
    channels = shapes[_SCORES_WEIGHT][0] if shapes[_SCORES_WEIGHT] else 0
    if channels % _ANCHORS or not 1 <= channels // _ANCHORS <= _MAX_CLASSES:
        raise BadCheckpoint(
            f"{_SCORES_WEIGHT} in {name} has {channels} channels.",
            why=f"It is a multiple of the {_ANCHORS} anchors of a position, for at most {_MAX_CLASSES} classes.",
        )
    return channels // _ANCHORS


def _read_labels(inventory: Inventory, classes: int) -> tuple[tuple[str, ...], list[str]]:
    """Return the names that mmdet stores in `meta`, or numbers and a note."""
    meta: dict[Any, Any] = next((dict(values) for path, values in inventory.mappings if path == "meta"), {})
    stored = meta.get("CLASSES")
    if isinstance(stored, list | tuple) and len(stored) == classes and all(isinstance(one, str) for one in stored):
        return tuple(stored), []
    return tuple(f"class {index}" for index in range(classes)), [
        f"The checkpoint names no {classes} classes: they are numbered."
    ]
