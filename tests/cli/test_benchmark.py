"""`benchmark` measures what it is given, and says what it cannot."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.conftest import Call, ExportedFiles, SharedFiles

RACE = ("--rounds", 2, "--iterations", 2, "--warm-up", 1, "--no-roofs")


@pytest.fixture(scope="module")
def artifact(world: SharedFiles, tmp_path_factory: pytest.TempPathFactory, call: Call) -> Path:
    out = tmp_path_factory.mktemp("benchmark")
    result = call(
        *("export", "--checkpoint", world.checkpoint, "--target", "onnx", "--out", out),
        *("--validate", world.pictures),
    )
    assert result.exit_code == 0, result.output
    return next(out.glob("*.onnx"))


def test_an_artifact_beside_its_peers(artifact: Path, world: SharedFiles, tmp_path: Path, call: Call) -> None:
    report, chart = tmp_path / "report.json", tmp_path / "chart.svg"
    peers = ("--peers", "--checkpoint", world.checkpoint, "--engine", "onnxruntime")
    result = call("benchmark", artifact, *peers, *RACE, "--out", report, "--chart", chart)
    assert result.exit_code == 0, result.output
    for name in (artifact.name, "ONNX Runtime stock fp32", "ONNX Runtime stock int8"):
        assert name in report.read_text(encoding="utf-8")
    assert "Latency in ms" in result.stdout
    assert "speed-" in result.stdout
    assert "SQNR" in result.stdout
    assert chart.read_text(encoding="utf-8").startswith("<svg")


def test_json_is_the_report_alone(artifact: Path, call: Call) -> None:
    result = call("benchmark", artifact, *RACE, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["kind"] == "device_report"
    (one,) = told["results"]
    assert one["name"] == artifact.name
    assert one["drift"]["agreement"]["value"] == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "nothing to benchmark"),
        (("--peers", "--cpus", "a"), "--cpus is 'a'"),
        (("--engine", "onnx-runtime", "--peers"), "'onnx-runtime' is not an engine. Engines: executorch, onnxruntime,"),
        (("--checkpoint", "x.pth"), "given without --peers"),
        (("missing.onnx",), "missing.onnx does not exist"),
        pytest.param(
            ("--models", "shvit_s1"),
            "timm is not installed",
            marks=pytest.mark.skipif(find_spec("timm") is not None, reason="timm is installed"),
        ),
    ],
)
def test_bad_input_is_told(args: tuple[str, ...], words: str, call: Call) -> None:
    result = call("benchmark", *args)
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_a_report_is_not_overwritten_unasked(artifact: Path, tmp_path: Path, call: Call) -> None:
    report = tmp_path / "report.json"
    report.write_text("mine", encoding="utf-8")
    result = call("benchmark", artifact, *RACE, "--out", report)
    assert result.exit_code == 2
    assert report.read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac measures")
@pytest.mark.parametrize("device", ["mac", "iphone"])
def test_on_device_says_that_it_needs_a_mac(device: str, exported: ExportedFiles, call: Call) -> None:
    package = exported.artifact("coreml")
    command = f"shvit-mobile benchmark {package} --on-device {device}"
    shown = call("benchmark", package, "--on-device", device)
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert f"skipped: needs macOS; on a Mac: {command}" in shown.stderr.replace("\n", "")
    told = json.loads(call("benchmark", package, "--on-device", device, "--json").stdout)
    assert told == [{"path": str(package), "skipped": {"reason": "needs macOS", "command": command}}]


def test_on_device_takes_core_ml_packages_and_known_devices(
    artifact: Path, exported: ExportedFiles, call: Call
) -> None:
    for given, says in ((("mac", artifact), "Core ML packages"), (("tv", exported.artifact("coreml")), "not a device")):
        refused = call("benchmark", "--on-device", *given)
        assert refused.exit_code == 2
        assert says in refused.stderr
