"""The lines of an app belong to its run, and say how far it is and how it ended."""

from __future__ import annotations

import re

import pytest

from shvit_mobile.apps.phone.request import BenchmarkRequest, RunLine, create_run_id, parse_run_line
from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.errors import BadReport, ConflictingParameters, InvalidValue
from tests.fixtures import FIXTURES


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("I/shvit: [r-1] 40 % shvit.pte", RunLine("progress", "shvit.pte", 40)),
        ("[r-1] 40% shvit on CPU", RunLine("progress", "shvit on CPU", 40)),
        ("[r-1] 100 %", RunLine("progress", "", 100)),
        ("E/shvit: [r-1] error: It is damaged. Embed it again.", RunLine("error", "It is damaged. Embed it again.")),
        ("[r-1] Report: /var/Documents/r-1.json", RunLine("report", "/var/Documents/r-1.json")),
        ("I/shvit: [r-1] no report", RunLine("no_report")),
        ("I/shvit: [r-2] no report", None),
        ("[r-1] shvit on CPU: median 1.2 ms", None),
        ("40 % shvit.pte", None),
    ],
)
def test_a_line_of_the_run_is_parsed(line: str, expected: RunLine | None) -> None:
    assert parse_run_line(line, "r-1") == expected


def test_run_ids_differ_and_are_valid_in_a_report() -> None:
    ids = {create_run_id() for _ in range(100)}
    assert len(ids) == 100
    text = (FIXTURES / "device_report" / "pixel-8.json").read_text(encoding="utf-8")
    for run_id in (*ids, "../r"):
        changed = re.sub(r'"app":', f'"run_id": "{run_id}", "app":', text)
        if run_id in ids:
            assert DeviceReport.parse(changed, "r.json").run_id == run_id
        else:
            with pytest.raises(BadReport):
                DeviceReport.parse(changed, "r.json")


def test_a_report_of_a_run_by_hand_has_no_run_id() -> None:
    report = DeviceReport.load(FIXTURES / "device_report" / "pixel-8.json")
    assert report.run_id is None
    assert "run_id" not in report.to_json()


def test_only_chosen_settings_reach_the_app() -> None:
    assert BenchmarkRequest("r").settings == {"benchmark": "all", "run_id": "r"}
    chosen = BenchmarkRequest("r", ("a", "b"), threads=(1, 4), compute=("cpu", "all"), sustained_s=60)
    allowed = BenchmarkRequest("r", seconds=2.5, allow_low_power=True, allow_heat=True).settings
    assert allowed == {
        "benchmark": "all",
        "seconds": "2.5",
        "allow_low_power": "true",
        "allow_heat": "true",
        "run_id": "r",
    }
    assert chosen.settings == {
        "benchmark": "a,b",
        "sustained": "60",
        "threads": "1,4",
        "compute": "cpu,all",
        "run_id": "r",
    }


@pytest.mark.parametrize(
    "wrong", [{"rounds": 0}, {"iterations": 0}, {"seconds": 0.0}, {"warm_up": -1}, {"threads": (0,)}]
)
def test_a_setting_out_of_range_is_rejected(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidValue) as error:
        BenchmarkRequest("r", **wrong)  # type: ignore[arg-type]
    assert error.value.parameter == next(iter(wrong))


def test_a_turn_has_one_length() -> None:
    with pytest.raises(ConflictingParameters):
        BenchmarkRequest("r", iterations=5, seconds=5)
