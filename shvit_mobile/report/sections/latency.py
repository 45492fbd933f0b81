"""Latency: every inference that was measured, host and phones on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from shvit_mobile.apps.devices import threads_of
from shvit_mobile.bench.statistics import median_of_rounds
from shvit_mobile.contracts.device_report import DeviceReport, Result
from shvit_mobile.contracts.report import Report
from shvit_mobile.report.charts.histogram import histogram
from shvit_mobile.report.charts.svg import Scale
from shvit_mobile.report.charts.whisker import axis
from shvit_mobile.report.display_names import (
    artifact_label,
    charge,
    configuration,
    device_facts,
    device_label,
)
from shvit_mobile.report.formatting import COMPUTE_NAMES, NONE, megabytes, milliseconds, moment, number, place, plural
from shvit_mobile.report.sections.section import Section


@dataclass(frozen=True)
class Run:
    """One result."""

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
class OnDevice:
    """The results of one report, from fewer processors and threads to more."""

    name: str
    fixture: bool
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Group:
    """The results of one artifact, or of what is none of ours."""

    label: str
    file: str
    devices: tuple[OnDevice, ...]


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
        "devices": [where(one) for one in sorted(report.devices, key=standing)],
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


def shown(runs: Sequence[tuple[DeviceReport, Result]], scale: Scale) -> tuple[OnDevice, ...]:
    """The runs by device; those of one report stay together."""
    ordered = sorted(runs, key=lambda found: (standing(found[0]), setting(*found)))
    return tuple(
        OnDevice(name, fixture, tuple(run(device, result, scale) for device, result in found))
        for (fixture, _, name, _), found in groupby(ordered, key=lambda found: standing(found[0]))
    )


def setting(device: DeviceReport, result: Result) -> tuple[float, int]:
    """From fewer processors and threads to more."""
    return place(result.compute, tuple(COMPUTE_NAMES)), threads_of(device, result) or 0


def standing(device: DeviceReport) -> tuple[bool, bool, str, str]:
    """What was measured before fixtures, computers before phones, then by name and time."""
    return device.fixture, device.device.kind != "host", device_label(device.device), device.created


def run(device: DeviceReport, result: Result, scale: Scale) -> Run:
    latency, name = result.latency, configuration(device, result)
    typical = median_of_rounds(result.samples_ms)
    return Run(
        setting=name,
        graphic=histogram(
            [sample for turn in result.samples_ms for sample in turn],
            latency,
            scale,
            made_up=device.fixture,
            label=f"{'Fixture, not measured. ' if device.fixture else ''}"
            f"{plural(latency.samples, 'latency', 'latencies')} on {device_label(device.device)}, {name}: "
            f"p50 {milliseconds(latency.p50)}, p99 {milliseconds(latency.p99)} ms",
        ),
        p50=milliseconds(latency.p50),
        interval=""
        if typical.low is None or typical.high is None
        else f"{milliseconds(typical.low)}–{milliseconds(typical.high)}",
        p90=milliseconds(latency.p90),
        p99=milliseconds(latency.p99),
        load=number(result.load_ms, 0),
        first=milliseconds(result.first_ms),
        memory=megabytes(result.running_memory_bytes or result.peak_memory_bytes),
        ratio=f"{number(result.ratio.value, 2)}×" if result.ratio else NONE,
    )


def where(report: DeviceReport) -> Where:
    settings = report.settings
    return Where(
        name=device_label(report.device),
        fixture=report.fixture,
        facts=device_facts(report.device),
        app=report.app,
        created=moment(report.created),
        settings=f"{plural(settings.rounds, 'turn')} of {settings.iterations}, "
        f"{settings.warm_up} before each not counted, batch {settings.batch}",
        charge=charge(report),
    )
