"""`validate` shows which predictions changed and writes one report; `export` writes the same; so does Python."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from shvit_mobile.contracts.document import CHECKSUM_FIELD
from shvit_mobile.contracts.drift_report import DriftReport, NeededImages
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.demo import CHECKPOINT, TEST_IMAGES
from shvit_mobile.drift.compare import compute_float_reference
from shvit_mobile.drift.intervals import estimate_images_for_drop
from shvit_mobile.errors import MissingParameter
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.validate import ValidateConfig, validate
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
    """The demo model with two classes of its head exchanged, and a manifest that fits the changed file."""
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
    fields = json.loads(manifest.read_text(encoding="utf-8"))
    fields["artifact"] |= {"sha256": compute_sha256(path), "bytes": path.stat().st_size}
    fields |= {"goldens": None, "drift": None}
    del fields[CHECKSUM_FIELD]
    manifest.write_text(json.dumps(fields), encoding="utf-8")
    return path


def test_two_exchanged_classes_are_found(swapped: Path, call: Call, tmp_path: Path) -> None:
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
    (changed,) = DriftReport.load(out).changed
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
    assert f"{swapped.name}: {changed.images} of {COUNT} predictions changed" in lines
    rows = [line.split() for line in lines if line.split()[1:3] in (["cat", "dog"], ["dog", "cat"])]
    assert [tuple(row[:3]) for row in rows] == [
        (each.label, each.before, each.after) for each in changed.confusions[:5]
    ]
    assert "The difference is significant" in " ".join(result.stdout.split())
    assert max(map(len, lines)) <= 100


def test_the_report_describes_the_comparison_and_json_and_python_are_the_same(
    sound: Path, world: SharedFiles, call: Call, tmp_path: Path
) -> None:
    args = ("validate", sound, "--checkpoint", world.checkpoint, "--images", world.pictures, "--max-drop", 0.5)
    out = tmp_path / "report.json"
    result = call(*args, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    report = DriftReport.load(out)
    assert json.loads(result.stdout) == json.loads(out.read_text(encoding="utf-8"))
    config = ValidateConfig(artifacts=[sound], checkpoint=world.checkpoint, validation=world.pictures, max_drop=0.5)
    python = validate(config)
    assert python.report.model_copy(update={"created": report.created}) == report
    assert python.passed
    trained, images = load_checkpoint(world.checkpoint), open_images(world.pictures)
    assert (report.checkpoint.sha256, report.checkpoint.classes) == (trained.sha256, 7)
    measured_on = report.images
    assert (measured_on.source, measured_on.count, measured_on.labelled, measured_on.seed) == (
        "pictures",
        14,
        True,
        None,
    )
    assert measured_on.sha256 == images.compute_sha256()
    assert report.app.endswith(" validate")
    assert {"torch", "onnxruntime", "pillow"} <= report.versions.keys()
    (row,) = report.rows
    assert (row.artifact, row.how, row.artifact_sha256) == (NAME, "native", compute_sha256(sound))
    assert report.changed[0].needed == NeededImages(
        max_drop=0.5, supported=False, images=estimate_images_for_drop(0, 0, 14, 0.5)
    )
    assert report.gate is not None
    assert report.gate.passed
    assert "765" in report.gate.caveats[0]

    exported = DriftReport.load(sound.parent / "report.json")
    assert exported.app.endswith(" export")
    assert (exported.rows, exported.changed, exported.gate) == (report.rows, report.changed, report.gate)
    assert (exported.images, exported.checkpoint) == (report.images, report.checkpoint)


def test_the_report_has_the_seed_and_the_hash_of_the_sample(sound: Path, world: SharedFiles, call: Call) -> None:
    args = ("validate", sound, "--checkpoint", world.checkpoint, "--images", world.pictures, "--json")
    some = DriftReport.model_validate_json(call(*args, "--count", 5, "--seed", 3).stdout).images
    assert (some.count, some.seed) == (5, 3)
    assert some.sha256 == open_images(world.pictures, labels=LABELS).sample(5, 3).compute_sha256()
    whole = DriftReport.model_validate_json(call(*args, "--count", 100, "--seed", 3).stdout).images
    assert (whole.use.requested, whole.use.used, whole.seed) == (100, whole.use.found, None)
    assert whole.sha256 == DriftReport.model_validate_json(call(*args).stdout).images.sha256


def test_the_ladder_comes_before_the_artifacts_on_the_same_images(
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
    existing, folder = tmp_path / "there.json", tmp_path / "folder"
    existing.write_text("precious", encoding="utf-8")
    folder.mkdir()
    (folder / "precious").touch()
    if command == "validate":
        args = ("validate", sound, "--checkpoint", world.checkpoint, "--images", world.pictures, "--out")
    else:
        new = ("--target", "onnx", "--out", tmp_path / "new", "--validate", world.pictures)
        args = ("export", "--checkpoint", world.checkpoint, *new, "--report")
    for place, more, message in (
        (existing, (), "already exists."),
        (folder, ("--overwrite",), f"{folder} is a folder."),
        (existing / "report.json", (), "cannot be written: Not a directory."),
    ):
        result = call(*args, place, *more)
        assert result.exit_code == 2
        assert message in result.stderr
    assert existing.read_text(encoding="utf-8") == "precious"
    assert {path.name for path in tmp_path.rglob("*")} == {"there.json", "folder", "precious"}
    assert call(*args, existing, "--overwrite").exit_code == 0
    assert DriftReport.load(existing).rows


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


def test_a_validation_notes_that_an_arm64_machine_emulates_nothing(
    sound: Path, world: SharedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shvit_mobile.pipeline.validate.is_arm64_host", lambda: True)
    config = ValidateConfig(artifacts=[sound], checkpoint=world.checkpoint, validation=world.pictures)
    usual = validate(config).notes
    (note,) = set(validate(replace(config, arch="arm64")).notes) - set(usual)
    assert "ARM64" in note


def test_a_validation_of_python_is_refused_with_the_parameter_at_fault(sound: Path, world: SharedFiles) -> None:
    config = ValidateConfig(artifacts=[sound], checkpoint=world.checkpoint, validation=world.unlabelled)
    for change, parameter in (
        ({"artifacts": []}, "artifacts"),
        ({"validation": None}, "validation"),
        ({"cpus": ["neon"]}, "arch"),
        ({"max_drop": 1}, "labels_csv"),
    ):
        with pytest.raises(MissingParameter) as error:
            validate(replace(config, **change))
        assert error.value.parameter == parameter
