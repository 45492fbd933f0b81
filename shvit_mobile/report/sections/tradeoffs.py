"""The section on trade-offs: drift against size, and against latency."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from markupsafe import Markup

from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.manifest import TARGET_ORDER
from shvit_mobile.contracts.report import ModelReport, ReportArtifact
from shvit_mobile.report.charts.scatter import ScatterPoint, draw_scatter
from shvit_mobile.report.charts.svg import AxisScale
from shvit_mobile.report.display_names import format_artifact_label, format_device_label
from shvit_mobile.report.formatting import (
    format_megabytes,
    format_milliseconds,
    format_number,
    format_points,
    join_words,
    pluralize,
)
from shvit_mobile.report.pareto_fronts import find_dominators, find_fastest_latencies, find_pareto_front


@dataclass(frozen=True)
class _ComparedArtifact:
    """An artifact, the row of its drift, and how the charts show it."""

    letter: str
    label: str
    style: str
    artifact: ReportArtifact
    row: DriftRow


@dataclass(frozen=True)
class _TradeoffChart:
    """One trade-off, with a sentence on its Pareto front."""

    title: str
    chart: Markup
    sentence: str
    fixture: bool


@dataclass(frozen=True)
class _DriftAxis:
    """A measure of the distance from the float model.

    Attributes:
        name: The name of the axis; unit: Its unit.
        nearer: Describes a better artifact.
        values: Returns the value of a row, and its interval.
        words: Returns the text of a tooltip.
    """

    name: str
    unit: str
    nearer: str
    values: Callable[[DriftRow], tuple[float, float, float]]
    words: Callable[[float], str]


def _get_drop(row: DriftRow) -> tuple[float, float, float]:
    low, high = row.top1_drop_interval or (0.0, 0.0)
    return row.top1_drop or 0.0, low, high


def _get_changed_percent(row: DriftRow) -> tuple[float, float, float]:
    """Return changed predictions in percent."""
    share = row.agreement
    return (
        (0.0, 0.0, 0.0) if share is None else (100 * (1 - share.value), 100 * (1 - share.high), 100 * (1 - share.low))
    )


_DROP_AXIS = _DriftAxis(
    "Top-1 drop", "points", "more accurate", _get_drop, lambda value: f"{format_points(value)} points of top-1 lost"
)
_CHANGED_AXIS = _DriftAxis(
    "Changed predictions",
    "% of images",
    "closer to the float model",
    _get_changed_percent,
    lambda value: f"{format_number(value, 1)}% of predictions changed",
)


def build_variables(report: ModelReport) -> dict[str, object] | None:
    rows = [(one, one.drift) for one in report.artifacts if one.drift and one.drift.agreement]
    known = [
        _ComparedArtifact(
            _format_letter(number),
            format_artifact_label(one),
            f"target-{one.target if one.target in TARGET_ORDER else 'other'}",
            one,
            row,
        )
        for number, (one, row) in enumerate(rows)
    ]
    sizes = {one.sha256: one.size_bytes / 1e6 for one in report.artifacts if one.size_bytes}
    charts = [_build_chart(known, sizes, "size", "MB", fixture=False)]
    for device in report.devices:
        against = f"latency on {format_device_label(device.device)}"
        charts.append(_build_chart(known, find_fastest_latencies(device), against, "ms", fixture=device.fixture))
    drawn = [chart for chart in charts if chart]
    measured, fixtures = ([one for one in drawn if one.fixture is made_up] for made_up in (False, True))
    return {"charts": measured, "fixtures": fixtures, "entries": known} if drawn else None


def _format_letter(number: int) -> str:
    """Return A to Z, then A2."""
    turn, place = divmod(number, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(turn + 1) if turn else "")


def _build_chart(
    known: Sequence[_ComparedArtifact], costs: Mapping[str, float], against: str, unit: str, *, fixture: bool
) -> _TradeoffChart | None:
    """Build the chart of artifacts with a known cost; None if there are fewer than two."""
    shown = [one for one in known if one.artifact.sha256 in costs]
    if len(shown) < 2:
        return None
    figure = _DROP_AXIS if all(one.row.top1_drop_interval for one in shown) else _CHANGED_AXIS
    marks = [_build_point(one, costs[one.artifact.sha256], unit, figure) for one in shown]
    x = AxisScale(0, max(one.x for one in marks) * 1.08)
    top, bottom = max(1.0, *(one.high for one in marks)), min(0.0, *(one.low for one in marks))
    front = find_pareto_front([(mark.x, mark.y) for mark in marks])
    labels = [shown[place].label for place in front]
    better = "smaller" if unit == "MB" else "faster"
    sentence = (
        f"On the Pareto front, where no artifact is both {figure.nearer} and {better}: {join_words(labels)}."
        f"{_describe_dominated(marks)}"
    )
    title = f"{figure.name} against {against}"
    return _TradeoffChart(
        title,
        draw_scatter(
            marks,
            x,
            AxisScale(bottom * 1.1, top * 1.1),
            units=(unit, figure.unit),
            label=f"{title}, {pluralize(len(marks), 'artifact')}. {sentence}",
        ),
        sentence,
        fixture,
    )


def _describe_dominated(marks: Sequence[ScatterPoint]) -> str:
    """Describe which artifacts are dominated, by their letters."""
    dominated = [
        f"{mark.letter} by {marks[by].letter}"
        for mark, by in zip(marks, find_dominators([(mark.x, mark.y) for mark in marks]), strict=True)
        if by is not None
    ]
    return f" Dominated: {join_words(dominated)}." if dominated else ""


def _build_point(one: _ComparedArtifact, cost: float, unit: str, figure: _DriftAxis) -> ScatterPoint:
    value, low, high = figure.values(one.row)
    spent = format_megabytes(1e6 * cost) if unit == "MB" else format_milliseconds(cost)
    return ScatterPoint(
        letter=one.letter,
        x=cost,
        y=value,
        low=low,
        high=high,
        style=one.style,
        words=f"{one.label}: {spent} {unit}, {figure.words(value)}",
    )
