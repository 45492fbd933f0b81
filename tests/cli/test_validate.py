"""`validate` tells what changed and writes it all into one report; `export` writes the same."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from shvit_mobile.cli.changes import describe_mcnemar, describe_needed_images
from shvit_mobile.contracts.drift_report import DriftReport, NeededImages
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.demo import CHECKPOINT, TEST_IMAGES
from shvit_mobile.drift.compare import compute_float_reference
from shvit_mobile.drift.gates import images_for_drop
from shvit_mobile.drift.intervals import compute_mcnemar_test, compute_wilson_interval
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.images.image_set import open_images
from tests.cli.conftest import LABELS, Call, ExportedFiles, SharedFiles

NAME = "custom-64x48-onnx-fp32.onnx"


@pytest.fixture(scope="module")
def sound(world: SharedFiles, call: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An fp32 artifact, and the report that its export wrote."""
    out: Path = tmp_path_factory.mktemp("sound")
    made = call(
        *("export", "--checkpoint", world.checkpoint, "--target", "onnx", "--out", out, "--validate", world.pictures),
        *("--max-drop", 0.5, "--report", out / "report.json"),
    )
    assert made.exit_code == 0, made.output
    return out / NAME


CAT, DOG = 3, 5
COUNT = 60


@pytest.fixture(scope="module")
def swapped(call: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model with two classes of its head exchanged, and the hash in its manifest made to fit."""
    out: Path = tmp_path_factory.mktemp("swapped")
    made = call("export", "--target", "onnx", "--out", out)
    assert made.exit_code == 0, made.output
    path = next(out.glob("*.onnx"))
    graph = onnx.load(path)
    head = [each for each in graph.graph.initializer if each.name.startswith("head") and 10 in each.dims]
    assert {len(each.dims) for each in head} == {1, 2}
    for each in head:
        values = numpy_helper.to_array(each).copy()
        rows = np.moveaxis(values, list(each.dims).index(10), 0)
        rows[[CAT, DOG]] = rows[[DOG, CAT]]
        each.CopyFrom(numpy_helper.from_array(values, each.name))
    onnx.save(graph, path)
    manifest = path.with_suffix(".manifest.json")
    fields = json.loads(manifest.read_text())
    fields["artifact"] |= {"sha256": compute_sha256(path), "bytes": path.stat().st_size}
    manifest.write_text(json.dumps(fields))
    return path


def test_two_classes_that_were_exchanged_are_found(swapped: Path, call: Call, tmp_path: Path) -> None:
    trained = load_checkpoint(CHECKPOINT)
    images = open_images(TEST_IMAGES, labels=trained.labels).sample(COUNT, 0)
    answers = compute_float_reference(trained, images).logits.argmax(1).tolist()
    names, other = trained.labels, {CAT: DOG, DOG: CAT}
    moved = Counter(
        (names[right], names[was], names[other[was]])
        for right, was in zip(images.labels or (), answers, strict=True)
        if was in other
    )
    assert len(moved) > 2
    out = tmp_path / "reports" / "report.json"
    result = call("validate", swapped, "--count", COUNT, "--out", out)
    assert result.exit_code == 0, result.output
    (changed,) = DriftReport.read(out).changed
    assert {(each.label, each.before, each.after): each.images for each in changed.confusions} == moved
    assert [each.images for each in changed.confusions] == sorted(moved.values(), reverse=True)
    assert (changed.artifact, changed.images) == (swapped.name, sum(moved.values()))

    assert len(changed.worst) == 12
    divergences = [worst.kl for worst in changed.worst[: changed.images]]
    assert divergences == sorted(divergences, reverse=True)
    assert divergences[0] > 1
    for worst in changed.worst:
        file = TEST_IMAGES / worst.file
        was = answers[images.files.index(file)]
        assert (worst.label, worst.float_answer.label) == (file.parent.name, names[was])
        assert worst.answer.label == names[other.get(was, was)]
        assert worst.answer.probability == pytest.approx(worst.float_answer.probability, abs=1e-3)
        assert worst.thumbnail is not None
        with Image.open(io.BytesIO(base64.b64decode(worst.thumbnail))) as picture, Image.open(file) as original:
            assert picture.size == original.size
            difference = np.asarray(picture, float) - np.asarray(original.convert("RGB"), float)
        assert np.abs(difference).mean() < 10, "it shows another picture"

    lines = result.stdout.splitlines()
    assert f"{swapped.name}: {changed.images} of {COUNT} answers changed" in lines
    rows = [line.split() for line in lines if line.split()[1:3] in (["cat", "dog"], ["dog", "cat"])]
    assert [tuple(row[:3]) for row in rows] == [
        (each.label, each.before, each.after) for each in changed.confusions[:5]
    ]
    assert "evidence that the artifact is worse in top-1." in " ".join(result.stdout.split())
    assert max(map(len, lines)) <= 100


def test_the_report_says_what_was_compared_and_json_is_the_same(
    sound: Path, world: SharedFiles, call: Call, tmp_path: Path
) -> None:
    args = ("validate", sound, "--checkpoint", world.checkpoint, "--images", world.pictures, "--max-drop", 0.5)
    out = tmp_path / "report.json"
    result = call(*args, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    report = DriftReport.read(out)
    assert json.loads(result.stdout) == json.loads(out.read_text())
    trained, images = load_checkpoint(world.checkpoint), open_images(world.pictures)
    assert (report.checkpoint.sha256, report.checkpoint.classes) == (trained.sha256, 7)
    seen = report.images
    assert (seen.source, seen.count, seen.labelled, seen.seed) == ("pictures", 14, True, None)
    assert seen.sha256 == images.compute_sha256()
    assert report.app.endswith(" validate")
    assert {"torch", "onnxruntime", "pillow"} <= report.versions.keys()
    (row,) = report.rows
    assert (row.artifact, row.how, row.artifact_sha256) == (NAME, "native", compute_sha256(sound))
    assert report.changed[0].needed == NeededImages(
        max_drop=0.5, supported=False, images=images_for_drop(0, 0, 14, 0.5)
    )
    assert report.gate is not None
    assert report.gate.passed
    assert "765 would do" in report.gate.caveats[0]

    exported = DriftReport.read(sound.parent / "report.json")
    assert exported.app.endswith(" export")
    assert (exported.rows, exported.changed, exported.gate) == (report.rows, report.changed, report.gate)
    assert (exported.images, exported.checkpoint) == (report.images, report.checkpoint)


def test_a_sample_is_told_with_its_seed_and_its_own_hash(sound: Path, world: SharedFiles, call: Call) -> None:
    args = ("validate", sound, "--checkpoint", world.checkpoint, "--images", world.pictures, "--json")
    some = DriftReport.model_validate_json(call(*args, "--count", 5, "--seed", 3).stdout).images
    assert (some.count, some.seed) == (5, 3)
    assert some.sha256 == open_images(world.pictures, labels=LABELS).sample(5, 3).compute_sha256()
    whole = DriftReport.model_validate_json(call(*args, "--count", 100, "--seed", 3).stdout).images
    assert whole == DriftReport.model_validate_json(call(*args).stdout).images


def test_the_ladder_stands_above_the_artifacts_on_the_same_images(
    exported: ExportedFiles, world: SharedFiles, call: Call
) -> None:
    executorch, coreml, graph = (exported.artifact(target) for target in ("executorch", "coreml", "onnx"))
    images = ("--images", world.specimens, "--ladder")
    args = ("validate", executorch, coreml, graph, "--checkpoint", world.species, *images)
    report = DriftReport.model_validate_json(call(*args, "--json").stdout)
    assert [(row.artifact, row.target, row.how) for row in report.rows] == [
        ("deploy form", "torch", "simulated"),
        ("fake-quant int8", "torch", "simulated"),
        (graph.name, "onnx", "native"),
        (coreml.name, "coreml", report.rows[3].how),
        (executorch.name, "executorch", "native"),
    ]
    assert {row.images for row in report.rows} == {12}
    deploy, *quantized = (row.sqnr_db for row in report.rows)
    assert deploy > 80 > 60 > max(quantized)
    assert [changed.artifact for changed in report.changed] == [graph.name, coreml.name, executorch.name]
    shown = call(*args)
    assert shown.exit_code == 0, shown.output
    assert "fake-quant int8" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 100


@pytest.mark.parametrize("command", ["validate", "export"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_runs(
    command: str, sound: Path, world: SharedFiles, call: Call, tmp_path: Path
) -> None:
    there, folder = tmp_path / "there.json", tmp_path / "folder"
    there.write_text("precious")
    folder.mkdir()
    (folder / "precious").touch()
    if command == "validate":
        args = ("validate", sound, "--checkpoint", world.checkpoint, "--images", world.pictures, "--out")
    else:
        new = ("--target", "onnx", "--out", tmp_path / "new", "--validate", world.pictures)
        args = ("export", "--checkpoint", world.checkpoint, *new, "--report")
    for place, more, said in (
        (there, (), "is already there."),
        (folder, ("--overwrite",), f"{folder} is a folder."),
        (there / "report.json", (), "is a file."),
    ):
        result = call(*args, place, *more)
        assert result.exit_code == 2
        assert said in result.stderr
    assert there.read_text() == "precious"
    assert {path.name for path in tmp_path.rglob("*")} == {"there.json", "folder", "precious"}
    assert call(*args, there, "--overwrite").exit_code == 0
    assert DriftReport.read(there).rows


def test_a_folder_is_never_overwritten_by_a_device_report(sound: Path, call: Call, tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    result = call("benchmark", sound, "--out", tmp_path, "--overwrite")
    assert result.exit_code == 2
    assert "is a folder." in result.stderr
    assert (tmp_path / "precious").exists()


def test_a_report_of_an_export_needs_images(world: SharedFiles, call: Call, tmp_path: Path) -> None:
    args = ("export", "--checkpoint", world.checkpoint, "--target", "onnx", "--out", tmp_path / "out")
    result = call(*args, "--report", tmp_path / "report.json")
    assert result.exit_code == 2
    assert "--report is given without --validate." in result.stderr


def test_mcnemars_test_is_told_in_words() -> None:
    assert describe_mcnemar(compute_mcnemar_test(0, 0)) == "Both models are right on the same images."
    assert "the float model 3, the artifact 2." in describe_mcnemar(compute_mcnemar_test(3, 2))
    assert describe_mcnemar(compute_mcnemar_test(3, 2)).endswith("p = 1: no evidence of a difference in top-1.")
    assert describe_mcnemar(compute_mcnemar_test(20, 4)).endswith(
        "p = 0.0015: evidence that the artifact is worse in top-1."
    )
    assert describe_mcnemar(compute_mcnemar_test(4, 20)).endswith("evidence that the artifact is better in top-1.")


def test_the_images_needed_are_told_in_words() -> None:
    row = DriftRow(
        artifact="a", target="onnx", precision="int8", how="native", engine="E", images=2000,
        agreement=compute_wilson_interval(1, 1), sqnr_db=1, max_abs_error=1, mean_kl=1,
    )  # fmt: skip
    wide, narrow, past = (
        NeededImages(max_drop=0.5, supported=images == 765, images=images) for images in (765, 3358, None)
    )
    assert (
        describe_needed_images(wide, row)
        == "2,000 images are enough to show that top-1 drops by at most 0.5 points; 765 would have been."
    )
    assert "It takes 3,358 images to show" in describe_needed_images(narrow, row)
    assert describe_needed_images(narrow, row).endswith("these are 2,000.")
    assert describe_needed_images(past, row).startswith("No number of such images")
