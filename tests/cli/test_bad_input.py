"""Whatever a person gets wrong: exit status 2, a sentence that helps, no traceback, nothing written."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import safetensors.torch
import torch

from tests.builders import build_random_shvit
from tests.cli.conftest import Call, SharedFiles

ONNX = ("--target", "onnx")
Args = tuple[Any, ...]


class Malicious:
    """Pickled, it makes a file where it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)


def write_nothing(path: Path) -> None:
    """There is no file."""


def write_empty(path: Path) -> None:
    path.touch()


def write_text(path: Path) -> None:
    path.write_text("not a checkpoint\n", encoding="utf-8")


def make_folder(path: Path) -> None:
    path.mkdir()


def write_truncated(path: Path) -> None:
    torch.save({"model": {"patch_embed.0.c.weight": torch.zeros(64, 64, 3, 3)}}, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_foreign(path: Path) -> None:
    torch.save({"layer1.0.conv1.weight": torch.zeros(8, 8, 3, 3), "fc.weight": torch.zeros(10, 8)}, path)


def write_malicious(path: Path) -> None:
    torch.save({"model": Malicious(path.with_suffix(".mark"))}, path)


def write_partial(path: Path) -> None:
    state = build_random_shvit().state_dict()
    del state["head.l.weight"]
    torch.save({"model": state}, path)


def write_control_characters(path: Path) -> None:
    torch.save({"\x1b[2Jcleared": torch.zeros(2)}, path)


CHECKPOINTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (write_nothing, "There is no file"),
    "empty": (write_empty, "is empty"),
    "text": (write_text, "checkpoint"),
    "folder": (make_folder, "is a folder"),
    "truncated": (write_truncated, "damaged|cut short|truncated"),
    "foreign": (write_foreign, "is not of a SHViT.*layer1.0.conv1.weight"),
    "malicious": (write_malicious, "contains no tensors"),
    "partial": (write_partial, r"\d+ of the \d+ tensors.*head.l.weight"),
    "steering": (write_control_characters, r"is not of a SHViT.*\\x1b\[2Jcleared"),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_bad_checkpoint(name: str, tmp_path: Path, call: Call) -> None:
    make, sentence = CHECKPOINTS[name]
    checkpoint = tmp_path / "bad.pth"
    make(checkpoint)
    assert_refused(call, ("export", "--checkpoint", checkpoint, *ONNX), tmp_path / "out", sentence)
    assert not checkpoint.with_suffix(".mark").exists(), "code from the checkpoint was executed"


def test_checkpoint_of_weights_that_are_not_numbers(world: SharedFiles, tmp_path: Path, call: Call) -> None:
    broken = tmp_path / "nan.safetensors"
    with safetensors.safe_open(world.checkpoint, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors["head.l.bias"][0] = float("nan")
    safetensors.torch.save_file(tensors, broken)
    assert_refused(call, ("export", "--checkpoint", broken, *ONNX), tmp_path / "out", "head.l.bias contains NaN")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ((), "already exists"),
        (("--overwrite", "--quantize", "fp16"), "onnx has no fp16"),
        (("--overwrite", "--validate", "nowhere"), "There is no folder of images"),
        (("--overwrite", "--quantize", "int8", "--calibration", "nowhere"), "There is no folder of images"),
    ],
)
def test_all_is_checked_before_any_work(
    more: Args, sentence: str, world: SharedFiles, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reached(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("the work has begun")

    monkeypatch.setattr("shvit_mobile.pipeline.export.to_deploy_form", reached)
    mine = tmp_path / "custom-64x48-onnx-fp32.onnx"
    mine.write_text("mine", encoding="utf-8")
    args = ("export", "--checkpoint", world.checkpoint, *ONNX, "--out", tmp_path)
    assert_refused(call, (*args, *more), None, sentence)
    assert mine.read_text(encoding="utf-8") == "mine"
    assert "the work has begun" in call(*args, "--overwrite").stderr


def write_bad_pictures(root: Path) -> Path:
    """Class folders whose files are no pictures."""
    for name in ("ant", "bee"):
        (root / name).mkdir(parents=True)
        (root / name / "1.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    return root


def write_strange_classes(root: Path) -> Path:
    for name in ("zebra", "okapi"):
        (root / name).mkdir(parents=True)
        (root / name / "1.jpg").touch()
    return root


def write_text_folder(root: Path) -> Path:
    root.mkdir()
    (root / "notes.txt").write_text("no pictures here", encoding="utf-8")
    return root


def make_empty_folder(root: Path) -> Path:
    root.mkdir()
    return root


FOLDERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda root: root, "There is no folder of images at"),
    "empty": (make_empty_folder, "is empty"),
    "without pictures": (write_text_folder, "There is no image in .*1 with .txt"),
    "of other classes": (write_strange_classes, "cannot be matched with a class.*okapi"),
    "of damaged pictures": (write_bad_pictures, "None of the 2 images"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_bad_folder_to_validate_on(name: str, world: SharedFiles, tmp_path: Path, call: Call) -> None:
    make, sentence = FOLDERS[name]
    args = ("export", "--checkpoint", world.checkpoint, *ONNX, "--validate", make(tmp_path / "pictures"))
    if name == "of damaged pictures":
        # Found out when they are decoded, after the artifact is there: `validate` writes nothing at all.
        artifact = tmp_path / "made" / "custom-64x48-onnx-fp32.onnx"
        assert call("export", "--checkpoint", world.checkpoint, *ONNX, "--out", artifact.parent).exit_code == 0
        args = ("validate", artifact, "--checkpoint", world.checkpoint, "--images", tmp_path / "pictures")
        return assert_refused(call, args, None, sentence)
    return assert_refused(call, args, tmp_path / "out", sentence)


def test_bad_folder_to_calibrate_on(world: SharedFiles, tmp_path: Path, call: Call) -> None:
    args = ("export", "--checkpoint", world.checkpoint, *ONNX, "--quantize", "int8", "--calibration")
    assert_refused(call, (*args, tmp_path / "nowhere"), tmp_path / "out", "There is no folder of images at")
    assert_refused(call, (*args, write_bad_pictures(tmp_path / "bad")), tmp_path / "out", "None of the 2 images")


TABLES = {
    "file,label\n1.jpg,okapi\n": "okapi.*cannot be matched|there is no 1.jpg",
    "file,label\nmissing.jpg,ant\n": "there is no missing.jpg",
    "file,label\n": "has a header and no rows",
    "a,b,c\n1,2,3\n": "Which is the file and which the label is not clear|lacks|cannot be used",
}


@pytest.mark.parametrize("table", TABLES)
def test_bad_csv(table: str, world: SharedFiles, tmp_path: Path, call: Call) -> None:
    csv = tmp_path / "labels.csv"
    csv.write_text(table, encoding="utf-8")
    args = ("export", "--checkpoint", world.checkpoint, *ONNX, "--validate", world.unlabelled, "--labels-csv", csv)
    assert_refused(call, args, tmp_path / "out", TABLES[table])


ARGUMENTS: dict[str, tuple[Args, str]] = {
    "unknown command": (("exprot",), "No such command 'exprot'.*export"),
    "unknown option": (("export", "--taget", "onnx"), "No such option: --taget.*--target"),
    "no number": (("export", *ONNX, "--opset", "new"), "--opset.*valid int"),
    "unknown target": (("export", "--target", "corelm"), "'corelm' is not a target.*Did you mean coreml"),
    "no target": (("export",), "No target is given.*coreml, executorch, onnx.*--target coreml"),
    "unknown precision": (("export", *ONNX, "--quantize", "int9"), "'int9' is not a precision.*Did you mean int8"),
    "unknown variant": (("export", "--checkpoint", "$", *ONNX, "--model", "shvit_s5"), "'shvit_s5' is not a variant"),
    "another variant": (("export", "--checkpoint", "$", *ONNX, "--model", "shvit_s2"), "tensors of shvit_s2"),
    "variant of nothing": (("export", *ONNX, "--model", "shvit_s2"), "without --checkpoint.*--checkpoint shvit_s2"),
    "size in words": (("export", "--checkpoint", "$", *ONNX, "--size", "large"), "--size is 'large'.*--size 192x160"),
    "more sizes for ONNX": (("export", *ONNX, "--more-size", "64"), "without --target coreml or --target executorch"),
    "more sizes for an old iOS": (
        ("export", "--target", "coreml", "--more-size", "64", "--deployment-target", "iOS17"),
        "--more-size is given with --deployment-target iOS17.*since iOS18",
    ),
    "more sizes in words": (
        ("export", "--target", "executorch", "--more-size", "big"),
        "--more-size is 'big'.*--more-size 192x160",
    ),
    "own size again": (
        ("export", "--target", "executorch", "--more-size", "224"),
        "--more-size has the model's own size, 224",
    ),
    "size of nothing": (("export", "--checkpoint", "$", *ONNX, "--size", "0x64"), "--size is '0x64'"),
    "crop past the picture": (("export", "--checkpoint", "$", *ONNX, "--crop", "1.5"), "is 1.5"),
    "std of zero": (("export", "--checkpoint", "$", *ONNX, "--std", 0, 1, 1), "std is .*0.001 to 1"),
    "mean and std up to 255": (
        ("export", "--checkpoint", "$", *ONNX, "--mean", 123.675, 116.28, 103.53, "--std", 58.395, 57.12, 57.375),
        r"--mean 0\.485 0\.456 0\.406 --std 0\.229 0\.224 0\.225",
    ),
    "size of gigabytes": (("export", "--checkpoint", "$", *ONNX, "--size", "99999x99999"), "size is .*2048"),
    "mean of two colours": (("export", *ONNX, "--mean", 1, 1), "--mean"),
    "precision the target lacks": (
        ("export", "--checkpoint", "$", *ONNX, "--quantize", "fp16"),
        "onnx has no fp16.*fp32, int8",
    ),
    "int8 without images": (
        ("export", "--checkpoint", "$", *ONNX, "--quantize", "int8"),
        "needs images for --calibration",
    ),
    "images without int8": (
        ("export", "--checkpoint", "$", *ONNX, "--calibration", "pictures"),
        "--calibration is given, but nothing is calibrated.*--quantize int8",
    ),
    "no images to calibrate on": (
        ("export", "--checkpoint", "$", *ONNX, "--calibration-count", 0),
        "--calibration-count",
    ),
    "recipe and calibration": (
        ("export", "--checkpoint", "$", *ONNX, "--recipe", "r.json", "--calibration", "pictures"),
        "--recipe and --calibration exclude each other: choose one",
    ),
    "recipe and precision": (
        ("export", "--checkpoint", "$", *ONNX, "--recipe", "r.json", "--quantize", "int8"),
        "--recipe and --quantize exclude each other: choose one",
    ),
    "recipe that is missing": (("export", "--checkpoint", "$", *ONNX, "--recipe", "r.json"), "r.json does not exist"),
    "gate without images": (
        ("export", "--checkpoint", "$", *ONNX, "--max-drop", 1),
        "gate is set without --validate",
    ),
    "gate as a share": (
        ("export", *ONNX, "--min-agreement", 0.985),
        "in percent.*Did you mean --min-agreement 98.5",
    ),
    "gate past 100": (("export", *ONNX, "--min-agreement", 101), "--min-agreement is 101"),
    "gate below zero": (("export", *ONNX, "--max-drop", -1), "--max-drop is -1"),
    "csv without images": (
        ("export", "--checkpoint", "$", *ONNX, "--labels-csv", "l.csv"),
        "--labels-csv is given without --validate",
    ),
    "option of another target": (
        ("export", "--target", "coreml", "--opset", 17),
        "--opset is given without --target onnx",
    ),
    "opset from nowhere": (("export", *ONNX, "--opset", 99), "Opset 99"),
    "more than all delegated": (
        ("export", "--target", "executorch", "--require-delegated", "120%"),
        "--require-delegated is '120%'",
    ),
    "delegates of no target": (
        ("export", *ONNX, "--require-delegated", "90"),
        "--require-delegated is given without --target executorch",
    ),
    "a stem from nowhere": (("export", "--target", "executorch", "--stem", "patches"), "'patches' is not a stem"),
    "a head from nowhere": (("export", "--target", "executorch", "--head", "int4"), "'int4' is not a head"),
    "system from nowhere": (("export", "--target", "coreml", "--deployment-target", "iOS9"), "iOS9"),
    "a layout from nowhere": (
        ("export", "--target", "coreml", "--layout", "sdpa"),
        "'sdpa' is not an attention layout",
    ),
    "a layout of another target": (
        ("export", *ONNX, "--layout", "einsum"),
        "--layout is given without --target coreml",
    ),
    "a block of no channels": (("export", "--target", "coreml", "--block", 0), "Invalid value for '--block'"),
    "an observer from nowhere": (
        ("export", *ONNX, "--quantize", "int8", "--observer", "mean"),
        "'mean' is not an observer.*min-max, percentile, mse",
    ),
    "activations from nowhere": (
        ("export", *ONNX, "--quantize", "int8", "--activations", "afine"),
        "'afine' is not an activation scheme.*Did you mean affine",
    ),
    "an observer of nothing": (
        ("export", *ONNX, "--observer", "mse"),
        "--observer is given, but nothing is calibrated",
    ),
    "palettes of another target": (("export", *ONNX, "--quantize", "palette-4"), "The target onnx has no palette-4"),
    "labels that are missing": (("export", "--checkpoint", "$", *ONNX, "--labels", "l.txt"), "l.txt does not exist"),
    "nothing to inspect": (("inspect", "nothing.onnx"), "nothing.onnx does not exist"),
    "nothing to validate": (("validate",), "Missing argument 'ARTIFACT"),
    "no images to validate on": (("validate", "a.onnx", "--checkpoint", "$"), "No images are given for --images"),
    "artifact that is missing": (
        ("validate", "a.onnx", "--checkpoint", "$", "--images", "pictures"),
        "a.onnx does not exist",
    ),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_bad_arguments(
    name: str, world: SharedFiles, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    args, sentence = ARGUMENTS[name]
    assert_refused(call, tuple(world.checkpoint if arg == "$" else arg for arg in args), None, sentence)
    assert list(tmp_path.iterdir()) == [], "something was written"


LABEL_FILES = {
    "ant\nbee\n": "There are 2 labels, but the model has 7 classes",
    "": "is empty",
    '["ant", 2]': "a list, but not of names",
    "1: ant\n2: bee\n": "count from 1",
    "ant\n" * 7: "All 7 labels",
    "[]": "holds no labels",
    '["ant", "\\ud800"]': "lone surrogate",
    "ant\x07\nbee": "control character",
    '["ant",': "starts like JSON but is not JSON",
}


@pytest.mark.parametrize("content", LABEL_FILES)
def test_bad_labels(content: str, world: SharedFiles, tmp_path: Path, call: Call) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text(content, encoding="utf-8")
    args = ("export", "--checkpoint", world.checkpoint, *ONNX, "--labels", labels)
    assert_refused(call, args, tmp_path / "out", LABEL_FILES[content])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not a recipe"),
        ('{"precision": "int7"}', "is not a recipe: precision"),
        ('{"schema_version": "1.0", "precision": "fp32"}', "is not a recipe: kind"),
        ('{"schema_version": "2.0", "kind": "recipe"}', "is a recipe of version 2.0"),
        (
            json.dumps(
                {
                    "schema_version": "1.0",
                    "kind": "recipe",
                    "precision": "int8",
                    "ranges": {"no.layer": {"input": [0, 1], "output": [0, 1]}},
                }
            ),
            "does not fit.*no.layer",
        ),
    ],
)
def test_bad_recipe(content: str, sentence: str, world: SharedFiles, tmp_path: Path, call: Call) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(content, encoding="utf-8")
    args = ("export", "--checkpoint", world.checkpoint, *ONNX, "--recipe", recipe)
    assert_refused(call, args, tmp_path / "out", sentence)


def test_gate_on_top1_without_labels(world: SharedFiles, tmp_path: Path, call: Call) -> None:
    args = ("export", "--checkpoint", world.checkpoint, *ONNX, "--validate", world.unlabelled, "--max-drop", 1)
    assert_refused(call, args, tmp_path / "out", "have no labels.*--labels-csv")


def test_out_that_is_a_file(world: SharedFiles, tmp_path: Path, call: Call) -> None:
    file = tmp_path / "out"
    file.write_text("mine", encoding="utf-8")
    for out in (file, file / "deeper"):
        args = ("export", "--checkpoint", world.checkpoint, *ONNX, "--out", out)
        assert_refused(call, args, None, "cannot be written: Not a directory.*Choose another --out")
    assert file.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("suffix", [".onnx", ".manifest.json", ".recipe.json"])
def test_nothing_is_overwritten_unasked(suffix: str, world: SharedFiles, tmp_path: Path, call: Call) -> None:
    mine = (tmp_path / "custom-64x48-onnx-fp32.x").with_suffix(suffix)
    mine.write_text("mine", encoding="utf-8")
    args = ("export", "--checkpoint", world.checkpoint, *ONNX, "--out", tmp_path)
    assert_refused(call, args, None, "already exists.*--overwrite")
    assert mine.read_text(encoding="utf-8") == "mine"
    assert list(tmp_path.iterdir()) == [mine]


@pytest.fixture(scope="module")
def artifact(world: SharedFiles, call: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("artifact")
    assert call("export", "--checkpoint", world.checkpoint, *ONNX, "--out", out).exit_code == 0
    return out / "custom-64x48-onnx-fp32.onnx"


def test_validate_refuses_an_artifact_that_was_changed(
    artifact: Path, world: SharedFiles, tmp_path: Path, call: Call
) -> None:
    shutil.copytree(artifact.parent, tmp_path, dirs_exist_ok=True)
    changed = tmp_path / artifact.name
    changed.write_bytes(changed.read_bytes() + b"\0")
    args = ("--checkpoint", world.checkpoint, "--images", world.pictures)
    assert_refused(call, ("validate", changed, *args), None, "is not the file its manifest describes")
    assert_refused(call, ("inspect", changed), None, "is not the file its manifest describes")


def test_validate_refuses_an_artifact_without_manifest(
    artifact: Path, world: SharedFiles, tmp_path: Path, call: Call
) -> None:
    lone = tmp_path / artifact.name
    shutil.copy(artifact, lone)
    args = ("validate", lone, "--checkpoint", world.checkpoint, "--images", world.pictures)
    assert_refused(call, args, None, "manifest.json does not exist")


def test_validate_refuses_another_checkpoint(artifact: Path, world: SharedFiles, call: Call) -> None:
    args = ("validate", artifact, "--images", world.pictures)
    # Without --checkpoint, the demo model is meant.
    assert_refused(call, args, None, "was exported from another checkpoint")


def assert_refused(call: Call, args: Args, out: Path | None, sentence: str) -> None:
    """Runs the command, into `out` if it is one that writes, and checks how it is refused."""
    result = call(*args, *(("--out", out) if out else ()))
    flat = " ".join(result.stderr.split())
    assert result.exit_code == 2, result.output
    assert flat.count("error: ") == 1, result.output
    assert re.search(sentence, flat), result.output
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert out is None or not out.exists(), sorted(out.rglob("*"))
