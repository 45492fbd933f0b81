"""Every value against the range of fp16."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, log2

from markupsafe import Markup

from shvit_mobile.contracts.drift_report import RangeReport, ValueRange
from shvit_mobile.contracts.report import Report
from shvit_mobile.report.charts.bars import reach
from shvit_mobile.report.display_names import artifact_label
from shvit_mobile.report.formatting import number, percent, plural, short
from shvit_mobile.report.sections.section import Section

LARGEST_HALF = 65504.0
SMALLEST_NORMAL = 2.0**-14
# The ends of the axis, in powers of two: fp16's smallest normal number to some way past its largest.
ENDS = (-14.0, 20.0)
SHOWN = 6


@dataclass(frozen=True)
class Row:
    """A value of the program."""

    layer: str
    value: str
    graphic: Markup
    largest: str
    headroom: str
    subnormal: str
    outcome: str
    past: bool


@dataclass(frozen=True)
class Ranges:
    """An artifact: the values nearest to the limit, and how many more there are."""

    label: str
    file: str
    sentence: str
    flags: tuple[str, ...]
    notes: tuple[str, ...]
    rows: tuple[Row, ...]
    more: int


def ranges(report: Report) -> Section | None:
    found = [shown(report, one) for drift in report.drift for one in drift.ranges]
    return Section("ranges", "Does fp16 hold every value?", "fp16 range", {"reports": found}) if found else None


def shown(report: Report, one: RangeReport) -> Ranges:
    known = next((artifact for artifact in report.artifacts if artifact.name == one.artifact), None)
    would = "" if one.computes_in_half else " The artifact computes in float32; this is what fp16 would make of it."
    outcome = f"{plural(len(one.flags), 'fault')}." if one.flags else "Nothing overflows, and no branch falls silent."
    return Ranges(
        label=artifact_label(known) if known else one.artifact,
        file=one.artifact,
        sentence=f"{outcome} {plural(len(one.values), 'value')} on {plural(one.images, 'image')}, "
        f"run by {one.engine}.{would}",
        flags=one.flags,
        notes=one.notes,
        rows=tuple(row(value) for value in one.values[:SHOWN]),
        more=max(len(one.values) - SHOWN, 0),
    )


def row(value: ValueRange) -> Row:
    fault = "not finite" if value.not_finite else "silent" if value.silent else ""
    past = bool(fault) or value.headroom_bits < 0
    low, high = power(value.smallest_peak), power(value.largest)
    return Row(
        layer=value.layer,
        value=f"{value.part} in {value.operator}" if value.part else value.operator,
        graphic=reach(low, high, log2(LARGEST_HALF), ENDS, past=past),
        largest=short(value.largest, 3),
        headroom=number(value.headroom_bits, 1),
        subnormal=percent(min(value.subnormal, 1.0)),
        outcome=fault or ("overflows" if past else "fits"),
        past=past,
    )


def power(value: float) -> float:
    """Of two, as far as the axis goes."""
    if not isfinite(value):
        return ENDS[1]
    return min(max(log2(value), ENDS[0]), ENDS[1]) if value > 0 else ENDS[0]
