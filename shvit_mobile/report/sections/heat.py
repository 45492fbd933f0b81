"""The section on heat: latency during a sustained run, and the thermal state of the phone."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from markupsafe import Markup

from shvit_mobile.contracts.device_report import DeviceReport, DeviceResult, SustainedWindow, ThermalSample
from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.report.charts.lines import Band, ChartLine, draw_band_strip, draw_line_chart
from shvit_mobile.report.charts.svg import AxisScale
from shvit_mobile.report.display_names import (
    describe_configuration,
    format_device_label,
    format_fixture_prefix,
    format_result_label,
)
from shvit_mobile.report.formatting import format_milliseconds, format_number, pluralize


@dataclass(frozen=True)
class _TimeTrace:
    """A chart over time."""

    device: str
    what: str
    fixture: bool
    chart: Markup
    sentence: str


def build_variables(report: ModelReport) -> dict[str, object] | None:
    sustained = [
        _build_sustained_trace(report, device, result)
        for device in report.devices
        for result in device.results
        if result.windows
    ]
    ordered = sorted(report.devices, key=lambda device: not _has_headroom(device))
    thermal = [found for device in ordered if (found := _build_thermal_trace(device))]
    return {"sustained": sustained, "thermal": thermal} if sustained or thermal else None


def _build_sustained_trace(report: ModelReport, device: DeviceReport, result: DeviceResult) -> _TimeTrace:
    """Build the chart of the median of each window of a sustained run."""
    windows = result.windows
    ends = [*(window.start_s for window in windows[1:]), _estimate_last_end(windows)]
    points = tuple(
        (
            (window.start_s + end) / 2,
            window.p50,
            f"{format_number(window.start_s, 0)} s: {format_milliseconds(window.p50)} ms, "
            f"{window.thermal or 'thermal state unknown'}",
        )
        for window, end in zip(windows, ends, strict=True)
    )
    slowest = max(window.p50 for window in windows)
    sentence = _describe_slowdown(windows, ends[-1])
    states = [(window.start_s, end, window.thermal) for window, end in zip(windows, ends, strict=True)]
    where = format_device_label(device.device)
    what = f"{format_result_label(report, result)}, {describe_configuration(device, result)}"
    return _TimeTrace(
        where,
        what,
        device.fixture,
        draw_line_chart(
            [ChartLine(points, "free")],
            AxisScale(windows[0].start_s, ends[-1]),
            AxisScale(0, slowest * 1.3 or 1.0),
            label=f"{format_fixture_prefix(device)}Sustained run of {what} on {where}. {sentence}",
            unit="ms",
            bands=_merge_thermal_bands(states),
            x_ticks="s",
        ),
        sentence,
    )


def _estimate_last_end(windows: Sequence[SustainedWindow]) -> float:
    """Estimate the end of the last window: it is as long as the one before it."""
    return 2 * windows[-1].start_s - windows[-2].start_s if len(windows) > 1 else windows[-1].start_s + 1.0


def _describe_slowdown(windows: Sequence[SustainedWindow], seconds: float) -> str:
    first, last = windows[0].p50, windows[-1].p50
    change = (
        "" if not first else f", {format_number(abs(last / first - 1) * 100, 0)}% {'more' if last >= first else 'less'}"
    )
    hottest = windows[-1].thermal
    heat = f"; {hottest} at the end" if hottest else ""
    return (
        f"From {format_milliseconds(first)} to {format_milliseconds(last)} ms{change}, after "
        f"{format_number(seconds, 0)} s and {pluralize(sum(window.samples for window in windows), 'inference')}{heat}."
    )


def _merge_thermal_bands(states: Sequence[tuple[float, float, str | None]]) -> list[Band]:
    """Merge consecutive intervals of the same thermal state into bands."""
    found = []
    for name, group in groupby(states, key=lambda interval: interval[2] or "unknown"):
        intervals = list(group)
        found.append(Band(intervals[0][0], intervals[-1][1], f"heat-{name}", name))
    return found


def _build_thermal_trace(device: DeviceReport) -> _TimeTrace | None:
    """Build the chart of thermal states during the measurement, with Android's headroom if it is known."""
    samples = device.conditions.thermal if device.conditions else ()
    if len(samples) < 2:
        return None
    states = [(one.seconds, following.seconds, one.state) for one, following in pairwise(samples)]
    points = tuple(
        (
            one.seconds,
            one.headroom,
            f"{format_number(one.seconds, 0)} s: headroom {format_number(one.headroom, 2)}, {one.state}",
        )
        for one in samples
        if one.headroom is not None
    )
    sentence, where = _describe_thermal_states(samples), format_device_label(device.device)
    label = f"{format_fixture_prefix(device)}Thermal trace of {where}. {sentence}"
    x = AxisScale(samples[0].seconds, samples[-1].seconds)
    bands = _merge_thermal_bands(states)
    if not points:
        return _TimeTrace(where, "thermal state", device.fixture, draw_band_strip(bands, x, "s", label), sentence)
    chart = draw_line_chart(
        [ChartLine(points, "free")],
        x,
        AxisScale(0, 1.3 * max(1.0, *(headroom for _, headroom, _ in points))),
        label=label,
        unit="",
        bands=bands,
        limit=1.0,
        x_ticks="s",
    )
    return _TimeTrace(where, "thermal headroom; at 1 the phone throttles severely", device.fixture, chart, sentence)


def _has_headroom(device: DeviceReport) -> bool:
    return device.conditions is not None and any(one.headroom is not None for one in device.conditions.thermal)


def _describe_thermal_states(samples: Sequence[ThermalSample]) -> str:
    """Describe when each thermal state began."""
    begun = [samples[0], *(one for before, one in pairwise(samples) if before.state != one.state)]
    return ", ".join(f"{one.state} from {format_number(one.seconds, 0)} s" for one in begun).capitalize() + "."
