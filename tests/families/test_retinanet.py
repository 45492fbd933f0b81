"""The authors' RetinaNet is loaded from mmdet's layout completely, and computes what mmdet's does."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from shvit_mobile.errors import BadCheckpoint
from shvit_mobile.families.detectors import load_detector
from shvit_mobile.families.retinanet import RetinaNet
from tests.builders import TINY, build_random_shvit
from tests.detectors import LABELS, build_weights, save_weights

CLASSES = len(LABELS)


def compute_reference(weights: dict[str, Tensor], images: Tensor) -> tuple[Tensor, ...]:
    """The detector in plain functions of torch, with mmdet's interpolation; only the backbone is a module."""
    w = {name: value.double() for name, value in weights.items() if value.is_floating_point()}
    backbone = build_random_shvit(TINY).double()
    x = backbone.patch_embed(images)
    maps = [x := stage(x) for stage in backbone.stages]

    def conv(name: str, value: Tensor, **options: int) -> Tensor:
        return F.conv2d(value, w[f"{name}.weight"], w[f"{name}.bias"], **options)

    laterals = [conv(f"neck.lateral_convs.{i}.conv", one) for i, one in enumerate(maps)]
    for i in (2, 1):
        size = laterals[i - 1].shape[2:]
        laterals[i - 1] = laterals[i - 1] + F.interpolate(laterals[i], size=size, mode="nearest")
    trans = F.conv_transpose2d(
        laterals[0], w["neck.extra_trans_convs.0.conv.weight"], w["neck.extra_trans_convs.0.conv.bias"], stride=2
    )
    levels = [conv("neck.extra_fpn_convs.0.conv", trans, padding=1)]
    levels += [conv(f"neck.fpn_convs.{i}.conv", one, padding=1) for i, one in enumerate(laterals)]
    levels.append(conv("neck.fpn_convs.3.conv", maps[2], padding=1, stride=2))
    outputs: dict[str, list[Tensor]] = {"cls": [], "reg": []}
    for level in levels:
        for kind, found in outputs.items():
            value = level
            for i in range(4):
                value = conv(f"bbox_head.{kind}_convs.{i}.conv", value, padding=1).relu()
            found.append(conv(f"bbox_head.retina_{kind}", value, padding=1))
    return (*outputs["cls"], *outputs["reg"])


@torch.no_grad()
@pytest.mark.parametrize("size", [(128, 128), (144, 208)])
def test_outputs_are_those_of_the_definition(tmp_path: Path, size: tuple[int, int]) -> None:
    weights = build_weights()
    loaded = load_detector(save_weights(tmp_path / "retina.pth", weights))
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    actual = loaded.model.double()(images)
    expected = compute_reference(weights, images)
    assert len(actual) == 10
    for one, other in zip(actual, expected, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() <= 1e-12 * other.abs().max()
    for stride, scores, boxes in zip(loaded.detection.strides, actual[:5], actual[5:], strict=True):
        rows, columns = (math.ceil(side / stride) for side in size)
        assert scores.shape == (2, 9 * CLASSES, rows, columns)
        assert boxes.shape == (2, 36, rows, columns)
    assert loaded.labels == LABELS
    assert loaded.notes == ()
    assert loaded.map_names[:6] == ("scores8", "scores16", "scores32", "scores64", "scores128", "boxes8")


def test_anchors_are_those_of_mmdet() -> None:
    """mmdet 2.25 AnchorGenerator(octave_base_scale=4, scales_per_octave=3, ratios=(0.5, 1, 2)) at stride 8."""
    sizes = RetinaNet.detection.list_anchor_sizes(8)
    assert len(sizes) == RetinaNet.detection.anchors == 9
    assert sizes[0] == pytest.approx((45.2548, 22.6274), abs=1e-3)
    assert sizes[4] == pytest.approx((40.3175, 40.3175), abs=1e-3)
    assert sizes[8] == pytest.approx((35.9188, 71.8376), abs=1e-3)


def test_the_variant_of_the_paper_is_recognized(tmp_path: Path) -> None:
    loaded = load_detector(save_weights(tmp_path / "s4.pth", build_weights("shvit_s4")))
    assert isinstance(loaded.model, RetinaNet)
    assert loaded.model.backbone.config.dims == (224, 336, 448)
    assert len(loaded.labels) == CLASSES


def test_what_is_ignored_is_reported(tmp_path: Path) -> None:
    weights = build_weights() | {"neck.extra.weight": torch.ones(1), "rpn_head.conv.weight": torch.ones(1)}
    path = tmp_path / "more.pth"
    torch.save({"state_dict": {f"module.{name}": value for name, value in weights.items()}}, path)
    loaded = load_detector(path)
    assert loaded.labels == ("class 0", "class 1", "class 2")
    assert [note.partition(":")[0] for note in loaded.notes] == [
        "2 other tensors are ignored",
        "The checkpoint names no 3 classes",
    ]
    assert "rpn_head.conv.weight" in loaded.notes[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("neck.lateral_convs.1.conv.weight", None),
        ("bbox_head.reg_convs.3.conv.bias", None),
        ("backbone.blocks1.0.conv.m.bn.running_var", None),
        ("neck.fpn_convs.3.conv.weight", torch.zeros(256, 256, 3, 3)),
        ("bbox_head.retina_reg.weight", torch.zeros(24, 256, 3, 3)),
        ("bbox_head.retina_cls.weight", torch.zeros(20, 256, 3, 3)),
        ("bbox_head.retina_cls.weight", None),
        ("bbox_head.retina_cls.bias", torch.full((27,), torch.nan)),
        ("backbone.patch_embed.0.c.weight", None),
    ],
)
def test_a_detector_that_is_not_complete_is_refused(tmp_path: Path, name: str, value: Tensor | None) -> None:
    weights = build_weights()
    assert name in weights
    if value is None:
        del weights[name]
    else:
        weights[name] = value
    with pytest.raises(BadCheckpoint) as caught:
        load_detector(save_weights(tmp_path / "damaged.pth", weights))
    assert name in str(caught.value) or name.startswith("backbone.patch_embed")


def test_two_detectors_in_a_file_are_refused(tmp_path: Path) -> None:
    weights = build_weights()
    with pytest.raises(BadCheckpoint):
        load_detector(save_weights(tmp_path / "two.pth", weights, ema=weights))
