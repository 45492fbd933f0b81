"""Reports are joined with artifacts by SHA-256, and each run with an earlier one of the same kind and no other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shvit_mobile.apps.collect import DeviceRun, collect_device_reports
from shvit_mobile.apps.devices import compare_devices
from shvit_mobile.apps.findings import (
    describe_failed_goldens,
    describe_slowdowns,
    describe_undecided,
    evaluate_devices,
)
from shvit_mobile.apps.known_artifacts import open_manifests
from shvit_mobile.apps.regression import evaluate_slowdown
from shvit_mobile.contracts.device_report import DeviceReport, SustainedWindow
from shvit_mobile.contracts.drift_row import MapDrift
from shvit_mobile.errors import BadArtifact, BadReport, InvalidValue, MissingParameter
from tests.fixtures import FIXTURES

EARLIER = FIXTURES / "device_report_earlier" / "pixel-8.json"
LATER = FIXTURES / "device_report" / "pixel-8.json"
INT8 = "shvit_s1-224-executorch-int8.pte"
FP32 = "shvit_s1-224-executorch-fp32.pte"


def run(path: Path, source: str = "", **changes: Any) -> DeviceRun:
    (found,) = collect_device_reports([path])
    return DeviceRun(source or found.source, found.report.model_copy(update=changes))


def with_device(path: Path, **changes: Any) -> DeviceRun:
    found = run(path)
    return DeviceRun(
        found.source, found.report.model_copy(update={"device": found.report.device.model_copy(update=changes)})
    )


def with_results(path: Path, changes: Mapping[str, Any], name: str = INT8) -> DeviceRun:
    """A run, with every result of that name changed."""
    found = run(path)
    results = (one.model_copy(update=changes) if one.name == name else one for one in found.report.results)
    return DeviceRun(found.source, found.report.model_copy(update={"results": tuple(results)}))


def with_threads_of_the_engine(path: Path) -> DeviceRun:
    """A run of one number of threads, as an app writes it that leaves them to the engine."""
    report = run(path).report
    results = tuple(one.model_copy(update={"threads": None}) for one in report.results if one.threads == 4)
    settings = report.settings.model_copy(update={"threads": None})
    return DeviceRun(str(path), report.model_copy(update={"results": results, "settings": settings}))


def manifests() -> list[Any]:
    return open_manifests([FIXTURES / "manifest"])


def test_every_result_is_a_row_with_what_its_report_says() -> None:
    found = compare_devices(collect_device_reports([FIXTURES / "device_report"]), manifests=manifests())
    assert len(found.rows) == 3 * 12 + 3 * 6
    row = next(
        row for row in found.rows if row.device == "Pixel 8" and row.unit == "4 threads" and row.artifact == INT8
    )
    report = DeviceReport.load(LATER)
    result = next(one for one in report.results if one.name == INT8 and one.threads == 4)
    assert (row.p50, row.p99, row.load_ms) == (result.latency.p50, result.latency.p99, result.load_ms)
    assert (row.fixture, row.known, row.worst_thermal, row.low_power) == (True, True, "fair", False)
    assert row.typical_low is not None
    assert row.typical_high is not None
    assert row.typical_low <= row.typical <= row.typical_high


def test_the_fastest_and_the_slowest_unit_of_each_artifact_are_marked() -> None:
    found = compare_devices(collect_device_reports([FIXTURES / "device_report" / "iphone-15-pro.json"]))
    marked = {(row.artifact, row.unit) for row in found.rows if row.fastest}
    assert marked == {(row.artifact, "cpu-and-neural-engine") for row in found.rows}
    assert {row.unit for row in found.rows if row.slowest} == {"cpu"}


def test_what_a_sustained_run_became_is_its_last_quarter_over_its_first() -> None:
    windows = tuple(
        SustainedWindow(start_s=index, samples=10, p50=p50)
        for index, p50 in enumerate((1.0, 3.0, 9.0, 9.0, 9.0, 9.0, 2.0, 4.0))
    )
    found = compare_devices([with_results(LATER, {"windows": windows})])
    assert {row.sustained for row in found.rows if row.artifact == INT8} == {1.5}
    assert {row.sustained for row in found.rows if row.artifact == FP32} == {None}


def test_a_regression_is_found_and_nothing_else_is_called_one() -> None:
    found = compare_devices(collect_device_reports([LATER]), baseline=collect_device_reports([EARLIER]))
    verdicts = {(one.artifact, one.unit): evaluate_slowdown(one.slowdown, 0.05) for one in found.comparisons}
    assert [key for key, verdict in verdicts.items() if verdict == "slower"] == [(INT8, "4 threads")]
    assert verdicts[INT8, "2 threads"] == "open"
    (sentence,) = describe_slowdowns(found.comparisons, 0.05)
    assert sentence.startswith(f"Pixel 8, {INT8}, 4 threads: +15.0% in time since 2025-01-14 (95% interval +")
    assert sentence.endswith("more than 5% (other differences: sustained performance mode unknown before, on now).")
    assert any(
        "2 threads" in sentence and "more rounds would decide" in sentence
        for sentence in describe_undecided(found, 0.05)
    )
    assert describe_slowdowns(found.comparisons, 0.2) == []


def test_without_a_baseline_a_run_is_held_against_the_one_before_it() -> None:
    found = compare_devices(collect_device_reports([LATER, EARLIER]))
    assert {(one.earlier, one.later) for one in found.comparisons} == {(str(EARLIER), str(LATER))}
    assert len(found.comparisons) == 6


def test_a_baseline_is_earlier_whatever_its_clock_says() -> None:
    found = compare_devices(collect_device_reports([EARLIER]), baseline=collect_device_reports([LATER]))
    assert {(one.earlier, one.later) for one in found.comparisons} == {(str(LATER), str(EARLIER))}


def test_one_report_alone_is_not_held_against_itself() -> None:
    twice = run(LATER)
    doubled = twice.report.model_copy(update={"results": twice.report.results * 2})
    assert compare_devices([DeviceRun("doubled", doubled)]).comparisons == ()
    with pytest.raises(MissingParameter, match="no report has an earlier run"):
        evaluate_devices([twice], compare_devices([twice]), 0.05)


@pytest.mark.parametrize(
    "other",
    [
        run(EARLIER, fixture=False),
        with_device(EARLIER, model="Google Pixel 7 (panther)"),
        with_results(EARLIER, {"name": "another.pte"}),
        with_results(EARLIER, {"threads": 8}),
        with_results(EARLIER, {"compute": "all"}),
    ],
    ids=["measured", "model", "artifact", "threads", "compute"],
)
def test_only_like_is_compared_with_like(other: DeviceRun) -> None:
    found = compare_devices(collect_device_reports([LATER]), baseline=[other])
    assert INT8 not in {one.artifact for one in found.comparisons}
    assert any(sentence.endswith("no earlier run to compare with.") for sentence in describe_undecided(found, 0.05))


def test_threads_that_an_engine_chose_are_like_those_it_chose_before_and_like_no_others() -> None:
    later, earlier = with_threads_of_the_engine(LATER), with_threads_of_the_engine(EARLIER)
    found = compare_devices([later], baseline=[earlier])
    assert {(row.unit, row.threads) for row in found.rows} == {("cpu", None)}
    assert {one.artifact for one in found.comparisons} == {INT8, FP32}
    assert compare_devices([later], baseline=collect_device_reports([EARLIER])).comparisons == ()


def test_what_else_was_not_alike_is_said() -> None:
    other = with_device(EARLIER, system="Android 14")
    other = DeviceRun(other.source, other.report.model_copy(update={"conditions": None}))
    found = compare_devices(collect_device_reports([LATER]), baseline=[other])
    told = found.comparisons[-1].differences
    assert told == (
        "system Android 14 before, Android 15 now",
        "low-power mode unknown before, off now",
        "worst thermal state unknown before, fair now",
        "sustained performance mode unknown before, on now",
    )
    assert "other differences: system Android 14 before" in describe_slowdowns(found.comparisons, 0.05)[0]


def test_another_export_of_the_same_name_is_compared_and_said_to_be_one() -> None:
    other = with_results(EARLIER, {"artifact_sha256": "0" * 64})
    found = compare_devices(collect_device_reports([LATER]), baseline=[other])
    assert {(one.artifact, one.same_artifact) for one in found.comparisons} == {(INT8, False), (FP32, True)}
    assert "another export of the artifact" in describe_slowdowns(found.comparisons, 0.05)[0]


def test_another_size_than_the_artifact_has_is_refused() -> None:
    with pytest.raises(BadReport, match="states 7 bytes"):
        compare_devices([with_results(LATER, {"size_bytes": 7})], manifests=manifests())


def test_another_file_under_the_name_of_an_artifact_is_refused() -> None:
    wrong = with_results(LATER, {"artifact_sha256": "0" * 64})
    with pytest.raises(BadReport) as refusal:
        compare_devices([wrong], manifests=manifests())
    assert refusal.value.what == f"{LATER} measured another {INT8} than the one given."
    assert "000000000000…" in refusal.value.why
    assert "173313e67558…" in refusal.value.why
    with pytest.raises(BadReport, match=r"without its SHA-256"):
        compare_devices([with_results(LATER, {"artifact_sha256": None})], manifests=manifests())
    with pytest.raises(BadReport, match="measured another"):
        compare_devices(collect_device_reports([LATER]), manifests=manifests(), baseline=[wrong])


def test_an_int8_artifact_with_layers_in_float_is_called_mixed() -> None:
    given = manifests()
    index = next(index for index, one in enumerate(given) if one.artifact.name == INT8)
    recipe = given[index].recipe.model_copy(update={"float_layers": ("head",)})
    given[index] = given[index].model_copy(update={"recipe": recipe})
    assert given[index].precision == "int8"
    earlier, later = collect_device_reports([EARLIER]), collect_device_reports([LATER])
    found = compare_devices(later, manifests=given, baseline=earlier)
    for rows in (found.rows, found.comparisons, found.drift):
        assert {row.precision for row in rows if row.artifact == INT8} == {"mixed"}
        assert {row.precision for row in rows if row.artifact == FP32} == {"fp32"}


def test_an_artifact_that_is_not_given_is_unknown_and_not_refused() -> None:
    fp32 = [manifest for manifest in manifests() if manifest.artifact.name == FP32]
    found = compare_devices(collect_device_reports([LATER]), manifests=fp32)
    assert {(row.artifact, row.known) for row in found.rows} == {(FP32, True), (INT8, False)}


def test_drift_here_stands_beside_drift_there() -> None:
    found = compare_devices(collect_device_reports([LATER]), manifests=manifests())
    assert len(found.drift) == 6
    pair = next(pair for pair in found.drift if pair.artifact == INT8)
    assert (pair.how, round(pair.host_sqnr_db, 1), pair.host_images) == ("native", 30.1, 500)
    assert pair.golden == run(LATER).report.results[3].golden
    assert compare_devices(collect_device_reports([LATER])).drift == ()


def test_maps_on_a_device_stand_beside_their_drift_here_without_a_class() -> None:
    later = next(one for one in run(LATER).report.results if one.name == INT8)
    known = next(one.drift for one in manifests() if one.artifact.name == INT8)
    assert later.golden is not None
    assert known is not None
    unlabelled = ("top1", "top5", "float_top1", "float_top5", "top1_drop", "top1_drop_interval", "mcnemar")
    one = MapDrift(name="scores16", sqnr_db=40.0, cosine=1.0, worst_channel=0, worst_channel_db=30.0, max_abs_error=0.5)
    of_maps = {"agreement": None, "mean_kl": None, "maps": (one,), "sqnr_db": 40.0, "max_abs_error": 0.5}
    drift = known.model_copy(update=dict.fromkeys(unlabelled) | of_maps)
    golden = later.golden.model_copy(update={"same_class": None, "inference_passed": False, "largest_difference": 7.5})
    maps = with_results(LATER, {"golden": golden, "drift": drift})
    pair = next(pair for pair in compare_devices([maps]).drift if pair.artifact == INT8)
    assert (pair.host_agreement, pair.host_sqnr_db, pair.golden.same_class) == (None, 40.0, None)
    assert "a value of a map differs by 7.5" in next(describe_failed_goldens([maps]))


def test_a_failed_golden_check_says_which_half_is_off() -> None:
    (sentence,) = describe_failed_goldens(collect_device_reports([FIXTURES / "device_report"]))
    assert sentence.startswith("Galaxy A14: preprocessing is off in 6 of 6 golden checks")
    golden = run(LATER).report.results[0].golden
    assert golden is not None
    wrong = golden.model_copy(update={"inference_passed": False, "largest_difference": 7.5})
    sentences = list(describe_failed_goldens([with_results(LATER, {"golden": wrong})]))
    assert len(sentences) == 3
    assert all("inference is off" in sentence and "7.5" in sentence for sentence in sentences)


def test_an_artifact_beside_its_manifest_is_hashed(tmp_path: Path) -> None:
    stem = INT8.removesuffix(".pte")
    shutil.copy(FIXTURES / "manifest" / f"{stem}.manifest.json", tmp_path)
    assert [manifest.artifact.name for manifest in open_manifests([tmp_path])] == [INT8]
    (tmp_path / INT8).write_bytes(b"another file")
    for path in (tmp_path, tmp_path / f"{stem}.manifest.json", tmp_path / INT8):
        with pytest.raises(BadArtifact, match="is not the file its manifest describes"):
            open_manifests([path])


def test_a_folder_without_manifests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArtifact, match="contains no manifest"):
        open_manifests([tmp_path])


def test_the_comparison_is_json_with_infinities_as_texts() -> None:
    golden = run(LATER).report.results[0].golden
    assert golden is not None
    same = with_results(LATER, {"golden": golden.model_copy(update={"sqnr_db": float("inf")})})
    told = json.loads(compare_devices([same], manifests=manifests()).to_json())
    assert told["drift"][-1]["golden"]["sqnr_db"] == "Infinity"


@pytest.mark.parametrize("limit", [-0.01, float("nan"), float("inf")])
def test_a_limit_is_a_share(limit: float) -> None:
    with pytest.raises(InvalidValue) as refused:
        evaluate_devices([], compare_devices([]), limit)
    assert refused.value.parameter == "max_slowdown"


OTHER_TIMING = FIXTURES / "device_report_other_timing" / "iphone-15-pro.json"
IPHONE = FIXTURES / "device_report" / "iphone-15-pro.json"


def test_the_stages_of_whole_frames_are_in_the_rows_of_reports_that_have_them() -> None:
    found = compare_devices(collect_device_reports([LATER, EARLIER]))
    result = run(LATER).report.results[0]
    assert result.stages is not None
    row = next(row for row in found.rows if row.source == str(LATER) and row.p50 == result.latency.p50)
    stages = (row.preprocessing_p50, row.tensor_p50, row.inference_p50, row.decoding_p50, row.frame_p50)
    assert stages == (*(stage.p50 for stage in result.stages.parts.values()), result.stages.total.p50)
    assert {row.frame_p50 for row in found.rows if row.source == str(EARLIER)} == {None}
    assert {row.timed for row in found.rows} == {"runtime-call"}


def test_runs_that_were_timed_otherwise_are_marked_and_not_judged() -> None:
    found = compare_devices(collect_device_reports([IPHONE]), baseline=collect_device_reports([OTHER_TIMING]))
    assert [one.same_timing for one in found.comparisons] == [False] * 12
    timed = {(one.earlier_timed, one.later_timed) for one in found.comparisons}
    assert timed == {("tensor-and-runtime-call", "runtime-call")}
    assert describe_slowdowns(found.comparisons, 0) == []
    (sentence,) = describe_undecided(found, 0)
    assert sentence.startswith(f"iPhone 15 Pro cannot be compared with {OTHER_TIMING}: timed the call with input")
    assert sentence.endswith("(12 rows).")
    with pytest.raises(MissingParameter, match="no earlier run was timed like its later one") as refused:
        evaluate_devices(collect_device_reports([IPHONE]), found, 0.05)
    assert refused.value.parameter == "baseline"


def test_a_gate_that_can_judge_some_rows_says_which_ones_it_cannot() -> None:
    later = collect_device_reports([IPHONE, LATER])
    found = compare_devices(later, baseline=collect_device_reports([OTHER_TIMING, EARLIER]))
    verdict = evaluate_devices(later, found, 0.05)
    assert len(verdict.violations) == 1
    assert any("cannot be compared" in sentence for sentence in verdict.caveats)


def test_what_a_phone_could_not_measure_is_a_caveat_of_the_gate() -> None:
    runs = collect_device_reports([FIXTURES / "device_report" / "galaxy-s23.json"])
    found = compare_devices(runs, baseline=runs)
    assert [(one.artifact, one.unit) for one in found.failures] == [(FP32, "8 threads")]
    assert any("8 threads: not measured" in sentence for sentence in evaluate_devices(runs, found, 0.05).caveats)
