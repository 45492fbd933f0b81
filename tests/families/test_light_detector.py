"""The light detector has maps that its contract decodes, and a file that is loaded whole or not at all."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from torch import nn

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.detection.decode import decode_boxes
from shvit_mobile.errors import BadCheckpoint, InvalidValue
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.families.detectors import load_detector
from shvit_mobile.families.light_detector import LightDetector, save_light_detector
from tests.builders import build_random_shvit

LABELS = ("cat", "dog", "ship")
PREPROCESSING = Preprocessing((128, 128), 1.0, resize_mode="squash")


def build_random_detector() -> LightDetector:
    """A detector whose norms are far from the identity."""
    torch.manual_seed(0)
    model = LightDetector(build_random_shvit(), len(LABELS), channels=8).eval()
    for layer in [*model.neck.modules(), *model.heads.modules()]:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]
            layer.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
            nn.init.uniform_(layer.weight, 0.3, 0.9)
            nn.init.normal_(layer.bias, 0, 0.2)
        elif isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.normal_(layer.weight, 0, 0.5)
            nn.init.zeros_(layer.bias)
    return model


@torch.no_grad()
@pytest.mark.parametrize("size", [(128, 128), (65, 143)])
def test_maps_fit_the_contract(size: tuple[int, int]) -> None:
    model = build_random_detector()
    maps = model(torch.randn(1, 3, *size))
    for stride, scores, boxes in zip((16, 32, 64), maps[:3], maps[3:], strict=True):
        shape = tuple(math.ceil(side / stride) for side in size)
        assert scores.shape[1:] == (3, *shape)
        assert boxes.shape[1:] == (4, *shape)
    arrays = [one[0].numpy() for one in maps]
    found = decode_boxes(arrays[:3], arrays[3:], model.detection, Preprocessing(size, 1.0), (300, 200))
    assert len(found.scores) > 1


@torch.no_grad()
def test_a_saved_detector_is_the_same_but_for_float16(tmp_path: Path) -> None:
    model = build_random_detector()
    for parameter in model.parameters():
        parameter.copy_(parameter.half().float())
    save_light_detector(model, LABELS, PREPROCESSING, tmp_path / "one.safetensors")
    save_light_detector(model, LABELS, PREPROCESSING, tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    loaded = load_detector(tmp_path / "one.safetensors")
    assert (loaded.labels, loaded.preprocessing, loaded.notes) == (LABELS, PREPROCESSING, ())
    assert loaded.map_names == ("scores16", "scores32", "scores64", "boxes16", "boxes32", "boxes64")
    images = torch.randn(1, 3, 128, 128)
    for one, other in zip(loaded.model(images), model(images), strict=True):
        assert torch.equal(one, other)


def test_a_detector_is_no_classifier(tmp_path: Path) -> None:
    save_light_detector(build_random_detector(), LABELS, PREPROCESSING, tmp_path / "detector.safetensors")
    with pytest.raises(BadCheckpoint):
        load_checkpoint(tmp_path / "detector.safetensors")


def test_labels_must_fit_the_classes(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue):
        save_light_detector(build_random_detector(), LABELS[:2], PREPROCESSING, tmp_path / "detector.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "detector.safetensors"
    save_light_detector(build_random_detector(), LABELS, PREPROCESSING, path)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    (tmp_path / "flipped.safetensors").write_bytes(data)
    with safe_open(path, "pt") as opened:
        metadata = opened.metadata()
    state = safetensors.torch.load_file(path)
    del state["heads.2.boxes.bias"]
    fields = json.loads(metadata["shvit_mobile"])
    del fields["sha256"]
    without_checksum = {"shvit_mobile": json.dumps(fields)}
    safetensors.torch.save_file(state, tmp_path / "incomplete.safetensors", without_checksum)
    fields["config"]["depths"] = [1, 900, 1]
    state = safetensors.torch.load_file(path)
    safetensors.torch.save_file(state, tmp_path / "claims.safetensors", {"shvit_mobile": json.dumps(fields)})
    for name in ("flipped", "incomplete", "claims"):
        with pytest.raises(BadCheckpoint):
            load_detector(tmp_path / f"{name}.safetensors")
