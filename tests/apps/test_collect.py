"""Reports are found in files, folders and archives; what is broken, too large or leads out of an archive is refused."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from shvit_mobile.apps import collect as module
from shvit_mobile.apps.collect import collect_device_reports
from shvit_mobile.errors import BadReport
from tests.fixtures import FIXTURES

REPORTS = FIXTURES / "device_report"
PIXEL = REPORTS / "pixel-8.json"


def archive(path: Path, **entries: str | bytes) -> Path:
    with ZipFile(path, "w", ZIP_DEFLATED) as opened:
        for name, content in entries.items():
            opened.writestr(name, content)
    return path


def changed(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    value = json.loads(PIXEL.read_text(encoding="utf-8"))
    change(value)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_a_folder_an_archive_and_files_hold_the_same_reports(tmp_path: Path) -> None:
    files = sorted(REPORTS.glob("*.json"))
    shared = archive(tmp_path / "Reports.ZIP", **{f"Reports/{file.name}": file.read_bytes() for file in files})
    found = [[run.report for run in collect_device_reports(paths)] for paths in ([REPORTS], [shared], files)]
    assert len(found[0]) == 6
    assert found[0] == found[1] == found[2]
    assert collect_device_reports([shared])[0].source == f"{shared}: Reports/{files[0].name}"


def test_what_a_killed_command_left_is_not_searched(tmp_path: Path) -> None:
    (tmp_path / ".shvit-abcd1234").mkdir()
    (tmp_path / ".shvit-abcd1234" / "half.json").write_text('{"kind": "device_', encoding="utf-8")
    (tmp_path / "good.json").write_bytes(PIXEL.read_bytes())
    assert len(collect_device_reports([tmp_path])) == 1


def test_a_report_that_is_given_twice_counts_once() -> None:
    assert len(collect_device_reports([REPORTS, PIXEL])) == 6


def test_other_documents_and_what_macos_hides_are_passed_by(tmp_path: Path) -> None:
    shared = archive(
        tmp_path / "shared.zip",
        **{
            "pixel-8.json": PIXEL.read_bytes(),
            "manifest.json": next((FIXTURES / "manifest").glob("*.json")).read_bytes(),
            "__MACOSX/._pixel-8.json": b"\x00\x05\x16\x07",
            "._pixel-8.json": b"\x00\x05\x16\x07",
            "screenshot.png": b"\x89PNG",
        },
    )
    assert len(collect_device_reports([shared])) == 1


def test_a_broken_report_among_good_ones_is_not_overlooked(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_bytes(PIXEL.read_bytes())
    (tmp_path / "torn.json").write_bytes(PIXEL.read_bytes()[:5000])
    with pytest.raises(BadReport, match=r"torn\.json is not a device report"):
        collect_device_reports([tmp_path])


def test_a_mark_of_byte_order_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(b"\xef\xbb\xbf" + PIXEL.read_bytes())
    assert len(collect_device_reports([tmp_path])) == 1


@pytest.mark.parametrize(
    "name", ["../report.json", "/elsewhere/report.json", "..\\report.json", "a/../../b.json", "C:\\r.json"]
)
def test_an_archive_whose_names_lead_out_of_it_is_refused_whole(name: str, tmp_path: Path) -> None:
    shared = archive(tmp_path / "shared.zip", **{"good.json": PIXEL.read_bytes(), name: PIXEL.read_bytes()})
    with pytest.raises(BadReport, match="leads out of the archive"):
        collect_device_reports([shared])
    assert [path.name for path in tmp_path.iterdir()] == ["shared.zip"]


def test_what_unpacks_to_more_than_the_limit_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REPORT_BYTES", 100_000)
    shared = archive(tmp_path / "bomb.zip", **{"zeros.json": b" " * 10_000_000})
    assert shared.stat().st_size < 20_000
    tracemalloc.start()
    with pytest.raises(BadReport, match=r"zeros\.json is larger than"):
        collect_device_reports([shared])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3_000_000
    (tmp_path / "zeros.json").write_bytes(b" " * 100_001)
    with pytest.raises(BadReport, match=r"zeros\.json is larger than"):
        collect_device_reports([tmp_path / "zeros.json"])


def test_an_archive_of_many_reports_is_limited_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = archive(tmp_path / "many.zip", **{f"{index}.json": PIXEL.read_bytes() for index in range(4)})
    monkeypatch.setattr(module, "MAX_ARCHIVE_ENTRIES", 3)
    with pytest.raises(BadReport, match="has 4 entries"):
        collect_device_reports([shared])
    monkeypatch.setattr(module, "MAX_ARCHIVE_ENTRIES", 4)
    monkeypatch.setattr(module, "MAX_ARCHIVE_BYTES", 3 * PIXEL.stat().st_size)
    with pytest.raises(BadReport, match=r"many\.zip is larger than"):
        collect_device_reports([shared])


def test_a_damaged_archive_is_refused_in_a_sentence(tmp_path: Path) -> None:
    whole = archive(tmp_path / "shared.zip", **{"pixel-8.json": PIXEL.read_bytes()}).read_bytes()
    path = tmp_path / "damaged.zip"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadReport, match=r"damaged\.zip is not an archive"):
        collect_device_reports([path])
    for place in range(60, 2000, 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with pytest.raises(BadReport):
            collect_device_reports([path])


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "locked.zip", **{"pixel-8.json": PIXEL.read_bytes()})
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(BadReport, match=r"pixel-8\.json is encrypted"):
        collect_device_reports([path])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not a device report"),
        (b"[" * 100_000, "is not a device report"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"[1, 2]", "is not a device report"),
    ],
)
def test_what_is_no_report_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(content)
    for path in (tmp_path / "report.json", tmp_path):
        with pytest.raises(BadReport, match=says):
            collect_device_reports([path])


def test_a_path_without_reports_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadReport, match="contains no device report"):
        collect_device_reports([tmp_path])
    with pytest.raises(BadReport, match=r"nothing\.json does not exist"):
        collect_device_reports([tmp_path / "nothing.json"])
    with pytest.raises(BadReport, match="does not exist"):
        collect_device_reports([tmp_path / "nothing.zip"])


def rounds(*samples: float) -> Callable[[dict[str, Any]], object]:
    return lambda report: report["results"][0].update(samples_ms=[list(samples)])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda report: report["results"][0]["latency"].update(p50=20.0), r"latency\.p50"),
        (lambda report: report["results"][0]["latency"].update(samples=119), r"latency\.samples"),
        (lambda report: report["results"][0]["samples_ms"][3].pop(), r"latency\.samples"),
        (rounds(), "samples_ms.0: Tuple should have at least 1 item"),
        (rounds(1.0, 0.0), r"samples_ms\.0\.1"),
        (rounds(1.0, float("inf")), "finite number"),
        (lambda report: report["results"][0]["golden"].update(largest_difference=9.5), r"golden: its inference passed"),
        (lambda report: report["results"][0]["golden"].update(inference_passed=False), r"golden: its inference failed"),
        (lambda report: report["results"][0]["golden"].update(same_class=5), "5 of 4 goldens"),
        (lambda report: report.update(created="yesterday"), "created: 'yesterday'"),
        (lambda report: report.update(created="2025-02-14T09:30:00"), "created: '2025-02-14T09:30:00'"),
    ],
)
def test_a_report_that_contradicts_itself_is_refused(
    change: Callable[[dict[str, Any]], object], says: str, tmp_path: Path
) -> None:
    with pytest.raises(BadReport, match=says):
        collect_device_reports([changed(tmp_path, change)])


def test_a_phone_may_round_to_a_nanosecond(tmp_path: Path) -> None:
    def rounded(report: dict[str, Any]) -> None:
        for result in report["results"]:
            result["latency"] = {name: round(value, 6) for name, value in result["latency"].items()}

    assert len(collect_device_reports([changed(tmp_path, rounded)])) == 1
