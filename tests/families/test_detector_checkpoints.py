"""A detector's checkpoint gives the feature maps of its backbone, and says what else is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from shvit_mobile.cli.main import app
from shvit_mobile.errors import BadCheckpoint
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.families.layouts import from_timm_key
from shvit_mobile.families.shvit import SHViT, SHViTFeatures
from tests.builders import build_random_shvit

# The parts of the authors' RetinaNet and Mask R-CNN beside the backbone, some tensors of each.
NECK_AND_HEADS = {
    "neck.lateral_convs.0.conv.weight": (8, 16, 1, 1),
    "neck.fpn_convs.0.conv.weight": (8, 8, 3, 3),
    "bbox_head.cls_convs.0.conv.weight": (8, 8, 3, 3),
    "bbox_head.retina_cls.weight": (720, 8, 3, 3),
    "rpn_head.rpn_conv.weight": (8, 8, 3, 3),
    "roi_head.bbox_head.fc_cls.weight": (81, 32),
}
META = {"epoch": 12, "CLASSES": ("person", "bicycle"), "mmdet_version": "2.28.1"}


@pytest.fixture(scope="module")
def model() -> SHViT:
    return build_random_shvit()


def list_backbone(model: SHViT, layout: str, prefix: str) -> dict[str, Tensor]:
    """The state dict of the features, in a layout, under a prefix."""
    rename = partial(from_timm_key, layout=layout)  # type: ignore[arg-type]
    return {f"{prefix}{rename(name)}": one for name, one in SHViTFeatures(model).state_dict().items()}


def save(path: Path, state: Mapping[str, Tensor]) -> Path:
    torch.save({"meta": META, "state_dict": dict(state)}, path)
    return path


@pytest.mark.parametrize("layout", ["official", "timm"])
@pytest.mark.parametrize("prefix", ["backbone.", "module.backbone.", ""])
def test_the_maps_are_exactly_those_of_the_backbone(model: SHViT, layout: str, prefix: str, tmp_path: Path) -> None:
    outer = prefix.removesuffix("backbone.")
    others = {f"{outer}{name}": torch.randn(shape) for name, shape in NECK_AND_HEADS.items()} if prefix else {}
    trained = load_checkpoint(save(tmp_path / "a.pth", list_backbone(model, layout, prefix) | others), task="features")
    assert (trained.task, trained.labels) == ("features", ())
    images = torch.randn(2, 3, 97, 65, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, actual = SHViTFeatures(model)(images), trained.model(images)
    assert len(actual) == 3
    assert all(map(torch.equal, expected, actual))
    ignored = [note for note in trained.notes if "ignored" in note]
    expected_notes = ["6 other tensors are ignored: neck (2), bbox_head (2), rpn_head, roi_head."]
    assert ignored == (expected_notes if prefix else [])
    assert not any("classes" in note for note in trained.notes)


def test_a_classifier_gives_its_maps_too(model: SHViT, tmp_path: Path) -> None:
    torch.save(model.state_dict(), tmp_path / "a.pth")
    trained = load_checkpoint(tmp_path / "a.pth", task="features")
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert all(map(torch.equal, SHViTFeatures(model)(images), trained.model(images)))


def test_a_backbone_is_no_classifier_and_the_error_names_the_task(model: SHViT, tmp_path: Path) -> None:
    others = {name: torch.randn(shape) for name, shape in NECK_AND_HEADS.items()}
    path = save(tmp_path / "a.pth", list_backbone(model, "official", "backbone.") | others)
    with pytest.raises(BadCheckpoint) as refusal:
        load_checkpoint(path)
    assert refusal.value.hint.endswith("For its feature maps: `task=features`.")
    assert refusal.value.parameter == "task"


def test_the_command_line_says_what_was_ignored_and_what_to_type(model: SHViT, tmp_path: Path) -> None:
    others = {name: torch.randn(shape) for name, shape in NECK_AND_HEADS.items()}
    path = save(tmp_path / "detector.pth", list_backbone(model, "official", "backbone.") | others)
    command = ["export", "--target", "onnx", "--checkpoint", str(path), "--out", str(tmp_path / "out")]
    planned = CliRunner().invoke(app, [*command, "--task", "features", "--size", "64x96", "--dry-run", "--json"])
    assert planned.exit_code == 0, planned.output
    told = json.loads(planned.stdout)
    assert told["task"] == "features"
    assert "6 other tensors are ignored: neck (2), bbox_head (2), rpn_head, roi_head." in told["notes"]
    assert told["files"][0].endswith("custom-features-64x96-onnx-fp32.onnx")
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    assert "--task features" in refused.output


@pytest.mark.parametrize("spoil", ["missing", "reshaped"])
def test_a_backbone_that_is_not_whole_is_rejected(model: SHViT, spoil: str, tmp_path: Path) -> None:
    state = list_backbone(model, "official", "backbone.")
    name = "backbone.blocks2.3.ffn.m.pw1.bn.weight"
    if spoil == "missing":
        del state[name]
    else:
        state[name] = torch.ones(3)
    with pytest.raises(BadCheckpoint) as refusal:
        load_checkpoint(save(tmp_path / "a.pth", state), task="features")
    assert "blocks2.3.ffn.m.pw1.bn.weight" in refusal.value.what
    assert "task" not in refusal.value.hint
