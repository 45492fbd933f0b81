"""What Swift made is judged: pixels by an artifact's answers, reports by the command that a person would type."""

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
    """In a folder of its name, as a model in an app."""
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
    """As Swift would leave them where it did all right."""
    (place,) = artifact.path.parent.glob("*.goldens")
    (tmp_path / "model").mkdir()
    for golden in Goldens.load(place / "goldens.json").images:
        (tmp_path / "model" / f"{golden.image}.rgb").write_bytes((place / golden.pixels).read_bytes())
    return tmp_path


def compare_with_runner(artifact: Artifact, pixels: Path) -> list[judge_pixels.PixelComparison]:
    judge: Runner = open_runner(artifact)
    return list(judge_pixels.compare_pixels(pixels, artifact.path.parent.parent, judge))


def test_pixels_that_are_pythons_own_pass(artifact: Artifact, pixels: Path) -> None:
    found = compare_with_runner(artifact, pixels)
    assert len(found) == 4
    assert all(one.passed and one.difference == 0 and one.logits == 0 for one in found)


def test_pixels_of_exchanged_colours_or_a_shifted_picture_do_not(artifact: Artifact, pixels: Path) -> None:
    first, second, *_ = sorted((pixels / "model").iterdir())
    values = np.frombuffer(first.read_bytes(), np.uint8).reshape(*SIZE, 3)
    first.write_bytes(values[..., ::-1].tobytes())
    values = np.frombuffer(second.read_bytes(), np.uint8).reshape(*SIZE, 3)
    second.write_bytes(np.roll(values, 8, axis=1).tobytes())
    found = compare_with_runner(artifact, pixels)
    assert [one.passed for one in found[:2]] == [False, False]
    assert all(one.difference > 1 and one.logits > 0 for one in found[:2])


def test_pixels_near_enough_pass_unless_the_class_is_another(artifact: Artifact, pixels: Path) -> None:
    first = min((pixels / "model").iterdir())
    values = np.frombuffer(first.read_bytes(), np.uint8).astype(int)
    first.write_bytes(np.where(values < 255, values + 1, 254).astype(np.uint8).tobytes())
    one = compare_with_runner(artifact, pixels)[0]
    assert one.difference == 1
    assert one.passed == (one.swift == one.python)


def test_a_picture_that_swift_left_out_is_missed(artifact: Artifact, pixels: Path) -> None:
    max((pixels / "model").iterdir()).unlink()
    with pytest.raises(FileNotFoundError):
        compare_with_runner(artifact, pixels)


def build_steady_result(result: DeviceResult, milliseconds: float, rounds: int) -> dict[str, Any]:
    samples = ((milliseconds,) * 3,) * rounds
    latency = summarize_latency([sample for one in samples for sample in one])
    return result.model_copy(update={"samples_ms": samples, "latency": latency}).model_dump(mode="json")


def write_report_file(folder: Path, file: str, milliseconds: float, rounds: int = 7, **changes: Any) -> Path:
    """A phone's report in which every inference takes as long."""
    report = DeviceReport.load(FIXTURES / "device_report" / "iphone-13.json")
    results = [{**build_steady_result(one, milliseconds, rounds), **changes} for one in report.results]
    path = folder / f"{file}.json"
    path.write_text(json.dumps({**report.model_dump(mode="json"), "results": results}))
    return path


def test_a_report_as_fast_as_before_is_taken_and_a_slower_one_is_told(tmp_path: Path) -> None:
    write_report_file(tmp_path, "earlier", 10)
    assert judge_reports.find_faults(write_report_file(tmp_path, "now", 10.1), MANIFESTS, 0) == []
    assert judge_reports.find_faults(write_report_file(tmp_path, "slower", 12), MANIFESTS, 1) == []
    assert "it ends with 1, not with 0." in judge_reports.find_faults(tmp_path / "slower.json", MANIFESTS, 0)
    assert "it ends with 0, not with 1." in judge_reports.find_faults(tmp_path / "now.json", MANIFESTS, 1)


def test_a_report_of_too_few_rounds_leaves_its_rows_open(tmp_path: Path) -> None:
    write_report_file(tmp_path, "earlier", 10, rounds=6)
    told = judge_reports.find_faults(write_report_file(tmp_path, "now", 10, rounds=6), MANIFESTS, 0)
    assert len(told) == 12
    assert all("too few rounds for an interval" in sentence for sentence in told)


def test_a_report_of_unknown_artifacts_or_without_goldens_is_told(tmp_path: Path) -> None:
    write_report_file(tmp_path, "earlier", 10)
    told = judge_reports.find_faults(write_report_file(tmp_path, "now", 10, golden=None), MANIFESTS, 0)
    assert len(told) == 12
    assert all("has no golden check" in sentence for sentence in told)
    write_report_file(tmp_path, "earlier", 10, name="other.mlpackage", artifact_sha256="0" * 64)
    other = write_report_file(tmp_path, "now", 10, name="other.mlpackage", artifact_sha256="0" * 64)
    assert "other.mlpackage is not among the artifacts." in judge_reports.find_faults(other, MANIFESTS, 0)
