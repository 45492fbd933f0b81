"""The section on the drift of each layer: free-running, and teacher-forced."""

from dataclasses import dataclass
from itertools import groupby
from math import isfinite

from markupsafe import Markup

from shvit_mobile.contracts.drift_report import LayerDrift, LayerReport
from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.report.charts.lines import ChartLine, draw_line_chart
from shvit_mobile.report.charts.svg import AxisScale
from shvit_mobile.report.display_names import format_label
from shvit_mobile.report.formatting import format_decibels, pluralize
from shvit_mobile.report.sentences import describe_layers

# Higher values are drawn at the upper end of the chart: differences there do not matter.
_HIGHEST_DB = 100.0


@dataclass(frozen=True)
class _ArtifactLayers:
    """The layers of one artifact.

    Attributes:
        parts: The parts of the network, and the share of the axis that their layers have.
        rows: The layers, each with a remark.
    """

    label: str
    file: str
    chart: Markup
    parts: tuple[tuple[str, str], ...]
    sentence: str
    rows: tuple[tuple[LayerDrift, str], ...]


def build_variables(report: ModelReport) -> dict[str, object] | None:
    found = [one for drift in report.drift for one in drift.layers if one.rows]
    if not found:
        return None
    figures = [_clamp_db(value) for one in found for row in one.rows for value in (row.free_db, row.forced_db)]
    scale = AxisScale(min(0.0, *figures), max(figures) * 1.08)
    return {"reports": [_build_artifact_layers(one, scale) for one in found]}


def _clamp_db(value: float) -> float:
    """Return decibels within the chart; an infinite value lies at an end."""
    return min(max(value, 0.0), _HIGHEST_DB) if isfinite(value) or value > 0 else 0.0


def _build_artifact_layers(report: LayerReport, scale: AxisScale) -> _ArtifactLayers:
    name = format_label(report.artifact, report.target, report.precision)
    return _ArtifactLayers(
        label=name,
        file=report.artifact,
        chart=draw_line_chart(
            (_build_layer_line(report, "forced"), _build_layer_line(report, "free")),
            AxisScale(-0.5, len(report.rows) - 0.5),
            scale,
            label=f"SQNR of each of {pluralize(len(report.rows), 'layer')} of {name}. {describe_layers(report)}",
            unit="dB",
            limit=report.threshold_db,
        ),
        parts=_group_into_parts(report.rows),
        sentence=describe_layers(report),
        rows=tuple((one, _find_remark(report, one)) for one in report.rows),
    )


def _build_layer_line(report: LayerReport, style: str) -> ChartLine:
    free = style == "free"
    values = [one.free_db if free else one.forced_db for one in report.rows]
    words = "free-running" if free else "teacher-forced"
    return ChartLine(
        tuple(
            (place, _clamp_db(value), f"{one.layer} {words}: {format_decibels(value)} dB")
            for place, (one, value) in enumerate(zip(report.rows, values, strict=True))
        ),
        style,
        joined=free,
    )


def _group_into_parts(rows: tuple[LayerDrift, ...]) -> tuple[tuple[str, str], ...]:
    """Group layers by the first words of their names."""
    names = [_get_part_name(row.layer) for row in rows]
    return tuple((name, f"{100 * len(list(group)) / len(rows):.2f}%") for name, group in groupby(names))


def _get_part_name(layer: str) -> str:
    """Return the part of the network that a layer belongs to: "stage 1" for "stages.1.blocks.0.conv"."""
    first, *rest = layer.removeprefix("model.").split(".")
    return f"{first.removesuffix('s')} {rest[0]}" if first.endswith("s") and rest and rest[0].isdigit() else first


def _find_remark(report: LayerReport, one: LayerDrift) -> str:
    below = min(one.free_db, one.forced_db) < report.threshold_db
    return "first divergence" if one.layer == report.first else "below" if below else ""
