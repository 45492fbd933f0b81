"""An export for a platform makes what it can run, and recommends an artifact that keeps the accuracy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shvit_mobile import ExportConfig, ExportResult, export
from shvit_mobile.contracts.drift_row import ProportionEstimate
from shvit_mobile.drift.gates import Gate
from shvit_mobile.errors import ConflictingParameters, MissingParameter, UnknownChoice
from shvit_mobile.families.checkpoints import save_checkpoint
from shvit_mobile.families.shvit import SHViTConfig
from shvit_mobile.pipeline.export import plan_export
from shvit_mobile.pipeline.platforms import recommend
from tests.builders import build_random_shvit, build_trained_model, fit_head, write_picture_folder

LABELS = ("ant", "bee", "cat")
SMALL = SHViTConfig(
    dims=(16, 24), partial_dims=(8, 9), qk_dims=(8, 8), depths=(1, 1), block_types=("i", "s"), classes=len(LABELS)
)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ExportConfig:
    """A small checkpoint that recognizes its labelled pictures, for iOS."""
    folder = tmp_path_factory.mktemp("files")
    pictures = write_picture_folder(folder / "pictures", count=9, classes=LABELS, size=(70, 50))
    model = replace(build_trained_model(build_random_shvit(SMALL, seed=3), size=(64, 48)), labels=LABELS)
    save_checkpoint(fit_head(model, pictures), folder / "model.safetensors")
    return ExportConfig(checkpoint=folder / "model.safetensors", platforms=["ios"], out=folder / "artifacts")


@pytest.fixture(scope="module")
def result(config: ExportConfig) -> ExportResult:
    pictures = Path(str(config.checkpoint)).parent / "pictures"
    return export(replace(config, precisions=["fp16"], validation=pictures, out=pictures.parent / "compared"))


def test_what_keeps_the_accuracy_is_recommended_with_evidence(result: ExportResult) -> None:
    names = ["custom-64x48-coreml-fp16.mlpackage", "custom-64x48-executorch-coreml-fp16.pte"]
    assert [artifact.path.name for artifact in result.artifacts] == names
    (recommendation,) = result.recommendations
    assert recommendation.artifact is not None
    assert recommendation.artifact.path.name == names[0]
    assert "100.0% of 9 images (reference execution)" in recommendation.evidence
    assert recommendation.passed_over == ()


def test_an_artifact_beyond_the_limits_is_passed_over_and_the_reason_given(result: ExportResult) -> None:
    worse = ProportionEstimate(value=8 / 9, low=0.5, high=0.99)
    rows = [result.rows[0].model_copy(update={"agreement": worse}), result.rows[1]]
    recommendation = recommend("ios", result.artifacts, rows)
    assert recommendation.artifact == result.artifacts[1]
    assert len(recommendation.passed_over) == 1
    assert recommendation.passed_over[0].startswith("custom-64x48-coreml-fp16.mlpackage: ")
    nothing = recommend("ios", result.artifacts[:1], rows[:1], Gate(min_agreement=0.9))
    assert (nothing.artifact, nothing.evidence) == (None, "")
    lenient = recommend("ios", result.artifacts, rows, Gate(min_agreement=0.8))
    assert lenient.artifact == result.artifacts[0]


def test_without_images_only_float_is_recommended(result: ExportResult) -> None:
    recommendation = recommend("ios", result.artifacts, [])
    assert recommendation.artifact == result.artifacts[0]
    assert "was not compared" in recommendation.evidence
    manifest = result.artifacts[0].manifest.model_copy(update={"precision": "int8"})
    int8 = replace(result.artifacts[0], manifest=manifest)
    recommendation = recommend("ios", [int8], [])
    assert recommendation.artifact is None
    assert "was not compared" in recommendation.passed_over[0]


def test_int8_is_left_out_without_images_to_calibrate_on(config: ExportConfig) -> None:
    plan = plan_export(config)
    assert [path.name for path in plan.paths] == [
        "custom-64x48-coreml-fp16.mlpackage",
        "custom-64x48-executorch-coreml-fp16.pte",
    ]
    assert "No int8: it needs images to calibrate on, and none are given." in plan.notes
    pictures = Path(str(config.checkpoint)).parent / "pictures"
    both = plan_export(replace(config, platforms=["ios", "android"], calibration=pictures))
    names = {path.name for path in both.paths}
    int8 = ("coreml-int8.mlpackage", "executorch-int8.pte", "executorch-coreml-int8.pte")
    assert {f"custom-64x48-{name}" for name in int8} <= names
    with pytest.raises(MissingParameter, match="calibrate"):
        plan_export(replace(config, precisions=["int8"]))


def test_a_platform_excludes_targets(config: ExportConfig) -> None:
    with pytest.raises(ConflictingParameters, match="platforms"):
        plan_export(replace(config, targets=["onnx"]))
    with pytest.raises(ConflictingParameters, match="platforms"):
        plan_export(replace(config, delegates=["coreml"]))
    with pytest.raises(UnknownChoice):
        plan_export(replace(config, platforms=["windows"]))  # type: ignore[list-item]
