"""`sweep` says what it would do, does it, and says what failed."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Call, SharedFiles


def test_a_dry_run_lists_the_jobs_and_writes_nothing(tmp_path: Path, call: Call) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text('targets = ["onnx", "coreml"]\nprecisions = ["fp32", "fp16"]\n', encoding="utf-8")
    result = call("sweep", file, "--dry-run", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert [line.strip() for line in result.stdout.splitlines()[1:]] == [
        "demo-onnx-fp32", "demo-coreml-fp32", "demo-coreml-fp16",
    ]  # fmt: skip
    assert "onnx has no fp16" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_failed_job_is_told_and_the_exit_status_is_1(world: SharedFiles, tmp_path: Path, call: Call) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text(f'checkpoints = ["{world.checkpoint}", "none.pth"]\ntargets = ["onnx"]\n', encoding="utf-8")
    result = call("sweep", file, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 1, result.output
    told = json.loads(result.stdout)
    assert [one["status"] for one in told["results"]] == ["done", "failed"]
    assert "none-onnx-fp32: failed, " in result.stderr
    assert Path(told["table"]).exists()


def test_a_file_that_is_no_sweep_is_refused(tmp_path: Path, call: Call) -> None:
    result = call("sweep", tmp_path / "none.toml")
    assert result.exit_code == 2
    assert "none.toml does not exist" in " ".join(result.stderr.split())
