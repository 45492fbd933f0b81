"""Which processor runs the operators, as Core ML planned it on each device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.contracts.report import Report
from shvit_mobile.report.charts.bars import stacked
from shvit_mobile.report.display_names import configuration, device_label, result_label
from shvit_mobile.report.formatting import listed, place, plural, thousands
from shvit_mobile.report.sections.section import Section

PROCESSORS = {"cpu": "CPU", "gpu": "GPU", "neural-engine": "Neural Engine"}
COLOURS = {"cpu": "c4", "gpu": "c2", "neural-engine": "c1"}
# Operators by processor.
Counts = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Placed:
    """One plan, and the devices that made it."""

    setting: str
    devices: str
    graphic: Markup
    words: str


@dataclass(frozen=True)
class Plans:
    """The plans of one artifact; those of fixtures stand apart."""

    label: str
    fixture: bool
    plans: tuple[Placed, ...]


def placement(report: Report) -> Section | None:
    found: dict[tuple[str, bool], dict[tuple[str, Counts], list[str]]] = {}
    for device in report.devices:
        for result in device.results:
            if result.placement:
                plans = found.setdefault((result_label(report, result), device.fixture), {})
                plan = configuration(device, result), counted(result.placement)
                plans.setdefault(plan, []).append(device_label(device.device))
    data = {
        "artifacts": [Plans(label, fixture, placed(plans)) for (label, fixture), plans in found.items()],
        "legend": [(COLOURS[name], PROCESSORS[name]) for name in PROCESSORS],
    }
    return Section("placement", "Who runs what", "Placement", data) if found else None


def counted(placement: Mapping[str, int]) -> Counts:
    """The CPU first, then the GPU, the Neural Engine, and what has another name."""
    return tuple(sorted(placement.items(), key=lambda item: (place(item[0], tuple(PROCESSORS)), item[0])))


def placed(plans: Mapping[tuple[str, Counts], list[str]]) -> tuple[Placed, ...]:
    return tuple(
        Placed(setting, listed(list(dict.fromkeys(devices))), bar(dict(counts)), words(dict(counts)))
        for (setting, counts), devices in plans.items()
    )


def bar(counts: dict[str, int]) -> Markup:
    parts = {
        f"{named(name)}: {plural(count, 'operator')}": (float(count), COLOURS.get(name, "c5"))
        for name, count in counts.items()
    }
    return stacked(parts, sum(counts.values()), words(counts))


def words(counts: dict[str, int]) -> str:
    return ", ".join(f"{named(name)} {thousands(count)}" for name, count in counts.items())


def named(processor: str) -> str:
    return PROCESSORS.get(processor, processor)
