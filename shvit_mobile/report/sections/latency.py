"""The section on latency: every timed inference, computers and phones on one axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from shvit_mobile.apps.devices import TIMING_PHRASES, get_threads
from shvit_mobile.bench.statistics import estimate_median
from shvit_mobile.contracts.device_report import DeviceReport, DeviceResult
from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.report.charts.cells import draw_axis, draw_histogram
from shvit_mobile.report.charts.svg import AxisScale
from shvit_mobile.report.display_names import (
    describe_conditions,
    describe_configuration,
    describe_device,
    format_artifact_label,
    format_device_label,
    format_fixture_prefix,
    format_result_label,
)
from shvit_mobile.report.formatting import (
    COMPUTE_NAMES,
    find_rank,
    format_milliseconds,
    format_timestamp,
    pluralize,
)


@dataclass(frozen=True)
class _LatencyRow:
    """One result, and the interval of its median."""

    result: DeviceResult
    setting: str
    graphic: Markup
    interval: str


@dataclass(frozen=True)
class _DeviceLatencies:
    """The results of one report, ordered by processors and threads."""

    name: str
    fixture: bool
    runs: tuple[_LatencyRow, ...]


@dataclass(frozen=True)
class _ArtifactLatencies:
    """The results of one artifact, or of another contestant."""

    label: str
    file: str
    devices: tuple[_DeviceLatencies, ...]


@dataclass(frozen=True)
class _MeasuredDevice:
    """A device, and how it was measured."""

    name: str
    fixture: bool
    facts: str
    app: str
    created: str
    settings: str
    timed: str
    charge: str


@dataclass(frozen=True)
class _FrameRow:
    """The median of each stage of whole frames, in milliseconds."""

    device: str
    fixture: bool
    artifact: str
    setting: str
    stages: tuple[float, ...]
    total: float


def build_variables(report: ModelReport) -> dict[str, object] | None:
    if not report.devices:
        return None
    scale = _fit_common_scale(report)
    return {
        "axis": draw_axis(scale, 6),
        "groups": _group_by_artifact(report, scale),
        "devices": [_build_measured_device(one) for one in sorted(report.devices, key=_rank_device)],
        "frames": _list_frames(report),
        "ratios": any(result.ratio for device in report.devices for result in device.results),
    }


def _list_frames(report: ModelReport) -> list[_FrameRow]:
    """List the results with stages, ordered by device."""
    return [
        _FrameRow(
            device=format_device_label(device.device),
            fixture=device.fixture,
            artifact=format_result_label(report, result),
            setting=describe_configuration(device, result),
            stages=tuple(stage.p50 for stage in result.stages.parts.values()),
            total=result.stages.total.p50,
        )
        for device in sorted(report.devices, key=_rank_device)
        for result in device.results
        if result.stages is not None
    ]


def _fit_common_scale(report: ModelReport) -> AxisScale:
    """Fit one logarithmic axis to all results."""
    results = [result for device in report.devices for result in device.results]
    low = min(max(result.latency.least, 1e-3) for result in results)
    return AxisScale(low / 1.15, max(max(result.latency.tail, low) for result in results) * 1.15, log=True)


def _group_by_artifact(report: ModelReport, scale: AxisScale) -> list[_ArtifactLatencies]:
    """Group results by artifact in the order of the report, then those of other contestants by name."""
    found = []
    for one in report.artifacts:
        runs = [(report.devices[spot.report], report.get_result(spot)) for spot in one.results]
        if runs:
            found.append(_ArtifactLatencies(format_artifact_label(one), one.name, _group_by_device(runs, scale)))
    others: dict[str, list[tuple[DeviceReport, DeviceResult]]] = {}
    for device in report.devices:
        for result in device.results:
            if result.artifact_sha256 is None:
                others.setdefault(result.name, []).append((device, result))
    return [
        *found,
        *(
            _ArtifactLatencies(name, "not exported by shvit-mobile", _group_by_device(runs, scale))
            for name, runs in others.items()
        ),
    ]


def _group_by_device(
    runs: Sequence[tuple[DeviceReport, DeviceResult]], scale: AxisScale
) -> tuple[_DeviceLatencies, ...]:
    """Group runs by device; those of one report stay together."""
    ordered = sorted(runs, key=lambda found: (_rank_device(found[0]), _rank_configuration(*found)))
    return tuple(
        _DeviceLatencies(name, fixture, tuple(_build_latency_row(device, result, scale) for device, result in found))
        for (fixture, _, name, _), found in groupby(ordered, key=lambda found: _rank_device(found[0]))
    )


def _rank_configuration(device: DeviceReport, result: DeviceResult) -> tuple[float, int]:
    """Rank by processors, then by threads."""
    return find_rank(result.compute, tuple(COMPUTE_NAMES)), get_threads(device, result) or 0


def _rank_device(device: DeviceReport) -> tuple[bool, bool, str, str]:
    """Rank measurements before fixtures, computers before phones, then by name and time."""
    return device.fixture, device.device.kind != "host", format_device_label(device.device), device.created


def _build_latency_row(device: DeviceReport, result: DeviceResult, scale: AxisScale) -> _LatencyRow:
    latency, name = result.latency, describe_configuration(device, result)
    typical = estimate_median(result.samples_ms)
    return _LatencyRow(
        result=result,
        setting=name,
        graphic=draw_histogram(
            [sample for turn in result.samples_ms for sample in turn],
            latency,
            scale,
            made_up=device.fixture,
            label=f"{format_fixture_prefix(device)}{pluralize(latency.samples, 'latency', 'latencies')} on "
            f"{format_device_label(device.device)}, {name}: p50 {format_milliseconds(latency.p50)}, "
            f"{latency.tail_name} {format_milliseconds(latency.tail)} ms",
        ),
        interval=""
        if typical.low is None or typical.high is None
        else f"{format_milliseconds(typical.low)}–{format_milliseconds(typical.high)}",
    )


def _build_measured_device(report: DeviceReport) -> _MeasuredDevice:
    settings = report.settings
    return _MeasuredDevice(
        name=format_device_label(report.device),
        fixture=report.fixture,
        facts=describe_device(report.device),
        app=report.app,
        created=format_timestamp(report.created),
        settings=f"{pluralize(settings.rounds, 'round')} of {settings.turn_text}, each after {settings.warm_up_text} "
        f"for warm-up, batch {settings.batch}",
        timed=TIMING_PHRASES[report.timed],
        charge=describe_conditions(report),
    )
