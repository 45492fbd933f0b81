"""Latency: every inference that was measured, host and phones on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from markupsafe import Markup

from shvit_mobile.bench.report import DeviceReport, Result
from shvit_mobile.bench.statistics import rank_outside
from shvit_mobile.report.charts.histogram import histogram
from shvit_mobile.report.charts.svg import Scale
from shvit_mobile.report.charts.whisker import axis
from shvit_mobile.report.document import Report
from shvit_mobile.report.figures import COMPUTE_NAMES, NONE, megabytes, milliseconds, number, place, plural
from shvit_mobile.report.names import (
    artifact_label,
    charge,
    configuration,
    device_facts,
    device_label,
    threads,
)
from shvit_mobile.report.sections.section import Section


@dataclass(frozen=True)
class Run:
    """One result."""

    device: str
    host: bool
    fixture: bool
    setting: str
    graphic: Markup
    p50: str
    interval: str
    p90: str
    p99: str
    load: str
    first: str
    memory: str
    ratio: str


@dataclass(frozen=True)
class Group:
    """The results of one artifact, or of what is none of ours."""

    label: str
    file: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Where:
    """A device and how it was measured."""

    name: str
    fixture: bool
    facts: str
    app: str
    created: str
    settings: str
    charge: str


def latency(report: Report) -> Section | None:
    if not report.devices:
        return None
    scale = common(report)
    data = {
        "axis": axis(scale, 6),
        "groups": groups(report, scale),
        "devices": [where(one) for one in report.devices],
        "ratios": any(result.ratio for device in report.devices for result in device.results),
    }
    return Section("latency", "Latency", "Latency", data)


def common(report: Report) -> Scale:
    """One logarithmic axis for all, so that equal distances are equal factors."""
    results = [result for device in report.devices for result in device.results]
    low = min(max(result.latency.least, 1e-3) for result in results)
    return Scale(low / 1.15, max(max(result.latency.p99, low) for result in results) * 1.15, log=True)


def groups(report: Report, scale: Scale) -> list[Group]:
    """Ours by artifact in the order of the report, then all that is not ours, by name."""
    found = []
    for one in report.artifacts:
        runs = [(report.devices[spot.report], report.result(spot)) for spot in one.results]
        if runs:
            found.append(Group(artifact_label(one), one.name, shown(runs, scale)))
    others: dict[str, list[tuple[DeviceReport, Result]]] = {}
    for device in report.devices:
        for result in device.results:
            if result.artifact_sha256 is None:
                others.setdefault(result.name, []).append((device, result))
    return [*found, *(Group(name, "not an artifact of ours", shown(runs, scale)) for name, runs in others.items())]


def shown(runs: Sequence[tuple[DeviceReport, Result]], scale: Scale) -> tuple[Run, ...]:
    return tuple(run(device, result, scale) for device, result in sorted(runs, key=order))


def order(found: tuple[DeviceReport, Result]) -> tuple[bool, str, str, float, int]:
    """Computers first, then phones by name, from fewer processors and threads to more."""
    device, result = found
    kind = device.device.kind != "host"
    return kind, device_label(device.device), device.created, place(result.compute, tuple(COMPUTE_NAMES)), threads(*found)


def run(device: DeviceReport, result: Result, scale: Scale) -> Run:
    latency, setting = result.latency, configuration(device, result)
    samples = [sample for turn in result.samples_ms for sample in turn]
    made_up = "Fixture, not measured. " if device.fixture else ""
    within = median_interval(result)
    return Run(
        device=device_label(device.device),
        host=device.device.kind == "host",
        fixture=device.fixture,
        setting=setting,
        graphic=histogram(
            samples,
            latency,
            scale,
            made_up=device.fixture,
            label=f"{made_up}{plural(len(samples), 'latency', 'latencies')} on {device_label(device.device)}, {setting}: "
            f"p50 {milliseconds(latency.p50)}, p99 {milliseconds(latency.p99)} ms",
        ),
        p50=milliseconds(latency.p50),
        interval=f"{milliseconds(within[0])}–{milliseconds(within[1])}" if within else "",
        p90=milliseconds(latency.p90),
        p99=milliseconds(latency.p99),
        load=number(result.load_ms, 0),
        first=milliseconds(result.first_ms),
        memory=megabytes(result.running_memory_bytes or result.peak_memory_bytes),
        ratio=f"{number(result.ratio.value, 2)}×" if result.ratio else NONE,
    )


def median_interval(result: Result) -> tuple[float, float] | None:
    """The interval that holds the median of a turn with 95% confidence, by the sign test over turns.

    Turns are independent where single inferences are not; None where there are too few of them.
    """
    turns = sorted(median(turn) for turn in result.samples_ms if turn)
    outside = rank_outside(len(turns))
    return (turns[outside - 1], turns[-outside]) if outside else None


def where(report: DeviceReport) -> Where:
    settings = report.settings
    return Where(
        name=device_label(report.device),
        fixture=report.fixture,
        facts=device_facts(report.device),
        app=report.app,
        created=report.created,
        settings=f"{plural(settings.rounds, 'turn')} of {settings.iterations}, {settings.warm_up} before each not counted, "
        f"batch {settings.batch}",
        charge=charge(report),
    )
