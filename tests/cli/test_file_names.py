"""Files and folders may have any name that the system allows: bytes that are not UTF-8 harm no command."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Call, SharedFiles, run_executable

NAME = os.fsdecode(b"caf\xe9")


@pytest.fixture
def place(world: SharedFiles, tmp_path: Path) -> Path:
    """A folder, a checkpoint and pictures with such names."""
    folder = tmp_path / NAME
    folder.mkdir()
    shutil.copy(world.checkpoint, folder / f"{NAME}.safetensors")
    shutil.copytree(world.unlabelled, folder / NAME)
    for picture in (folder / NAME).iterdir():
        picture.rename(picture.with_name(f"{NAME}{picture.name}"))
    return folder


def test_every_command_takes_names_that_are_not_utf_8(place: Path, call: Call, tmp_path: Path) -> None:
    checkpoint, pictures, out = place / f"{NAME}.safetensors", place / NAME, tmp_path / "out"
    artifact, drift = out / "custom-64x48-onnx-fp32.onnx", place / f"{NAME}.json"
    commands: list[tuple[object, ...]] = [
        ("inspect", checkpoint),
        ("export", "--checkpoint", checkpoint, "--target", "onnx", "--out", out, "--card"),
        ("validate", artifact, "--checkpoint", checkpoint, "--images", pictures, "--out", drift),
        ("report", out, drift, "--out", place / f"{NAME}.html"),
        ("calibrate", pictures, "--checkpoint", checkpoint, "--out", place, "--no-sensitivity", "--pass", "equalize"),
    ]
    for command in commands:
        result = call(*command)
        assert result.exit_code == 0, f"{command[0]}: {result.output}"
    manifest = json.loads(artifact.with_suffix(".manifest.json").read_text(encoding="utf-8"))
    assert manifest["model"]["source"].startswith("caf")


def test_an_artifact_has_a_name_that_its_engine_takes(place: Path, world: SharedFiles, call: Call) -> None:
    export = call("export", "--checkpoint", world.checkpoint, "--target", "onnx", "--out", place)
    inspect = call("inspect", place / "model.onnx")
    assert (export.exit_code, inspect.exit_code) == (2, 2)
    assert "is not UTF-8" in export.stderr
    assert "is not UTF-8" in inspect.stderr


def test_a_path_that_is_not_there_is_named_with_its_bytes_escaped(tmp_path: Path) -> None:
    done = run_executable("inspect", tmp_path / NAME)
    assert done.returncode == 2
    assert r"caf\udce9" in done.stderr
