"""The Markdown table of a report says what the report does."""

from __future__ import annotations

from pathlib import Path

import latency_markdown
import pytest

from shvit_mobile.bench.statistics import summarize_latency
from shvit_mobile.contracts.device_report import DeviceInfo, DeviceReport, DeviceResult, Roofline
from shvit_mobile.contracts.drift_row import DriftRow, ProportionEstimate
from tests.bench.builders import QUICK

ROW = DriftRow(
    artifact="shvit_s1-224-onnx-int8.onnx",
    target="onnx",
    precision="int8",
    how="native",
    engine="onnxruntime 1.23",
    images=500,
    top1=ProportionEstimate(value=0.896, low=0.87, high=0.92),
    float_top1=ProportionEstimate(value=0.9, low=0.87, high=0.92),
    top1_drop=0.4,
    top1_drop_interval=(-0.2, 1.0),
    agreement=ProportionEstimate(value=0.994, low=0.98, high=0.998),
    sqnr_db=30.04,
    max_abs_error=0.5,
    mean_kl=0.001,
)


def build_result(name: str, milliseconds: float, drift: DriftRow | None = None) -> DeviceResult:
    samples = ((milliseconds,),) * 7
    return DeviceResult(
        name=name,
        engine="onnxruntime",
        precision="fp32",
        load_ms=12.4,
        first_ms=20.0,
        latency=summarize_latency([milliseconds] * 7),
        samples_ms=samples,
        peak_memory_bytes=53_460_000,
        running_memory_bytes=29_900_000,
        roof_share=0.664,
        drift=drift,
    )


def build_device_report(*results: DeviceResult) -> DeviceReport:
    return DeviceReport(
        created="2026-01-01T00:00:00+00:00",
        app="shvit-mobile",
        versions={},
        device=DeviceInfo(kind="host", model="A processor", system="Linux", cores=2),
        settings=QUICK,
        roofs={"fp32": Roofline(gops=223.4, reached_by="a product")},
        results=results,
    )


def test_the_fastest_comes_first_and_is_compared_with_the_one_named() -> None:
    lines = latency_markdown.format_table(
        build_device_report(build_result("mine", 3.0), build_result("stock", 6.0)), first="stock"
    ).splitlines()
    assert lines[0].startswith("| | ms | times as fast as stock | of the roofline |")
    assert lines[2] == "| mine | 3.00 | 2.00 (2.00–2.00) | 66% | 12 | 53.5 | 29.9 |  |"
    assert lines[3].startswith("| stock | 6.00 | 1 |")
    assert lines[-1] == "Rooflines in billion operations per second: fp32 223 (a product). A processor."


def test_drift_stands_beside_speed_where_it_was_measured() -> None:
    lines = latency_markdown.format_table(
        build_device_report(build_result("stock", 6.0), build_result(ROW.artifact, 3.0, ROW))
    ).splitlines()
    assert lines[0].endswith("| SQNR, dB | agreement | top-1 drop, points |")
    assert lines[2].startswith("| **onnx-int8** | 3.00 | 2.00")
    assert lines[2].endswith("| 30.0 | 99.4% | 0.40 |")
    assert lines[3].endswith("|  |  |  |")


def test_the_script_prints_the_table_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, path = build_device_report(build_result("one", 3.0), build_result("two", 6.0, ROW)), tmp_path / "report.json"
    path.write_text(given.to_json(), encoding="utf-8")
    latency_markdown.main(path)
    assert capsys.readouterr().out == f"{latency_markdown.format_table(given)}\n"
