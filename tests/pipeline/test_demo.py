"""The embedded demo is what its model card says, and its artifacts are close to the checkpoint."""

from collections import Counter
from pathlib import Path

import pytest

from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.demo import (
    CALIBRATION_IMAGES,
    CALIBRATION_SCENES,
    CHECKPOINT,
    DEMO_FOLDER,
    DETECTOR,
    TEST_BOXES,
    TEST_IMAGES,
    TEST_SCENES,
)
from shvit_mobile.errors import ToolMissing
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.images.coco_boxes import open_coco_images
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline import demo
from shvit_mobile.pipeline.calibrate import CalibrateConfig
from shvit_mobile.pipeline.demo import DEMO_JOBS, REPORT_FILE, list_all_jobs, run_demo
from shvit_mobile.pipeline.export import ExportConfig, export
from shvit_mobile.targets.capabilities import NEAREST_PRECISIONS


@pytest.mark.parametrize("weights", [CHECKPOINT, DETECTOR], ids=lambda path: path.stem)
def test_the_card_names_the_weights(weights: Path) -> None:
    card = (DEMO_FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert compute_sha256(weights) in card
    assert f"{weights.stat().st_size:,} bytes" in card


def test_the_checkpoint_describes_itself() -> None:
    trained = load_checkpoint(CHECKPOINT)
    assert (trained.variant, trained.dialect) == ("shvit_s1", "shvit-mobile")
    assert trained.labels == tuple(sorted(path.name for path in TEST_IMAGES.iterdir()))
    assert trained.preprocessing.size == (224, 224)


def test_images_are_balanced_and_none_serves_both_calibration_and_test() -> None:
    test, calibration = open_images(TEST_IMAGES), open_images(CALIBRATION_IMAGES)
    assert set(Counter(test.labels or ()).values()) == {50}
    assert set(Counter(calibration.labels or ()).values()) == {20}
    assert not {compute_sha256(file) for file in test.files} & {compute_sha256(file) for file in calibration.files}


def test_scenes_have_boxes_of_all_classes_and_none_serves_both_calibration_and_test() -> None:
    labels = load_checkpoint(DETECTOR, task="detect").labels
    test, calibration = open_coco_images(TEST_SCENES, TEST_BOXES, labels), open_images(CALIBRATION_SCENES)
    assert (len(test), len(calibration)) == (500, 100)
    assert test.true_boxes is not None
    classes = Counter(int(one) for boxes in test.true_boxes.values() for one in boxes.classes)
    assert set(classes) == set(range(10))
    assert not {compute_sha256(file) for file in test.files} & {compute_sha256(file) for file in calibration.files}


def test_the_detector_is_exported_without_a_checkpoint_and_finds_what_is_there(tmp_path: Path) -> None:
    config = ExportConfig(task="detect", targets=("onnx",), min_box_agreement=0.99, validation_count=20, out=tmp_path)
    result = export(config)
    assert result.passed
    (row,) = result.rows
    assert row.images == 20
    assert row.average_precision is not None
    assert row.average_precision.float_ap > 40
    assert abs(row.average_precision.drop) < 0.01


def test_calibration_of_the_detector_takes_its_scenes() -> None:
    config = CalibrateConfig(task="detect")
    assert config.open_calibration_images(config.demo).root == CALIBRATION_SCENES


@pytest.mark.slow
def test_int8_of_the_detector_loses_at_most_half_a_point(tmp_path: Path) -> None:
    result = run_demo(tmp_path, task="detect")
    assert len(result.artifacts) == len(DEMO_JOBS)
    for row in result.rows:
        assert row.average_precision is not None
        assert row.average_precision.drop <= 0.5, row.artifact


@pytest.mark.slow
def test_every_artifact_of_the_demo_is_close_to_the_checkpoint(tmp_path: Path) -> None:
    result = run_demo(tmp_path)
    assert len(result.artifacts) == len(DEMO_JOBS)
    report = DriftReport.load(tmp_path / REPORT_FILE)
    assert report == result.report
    simulated, measured = report.rows[: -len(DEMO_JOBS)], report.rows[-len(DEMO_JOBS) :]
    assert [row.artifact for row in simulated] == ["deploy form", "fake-quant int8", "rounded int8-weights"]
    assert list(measured) == list(result.rows) == [artifact.manifest.drift for artifact in result.artifacts]
    manifests = {
        (artifact.manifest.target, artifact.manifest.precision): artifact.manifest for artifact in result.artifacts
    }
    for (target, precision), manifest in manifests.items():
        drift = manifest.drift
        assert drift is not None
        assert drift.images == 500
        if precision == "fp32":
            assert drift.agreement.value == 1.0
            assert drift.max_abs_error < 1e-3
        if precision == "fp16":
            assert drift.agreement.value >= 0.998
        if precision == "int8":
            assert drift.top1_drop is not None
            assert drift.top1_drop <= 0.5
            assert drift.agreement.value >= 0.985
            assert manifest.artifact.bytes <= 0.30 * manifests[target, "fp32"].artifact.bytes
            assert manifest.inventory.weight_bytes["int8"] > 0.9 * sum(manifest.inventory.weight_bytes.values())


def test_all_jobs_are_those_that_can_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = ToolMissing("It is missing.", hint="Install it.")
    monkeypatch.setattr(demo, "find_missing_tool", lambda target: missing if target == "litert" else None)
    jobs, notes = list_all_jobs()
    assert len(set(jobs)) == len(jobs)
    found = {(job.qualified_target, job.precision) for job in jobs}
    assert {("executorch-coreml", "palette-4"), ("executorch", "fp16"), ("onnx", "int8"), ("coreai", "int8")} <= found
    assert not {"litert", "executorch-vulkan"} & {target for target, _ in found}
    assert sorted(note.split(":")[0] for note in notes) == ["Nothing for executorch-vulkan", "Nothing for litert"]
    assert all(precision not in NEAREST_PRECISIONS[target] for target, precision in found)
