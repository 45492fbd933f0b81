"""A checkpoint with its classes in another order ends `export --validate`, `validate` and `calibrate` with status 1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shvit_mobile.contracts.drift_report import DriftReport
from tests.cli.conftest import LABELS, Call, SharedFiles


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The names of the classes, each moved by one place."""
    file: Path = tmp_path_factory.mktemp("labels") / "labels.txt"
    file.write_text("".join(f"{name}\n" for name in (*LABELS[1:], LABELS[0])), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def artifact(world: SharedFiles, shifted: Path, call: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact with these names, which was compared on no images."""
    out: Path = tmp_path_factory.mktemp("artifact")
    made = call(
        "export", "--checkpoint", world.checkpoint, "--labels", shifted, "--target", "onnx", "--out", out, "--json"
    )
    assert made.exit_code == 0, made.output
    return next(out.glob("*.onnx"))


def test_an_export_stops_before_it_writes_and_tells_the_cause(
    world: SharedFiles, shifted: Path, call: Call, tmp_path: Path
) -> None:
    args = ("export", "--checkpoint", world.checkpoint, "--labels", shifted, "--target", "onnx")
    args = (*args, "--validate", world.pictures, "--out", tmp_path / "out", "--json")
    failed = call(*args)
    assert failed.exit_code == 1
    gate = json.loads(failed.stdout)["gate"]
    assert not gate["passed"]
    assert "0 of 14 labelled images" in gate["violations"][0]
    assert "order of the classes is likely wrong (each index differs by +1)" in gate["violations"][0]
    assert "--accept-baseline" in failed.stderr
    assert "by name" in failed.stderr
    assert not (tmp_path / "out").exists()
    accepted = call(*args, "--accept-baseline")
    assert accepted.exit_code == 0, accepted.output
    gate = json.loads(accepted.stdout)["gate"]
    assert gate["passed"]
    assert "0 of 14 labelled images" in gate["caveats"][0]


def test_a_validation_fails_and_its_report_says_why(
    world: SharedFiles, artifact: Path, call: Call, tmp_path: Path
) -> None:
    args = ("validate", artifact, "--checkpoint", world.checkpoint, "--images", world.pictures)
    failed = call(*args, "--out", tmp_path / "report.json")
    assert failed.exit_code == 1
    assert "gate failed: The float model gets 0 of 14" in failed.stderr
    assert "--accept-baseline" in failed.stderr
    gate = DriftReport.load(tmp_path / "report.json").gate
    assert gate is not None
    assert not gate.passed
    assert call(*args, "--accept-baseline").exit_code == 0
    assert call(*args, "--accept-baseline", "--min-top1", 50).exit_code == 1
    assert call(*args, "--min-top1", 0.9).exit_code == 2


def test_a_calibration_on_named_folders_stops_before_it_calibrates(
    world: SharedFiles, shifted: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shvit_mobile.pipeline.calibrate.to_deploy_form", lambda *_: pytest.fail("it went on"))
    args = ("calibrate", world.pictures, "--checkpoint", world.checkpoint, "--labels", shifted)
    failed = call(*args, "--out", tmp_path / "out")
    assert failed.exit_code == 1
    assert "0 of 14 labelled images" in failed.stderr
    assert not (tmp_path / "out").exists()


def test_top1_of_an_artifact_has_a_gate_that_needs_labels(world: SharedFiles, call: Call, tmp_path: Path) -> None:
    args = ("export", "--checkpoint", world.checkpoint, "--target", "onnx", "--min-top1", 90)
    unlabelled = call(*args, "--validate", world.unlabelled, "--out", tmp_path)
    assert unlabelled.exit_code == 2
    assert "--min-top1 is given" in unlabelled.stderr
    held = call(*args, "--validate", world.pictures, "--out", tmp_path)
    assert held.exit_code == 0, held.output
    assert "too few to be sure" in held.stderr
