"""What `inspect` and `doctor` say, and that the tables fit."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from rich.table import Table

from shvit_mobile.cli.tables import build_drift_table
from shvit_mobile.contracts.artifact import format_artifact_name
from shvit_mobile.contracts.drift_row import DriftRow, ProportionEstimate
from tests.builders import build_random_shvit
from tests.cli.conftest import Call, ExportedFiles, SharedFiles
from tests.coreai_packages import lower_package, needs_coreai


@pytest.mark.parametrize("target", ["coreml", "executorch", "onnx"])
def test_inspect_says_what_is_inside(target: str, exported: ExportedFiles, call: Call) -> None:
    artifact = exported.artifact(target)
    shown = call("inspect", artifact)
    assert shown.exit_code == 0, shown.output
    for word in (
        "192x160",
        "37: species 00",
        "shvit-mobile",
        "int8",
        "golden",
        "Drift from the float model",
        "Operators",
    ):
        assert word in shown.stdout
    assert ("delegation" in shown.stdout) == (target == "executorch")
    assert max(map(len, shown.stdout.splitlines())) <= 100
    told = json.loads(call("inspect", artifact, "--json").stdout)
    assert told["manifest"] == json.loads(artifact.with_suffix(".manifest.json").read_text(encoding="utf-8"))
    weights = told["manifest"]["inventory"]["weight_bytes"]
    assert weights["int8"] > 0.3 * sum(weights.values())


@pytest.mark.parametrize("target", ["coreml", "executorch", "onnx"])
def test_inspect_reads_a_bare_artifact(target: str, exported: ExportedFiles, tmp_path: Path, call: Call) -> None:
    artifact = exported.artifact(target)
    bare = tmp_path / artifact.name
    shutil.copytree(artifact, bare) if artifact.is_dir() else shutil.copy(artifact, bare)
    result = call("inspect", bare, "--json")
    assert result.exit_code == 0, result.output
    assert "is missing, so labels" in result.stderr
    told, manifest = (
        json.loads(result.stdout),
        json.loads(artifact.with_suffix(".manifest.json").read_text(encoding="utf-8")),
    )
    assert told["manifest"] is None
    assert told["inventory"] == manifest["inventory"]
    assert told["sha256"] == manifest["artifact"]["sha256"]
    assert call("inspect", bare).exit_code == 0


@needs_coreai
def test_inspect_reads_a_core_ai_package_and_refuses_a_damaged_one(tmp_path: Path, call: Call) -> None:
    artifact = lower_package("int8").artifact
    bare = tmp_path / artifact.path.name
    shutil.copytree(artifact.path, bare)
    told = json.loads(call("inspect", bare, "--json").stdout)
    assert told["target"] == "coreai"
    assert told["inventory"] == artifact.manifest.inventory.model_dump(mode="json")
    program = bare / "main.mlirb"
    program.write_bytes(program.read_bytes()[:-100])
    refused = call("inspect", bare)
    assert refused.exit_code == 2
    assert "is damaged" in refused.stderr
    assert "Traceback" not in refused.output


def test_inspect_reports_what_a_checkpoint_contains(call: Call, tmp_path: Path) -> None:
    states = {name: build_random_shvit(seed=seed).state_dict() for seed, name in enumerate(("model", "model_ema"))}
    torch.save({**states, "args": {"img_size": 96}, "n_averaged": torch.ones(1)}, tmp_path / "both.pth")
    printed = call("inspect", tmp_path / "both.pth", "--json")
    found = json.loads(printed.stdout)
    assert (found["weights"], found["weights_found"]) == ("model", ["model", "model_ema"])
    assert found["training_arguments"] == {"args.img_size": "96"}
    assert len(found["notes"]) == 3
    assert all(f"note: {note}" in printed.stderr for note in found["notes"])
    chosen = call("inspect", tmp_path / "both.pth", "--weights", "model_ema", "--json")
    assert json.loads(chosen.stdout)["weights"] == "model_ema"
    refused = call("inspect", tmp_path / "both.pth", "--weights", "ema2")
    assert refused.exit_code == 2
    assert "model, model_ema" in refused.stderr


def test_inspect_reads_a_checkpoint(world: SharedFiles, call: Call) -> None:
    told = json.loads(call("inspect", world.species, "--json").stdout)
    assert (told["variant"], told["layout"], told["classes"]) == ("custom", "shvit-mobile", 37)
    assert told["config"]["dims"] == [16, 24]
    assert told["preprocessing"]["size"] == [192, 160]
    shown = call("inspect", world.species)
    assert "192x160" in shown.stdout


def test_inspect_refuses_a_damaged_artifact(tmp_path: Path, call: Call) -> None:
    for suffix in (".onnx", ".pte", ".mlpackage"):
        damaged = tmp_path / f"damaged{suffix}"
        damaged.write_bytes(b"not an artifact")
        result = call("inspect", damaged)
        assert result.exit_code == 2, result.output
        assert "error: " in result.stderr


def render_table(table: Table) -> list[str]:
    console = Console(width=100, markup=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get().splitlines()


def test_the_drift_table_fits_100_columns_and_loses_nothing() -> None:
    some = ProportionEstimate(value=0.98765, low=0.971, high=1.0)
    rows = [
        DriftRow(
            artifact=format_artifact_name("custom", (192, 160), "executorch", precision),
            target="executorch",
            precision=precision,
            how="reference",
            engine="any",
            images=20_000,
            top1=some,
            float_top1=ProportionEstimate(value=0.98345, low=0.971, high=1.0),
            top1_drop=-0.42,
            top1_drop_interval=(-0.5, -0.3),
            agreement=ProportionEstimate(value=1.0, low=0.99, high=1.0),
            sqnr_db=sqnr,
            max_abs_error=0.0 if sqnr == float("inf") else 0.00098,
            mean_kl=3.1e-14,
        )
        for precision, sqnr in (("int8-weights", 38.25), ("fp32", float("inf")), ("fp16", 130.4))
    ]
    lines = render_table(build_drift_table(rows, {row.artifact: 66_200_000 for row in rows}))
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    for value in (
        "custom-192x160-executorch-",
        "int8-weights.pte",
        "reference",
        "66.2",
        "98.77",
        "97.1–100.0",
        "−0.42",
    ):
        assert value in text
    for value in ("100.00", "38.2", "∞", "130", "0.00098", "3e−14"):
        assert value in text


def test_the_drift_table_without_labels_has_no_accuracy() -> None:
    row = DriftRow(
        artifact="a.onnx",
        target="onnx",
        precision="fp32",
        how="native",
        engine="any",
        images=3,
        skipped=2,
        agreement=ProportionEstimate(value=1, low=0.4, high=1),
        sqnr_db=90,
        max_abs_error=0.1,
        mean_kl=0,
    )
    lines = render_table(build_drift_table([row], {}))
    assert "3 images, 2 skipped" in lines[0]
    assert next(line for line in lines if line.startswith("a.onnx")).split().count("–") == 3


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has one")
def test_a_compute_plan_says_that_it_needs_a_mac(exported: ExportedFiles, call: Call) -> None:
    artifact = exported.artifact("coreml")
    command = f"shvit-mobile inspect {artifact} --compute-plan"
    shown = call("inspect", artifact, "--compute-plan")
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert f"skipped: needs macOS; on a Mac: {command}" in shown.stderr.replace("\n", "")
    told = json.loads(call("inspect", artifact, "--compute-plan", "--json").stdout)
    assert told == {"path": str(artifact), "skipped": {"reason": "needs macOS", "command": command}}


def test_only_core_ml_packages_have_a_compute_plan(exported: ExportedFiles, call: Call) -> None:
    refused = call("inspect", exported.artifact("onnx"), "--compute-plan")
    assert refused.exit_code == 2
    assert "Only Core ML packages" in refused.stderr


def test_inspect_and_benchmark_say_which_sizes_there_are_and_which_is_measured(
    world: SharedFiles, tmp_path: Path, call: Call
) -> None:
    export = call(
        *("export", "--checkpoint", world.checkpoint, "--target", "executorch", "--target", "onnx", "--size", "32"),
        *("--resize", "letterbox", "--padding", "end", "--padding-value", "7", "8", "9", "--more-size", "48x32"),
        *("--out", tmp_path),
    )
    assert export.exit_code == 0, export.output
    (program,), (single,) = tmp_path.glob("*.pte"), tmp_path.glob("*.onnx")
    shown = call("inspect", program)
    assert "32x32 (forward), 48x32 (forward_48x32)" in " ".join(shown.stdout.split())
    assert "end, (7, 8, 9)" in shown.stdout
    assert "forward" not in call("inspect", single).stdout
    raced = call("benchmark", program, single, "--rounds", 1, "--iterations", 1, "--warm-up", 0, "--no-roofs")
    assert raced.exit_code == 0, raced.output
    notes = " ".join(raced.stderr.split())
    assert f"{program.name} takes images of 32x32, 48x32; it is measured at 32x32 only." in notes
    assert f"{single.name} takes" not in notes
