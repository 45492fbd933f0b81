"""Every command takes a model of timm as it takes a SHViT, and does not call it one."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from shvit_mobile.families.timm_family import create_timm_model, is_timm_model
from tests.cli.conftest import Call, SharedFiles, lock_folder
from tests.families.test_timm_family import randomize

NAME = "test_efficientnet"
pytestmark = pytest.mark.skipif(not is_timm_model(NAME), reason="timm is not installed")


@pytest.fixture(scope="session")
def checkpoint(shared: Path, world: SharedFiles, call: Call) -> Path:
    """A checkpoint of 7 classes, with ONNX artifacts in fp32 and int8 in the folder `other` beside it."""
    path = shared / "other.safetensors"
    with lock_folder(shared):
        if not path.exists():
            torch.manual_seed(0)
            model = randomize(create_timm_model(NAME, 7), size=(64, 64))
            save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
            result = call(
                *("export", "--target", "onnx", "--quantize", "fp32", "--quantize", "int8", "--out", shared / "other"),
                *("--checkpoint", path, "--model", f"timm:{NAME}", "--size", 64, "--accept-baseline", "--card"),
                *("--calibration", world.pictures, "--calibration-count", 4, "--validate", world.pictures),
            )
            (shared / "other.txt").write_text(f"{result.exit_code}\n{result.output}", encoding="utf-8")
    return path


@pytest.fixture
def artifacts(checkpoint: Path) -> list[Path]:
    folder = checkpoint.parent / "other"
    return [folder / f"{NAME}-64-onnx-{precision}.onnx" for precision in ("fp32", "int8")]


def test_it_is_exported_and_its_card_does_not_call_it_a_shvit(checkpoint: Path, artifacts: list[Path]) -> None:
    text = (checkpoint.parent / "other.txt").read_text(encoding="utf-8")
    assert text.startswith("0\n"), text
    assert all(path.exists() for path in artifacts)
    card = (artifacts[0].parent / "README.md").read_text(encoding="utf-8")
    assert "arxiv" not in card
    assert "SHViT" not in card + text
    assert "- shvit\n" not in card


def test_inspect_says_its_family_and_runs_goldens(checkpoint: Path, artifacts: list[Path], call: Call) -> None:
    found = json.loads(call("inspect", checkpoint, "--model", f"timm:{NAME}", "--json").stdout)
    assert (found["family"], found["variant"], found["classes"]) == ("timm", NAME, 7)
    for path in artifacts:
        assert call("inspect", path, "--goldens").exit_code == 0


def test_its_layers_and_ranges_are_compared(
    checkpoint: Path, artifacts: list[Path], world: SharedFiles, call: Call, tmp_path: Path
) -> None:
    out, page = tmp_path / "drift.json", tmp_path / "page.html"
    options = ("--images", world.pictures, "--count", 2, "--layers", "--ranges", "--accept-baseline", "--out", out)
    result = call("validate", artifacts[0], "--checkpoint", checkpoint, "--model", f"timm:{NAME}", *options)
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text(encoding="utf-8"))
    rows = report["layers"][0]["rows"]
    assert rows[0]["layer"] == "model.conv_stem"
    assert min(float(row["forced_db"]) for row in rows) > 90
    assert all(value["layer"].startswith(("model", "centre", "input")) for value in report["ranges"][0]["values"])
    result = call("report", artifacts[0].parent, out, "--out", page)
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assert "SHViT" not in text
    assert f"--checkpoint other.safetensors --model timm:{NAME} --size 64x64 --recipe {NAME}-64-onnx-fp32." in text


def test_validate_takes_the_model_from_the_artifact_and_refuses_another(
    checkpoint: Path, artifacts: list[Path], world: SharedFiles, call: Call
) -> None:
    command = ("validate", artifacts[0], "--checkpoint", checkpoint, "--images", world.pictures, "--count", 2)
    result = call(*command, "--accept-baseline")
    assert result.exit_code == 0, result.output
    result = call(*command, "--model", "shvit_s1")
    assert result.exit_code == 2
    assert "SHViT" in result.output


def test_it_is_calibrated_and_benchmarked(
    checkpoint: Path, artifacts: list[Path], world: SharedFiles, call: Call, tmp_path: Path
) -> None:
    model = ("--checkpoint", checkpoint, "--model", f"timm:{NAME}", "--size", 64)
    options = ("--count", 2, "--no-sensitivity", "--accept-baseline", "--out", tmp_path / "calibration")
    result = call("calibrate", world.pictures, *model, *options)
    assert result.exit_code == 0, result.output
    after = shlex.split(result.output.partition("Next: shvit-mobile ")[2])
    assert after[-1] == str(tmp_path / "calibration" / "recipe.json")
    gate = ("--validate", world.pictures, "--min-agreement", 0, "--accept-baseline")
    result = call(*("onnx" if word == "all" else word for word in after), *gate, "--out", tmp_path / "next")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "next" / artifacts[1].name).exists()
    timing = ("--rounds", 1, "--iterations", 1, "--warm-up", 0, "--no-roofline", "--json")
    result = call("benchmark", *artifacts, *timing)
    assert result.exit_code == 0, result.output
    macs = {one["macs"] for one in json.loads(result.stdout)["results"]}
    assert len(macs) == 1
    assert None not in macs
