"""The fixtures that three languages read: valid ones survive reading and writing, others are refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from write_fixtures import FOLDER, write_fixtures

from shvit_mobile.bench.statistics import summarize_latency
from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.goldens import Goldens
from shvit_mobile.contracts.instruction_report import InstructionReport
from shvit_mobile.contracts.manifest import Manifest, find_samples_fault
from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.contracts.schemas import DOCUMENT_TYPES
from shvit_mobile.contracts.sensitivity import SensitivityReport

# The page's own document and counts of instructions, which nobody but this project reads, have none; of sensitivity
# there is a valid one for the page.
OWN = (ModelReport, InstructionReport)
READABLE = {document.NAME: document for document in DOCUMENT_TYPES if document not in OWN}
KINDS = {name: document for name, document in READABLE.items() if document is not SensitivityReport}
CASES = json.loads((FOLDER / "invalid" / "cases.json").read_text(encoding="utf-8"))["cases"]


SCHEMAS = {
    name: Draft202012Validator(json.loads((FOLDER.parent / f"{name}.schema.json").read_text(encoding="utf-8")))
    for name in READABLE
}
# A schema allows fields of later minor versions, and does not know which versions this program reads.
CONTRADICTIONS = (
    "no-reduced-tolerance.json",
    "reduced-tolerance-below-other.json",
    *("no-timing.json", "percentile-of-few-samples.json", "no-mean.json", "stage-of-other-frames.json"),
    *("percentiles-out-of-order.json", "total-below-its-stages.json", "low-power-not-allowed.json"),
    "warm-before-it-began.json",
)
# Nor does it compare fields with each other.
ALLOWED_BY_SCHEMA = ("unknown-field.json", "newer-major.json", *CONTRADICTIONS)


def list_valid_documents() -> list[Path]:
    """Every document outside `invalid/`."""
    return [path for path in sorted(FOLDER.rglob("*.json")) if "invalid" not in path.relative_to(FOLDER).parts]


def read_device_reports(folder: str) -> list[DeviceReport]:
    return [DeviceReport.load(path) for path in sorted((FOLDER / folder).glob("*.json"))]


@pytest.mark.parametrize("path", list_valid_documents(), ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_a_valid_document_is_valid_by_its_schema_and_survives_loading(path: Path) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    SCHEMAS[value["kind"]].validate(value)
    assert json.loads(READABLE[value["kind"]].load(path).to_json()) == value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["file"])
def test_an_invalid_document_is_rejected_by_its_class_and_by_its_schema(case: dict[str, str]) -> None:
    file = FOLDER / "invalid" / case["file"]
    with pytest.raises(READABLE[case["document"]].ERROR) as refusal:
        READABLE[case["document"]].load(file)
    path, _, sentence = refusal.value.what.partition(".json ")
    assert path.endswith(case["file"].removesuffix(".json"))
    assert case["why"] in sentence
    value = json.loads(file.read_text(encoding="utf-8"))
    assert SCHEMAS[case["document"]].is_valid(value) == file.name.endswith(ALLOWED_BY_SCHEMA)


def test_every_kind_has_valid_invalid_and_newer_ones() -> None:
    listed = {case["file"] for case in CASES}
    there = {path.relative_to(FOLDER / "invalid").as_posix() for path in (FOLDER / "invalid").glob("*/*.json")}
    assert listed == there
    for kind in KINDS:
        assert list((FOLDER / kind).rglob("*.json"))
        assert (FOLDER / "newer_minor" / f"{kind}.json").exists()
        assert sum(case["document"] == kind for case in CASES) >= 6


@pytest.mark.parametrize("kind", KINDS)
def test_fields_of_a_newer_minor_version_are_kept(kind: str) -> None:
    path = FOLDER / "newer_minor" / f"{kind}.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    assert "added_later" in value
    assert json.loads(READABLE[kind].load(path).to_json()) == value


def test_the_fixtures_are_what_the_tool_writes(tmp_path: Path) -> None:
    write_fixtures(tmp_path / "again")
    again, stored = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "again", FOLDER)
    )
    assert again.keys() == stored.keys(), "run: .venv/bin/python tools/write_fixtures.py"
    assert [path for path in stored if stored[path] != again[path]] == [], (
        "run: .venv/bin/python tools/write_fixtures.py"
    )


def test_device_reports_say_that_they_are_fixtures_and_agree_with_their_samples() -> None:
    folders = ("device_report", "device_report_earlier", "device_report_other_timing")
    found = [report for folder in folders for report in read_device_reports(folder)]
    assert len(found) == 8
    assert all(report.fixture for report in found)
    assert [report.schema_version for report in found].count("1.0") == 4
    for report in found:
        for result in report.results:
            expected = summarize_latency([sample for samples in result.samples_ms for sample in samples])
            if report.schema_version == "1.0":
                assert (result.latency.p50, result.stages, result.latency.mean) == (expected.p50, None, None)
                assert result.latency.p99 is not None
            else:
                assert result.latency == expected
                assert result.stages is not None


def test_device_reports_measure_the_artifacts_of_the_manifests() -> None:
    manifests = [Manifest.load(path) for path in (FOLDER / "manifest").glob("*.json")]
    known = {manifest.artifact.name: manifest.artifact.sha256 for manifest in manifests}
    for report in (*read_device_reports("device_report"), *read_device_reports("device_report_earlier")):
        assert {(result.name, result.artifact_sha256) for result in report.results} <= set(known.items())


def test_device_reports_cover_what_a_reader_has_to_show() -> None:
    found = read_device_reports("device_report")
    results = [result for report in found for result in report.results]
    traced = [report.conditions.thermal for report in found if report.conditions]
    assert {result.compute for result in results} == {"cpu", "cpu-and-gpu", "cpu-and-neural-engine", "all"}
    assert {result.threads for result in results} == {None, 1, 2, 4}
    assert any(sample.state == "serious" for trace in traced for sample in trace)
    assert any(result.windows for result in results)
    assert any(result.golden and not result.golden.passed for result in results)
    assert any(report.conditions and report.conditions.low_power for report in found)


@pytest.mark.parametrize("stem", ["shvit_s1-64-executorch-fp32", "detector-64-executorch-fp32"])
def test_goldens_are_those_of_their_manifest(stem: str) -> None:
    place = FOLDER / "goldens" / f"{stem}.goldens"
    goldens = Goldens.load(place / "goldens.json")
    manifest = Manifest.load(place.with_suffix(".manifest.json"))
    assert manifest.artifact.sha256 == goldens.artifact_sha256
    assert manifest.goldens is not None
    assert (manifest.goldens.name, manifest.goldens.sha256) == (place.name, compute_sha256(place))
    assert find_samples_fault(goldens.sampled_outputs, manifest.output.maps) == ""
    for golden in goldens.images:
        assert compute_sha256(place / golden.image) == golden.image_sha256
        assert compute_sha256(place / golden.pixels) == golden.pixels_sha256
