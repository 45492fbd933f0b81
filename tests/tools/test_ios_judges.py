"""The checks of Swift's output: pixels against an artifact's logits, reports against `shvit-mobile devices`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import judge_pixels
import judge_reports
import numpy as np
import pytest

from shvit_mobile.bench.statistics import summarize_latency
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.device_report import DeviceReport, DeviceResult
from shvit_mobile.contracts.goldens import Goldens
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.runtimes import open_runner
from shvit_mobile.runtimes.runner import Runner
from tests.builders import build_random_shvit, build_trained_model
from tests.fixtures import FIXTURES
from tests.programs import SIZE, SMALL

MANIFESTS = FIXTURES / "manifest"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An artifact in a folder of its name, like a model in an app."""
    folder = tmp_path_factory.mktemp("models") / "model"
    folder.mkdir()
    return lower(
        to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE)),
        Recipe(precision="fp32"),
        "onnx",
        folder,
    )


@pytest.fixture
def pixels(artifact: Artifact, tmp_path: Path) -> Path:
    """The pixels that a correct Swift test would write."""
    (place,) = artifact.path.parent.glob("*.goldens")
    (tmp_path / "model").mkdir()
    for golden in Goldens.load(place / "goldens.json").images:
        (tmp_path / "model" / f"{golden.image}.rgb").write_bytes((place / golden.pixels).read_bytes())
    return tmp_path


def compare_with_runner(artifact: Artifact, pixels: Path) -> list[judge_pixels.PixelComparison]:
    judge: Runner = open_runner(artifact)
    return list(judge_pixels.compare_pixels(pixels, artifact.path.parent.parent, judge))


def test_pythons_own_pixels_pass(artifact: Artifact, pixels: Path) -> None:
    found = compare_with_runner(artifact, pixels)
    assert len(found) == 5
    assert all(one.passed and one.difference == 0 and one.logits == 0 for one in found)


def test_swapped_colors_or_a_shifted_picture_fail(artifact: Artifact, pixels: Path) -> None:
    first, second, *_ = sorted((pixels / "model").iterdir())
    values = np.frombuffer(first.read_bytes(), np.uint8).reshape(*SIZE, 3)
    first.write_bytes(values[..., ::-1].tobytes())
    values = np.frombuffer(second.read_bytes(), np.uint8).reshape(*SIZE, 3)
    second.write_bytes(np.roll(values, 8, axis=1).tobytes())
    found = compare_with_runner(artifact, pixels)
    assert [one.passed for one in found[:2]] == [False, False]
    assert all(one.difference > 1 and one.logits > 0 for one in found[:2])


def test_pixels_within_the_tolerance_pass_unless_the_class_differs(artifact: Artifact, pixels: Path) -> None:
    first = min((pixels / "model").iterdir())
    values = np.frombuffer(first.read_bytes(), np.uint8).astype(int)
    first.write_bytes(np.where(values < 255, values + 1, 254).astype(np.uint8).tobytes())
    one = compare_with_runner(artifact, pixels)[0]
    assert one.difference == 1
    assert one.passed == (one.swift == one.python)


def test_missing_pixels_are_an_error(artifact: Artifact, pixels: Path) -> None:
    max((pixels / "model").iterdir()).unlink()
    with pytest.raises(FileNotFoundError):
        compare_with_runner(artifact, pixels)


def build_steady_result(result: DeviceResult, milliseconds: float, rounds: int) -> dict[str, Any]:
    samples = ((milliseconds,) * 3,) * rounds
    latency = summarize_latency([sample for one in samples for sample in one])
    return result.model_copy(update={"samples_ms": samples, "latency": latency}).model_dump(mode="json")


def write_report_file(folder: Path, file: str, milliseconds: float, rounds: int = 7, **changes: Any) -> Path:
    """Write a phone's report in which every inference takes equally long."""
    report = DeviceReport.load(FIXTURES / "device_report" / "iphone-15-pro.json")
    results = [{**build_steady_result(one, milliseconds, rounds), **changes} for one in report.results]
    path = folder / f"{file}.json"
    path.write_text(json.dumps({**report.model_dump(mode="json"), "results": results}), encoding="utf-8")
    return path


def test_an_equally_fast_report_passes_and_a_slower_one_fails(tmp_path: Path) -> None:
    write_report_file(tmp_path, "earlier", 10)
    assert judge_reports.find_faults(write_report_file(tmp_path, "now", 10.1), MANIFESTS, 0) == []
    assert judge_reports.find_faults(write_report_file(tmp_path, "slower", 12), MANIFESTS, 1) == []
    assert "the exit status is 1, not 0." in judge_reports.find_faults(tmp_path / "slower.json", MANIFESTS, 0)
    assert "the exit status is 0, not 1." in judge_reports.find_faults(tmp_path / "now.json", MANIFESTS, 1)


def test_too_few_rounds_leave_the_rows_undecided(tmp_path: Path) -> None:
    write_report_file(tmp_path, "earlier", 10, rounds=6)
    faults = judge_reports.find_faults(write_report_file(tmp_path, "now", 10, rounds=6), MANIFESTS, 0)
    assert len(faults) == 12
    assert all("too few rounds for an interval" in sentence for sentence in faults)


def test_unknown_artifacts_and_missing_golden_checks_are_faults(tmp_path: Path) -> None:
    write_report_file(tmp_path, "earlier", 10)
    faults = judge_reports.find_faults(write_report_file(tmp_path, "now", 10, golden=None), MANIFESTS, 0)
    assert len(faults) == 12
    assert all("has no passed golden check" in sentence for sentence in faults)
    write_report_file(tmp_path, "earlier", 10, name="other.mlpackage", artifact_sha256="0" * 64)
    other = write_report_file(tmp_path, "now", 10, name="other.mlpackage", artifact_sha256="0" * 64)
    assert "other.mlpackage is not among the artifacts." in judge_reports.find_faults(other, MANIFESTS, 0)
