"""Format a benchmark's report as a Markdown table for docs/benchmarks.md.

shvit-mobile benchmark a.pte b.onnx --json > report.json
python tools/latency_markdown.py report.json
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from shvit_mobile.bench.statistics import compute_speed_ratio
from shvit_mobile.contracts.device_report import DeviceReport, DeviceResult
from shvit_mobile.contracts.manifest import TARGET_SUFFIXES

Column = Callable[[DeviceResult], str]


def main(
    report: Annotated[Path, typer.Argument(help="The output of `shvit-mobile benchmark --json`.")],
    first: Annotated[str, typer.Option(help="The contestant to compare with (default: the first in the report).")] = "",
) -> None:
    print(format_table(DeviceReport.load(report), first))


def format_table(report: DeviceReport, first: str = "") -> str:
    """Format one line per contestant, fastest first.

    Args:
        report: The report of a benchmark.
        first: The contestant that others are compared with (default: the first in the report).
    """
    base = next(result for result in report.results if result.name == first) if first else report.results[0]
    columns: dict[str, Column] = {
        "ms": lambda result: f"{result.latency.p50:.2f}",
        f"times as fast as {format_name(base.name)}": lambda result: format_speedup(base, result),
        "of the roofline": lambda result: "" if result.roof_share is None else f"{100 * result.roof_share:.0f}%",
        "load, ms": lambda result: f"{result.load_ms:.0f}",
        "MB to load": lambda result: format_megabytes(result.peak_memory_bytes),
        "MB to run": lambda result: format_megabytes(result.running_memory_bytes),
        "MB on disk": lambda result: format_megabytes(result.size_bytes),
    }
    if any(result.drift for result in report.results):
        columns |= {"SQNR, dB": format_sqnr, "agreement": format_agreement, "top-1 drop, points": format_drop}
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for result in sorted(report.results, key=lambda result: result.latency.p50):
        lines.append(f"| {' | '.join([format_name(result.name), *(column(result) for column in columns.values())])} |")
    roofs = "; ".join(f"{name} {roof.gops:.0f} ({roof.reached_by})" for name, roof in report.roofs.items())
    return "\n".join([*lines, "", f"Rooflines in billion operations per second: {roofs}. {report.device.model}.", ""])


def format_speedup(base: DeviceResult, result: DeviceResult) -> str:
    ratio = compute_speed_ratio(compute_round_medians(base), compute_round_medians(result))
    return "1" if result is base else f"{ratio.value:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"


def compute_round_medians(result: DeviceResult) -> list[float]:
    return [median(samples) for samples in result.samples_ms]


def format_name(name: str) -> str:
    """Format a contestant's name; artifacts of this project by target, precision and options, in bold."""
    path = Path(name)
    return f"**{path.stem.split('-', 2)[2]}**" if path.suffix in TARGET_SUFFIXES.values() else name


def format_megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.1f}"


def format_sqnr(result: DeviceResult) -> str:
    return f"{result.drift.sqnr_db:.1f}" if result.drift else ""


def format_agreement(result: DeviceResult) -> str:
    return f"{100 * result.drift.agreement.value:.1f}%" if result.drift else ""


def format_drop(result: DeviceResult) -> str:
    return f"{result.drift.top1_drop:.2f}" if result.drift and result.drift.top1_drop is not None else ""


if __name__ == "__main__":
    typer.run(main)
