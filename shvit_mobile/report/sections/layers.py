"""Drift layer by layer: with all that went wrong before, and alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from math import isfinite

from markupsafe import Markup

from shvit_mobile.contracts.drift_report import LayerDrift, LayerReport
from shvit_mobile.contracts.report import Report
from shvit_mobile.report.charts.lines import Line, lines
from shvit_mobile.report.charts.svg import Scale
from shvit_mobile.report.display_names import label
from shvit_mobile.report.formatting import decibels, listed, plural
from shvit_mobile.report.sections.section import Section

# What is nearer still, or equal, stands at the upper end of the chart: there it makes no difference.
HIGHEST = 100.0
STEM = "patch_embed"
NAMED = 5


@dataclass(frozen=True)
class Part:
    """A stretch of layers of one part of the network, and its share of the axis."""

    name: str
    share: str


@dataclass(frozen=True)
class Row:
    """A layer in the table."""

    layer: str
    kind: str
    free: str
    forced: str
    remark: str


@dataclass(frozen=True)
class Layers:
    """An artifact."""

    label: str
    file: str
    chart: Markup
    parts: tuple[Part, ...]
    sentence: str
    rows: tuple[Row, ...]


def layers(report: Report) -> Section | None:
    found = [one for drift in report.drift for one in drift.layers if one.rows]
    if not found:
        return None
    figures = [drawn(row.free_db) for one in found for row in one.rows]
    figures += [drawn(row.forced_db) for one in found for row in one.rows]
    scale = Scale(min(0.0, *figures), max(figures) * 1.08)
    return Section("layers", "Layer by layer", "Layers", {"reports": [shown(one, scale) for one in found]})


def drawn(value: float) -> float:
    """A ratio as it can be drawn; what is not finite lies at an end."""
    return min(max(value, 0.0), HIGHEST) if isfinite(value) or value > 0 else 0.0


def shown(report: LayerReport, scale: Scale) -> Layers:
    name = label(report.artifact, report.target, report.precision)
    return Layers(
        label=name,
        file=report.artifact,
        chart=lines(
            (
                line(report, "forced"),
                line(report, "free"),
            ),
            Scale(-0.5, len(report.rows) - 0.5),
            scale,
            label=f"SQNR of each of {plural(len(report.rows), 'layer')} of {name}. {sentence(report)}",
            unit="dB",
            limit=report.threshold_db,
        ),
        parts=parts(report.rows),
        sentence=sentence(report),
        rows=tuple(row(report, one) for one in report.rows),
    )


def line(report: LayerReport, style: str) -> Line:
    free = style == "free"
    values = [one.free_db if free else one.forced_db for one in report.rows]
    words = "with all before it" if free else "alone"
    return Line(
        tuple(
            (place, drawn(value), f"{one.layer} {words}: {decibels(value)} dB")
            for place, (one, value) in enumerate(zip(report.rows, values, strict=True))
        ),
        style,
        joined=free,
    )


def parts(rows: tuple[LayerDrift, ...]) -> tuple[Part, ...]:
    """The stem, the stages and the head, as wide as they have layers."""
    names = [part_of(row.layer) for row in rows]
    return tuple(Part(name, f"{100 * len(list(group)) / len(rows):.2f}%") for name, group in groupby(names))


def part_of(layer: str) -> str:
    first, *rest = layer.split(".")
    return "stem" if first == STEM else f"stage {rest[0]}" if first == "stages" and rest else first


def sentence(report: LayerReport) -> str:
    """Where drift begins, and which layers make most of it."""
    begins = (
        f"First below {report.threshold_db:g} dB: {report.first}."
        if report.first
        else f"No layer falls below {report.threshold_db:g} dB."
    )
    alone = {one.layer: decibels(one.forced_db) for one in report.rows}
    worst = listed([f"{layer} ({alone.get(layer, '')} dB)" for layer in report.worst[:NAMED]])
    most = f" Lowest when run alone: {worst}." if worst else ""
    return f"{begins}{most} {plural(report.images, 'image')}, run by {report.engine}."


def row(report: LayerReport, one: LayerDrift) -> Row:
    below = min(one.free_db, one.forced_db) < report.threshold_db
    remark = "first below" if one.layer == report.first else "below" if below else ""
    return Row(one.layer, one.kind, decibels(one.free_db), decibels(one.forced_db), remark)
