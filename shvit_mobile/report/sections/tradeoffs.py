"""What a smaller or a faster artifact costs: drift against size and against latency."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from markupsafe import Markup

from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.report import Joined, Report
from shvit_mobile.report.charts.scatter import Point, front, scatter
from shvit_mobile.report.charts.svg import Scale
from shvit_mobile.report.display_names import artifact_label, device_label
from shvit_mobile.report.dominance import beaten_by
from shvit_mobile.report.formatting import listed, megabytes, milliseconds, number, percent, plural, points
from shvit_mobile.report.pareto_fronts import fastest
from shvit_mobile.report.sections.section import Section


@dataclass(frozen=True)
class Known:
    """An artifact and the row of its drift."""

    letter: str
    artifact: Joined
    row: DriftRow


@dataclass(frozen=True)
class Entry:
    """An artifact in the list beside the charts."""

    letter: str
    label: str
    style: str
    size: str
    changed: str
    drop: str


@dataclass(frozen=True)
class Chart:
    """One trade-off, and the artifacts on its front in words."""

    title: str
    chart: Markup
    sentence: str
    fixture: bool


@dataclass(frozen=True)
class Figure:
    """How far artifacts are from the float model.

    Attributes:
        name: of the axis; unit: its unit.
        nearer: what is better, said of the artifact.
        values: the figure of a row, and its interval.
        words: for a tooltip.
    """

    name: str
    unit: str
    nearer: str
    values: Callable[[DriftRow], tuple[float, float, float]]
    words: Callable[[float], str]


def dropped(row: DriftRow) -> tuple[float, float, float]:
    low, high = row.top1_drop_interval or (0.0, 0.0)
    return row.top1_drop or 0.0, low, high


def changed(row: DriftRow) -> tuple[float, float, float]:
    """Changed answers in percent."""
    share = row.agreement
    return 100 * (1 - share.value), 100 * (1 - share.high), 100 * (1 - share.low)


DROP = Figure("Top-1 drop", "points", "better at top-1", dropped, lambda value: f"{points(value)} points of top-1 lost")
CHANGED = Figure(
    "Changed answers",
    "% of answers",
    "nearer to the float model",
    changed,
    lambda value: f"{number(value, 1)}% of answers changed",
)


def tradeoffs(report: Report) -> Section | None:
    rows = [(one, one.drift) for one in report.artifacts if one.drift]
    known = [Known(letter(number), one, row) for number, (one, row) in enumerate(rows)]
    charts = [by_size(known), *(by_latency(known, device) for device in report.devices)]
    drawn = [chart for chart in charts if chart]
    measured, fixtures = ([one for one in drawn if one.fixture is made_up] for made_up in (False, True))
    data = {"charts": measured, "fixtures": fixtures, "entries": [entry(one) for one in known]}
    return Section("tradeoffs", "What smaller and faster cost", "Trade-offs", data) if drawn else None


def letter(number: int) -> str:
    """A to Z, then A2."""
    turn, place = divmod(number, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(turn + 1) if turn else "")


def by_size(known: Sequence[Known]) -> Chart | None:
    sizes = {one.artifact.sha256: one.artifact.size_bytes / 1e6 for one in known if one.artifact.size_bytes}
    return chart(known, sizes, "size", "MB", fixture=False)


def by_latency(known: Sequence[Known], device: DeviceReport) -> Chart | None:
    """Against the median of the fastest setting on one device."""
    return chart(known, fastest(device), f"latency on {device_label(device.device)}", "ms", fixture=device.fixture)


def chart(
    known: Sequence[Known], costs: Mapping[str, float], against: str, unit: str, *, fixture: bool
) -> Chart | None:
    """A chart of those whose cost is known; None where there are fewer than two."""
    shown = [one for one in known if one.artifact.sha256 in costs]
    if len(shown) < 2:
        return None
    figure = DROP if all(one.row.top1_drop_interval for one in shown) else CHANGED
    marks = [point(one, costs[one.artifact.sha256], unit, figure) for one in shown]
    x = Scale(0, max(one.x for one in marks) * 1.08)
    top, bottom = max(1.0, *(one.high for one in marks)), min(0.0, *(one.low for one in marks))
    best = front(marks)
    labels = [artifact_label(one.artifact) for mark in best for one in known if one.letter == mark.letter]
    better = "smaller" if unit == "MB" else "faster"
    sentence = f"Nothing here is both {figure.nearer} and {better} than {listed(labels)}.{losers(marks)}"
    title = f"{figure.name} against {against}"
    return Chart(
        title,
        scatter(
            marks,
            x,
            Scale(bottom * 1.1, top * 1.1),
            units=(unit, figure.unit),
            label=f"{title}, {plural(len(marks), 'artifact')}. {sentence}",
        ),
        sentence,
        fixture,
    )


def losers(marks: Sequence[Point]) -> str:
    """By letters, what is beaten and by what."""
    told = [
        f"{mark.letter} by {marks[by].letter}"
        for mark, by in zip(marks, beaten_by([(mark.x, mark.y) for mark in marks]), strict=True)
        if by is not None
    ]
    return f" Beaten: {listed(told)}." if told else ""


def point(one: Known, cost: float, unit: str, figure: Figure) -> Point:
    value, low, high = figure.values(one.row)
    spent = megabytes(1e6 * cost) if unit == "MB" else milliseconds(cost)
    return Point(
        letter=one.letter,
        x=cost,
        y=value,
        low=low,
        high=high,
        style=style(one.artifact),
        words=f"{artifact_label(one.artifact)}: {spent} {unit}, {figure.words(value)}",
    )


def style(one: Joined) -> str:
    return f"target-{one.target}" if one.target in ("coreml", "executorch", "onnx") else "target-other"


def entry(one: Known) -> Entry:
    return Entry(
        one.letter,
        artifact_label(one.artifact),
        style(one.artifact),
        megabytes(one.artifact.size_bytes),
        percent(1 - one.row.agreement.value),
        points(one.row.top1_drop),
    )
