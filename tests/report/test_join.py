"""Files that belong together are joined by SHA-256, whatever their names; what cannot be joined is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.errors import BadArtifact, BadReport, ShvitError
from shvit_mobile.report.join import build_report
from tests.report.builders import (
    DRIFT,
    FIXTURES,
    INT8,
    MANIFESTS,
    OTHER_HASH,
    PHONES,
    SENSITIVITY,
    build_full_report,
    load_json,
    load_manifest,
    load_phone_report,
    write_json,
)

RESULTS_OF_INT8 = 12  # three iPhones, four settings each


def verdict(report: ModelReport, sha256: str) -> tuple[str, str]:
    found = report.find_artifact(sha256)
    assert found
    return found.verdict.status, found.verdict.sentence


def test_an_artifact_is_joined_with_its_rows_and_its_results() -> None:
    report = build_full_report()
    int8 = report.find_artifact(load_manifest()["artifact"]["sha256"])
    assert int8
    assert [report.drift[place.report].rows[place.entry].artifact for place in int8.rows] == [f"{INT8}.mlpackage"]
    assert len(int8.results) == RESULTS_OF_INT8
    assert {report.get_result(place).artifact_sha256 for place in int8.results} == {int8.sha256}
    known = report.get_manifest(int8)
    assert known is not None
    assert known.artifact.sha256 == int8.sha256


def test_the_join_goes_by_hash_and_not_by_name(tmp_path: Path) -> None:
    device = load_phone_report()
    for result in device["results"]:
        result["name"] = "model.mlpackage"
    report = build_report([MANIFESTS, write_json(tmp_path, "renamed.json", device)])
    int8 = report.find_artifact(load_manifest()["artifact"]["sha256"])
    assert int8
    assert len(int8.results) == RESULTS_OF_INT8 / 3
    assert int8.name == f"{INT8}.mlpackage"


def test_a_device_that_measured_another_file_of_the_name_is_told_and_kept_apart(tmp_path: Path) -> None:
    device = load_phone_report()
    for result in device["results"]:
        if result["precision"] == "int8":
            result["artifact_sha256"] = OTHER_HASH
    report = build_report([MANIFESTS, write_json(tmp_path, "stale.json", device)])
    (remark,) = report.remarks
    assert remark.grave
    assert remark.sentence.startswith(f"iPhone 13 (stale.json) measured another {INT8}.mlpackage: its SHA-256 is abab")
    int8, other = report.find_artifact(load_manifest()["artifact"]["sha256"]), report.find_artifact(OTHER_HASH)
    assert int8
    assert other
    assert (int8.results, len(other.results)) == ((), RESULTS_OF_INT8 / 3)
    assert other.verdict.status == "unproven"


def test_a_device_that_states_another_size_than_the_manifest_is_refused(tmp_path: Path) -> None:
    device = load_phone_report()
    device["results"][0]["size_bytes"] += 1
    with pytest.raises(BadReport):
        build_report([MANIFESTS, write_json(tmp_path, "damaged.json", device)])


def test_a_drift_report_on_another_file_of_the_name_proves_nothing(tmp_path: Path) -> None:
    drift = load_json(DRIFT)
    drift["rows"][2]["artifact_sha256"] = OTHER_HASH
    without_row = load_manifest() | {"drift": None}
    report = build_report([write_json(tmp_path, "m.json", without_row), write_json(tmp_path, "d.json", drift)])
    assert verdict(report, without_row["artifact"]["sha256"])[0] == "unproven"
    assert any(f"The drift report d.json measured another {INT8}" in remark.sentence for remark in report.remarks)


def test_two_files_of_one_name_are_told(tmp_path: Path) -> None:
    other = load_manifest()
    other["artifact"]["sha256"] = OTHER_HASH
    other["drift"] = None
    report = build_report([MANIFESTS, write_json(tmp_path, "other.json", other)])
    assert f"2 different files are called {INT8}.mlpackage" in report.remarks[0].sentence
    assert sum(one.name == f"{INT8}.mlpackage" for one in report.artifacts) == 2


def test_a_remark_names_a_row_of_another_checkpoint(tmp_path: Path) -> None:
    drift = load_json(DRIFT)
    drift["checkpoint"]["sha256"] = OTHER_HASH
    report = build_report([MANIFESTS, write_json(tmp_path, "d.json", drift)])
    sentences = [one.sentence for one in report.remarks if one.sentence.startswith("d.json compares shvit_s1-224-")]
    assert len(sentences) == 3


def test_reports_on_different_images_are_told(tmp_path: Path) -> None:
    drift = load_json(DRIFT)
    drift["images"] |= {"sha256": OTHER_HASH, "source": "elsewhere"}
    report = build_report([DRIFT, write_json(tmp_path, "d.json", drift)])
    (remark,) = report.remarks
    assert "500 images of test" in remark.sentence
    assert "500 images of elsewhere" in remark.sentence


def test_a_row_without_a_hash_counts_for_nothing(tmp_path: Path) -> None:
    drift = load_json(DRIFT)
    drift["rows"][2]["artifact_sha256"] = None
    report = build_report([write_json(tmp_path, "d.json", drift)])
    (remark,) = report.remarks
    assert f"d.json has no SHA-256 for {INT8}.mlpackage" in remark.sentence
    assert f"{INT8}.mlpackage" not in {one.name for one in report.artifacts}


def test_fixtures_that_agree_leave_nothing_to_remark() -> None:
    without = [path for path in PHONES.glob("*.json") if path.stem not in ("iphone-13", "galaxy-s23")]
    assert build_report([MANIFESTS, DRIFT, SENSITIVITY, *without]).remarks == ()


def test_an_app_that_timed_more_and_a_failed_measurement_are_remarks() -> None:
    told = sorted(remark.sentence for remark in build_full_report().remarks)
    assert [remark.grave for remark in build_full_report().remarks] == [False, False]
    assert told[0].startswith(
        "Galaxy S23 (galaxy-s23.json) could not measure shvit_s1-224-executorch-fp32.pte (8 threads)"
    )
    assert told[1].startswith("iPhone 13 (iphone-13.json) is of an app that timed the call with input and output")


def test_a_gate_passes_and_fails_by_artifact(tmp_path: Path) -> None:
    drift = load_json(DRIFT)
    told = f"{INT8}.mlpackage: agreement is 99% (95% interval 97.68% to 99.57%, 500 images), less than 99.5%."
    drift["gate"] = {"passed": False, "violations": [told], "caveats": []}
    report = build_report([MANIFESTS, write_json(tmp_path, "d.json", drift)])
    statuses = {one.name: one.verdict.status for one in report.artifacts}
    assert statuses == {
        "shvit_s1-224-coreml-fp16.mlpackage": "passed",
        f"{INT8}.mlpackage": "failed",
        "shvit_s1-224-coreml-int8-weights.mlpackage": "measured",
        "shvit_s1-224-executorch-fp32.pte": "measured",
        "shvit_s1-224-executorch-int8.pte": "passed",
    }
    sentence = verdict(report, load_manifest()["artifact"]["sha256"])[1]
    assert sentence == "Agreement is 99% (95% interval 97.68% to 99.57%, 500 images), less than 99.5%."


def test_an_overflow_in_fp16_fails(tmp_path: Path) -> None:
    drift = load_json(DRIFT)
    drift["ranges"][0]["flags"] = ["blocks2.1.mixer: squares reach 70000, past 65504."]
    report = build_report([write_json(tmp_path, "d.json", drift)])
    sha256 = load_manifest("shvit_s1-224-coreml-fp16")["artifact"]["sha256"]
    assert verdict(report, sha256) == ("failed", "Blocks2.1.mixer: squares reach 70000, past 65504.")


@pytest.mark.parametrize(("measured", "status"), [(True, "failed"), (False, "passed")])
def test_a_golden_check_counts_if_it_was_measured(tmp_path: Path, measured: bool, status: str) -> None:
    device = load_phone_report("galaxy-a14", measured=measured)  # whose preprocessing is off
    report = build_report([MANIFESTS, DRIFT, write_json(tmp_path, "phone.json", device)])
    found = verdict(report, load_manifest("shvit_s1-224-executorch-int8")["artifact"]["sha256"])
    assert found[0] == status
    assert ("Preprocessing on Galaxy A14 fails the golden check." in found[1]) == measured


def test_a_drift_report_goes_before_what_the_manifest_recorded(tmp_path: Path) -> None:
    recorded = load_manifest()
    recorded["drift"] |= {"sqnr_db": 1.0}
    alone = build_report([write_json(tmp_path, "m.json", recorded)]).artifacts[0]
    both = build_report([tmp_path / "m.json", DRIFT]).find_artifact(alone.sha256)
    assert both
    assert alone.drift
    assert both.drift
    assert (alone.recorded, alone.drift.sqnr_db) == (True, 1.0)
    assert (both.recorded, both.drift.sqnr_db) == (False, 30.077328)


def test_the_json_is_the_same_whatever_the_order_of_the_inputs() -> None:
    inputs = [MANIFESTS, DRIFT, *sorted(PHONES.glob("*.json")), PHONES]
    forwards, backwards = build_report(inputs), build_report(inputs[::-1])
    assert forwards.to_json() == backwards.to_json()
    assert len(forwards.devices) == len(list(PHONES.glob("*.json")))


def test_the_json_is_a_document_that_is_read_back(tmp_path: Path) -> None:
    report = build_full_report()
    (tmp_path / "report.json").write_text(report.to_json(), encoding="utf-8")
    assert ModelReport.load(tmp_path / "report.json") == report


def test_no_path_of_the_machine_is_kept(tmp_path: Path) -> None:
    report = build_report([write_json(tmp_path / "secret", "m.json", load_manifest())])
    assert "secret" not in report.to_json()


def test_an_artifact_finds_its_manifest_and_must_be_what_that_says(tmp_path: Path) -> None:
    told = load_manifest("shvit_s1-224-executorch-fp32")
    artifact = tmp_path / told["artifact"]["name"]
    artifact.write_bytes(b"another file")
    write_json(tmp_path, "shvit_s1-224-executorch-fp32.manifest.json", told)
    for given in (artifact, tmp_path, tmp_path / "shvit_s1-224-executorch-fp32.manifest.json"):
        with pytest.raises(BadArtifact, match="is not the file its manifest describes"):
            build_report([given])
    artifact.unlink()
    assert build_report([tmp_path]).artifacts[0].name == artifact.name


def test_a_manifest_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.pte").write_text("not to be read", encoding="utf-8")
    told = load_manifest("shvit_s1-224-executorch-fp32")
    told["artifact"]["name"] = "../elsewhere.pte"
    with pytest.raises(BadArtifact, match=r"artifact\.name"):
        build_report([write_json(tmp_path / "in", "elsewhere.manifest.json", told)])


def test_json_of_other_kinds_in_a_folder_is_skipped(tmp_path: Path) -> None:
    write_json(tmp_path, "package.json", {"name": "x"})
    write_json(tmp_path, "list.json", [])  # type: ignore[arg-type]
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    write_json(tmp_path, "report.json", json.loads(build_full_report().to_json()))
    write_json(tmp_path, "x.goldens/m.json", load_manifest())
    write_json(tmp_path, "deep/er/m.json", load_manifest())
    assert [source.file for source in build_report([tmp_path]).sources] == ["m.json"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "nothing.json", r"nothing\.json does not exist"),
        (lambda folder: folder, r"contains no manifest and no report"),
        (lambda folder: write_json(folder, "a.json", {"a": 1}), r"a\.json does not state its kind"),
        (lambda folder: write_json(folder, "a.json", {"kind": "invoice"}), r"a\.json is of the kind 'invoice'"),
        (lambda folder: FIXTURES / "recipe" / "int8.recipe.json", r"is of the kind 'recipe'"),
        (lambda folder: write_json(folder, "a.json", {"kind": "report"}), r"This is a finished report"),
        (lambda folder: write_json(folder, "a.json", {"kind": "drift_report"}), r"a\.json is not a drift report"),
        (lambda folder: folder / "x.pte", r"x\.pte does not exist"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(tmp_path: Path, make: object, words: str) -> None:
    with pytest.raises(ShvitError, match=words):
        build_report([make(tmp_path)])  # type: ignore[operator]


def broken() -> list[dict[str, str]]:
    kinds = ("manifest", "drift_report", "device_report")
    return [case for case in load_json(FIXTURES / "invalid" / "cases.json")["cases"] if case["document"] in kinds]


@pytest.mark.parametrize("case", broken(), ids=lambda case: case["file"])
def test_the_broken_fixtures_are_refused(case: dict[str, str]) -> None:
    with pytest.raises(ShvitError):
        build_report([FIXTURES / "invalid" / case["file"]])


def test_fields_of_a_newer_minor_version_are_kept() -> None:
    report = build_report([FIXTURES / "newer_minor" / "device_report.json"])
    assert report.devices[0].schema_version != report.schema_version
