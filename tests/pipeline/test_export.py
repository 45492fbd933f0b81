"""The export workflow does the same from Python and from the command line, and its gates and plans hold."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shvit_mobile import ExportConfig, ExportResult, export
from shvit_mobile.cli.main import app
from shvit_mobile.contracts.artifact import list_artifact_files
from shvit_mobile.contracts.drift_report import EvaluationImages
from shvit_mobile.errors import (
    BadRecipe,
    ConflictingParameters,
    InvalidValue,
    MissingParameter,
    OutputExists,
    UnknownChoice,
)
from shvit_mobile.families.checkpoints import save_checkpoint
from shvit_mobile.families.shvit import SHViTConfig
from shvit_mobile.pipeline.export import plan_export
from tests.builders import build_random_shvit, build_trained_model, fit_head, write_picture_folder

LABELS = ("ant", "bee", "cat")
SMALL = SHViTConfig(
    dims=(16, 24), partial_dims=(8, 9), qk_dims=(8, 8), depths=(1, 1), block_types=("i", "s"), classes=len(LABELS)
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small checkpoint, and a folder of labelled pictures."""
    folder = tmp_path_factory.mktemp("files")
    write_picture_folder(folder / "pictures", count=9, classes=LABELS, size=(70, 50))
    model = replace(build_trained_model(build_random_shvit(SMALL, seed=3), size=(64, 48)), labels=LABELS)
    save_checkpoint(fit_head(model, folder / "pictures"), folder / "model.safetensors")
    return folder / "model.safetensors", folder / "pictures"


def read_files(path: Path) -> dict[str, bytes]:
    """Read everything that belongs to an artifact, by name."""
    found = [file for one in list_artifact_files(path) for file in ([one] if one.is_file() else sorted(one.rglob("*")))]
    return {file.name: file.read_bytes() for file in found if file.is_file()}


def test_python_and_the_command_line_write_the_same_bytes(files: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, pictures = files
    result = export(
        ExportConfig(
            checkpoint=checkpoint,
            targets=["onnx"],
            precisions=["int8"],
            calibration=pictures,
            validation=pictures,
            max_drop=100,
            out=tmp_path / "python",
        )
    )
    command = ["export", "--checkpoint", checkpoint, "--target", "onnx", "--quantize", "int8"]
    command += ["--calibration", pictures, "--validate", pictures, "--max-drop", 100, "--out", tmp_path / "command"]
    outcome = CliRunner().invoke(app, [str(word) for word in command])
    assert outcome.exit_code == 0, outcome.output
    (artifact,) = result.artifacts
    assert result.passed
    mapping, calibration = result.notes
    assert (mapping, calibration.startswith("Calibration: Used 9 of 9 files")) == (
        images_of(result).mapping.sentence,
        True,
    )
    assert artifact.manifest.drift == result.rows[0]
    assert read_files(artifact.path) == read_files(tmp_path / "command" / artifact.path.name)


def images_of(result: ExportResult) -> EvaluationImages:
    assert result.report is not None
    return result.report.images


def test_images_that_were_not_used_are_in_the_notes_the_recipe_and_the_report(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    checkpoint, pictures = files
    folder = shutil.copytree(pictures, tmp_path / "pictures")
    damaged, *_ = sorted(folder.rglob("*.*"))
    damaged.write_bytes(damaged.read_bytes()[:60])
    (damaged.parent / "notes.txt").write_text("text", encoding="utf-8")
    config = ExportConfig(
        checkpoint=checkpoint,
        targets=["onnx"],
        precisions=["int8"],
        calibration=folder,
        validation=folder,
        passes=(),
        out=tmp_path / "out",
    )
    result = export(config)
    use, images = result.artifacts[0].manifest.recipe.calibration, images_of(result)
    assert use is not None
    assert use.use is not None
    assert images.use is not None
    for account, count in ((use.use, use.count), (images.use, images.count)):
        assert (account.found, account.used, count) == (10, 8, 8)
        assert {group.first for group in account.skipped} == {
            file.relative_to(folder).as_posix() for file in (damaged, damaged.parent / "notes.txt")
        }
    assert sum("Used 8 of 10 files" in note for note in result.notes) == 2


def test_progress_names_each_step_and_counts_them(files: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, pictures = files
    calls: list[tuple[str, int, int]] = []
    config = ExportConfig(checkpoint=checkpoint, targets=["onnx"], validation=pictures, out=tmp_path)
    export(config, lambda *call: calls.append(call))
    names = list(dict.fromkeys(name for name, _, _ in calls if name))
    (total,) = {total for name, _, total in calls if not name}
    assert "Running the float model" in names
    assert len(names) <= total
    assert any(done == total == 9 for name, done, total in calls if name == "Running the float model")


@pytest.mark.parametrize(
    ("change", "error", "parameter"),
    [
        ({"targets": []}, MissingParameter, "targets"),
        ({"targets": ["corelm"]}, UnknownChoice, "target"),
        ({"precisions": ["int7"]}, UnknownChoice, "precision"),
        ({"precisions": ["int8"]}, MissingParameter, "calibration"),
        ({"precisions": ["fp16"]}, BadRecipe, "precision"),
        ({"passes": ["gptq"]}, ConflictingParameters, "passes"),
        ({"seed": 1}, ConflictingParameters, "seed"),
        ({"max_drop": 1}, MissingParameter, "validation"),
        ({"validation_count": 3}, MissingParameter, "validation"),
        ({"report": "r.json"}, MissingParameter, "validation"),
        ({"license": "mit"}, MissingParameter, None),
        ({"calibration_count": 0}, InvalidValue, "calibration_count"),
        ({"min_agreement": 98.5}, InvalidValue, "min_agreement"),
    ],
)
def test_contradicting_options_are_refused_before_anything_is_written(
    files: tuple[Path, Path], tmp_path: Path, change: dict[str, object], error: type[Exception], parameter: str | None
) -> None:
    fields: dict[str, object] = {"checkpoint": files[0], "targets": ["onnx"], "out": tmp_path / "out"}
    with pytest.raises(error) as caught:
        export(ExportConfig(**(fields | change)))  # type: ignore[arg-type]
    if parameter is not None:
        assert caught.value.parameter == parameter  # type: ignore[attr-defined]
    assert not re.search(r"(?<!\w)--\w", str(caught.value)), "a library error names a flag"
    assert not (tmp_path / "out").exists()


def test_a_plan_names_every_file_and_refuses_one_that_is_there(files: tuple[Path, Path], tmp_path: Path) -> None:
    config = ExportConfig(checkpoint=files[0], targets=["onnx"], out=tmp_path, card=True)
    plan = plan_export(config)
    assert {file.name for file in plan.files} >= {"README.md", plan.paths[0].name}
    export(config)
    assert all(file.exists() for file in plan.files)
    with pytest.raises(OutputExists):
        plan_export(config)


@pytest.mark.parametrize("convert", [str, Path])
def test_paths_are_text_or_paths(files: tuple[Path, Path], tmp_path: Path, convert: Callable[[Path], str]) -> None:
    checkpoint, pictures = map(convert, files)
    config = ExportConfig(checkpoint=checkpoint, targets=["onnx"], validation=pictures, out=convert(tmp_path / "out"))
    assert plan_export(config).validation is not None
