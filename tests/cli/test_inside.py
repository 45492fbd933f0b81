"""`validate --layers` and `--ranges`: tables for people, everything as JSON, and exit status 1 for what fp16 breaks."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from shvit_mobile.families.checkpoints import save_checkpoint
from shvit_mobile.families.shvit import SHViT
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder
from tests.cli.conftest import LABELS, Call

NAME = "custom-64x48-onnx-fp32.onnx"
INSIDE = ("--layers", "--ranges")


@dataclass(frozen=True)
class Sample:
    """A folder with a checkpoint whose head is random, its ONNX export, and pictures without labels."""

    folder: Path
    checkpoint: Path
    pictures: Path


@pytest.fixture(scope="module")
def sample(call: Call, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    folder: Path = tmp_path_factory.mktemp("out")
    return export_model(build_random_shvit(), folder, call)


def export_model(model: SHViT, folder: Path, call: Call) -> Sample:
    made = Sample(folder, folder / "model.safetensors", folder / "pictures")
    save_checkpoint(replace(build_trained_model(model, size=(64, 48)), labels=LABELS), made.checkpoint)
    write_picture_folder(made.pictures, count=5)
    result = call("export", "--checkpoint", made.checkpoint, "--target", "onnx", "--out", folder)
    assert result.exit_code == 0, result.output
    return made


def build_args(sample: Sample) -> tuple[object, ...]:
    artifact = next(sample.folder.glob("*.onnx"))
    return ("validate", artifact, "--checkpoint", sample.checkpoint, "--images", sample.pictures)


def test_the_tables_name_every_layer_and_the_nearest_values(sample: Sample, call: Call) -> None:
    result = call(*build_args(sample), *INSIDE)
    assert result.exit_code == 0, result.output
    for layer in ("patch_embed.0", "stages.1.blocks.1.mixer.m.proj.1", "stages.2.blocks.0.ffn", "head"):
        assert layer in result.stdout
    assert "No layer is below 90 dB." in result.stdout
    assert "No value overflows, and no branch is silent." in result.stdout
    assert "5 images" in result.stdout
    assert max(map(len, result.stdout.split("No layer is below")[0].splitlines())) <= 100


def test_json_has_all_of_it_and_nothing_unasked(sample: Sample, call: Call) -> None:
    asked = build_args(sample)
    told = json.loads(call(*asked, *INSIDE, "--json").stdout)
    assert len(told["layers"][0]["rows"]) > 40
    assert all(row["forced_db"] == "Infinity" or row["forced_db"] > 100 for row in told["layers"][0]["rows"])
    assert len(told["ranges"][0]["values"]) > 100
    assert told["ranges"][0]["flags"] == []
    assert told["gate"] == {"passed": True, "violations": [], "caveats": told["gate"]["caveats"]}
    unasked = json.loads(call(*asked, "--json").stdout)
    assert (unasked["layers"], unasked["ranges"], unasked["gate"]) == ([], [], None)


def test_an_overflow_ends_with_status_1_and_the_layer(call: Call, tmp_path: Path) -> None:
    model = build_random_shvit()
    with torch.no_grad():
        norm = model.get_submodule("stages.2.downsample.2.conv3.bn")
        norm.weight.mul_(800)
        norm.bias.mul_(800)
    swollen = export_model(model, tmp_path, call)
    result = call(*build_args(swollen), "--ranges")
    assert result.exit_code == 1
    assert "gate failed: " in result.stderr
    assert "stages.2.blocks.0.mixer.m.pre_norm: the squares inside group_norm reach" in result.stderr
    # Without --ranges the gate passes: in float32 the artifact is sound.
    assert call(*build_args(swollen)).exit_code == 0
