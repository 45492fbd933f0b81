"""Without the packages of a target, the others work, and every command says what is missing and what to type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shvit_mobile.families.checkpoints import save_checkpoint
from tests.builders import build_random_shvit, build_trained_model
from tests.cli.conftest import SMALL
from tests.partial import call, link_installation


@pytest.fixture(scope="module")
def without_apple_and_executorch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation like that of `shvit-mobile-core[onnx]`."""
    folder = tmp_path_factory.mktemp("partial") / "packages"
    return link_installation(folder, lambda name: not name.startswith(("executorch", "coremltools", "coreai")))


def test_onnx_works_without_executorch_and_coremltools(without_apple_and_executorch: Path, tmp_path: Path) -> None:
    model = build_trained_model(build_random_shvit(SMALL, seed=3), size=(64, 48))
    save_checkpoint(model, tmp_path / "model.safetensors")
    options = ("--checkpoint", "model.safetensors", "--quantize", "fp32", "--json")
    done = call(without_apple_and_executorch, "export", "--target", "all", *options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [one["manifest"]["target"] for one in result["artifacts"]] == ["onnx"]
    for name, requirement in (("executorch", "executorch==1.4.1"), ("coremltools", "coremltools==9.0")):
        (note,) = [note for note in result["notes"] if f"{name} is not installed" in note]
        assert f"pip install {requirement}" in note


@pytest.mark.parametrize(
    ("target", "requirement"), [("executorch", "executorch==1.4.1"), ("coreml", "coremltools==9.0")]
)
def test_a_target_that_is_named_is_not_left_out(
    without_apple_and_executorch: Path, tmp_path: Path, target: str, requirement: str
) -> None:
    done = call(without_apple_and_executorch, "export", "--target", target, folder=tmp_path)
    assert done.returncode == 2
    assert f"pip install {requirement}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_doctor_calls_a_missing_target_optional(without_apple_and_executorch: Path, tmp_path: Path) -> None:
    done = call(without_apple_and_executorch, "doctor", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {check["name"]: check["found"] for check in json.loads(done.stdout)["checks"]}
    assert found["executorch"] == "optional, not installed: pip install 'shvit-mobile-core[executorch]'"
    assert found["ExecuTorch runtime"] == "optional, not installed: pip install executorch==1.4.1"
    assert found["Core ML writer"].startswith("optional, not installed")
    assert found["ONNX Runtime"] == "native, on the CPU"


def test_a_command_that_imports_a_missing_library_names_it(tmp_path: Path) -> None:
    installation = link_installation(tmp_path / "packages", lambda name: not name.startswith("onnx"))
    (tmp_path / "model.onnx").write_bytes(b"any")
    done = call(installation, "inspect", "model.onnx", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: onnx is not installed.")
    assert "pip install 'shvit-mobile-core[onnx]'" in done.stderr
