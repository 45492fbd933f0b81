"""`report` writes one page and one JSON, whole or not at all, and starts no engine for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Call, ExportedFiles
from tests.cli.test_main import WATCH_IMPORTS
from tests.report.builders import DRIFT, MANIFESTS, PHONES


def test_a_page_and_a_json(tmp_path: Path, call: Call) -> None:
    out, told = tmp_path / "new" / "report.html", tmp_path / "report.json"
    result = call("report", MANIFESTS, DRIFT, PHONES, "--out", out, "--json-out", told, "--title", "Ours & theirs")
    assert result.exit_code == 0, result.output
    assert "<h1>Ours &amp; theirs</h1>" in out.read_text(encoding="utf-8")
    found = json.loads(told.read_text(encoding="utf-8"))
    assert (found["kind"], found["title"], len(found["artifacts"])) == ("report", "Ours & theirs", 5)
    assert "shvit_s1-224-executorch-int8.pte" in result.stdout
    assert f"Written: {out}" in result.stdout


def test_json_is_what_is_on_the_page(tmp_path: Path, call: Call) -> None:
    result = call("report", PHONES, "--out", tmp_path / "a.html", "--json-out", tmp_path / "a.json", "--json")
    assert json.loads(result.stdout) == json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))


def test_an_export_is_reported(exported: ExportedFiles, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "report.html"
    result = call("report", exported.folder, "--out", out)
    assert result.exit_code == 0, result.output
    for target in ("coreml", "executorch", "onnx"):
        assert exported.artifact(target).name in out.read_text(encoding="utf-8")
    result = call("report", exported.artifact("onnx"), "--out", out, "--overwrite", "--json")
    (one,) = json.loads(result.stdout)["artifacts"]
    assert one["name"] == exported.artifact("onnx").name
    assert one["verdict"]["status"] == "measured"


def test_what_does_not_fit_is_told(tmp_path: Path, call: Call) -> None:
    device = json.loads((PHONES / "pixel-8.json").read_text(encoding="utf-8"))
    for result in device["results"]:
        result["artifact_sha256"] = "ab" * 32
    (tmp_path / "stale.json").write_text(json.dumps(device), encoding="utf-8")
    result = call("report", MANIFESTS, tmp_path / "stale.json", "--out", tmp_path / "a.html")
    assert result.exit_code == 0
    assert "warning: Pixel 8 (stale.json) measured another shvit_s1-224-executorch-fp32.pte" in result.stderr


def test_no_engine_is_imported(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("shvit-mobile")
    args = ("report", str(MANIFESTS), str(DRIFT), str(PHONES), "--out", str(tmp_path / "a.html"))
    ended = subprocess.run(
        [sys.executable, "-c", WATCH_IMPORTS, str(program), *args],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert (tmp_path / "a.html").exists(), ended.stderr
    assert not set(ended.stderr.split()) & {"torch", "coremltools", "executorch", "onnx", "onnxruntime"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "Missing argument"),
        (("missing.json",), "missing.json does not exist."),
        ((PHONES / "pixel-8.json", "--out", "a.html", "--json-out", "./a.html"), "--out and --json-out are both"),
        ((Path(__file__),), "test_report.py does not state its kind."),
    ],
)
def test_bad_input_is_an_error(
    args: tuple[object, ...], words: str, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("report", *args)
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_a_loop_is_an_error(tmp_path: Path, call: Call) -> None:
    loop = tmp_path / "loop.json"
    loop.symlink_to(loop.name)
    result = call("report", PHONES / "pixel-8.json", "--out", tmp_path / "a.html", "--json-out", loop)
    assert result.exit_code == 2, result.output
    assert f"error: {loop}" in result.stderr
    assert list(tmp_path.iterdir()) == [loop]


@pytest.mark.parametrize("there", ["a.html", "a.json"])
def test_nothing_is_overwritten_unasked(there: str, tmp_path: Path, call: Call) -> None:
    (tmp_path / there).write_text("mine", encoding="utf-8")
    args = ("report", PHONES, "--out", tmp_path / "a.html", "--json-out", tmp_path / "a.json")
    assert call(*args).exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert call(*args, "--overwrite").exit_code == 0
    assert (tmp_path / there).read_text(encoding="utf-8") != "mine"
