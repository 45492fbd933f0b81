"""`embed` at the command line: from what `export` wrote into an app and out again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shvit_mobile.runtimes.onnxruntime import ONNXRuntimeRunner
from tests.apps.builders import android_app, ios_app
from tests.builders import write_picture_folder
from tests.cli.conftest import Call, ExportedFiles, SharedFiles


def test_export_then_embed_then_undo(exported: ExportedFiles, tmp_path: Path, call: Call) -> None:
    app, program = android_app(tmp_path / "app"), exported.artifact("executorch")
    before = sorted(tmp_path.rglob("*"))
    shown = call("embed", program, "--into", app, "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "Would be copied into" in shown.stdout
    assert sorted(tmp_path.rglob("*")) == before
    done = call("embed", program, "--into", app)
    assert done.exit_code == 0, done.output
    assert "Android Studio" in done.stdout
    assert "The app grows by" in done.stdout
    assert (app / "app/src/main/assets/models" / program.stem / program.name).read_bytes() == program.read_bytes()
    again = call("embed", program, "--into", app)
    assert (again.exit_code, "--overwrite" in again.stderr) == (2, True)
    told = json.loads(call("embed", program, "--into", app, "--overwrite", "--json").stdout)
    assert (told["app"], [model["name"] for model in told["models"]]) == ("android", [program.stem])
    out = json.loads(call("embed", "--into", app, "--undo", "--json").stdout)
    assert ([model["name"] for model in out["removed"]], out["kept"]) == ([program.stem], [])
    assert sorted(tmp_path.rglob("*")) == before


def test_our_own_apps_go_by_their_names(
    exported: ExportedFiles, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    ios_app(tmp_path / "ios_demo")
    below = tmp_path / "some" / "folder"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    done = call("embed", exported.artifact("coreml"), "--into", "ios_demo")
    assert done.exit_code == 0, done.output
    assert "Xcode" in done.stdout
    assert (tmp_path / "ios_demo" / "Demo" / "Models" / exported.artifact("coreml").stem / "labels.txt").exists()


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("{pte}",), "No app is given"),
        (("--into", "{app}"), "No artifact is given"),
        (("{pte}", "--into", "{empty}"), "is no app"),
        (("{pte}", "--into", "{empty}/nowhere"), "There is no folder"),
        (("{onnx}", "--into", "{app}"), "onnx artifacts do not run there"),
        (("{mlpackage}", "--into", "{app}"), "coreml artifacts do not run there"),
        (("{old}", "--into", "{app}"), "does not exist"),
        (("--into", "{app}", "--undo"), "Nothing was embedded"),
    ],
)
def test_an_impossible_embedding_is_an_error_and_touches_nothing(
    args: tuple[str, ...], sentence: str, exported: ExportedFiles, tmp_path: Path, call: Call
) -> None:
    (tmp_path / "empty").mkdir()
    app = android_app(tmp_path / "app")
    names = {
        "pte": exported.artifact("executorch"),
        "onnx": exported.artifact("onnx"),
        "mlpackage": exported.artifact("coreml"),
        "old": tmp_path / "old.pte",
        "app": app,
        "empty": tmp_path / "empty",
    }
    before = sorted(tmp_path.rglob("*"))
    refused = call("embed", *(arg.format(**names) for arg in args))
    assert refused.exit_code == 2, refused.output
    assert sentence in refused.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_inspect_runs_the_goldens(exported: ExportedFiles, tmp_path: Path, call: Call) -> None:
    program = exported.artifact("onnx")
    shown = call("inspect", program, "--goldens")
    assert shown.exit_code == 0, shown.output
    assert "pixels equal; logits largest difference" in shown.stdout
    told = json.loads(call("inspect", program, "--goldens", "--json").stdout)
    assert (told["passed"], told["images"], told["same_class"]) == (True, 5, 5)


def test_goldens_are_made_of_ones_own_pictures(world: SharedFiles, tmp_path: Path, call: Call) -> None:
    own = tmp_path / "own"
    write_picture_folder(own, count=2)
    with Image.open(own / "0000.jpg") as opened:
        opened.save(own / "0000.png")
    args = ("export", "--checkpoint", world.checkpoint, "--target", "onnx", "--golden-images", own, "--out", tmp_path)
    done = call(*args)
    assert done.exit_code == 0, done.output
    assert "note: 0000.png is encoded again for the goldens: it is a PNG." in done.stderr
    artifact = tmp_path / "custom-64x48-onnx-fp32.onnx"
    assert (artifact.with_suffix(".goldens") / "0.jpg").read_bytes() == (own / "0000.jpg").read_bytes()
    told = json.loads(call("inspect", artifact, "--goldens", "--json").stdout)
    assert (told["passed"], told["images"]) == (True, 4)


def test_an_artifact_that_answers_otherwise_fails_its_goldens(
    exported: ExportedFiles, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another processor whose kernels are wrong: every logit is three tenths too large."""
    right = ONNXRuntimeRunner.run_outputs

    def compute_wrongly(self: ONNXRuntimeRunner, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        return {name: values * np.float32(1.3) for name, values in right(self, pixels).items()}

    monkeypatch.setattr(ONNXRuntimeRunner, "run_outputs", compute_wrongly)
    failed = call("inspect", exported.artifact("onnx"), "--goldens")
    assert failed.exit_code == 1, failed.output
    assert "(failed)" in failed.stdout
