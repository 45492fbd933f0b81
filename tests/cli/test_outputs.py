"""No command puts a file, or a folder of another kind, where a folder is: it ends with status 2 before the work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shvit_mobile.families.checkpoints import save_checkpoint
from tests.builders import build_random_shvit, build_trained_model
from tests.cli.conftest import Call, SharedFiles
from tests.fixtures import FIXTURES

PHONES = FIXTURES / "device_report"
# The artifact that `export` makes of the tiny checkpoint, and the first and last file of the demo.
TINY, DEMO = "custom-64x48", "shvit_s1-224"
Arguments = Callable[[SharedFiles, Path], tuple[object, ...]]


def exporting(target: str, *more: str) -> Arguments:
    return lambda world, out: ("export", "--checkpoint", world.checkpoint, "--target", target, "--out", out, *more)


# For each, what to type after the folder `out` was chosen, and the path in it that is a folder already.
COMMANDS: dict[str, tuple[Arguments, str]] = {
    "devices --out": (lambda _, out: ("devices", PHONES / "pixel-8.json", "--out", out / "a.json"), "a.json"),
    "devices --csv": (lambda _, out: ("devices", PHONES / "pixel-8.json", "--csv", out / "a.csv"), "a.csv"),
    "report --out": (lambda _, out: ("report", PHONES, "--out", out / "a.html"), "a.html"),
    "report --json-out": (
        lambda _, out: ("report", PHONES, "--out", out / "a.html", "--json-out", out / "a.json"),
        "a.json",
    ),
    "validate --out": (lambda _, out: ("validate", out / "a.onnx", "--out", out / "a.json"), "a.json"),
    "benchmark --out": (lambda _, out: ("benchmark", out / "a.onnx", "--out", out / "a.json"), "a.json"),
    "benchmark --chart": (lambda _, out: ("benchmark", out / "a.onnx", "--chart", out / "a.svg"), "a.svg"),
    "calibrate, recipe": (lambda _, out: ("calibrate", "--out", out), "recipe.json"),
    "calibrate, corrections": (lambda _, out: ("calibrate", "--out", out), "recipe.safetensors"),
    "calibrate, sensitivity": (lambda _, out: ("calibrate", "--out", out), "sensitivity.json"),
    "calibrate, search": (lambda _, out: ("calibrate", "--out", out), "search.json"),
    "finetune --out": (lambda _, out: ("finetune", out, "--recipe", out / "r", "--out", out / "a.json"), "a.json"),
    "finetune, weights": (
        lambda _, out: ("finetune", out, "--recipe", out / "r", "--out", out / "a.json"),
        "a.safetensors",
    ),
    "demo, report": (lambda _, out: ("demo", "--out", out), "drift_report.json"),
    "demo, artifact": (lambda _, out: ("demo", "--out", out), f"{DEMO}-executorch-int8.pte"),
    "demo, package": (lambda _, out: ("demo", "--out", out), f"{DEMO}-coreml-fp16.mlpackage"),
    "export --report": (
        lambda world, out: (
            *exporting("onnx")(world, out / "new"),
            *("--validate", world.pictures, "--report", out / "a.json"),
        ),
        "a.json",
    ),
    "export --card": (exporting("onnx", "--card"), "README.md"),
    "export, artifact": (exporting("onnx"), f"{TINY}-onnx-fp32.onnx"),
    "export, manifest": (exporting("onnx"), f"{TINY}-onnx-fp32.manifest.json"),
    "export, recipe": (exporting("onnx"), f"{TINY}-onnx-fp32.recipe.json"),
    "export, corrections": (exporting("onnx"), f"{TINY}-onnx-fp32.recipe.safetensors"),
    "export, goldens": (exporting("onnx"), f"{TINY}-onnx-fp32.goldens"),
    "export, package": (exporting("coreml"), f"{TINY}-coreml-fp16.mlpackage"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_folder_in_the_way_stays_and_is_named(case: str, world: SharedFiles, tmp_path: Path, call: Call) -> None:
    arguments, name = COMMANDS[case]
    precious = tmp_path / name / "precious"
    precious.parent.mkdir()
    precious.write_text("mine", encoding="utf-8")
    result = call(*arguments(world, tmp_path), "--overwrite")
    assert result.exit_code == 2, result.output
    assert f"error: {precious.parent} is a folder" in result.stderr
    assert "Traceback" not in result.output
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [precious], "nothing is written"
    assert precious.read_text(encoding="utf-8") == "mine"


PLACES: dict[str, Callable[[Path], Path]] = {
    "a loop": lambda folder: link(folder / "loop", "loop"),
    "a broken link": lambda folder: link(folder / "link", "nowhere"),
    "through a file": lambda folder: folder / "file",
    "in proc": lambda _: Path("/proc/new"),
    "a long name": lambda folder: folder / ("n" * 300),
}
FIRST_OF_EACH_COMMAND = {case.partition(",")[0].partition(" ")[0]: case for case in reversed(COMMANDS)}


def link(path: Path, target: str) -> Path:
    path.symlink_to(target)
    return path


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("case", FIRST_OF_EACH_COMMAND.values())
def test_a_place_that_cannot_be_written_is_named_before_an_image_is_opened(
    case: str, place: str, world: SharedFiles, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.Image.open", lambda *_, **__: pytest.fail("an image is opened"))
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    out = PLACES[place](tmp_path)
    result = call(*COMMANDS[case][0](world, out))
    assert result.exit_code == 2, result.output
    assert f"error: {out}" in result.stderr
    assert "cannot be written" in result.stderr
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("suffix", [".mlpackage", ".goldens"])
def test_a_package_replaces_no_file(suffix: str, world: SharedFiles, tmp_path: Path, call: Call) -> None:
    file = tmp_path / f"{TINY}-coreml-fp16{suffix}"
    file.write_text("mine", encoding="utf-8")
    result = call(*exporting("coreml")(world, tmp_path), "--overwrite")
    assert result.exit_code == 2, result.output
    assert f"error: {file} is a file." in result.stderr
    assert file.read_text(encoding="utf-8") == "mine"


def test_what_is_no_regular_file_stays(tmp_path: Path, call: Call) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    result = call("devices", PHONES / "pixel-8.json", "--out", pipe, "--overwrite")
    assert result.exit_code == 2, result.output
    assert "is not a regular file" in result.stderr
    assert pipe.is_fifo()


def test_files_are_overwritten_as_asked(tmp_path: Path, call: Call) -> None:
    told, table = tmp_path / "a.json", tmp_path / "a.csv"
    for file in (told, table):
        file.write_text("old", encoding="utf-8")
    result = call("devices", PHONES / "iphone-15-pro.json", "--out", told, "--csv", table, "--overwrite")
    assert result.exit_code == 0, result.output
    assert "old" not in (told.read_text(encoding="utf-8"), table.read_text(encoding="utf-8"))


def test_a_package_and_its_goldens_are_overwritten_as_asked(tmp_path: Path, call: Call) -> None:
    checkpoint = tmp_path / "model.safetensors"
    save_checkpoint(build_trained_model(build_random_shvit(), size=(64, 48)), checkpoint)
    again = ("export", "--checkpoint", checkpoint, "--target", "coreml", "--out", tmp_path, "--overwrite")
    assert call(*again).exit_code == 0
    before = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    result = call(*again)
    assert result.exit_code == 0, result.output
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*")} == before
