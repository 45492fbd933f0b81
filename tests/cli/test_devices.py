"""`devices` compares what phones measured, and refuses what they cannot have measured."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.cli.conftest import Call
from tests.fixtures import FIXTURES

REPORTS = FIXTURES / "device_report"
PIXEL, IPHONE = REPORTS / "pixel-8.json", REPORTS / "iphone-15-pro.json"
EARLIER = FIXTURES / "device_report_earlier"
MANIFESTS = ("--artifacts", FIXTURES / "manifest")


def normalize_whitespace(text: str) -> str:
    return " ".join(text.split())


def write_edited_report(tmp_path: Path, old: str, new: str) -> Path:
    path = tmp_path / "edited.json"
    text = PIXEL.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def test_six_phones_are_compared_and_called_fixtures(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    result = call("devices", REPORTS, *MANIFESTS)
    assert result.exit_code == 1, "one of the phones failed its golden check"
    assert "gate failed: Galaxy A14: preprocessing is off" in result.stderr
    assert result.stderr.count("is a FIXTURE, not measured.") == 6
    for title in ("iPhone 15 Pro (iPhone16,1), iOS 18.3", "Pixel 8 (Google Pixel 8 (shiba)), Android 15"):
        assert f"{title}, 2025-02-14 · FIXTURE, not measured" in normalize_whitespace(result.stdout)
    for heading in ("Fastest compute unit of each artifact on each device", "Drift here"):
        assert heading in normalize_whitespace(result.stdout)
    for mark in ("fastest", "slowest", "pixels wrong", "serious", "Low-power mode"):
        assert mark in result.stdout
    assert "took 1.50 times as long" in normalize_whitespace(result.stdout)
    assert "…" not in result.stdout, "a cell was cut"


def test_without_a_fault_and_without_a_gate_it_ends_well(call: Call) -> None:
    result = call("devices", IPHONE)
    assert result.exit_code == 0, result.output
    assert "Against earlier runs" not in result.stdout


def test_a_regression_ends_with_status_1_and_what_is_open_with_a_caveat(call: Call) -> None:
    result = call("devices", PIXEL, "--baseline", EARLIER, "--max-slowdown", "5%")
    assert result.exit_code == 1
    told = result.stderr.splitlines()
    (failed,) = (line for line in told if line.startswith("gate failed:"))
    assert "shvit_s1-224-executorch-int8.pte, 4 threads: +15.0%" in failed
    assert any(line.startswith("note:") and "int8.pte, 2 threads" in line and "more rounds" in line for line in told)
    assert "slower" in result.stdout
    assert call("devices", PIXEL, "--baseline", EARLIER, "--max-slowdown", "20").exit_code == 0
    assert call("devices", PIXEL, "--baseline", EARLIER).exit_code == 0


def test_the_run_before_is_the_baseline_where_none_is_given(call: Call) -> None:
    result = call("devices", PIXEL, EARLIER, "--max-slowdown", "5%")
    assert result.exit_code == 1
    assert result.stderr.count("gate failed") == 1


def test_json_csv_and_file_say_the_same(call: Call, tmp_path: Path) -> None:
    out, table = tmp_path / "devices.json", tmp_path / "devices.csv"
    args = ("devices", PIXEL, *MANIFESTS, "--baseline", EARLIER, "--max-slowdown", "5%", "--out", out, "--csv", table)
    result = call(*args, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told == json.loads(out.read_text(encoding="utf-8"))
    assert [len(told[name]) for name in ("rows", "comparisons", "drift")] == [6, 6, 6]
    assert told["gate"]["passed"] is False
    with table.open(newline="", encoding="utf-8") as opened:
        lines = list(csv.DictReader(opened))
    assert [float(line["p50"]) for line in lines] == [row["p50"] for row in told["rows"]]
    assert [float(line["slowdown_low"]) for line in lines] == [one["slowdown"]["low"] for one in told["comparisons"]]
    assert {line["fixture"] for line in lines} == {"True"}


def test_nothing_is_overwritten_unasked_and_nothing_written_where_a_report_is_refused(
    call: Call, tmp_path: Path
) -> None:
    out, table = tmp_path / "devices.json", tmp_path / "devices.csv"
    table.write_text("mine", encoding="utf-8")
    refused = call("devices", PIXEL, "--out", out, "--csv", table)
    assert (refused.exit_code, table.read_text(encoding="utf-8"), out.exists()) == (2, "mine", False)
    broken = write_edited_report(tmp_path, '"Pixel 8"', "8")
    assert call("devices", PIXEL, broken, "--out", out, "--csv", table, "--overwrite").exit_code == 2
    assert (table.read_text(encoding="utf-8"), out.exists()) == ("mine", False)
    assert call("devices", PIXEL, "--out", out, "--csv", table, "--overwrite").exit_code == 0
    assert table.read_text(encoding="utf-8").startswith("source,created,fixture,device,")


def test_a_name_is_no_formula_in_the_csv(call: Call, tmp_path: Path) -> None:
    table = tmp_path / "devices.csv"
    hostile = write_edited_report(tmp_path, '"name": "Pixel 8"', '"name": "=cmd|x"')
    assert call("devices", hostile, "--csv", table).exit_code == 0
    with table.open(newline="", encoding="utf-8") as opened:
        assert {line["device"] for line in csv.DictReader(opened)} == {"'=cmd|x"}


def test_a_share_sheets_archive_is_read(call: Call, tmp_path: Path) -> None:
    shared = tmp_path / "shared.zip"
    with ZipFile(shared, "w") as archive:
        archive.write(PIXEL, "SHViT reports/pixel-8.json")
    told = json.loads(call("devices", shared, "--json").stdout)
    assert {row["source"] for row in told["rows"]} == {f"{shared}: SHViT reports/pixel-8.json"}


def test_a_report_of_another_artifact_is_refused_in_a_clear_sentence(call: Call, tmp_path: Path) -> None:
    wrong = write_edited_report(tmp_path, "173313e675582fc2a28a042980ba79371f8d8b0569a88f82e639a1ce93c560af", "ab" * 32)
    result = call("devices", wrong, *MANIFESTS)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {wrong} measured another shvit_s1-224-executorch-int8.pte than ")
    assert "abababababab…, the manifest's is 173313e67558…" in result.stderr
    assert "--artifacts" in result.stderr


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"schema_version": "1.1"', '"schema_version": "2.0"', "is a device report of version 2.0. This shvit-mobile"),
        ('"kind": "device_report"', '"kind": "shopping_list"', "is not a device report: kind: Input should be"),
        ('"load_ms": ', '"load_ms": -', "is not a device report: results.0.load_ms: Input should be greater than"),
    ],
)
def test_a_report_of_another_schema_is_refused_in_a_clear_sentence(
    old: str, new: str, says: str, call: Call, tmp_path: Path
) -> None:
    wrong = write_edited_report(tmp_path, old, new)
    result = call("devices", PIXEL, wrong)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"error: {wrong} {says}" in normalize_whitespace(result.stderr)
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "Missing argument"),
        (("missing.json",), "missing.json does not exist."),
        ((PIXEL, "--max-slowdown", "5 percent"), "--max-slowdown is '5 percent'. It is in percent"),
        ((PIXEL, "--max-slowdown", "5%"), "no report has an earlier run"),
        ((PIXEL, "--out", "same", "--csv", "same"), "--out and --csv are both same."),
        ((PIXEL, "--artifacts", REPORTS), "contains no manifest of an artifact"),
    ],
)
def test_bad_input_is_told(args: tuple[object, ...], says: str, call: Call) -> None:
    result = call("devices", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in normalize_whitespace(result.stderr)
    assert "Traceback" not in result.output


OTHER_TIMING = FIXTURES / "device_report_other_timing"


def test_a_gate_between_reports_that_were_timed_otherwise_is_refused(call: Call) -> None:
    result = call("devices", IPHONE, "--baseline", OTHER_TIMING, "--max-slowdown", "5%")
    assert result.exit_code == 2
    assert "no earlier run was timed like its later one" in normalize_whitespace(result.stderr)
    assert "--baseline" in result.stderr
    shown = call("devices", IPHONE, "--baseline", OTHER_TIMING)
    assert shown.exit_code == 0
    assert shown.stdout.count("other timing") == 12


def test_stages_are_a_table_and_what_few_samples_do_not_support_is_a_dash(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = call("devices", PIXEL).stdout
    assert "Whole frames: median of each stage, ms" in text
    line = next(line for line in text.splitlines() if "slowest" in line)
    *_, p90, p99, _load, compiled, _peak, _golden, _rank = line.split()
    assert float(p90) > 0
    assert (p99, compiled) == ("–", "–")
    assert "Whole frames" not in call("devices", EARLIER).stdout


def test_an_app_that_timed_more_and_a_failed_measurement_are_noted(call: Call) -> None:
    result = call("devices", OTHER_TIMING, REPORTS / "galaxy-s23.json")
    assert "is of an app that timed the call with input and output" in normalize_whitespace(result.stderr)
    assert "Galaxy S23 could not measure shvit_s1-224-executorch-fp32.pte (8 threads): " in result.stderr
