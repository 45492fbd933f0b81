"""Which processor runs the operators, as Core ML planned it on each device."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.report.charts.bars import stacked
from shvit_mobile.report.document import Report
from shvit_mobile.report.figures import listed, plural, thousands
from shvit_mobile.report.names import configuration, device_label, result_label
from shvit_mobile.report.sections.section import Section

PROCESSORS = {"cpu": "CPU", "gpu": "GPU", "neural-engine": "Neural Engine"}
COLOURS = {"cpu": "c4", "gpu": "c2", "neural-engine": "c1"}


@dataclass(frozen=True)
class Placed:
    """One plan, and the devices that made it."""

    label: str
    setting: str
    devices: str
    fixture: bool
    graphic: Markup
    words: str


def placement(report: Report) -> Section | None:
    plans: dict[tuple[str, str, tuple[tuple[str, int], ...], bool], list[str]] = {}
    for device in report.devices:
        for result in device.results:
            if result.placement:
                counts = tuple(
                    sorted(
                        result.placement.items(),
                        key=lambda item: list(PROCESSORS).index(item[0]) if item[0] in PROCESSORS else len(PROCESSORS),
                    )
                )
                key = (result_label(report, result), configuration(device, result), counts, device.fixture)
                plans.setdefault(key, []).append(device_label(device.device))
    found = [
        Placed(label, setting, listed(list(dict.fromkeys(devices))), fixture, bar(dict(counts)), words(dict(counts)))
        for (label, setting, counts, fixture), devices in plans.items()
    ]
    data = {"plans": found, "legend": [(COLOURS[name], PROCESSORS[name]) for name in PROCESSORS]}
    return Section("placement", "Who runs what", "Placement", data) if found else None


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
