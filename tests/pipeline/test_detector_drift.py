"""Detectors are held against their float model by boxes, with and without labels; gates of boxes fail where due."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from shvit_mobile.cli.main import app
from shvit_mobile.contracts.budget_search import SearchResult
from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.detection.decode import Boxes
from shvit_mobile.drift.box_drift import decode_batch
from shvit_mobile.errors import BaselineFailed, MissingParameter, NotSupported
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.calibrate import CalibrateConfig, calibrate
from shvit_mobile.pipeline.export import ExportConfig, export
from shvit_mobile.pipeline.validate import ValidateConfig, validate
from shvit_mobile.report.join import build_report
from shvit_mobile.report.page import render_page
from tests.builders import save_random_detector, write_picture_folder

LABELS, SIZE = ("cat", "dog", "ship"), (96, 128)
# Of each picture the best boxes that the float model finds are the true ones, so that its AP is high.
TRUE_BOXES = 4


@dataclass(frozen=True)
class World:
    """A detector, pictures with boxes, an artifact of it, and one of a detector with other weights."""

    checkpoint: Path
    pictures: Path
    boxes: Path
    artifact: Path
    damaged: Path


def find_boxes(checkpoint: Path, pictures: Path) -> dict[str, Boxes]:
    """Return what the float model finds, by file name."""
    trained = load_checkpoint(checkpoint, task="detect")
    assert trained.detection is not None
    found: dict[str, Boxes] = {}
    for batch in iterate_batches(open_images(pictures), trained.preprocessing):
        with torch.inference_mode():
            maps = trained.model(torch.from_numpy(trained.preprocessing.normalize(batch.pixels)))
        outputs = {name: one.numpy() for name, one in zip(trained.map_names, maps, strict=True)}
        boxes = decode_batch(outputs, trained.map_names, trained.detection, trained.preprocessing, batch.sizes)
        found |= {file.name: one for file, one in zip(batch.files, boxes, strict=True)}
    return found


def write_boxes(path: Path, found: dict[str, Boxes], names: tuple[str, ...] = LABELS) -> Path:
    """Write the best boxes of pictures as COCO's annotations, each a pixel off."""
    annotations = [
        {
            "id": 10 * image + place + 1,
            "image_id": image,
            "category_id": int(boxes.classes[place]),
            "bbox": [*(boxes.corners[place, :2] + 1).tolist(), *np.ptp(boxes.corners[place].reshape(2, 2), 0).tolist()],
        }
        for image, boxes in enumerate(found.values())
        for place in range(TRUE_BOXES)
    ]
    images = [{"id": image, "file_name": name} for image, name in enumerate(found)]
    categories = [{"id": index, "name": name} for index, name in enumerate(names)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("detector")
    checkpoint = save_random_detector(folder / "detector.safetensors", LABELS, SIZE)
    pictures = write_picture_folder(folder / "pictures", count=7, size=(110, 141))
    boxes = write_boxes(folder / "boxes.json", find_boxes(checkpoint, pictures))
    paths = []
    for name, noise in (("sound", 0.0), ("damaged", 1.0)):
        trained = load_checkpoint(checkpoint, task="detect")
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in trained.model.parameters():
                parameter += noise * parameter.std() * torch.randn_like(parameter) if parameter.ndim > 1 else 0
        config = ExportConfig(
            checkpoint=trained, task="detect", targets=("onnx",), precisions=("fp32",), out=folder / name
        )
        paths.append(export(config).artifacts[0].path)
    return World(checkpoint, pictures, boxes, *paths)


def build_command(world: World, artifact: Path, *options: str) -> list[str]:
    return ["validate", str(artifact), "--checkpoint", str(world.checkpoint), "--images", str(world.pictures), *options]


def run(world: World, artifact: Path, *options: str) -> Result:
    return CliRunner().invoke(app, build_command(world, artifact, *options))


def test_an_artifact_of_the_same_weights_finds_the_same_boxes_and_passes(world: World, tmp_path: Path) -> None:
    report = tmp_path / "drift.json"
    options = ("--labels-coco", str(world.boxes), "--max-drop", "0.01", "--min-box-agreement", "99")
    result = run(world, world.artifact, *options, "--out", str(report))
    assert result.exit_code == 0, result.output
    (row,) = DriftReport.load(report).rows
    assert row.boxes is not None
    assert row.boxes.float_boxes == row.boxes.boxes == row.boxes.matched >= 100
    assert row.boxes.mean_iou == pytest.approx(1, abs=1e-4)
    precision = row.average_precision
    assert precision is not None
    assert precision.true_boxes == 7 * TRUE_BOXES
    assert 20 < precision.float_ap < precision.float_ap50
    assert abs(precision.drop) < 0.01
    assert "found by" in result.stdout
    assert DriftReport.load(report).images.labelled


def test_an_artifact_of_other_weights_fails_each_gate(world: World) -> None:
    labels = ("--labels-coco", str(world.boxes))
    result = run(world, world.damaged, *labels, "--max-drop", "1", "--min-box-agreement", "90")
    assert result.exit_code == 1, result.output
    assert "gate failed: light_custom-detect-96x128-onnx-fp32.onnx: the AP drop is " in result.stderr
    assert "box agreement is " in result.stderr
    alone = run(world, world.damaged, "--min-box-agreement", "90")
    assert alone.exit_code == 1
    assert "AP drop" not in alone.stderr


def test_page_and_card_state_boxes_and_average_precision(world: World, tmp_path: Path) -> None:
    config = ExportConfig(
        checkpoint=world.checkpoint,
        task="detect",
        targets=("onnx",),
        precisions=("fp32",),
        validation=world.pictures,
        labels_coco=world.boxes,
        min_box_agreement=0.9,
        report=tmp_path / "drift.json",
        out=tmp_path / "out",
        card=True,
    )
    result = export(config)
    assert result.passed
    assert result.card is not None
    page = render_page(build_report([tmp_path / "out", tmp_path / "drift.json"]))
    for text in (page, result.card.read_text(encoding="utf-8")):
        assert "% found by both" in text
        assert "at an IoU of 0.5" in text
        assert f"{7 * TRUE_BOXES} true boxes" in text


def test_a_float_model_that_finds_no_true_boxes_stops_the_export_before_anything_is_written(
    world: World, tmp_path: Path
) -> None:
    """The true boxes are of another class than what the model finds there."""
    found = find_boxes(world.checkpoint, world.pictures)
    away = {
        name: replace(boxes, corners=np.tile(np.array([0, 0, 3, 2], np.float32), (len(boxes.classes), 1)))
        for name, boxes in found.items()
    }
    config = ExportConfig(
        checkpoint=world.checkpoint,
        task="detect",
        targets=("onnx",),
        precisions=("fp32",),
        validation=world.pictures,
        labels_coco=write_boxes(tmp_path / "away.json", away),
        max_drop=1,
        out=tmp_path / "out",
    )
    with pytest.raises(BaselineFailed):
        export(config)
    assert not (tmp_path / "out").exists()
    labels = ("--labels-coco", str(tmp_path / "away.json"), "--max-drop", "1")
    refused = run(world, world.artifact, *labels)
    assert refused.exit_code == 1
    assert "The float model finds almost none of the 28 boxes in 7 images" in refused.stderr
    accepted = run(world, world.artifact, *labels, "--accept-baseline")
    assert accepted.exit_code == 0, accepted.stderr
    assert "Accepted: The float model finds almost none" in accepted.stderr


def test_too_few_boxes_fail_the_gate(world: World, tmp_path: Path) -> None:
    """The same artifact on one picture, with a contract that lets a few boxes through."""
    trained = load_checkpoint(world.checkpoint, task="detect")
    assert trained.detection is not None
    few = replace(trained, detection=replace(trained.detection, max_boxes=2))
    options = {"task": "detect", "targets": ("onnx",), "precisions": ("fp32",), "validation": world.pictures}
    result = export(ExportConfig(checkpoint=few, out=tmp_path, min_box_agreement=0.5, **options))  # type: ignore[arg-type]
    assert result.verdict is not None
    (sentence,) = result.verdict.violations
    assert "the float model finds 14 boxes" in sentence


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--min-agreement", "99"), "--min-agreement is given for the task detect"),
        (("--min-top1", "60"), "--min-top1 is given for the task detect"),
        (("--labels-csv", "labels.csv"), "--labels-csv is given for the task detect"),
        (("--max-drop", "1"), "--labels-coco"),
        (("--min-box-agreement", "0.9"), "Did you mean --min-box-agreement 90?"),
        (("--labels-coco", "missing.json"), "missing.json does not exist"),
    ],
)
def test_options_that_mean_nothing_for_a_detector_are_refused(
    world: World, options: tuple[str, ...], said: str
) -> None:
    result = run(world, world.artifact, *options)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.split())


def test_unknown_categories_are_refused_with_the_classes_of_the_model(world: World, tmp_path: Path) -> None:
    found = find_boxes(world.checkpoint, world.pictures)
    path = write_boxes(tmp_path / "boxes.json", found, ("catt", "dogg", "shipp"))
    result = run(world, world.artifact, "--labels-coco", str(path))
    assert result.exit_code == 2
    assert "(ship?)" in result.stderr or "(dog?)" in result.stderr or "(cat?)" in result.stderr


def test_boxes_mean_nothing_for_a_classifier(world: World, tmp_path: Path) -> None:
    for options in ({"min_box_agreement": 0.9}, {"labels_coco": world.boxes}):
        with pytest.raises(NotSupported):
            export(ExportConfig(targets=("onnx",), out=tmp_path, validation=world.pictures, **options))  # type: ignore[arg-type]


def test_class_folders_are_no_labels_of_a_detector(world: World, tmp_path: Path) -> None:
    folder = write_picture_folder(tmp_path / "pictures", count=4, classes=("one", "two"))
    config = ValidateConfig(artifacts=[world.artifact], checkpoint=world.checkpoint, validation=folder)
    result = validate(config)
    assert not result.report.images.labelled
    assert result.report.rows[0].boxes is not None


def test_a_budget_of_boxes_keeps_layers_in_float_where_int8_misses_it(world: World, tmp_path: Path) -> None:
    config = CalibrateConfig(
        checkpoint=world.checkpoint,
        task="detect",
        calibration=world.pictures,
        validation=world.pictures,
        labels_coco=world.boxes,
        min_box_agreement=0.97,
        max_drop=5,
        passes=(),
        out=tmp_path,
    )
    search = calibrate(config).search
    assert search is not None
    assert (search.budget.min_box_agreement, search.budget.max_drop) == (0.97, 5)
    plain, chosen = next(one for one in search.points if not one.float_layers), search.chosen
    for point, holds in ((plain, False), (chosen, True)):
        shared, precision = point.row.shared_answers, point.row.average_precision
        assert shared is not None
        assert precision is not None
        assert (shared.value >= 0.97 and precision.drop <= 5) == holds
        assert (point.holds != "not held") == holds
    assert search.images.labelled
    assert SearchResult.model_validate_json(search.to_json()) == search


def test_a_budget_of_average_precision_needs_boxes(world: World, tmp_path: Path) -> None:
    options = {"checkpoint": world.checkpoint, "task": "detect", "calibration": world.pictures, "out": tmp_path}
    with pytest.raises(MissingParameter) as caught:
        calibrate(CalibrateConfig(validation=world.pictures, max_drop=1, **options))  # type: ignore[arg-type]
    assert caught.value.parameter == "labels_coco"
    with pytest.raises(MissingParameter) as caught:
        calibrate(CalibrateConfig(labels_coco=world.boxes, max_drop=1, **options))  # type: ignore[arg-type]
    assert caught.value.parameter == "validation"
