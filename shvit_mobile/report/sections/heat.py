"""Heat: what a sustained run does to latency, and how hot the phone was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from shvit_mobile.contracts.device_report import DeviceReport, Result, ThermalSample, Window
from shvit_mobile.contracts.report import Report
from shvit_mobile.report.charts.lines import Band, Line, lines, strip
from shvit_mobile.report.charts.svg import Scale
from shvit_mobile.report.display_names import configuration, device_label, result_label
from shvit_mobile.report.formatting import milliseconds, number, plural
from shvit_mobile.report.sections.section import Section


@dataclass(frozen=True)
class Trace:
    """A chart over time."""

    device: str
    what: str
    fixture: bool
    chart: Markup
    sentence: str


def heat(report: Report) -> Section | None:
    sustained = [
        trace(report, device, result) for device in report.devices for result in device.results if result.windows
    ]
    told = sorted(report.devices, key=lambda device: not has_headroom(device))
    thermal = [found for device in told if (found := temperature(device))]
    if not sustained and not thermal:
        return None
    data = {"sustained": sustained, "thermal": thermal}
    return Section("heat", "Heat and sustained load", "Heat", data)


def trace(report: Report, device: DeviceReport, result: Result) -> Trace:
    """The median of each window of a sustained run."""
    windows = result.windows
    ends = [*(window.start_s for window in windows[1:]), last_end(windows)]
    points = tuple(
        (
            (window.start_s + end) / 2,
            window.p50,
            f"{number(window.start_s, 0)} s: {milliseconds(window.p50)} ms, {window.thermal or 'heat not told'}",
        )
        for window, end in zip(windows, ends, strict=True)
    )
    slowest = max(window.p50 for window in windows)
    sentence = slowed(windows, ends[-1])
    states = [(window.start_s, end, window.thermal) for window, end in zip(windows, ends, strict=True)]
    where, what = device_label(device.device), f"{result_label(report, result)}, {configuration(device, result)}"
    return Trace(
        where,
        what,
        device.fixture,
        lines(
            [Line(points, "free")],
            Scale(windows[0].start_s, ends[-1]),
            Scale(0, slowest * 1.3 or 1.0),
            label=f"{made_up(device)}Sustained run of {what} on {where}. {sentence}",
            unit="ms",
            bands=bands(states),
            x_ticks="s",
        ),
        sentence,
    )


def made_up(device: DeviceReport) -> str:
    return "Fixture, not measured. " if device.fixture else ""


def last_end(windows: Sequence[Window]) -> float:
    """Where the last window ends: as long as the one before it."""
    return 2 * windows[-1].start_s - windows[-2].start_s if len(windows) > 1 else windows[-1].start_s + 1.0


def slowed(windows: Sequence[Window], seconds: float) -> str:
    first, last = windows[0].p50, windows[-1].p50
    change = "" if not first else f", {number(abs(last / first - 1) * 100, 0)}% {'more' if last >= first else 'less'}"
    hottest = windows[-1].thermal
    heat = f"; {hottest} at the end" if hottest else ""
    return (
        f"From {milliseconds(first)} to {milliseconds(last)} ms{change}, after {number(seconds, 0)} s and "
        f"{plural(sum(window.samples for window in windows), 'inference')}{heat}."
    )


def bands(states: Sequence[tuple[float, float, str | None]]) -> list[Band]:
    """Stretches of one thermal state each; each is named where it begins."""
    found: list[Band] = []
    for start, end, state in states:
        name = state or "not told"
        if found and found[-1].name == name:
            found[-1] = Band(found[-1].start, end, found[-1].style, name)
        else:
            found.append(Band(start, end, f"heat-{state or 'unknown'}", name))
    return found


def temperature(device: DeviceReport) -> Trace | None:
    """The thermal states during the measurement, with Android's headroom where it was told."""
    samples = device.conditions.thermal if device.conditions else ()
    if len(samples) < 2:
        return None
    states = [(one.seconds, following.seconds, one.state) for one, following in pairwise(samples)]
    points = tuple(
        (one.seconds, one.headroom, f"{number(one.seconds, 0)} s: headroom {number(one.headroom, 2)}, {one.state}")
        for one in samples
        if one.headroom is not None
    )
    sentence, where = states_told(samples), device_label(device.device)
    label = f"{made_up(device)}Thermal trace of {where}. {sentence}"
    x = Scale(samples[0].seconds, samples[-1].seconds)
    if not points:
        return Trace(where, "thermal state", device.fixture, strip(bands(states), x, "s", label), sentence)
    chart = lines(
        [Line(points, "free")],
        x,
        Scale(0, 1.3 * max(1.0, *(headroom for _, headroom, _ in points))),
        label=label,
        unit="",
        bands=bands(states),
        limit=1.0,
        x_ticks="s",
    )
    return Trace(where, "thermal headroom: 1 is where it throttles severely", device.fixture, chart, sentence)


def has_headroom(device: DeviceReport) -> bool:
    return device.conditions is not None and any(one.headroom is not None for one in device.conditions.thermal)


def states_told(samples: Sequence[ThermalSample]) -> str:
    """When each state began."""
    begun = [
        one
        for before, one in zip((None, *samples), samples, strict=False)
        if before is None or before.state != one.state
    ]
    return ", ".join(f"{one.state} from {number(one.seconds, 0)} s" for one in begun).capitalize() + "."
