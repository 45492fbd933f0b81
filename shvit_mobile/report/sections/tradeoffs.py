"""What a smaller or a faster artifact costs: changed answers against size and against latency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from markupsafe import Markup

from shvit_mobile.bench.report import DeviceReport
from shvit_mobile.drift.row import DriftRow
from shvit_mobile.report.charts.scatter import Point, front, scatter
from shvit_mobile.report.charts.svg import Scale
from shvit_mobile.report.document import Joined, Report
from shvit_mobile.report.figures import listed, megabytes, milliseconds, number, percent, plural, points
from shvit_mobile.report.names import artifact_label, device_label
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
    return chart(known, lambda one: one.size_bytes and one.size_bytes / 1e6, "Against size", "MB", fixture=False)


def by_latency(known: Sequence[Known], device: DeviceReport) -> Chart | None:
    """Against the median of the fastest setting on one device."""
    fastest: dict[str, float] = {}
    for result in device.results:
        if result.artifact_sha256:
            p50 = result.latency.p50
            fastest[result.artifact_sha256] = min(p50, fastest.get(result.artifact_sha256, p50))
    title = f"Against latency on {device_label(device.device)}"
    return chart(known, lambda one: fastest.get(one.sha256), title, "ms", fixture=device.fixture)


def chart(
    known: Sequence[Known], cost: Callable[[Joined], float | None], title: str, unit: str, *, fixture: bool
) -> Chart | None:
    """A chart of those whose cost is known; None where there are fewer than two."""
    costs = [(one, cost(one.artifact)) for one in known]
    marks = [point(one, value, unit) for one, value in costs if value is not None]
    if len(marks) < 2:
        return None
    x = Scale(0, max(one.x for one in marks) * 1.08)
    y = Scale(0, max(1.0, *(one.high for one in marks)) * 1.1)
    best = front(marks)
    labels = [artifact_label(one.artifact) for mark in best for one in known if one.letter == mark.letter]
    better = "smaller" if unit == "MB" else "faster"
    sentence = f"Nothing here is both nearer to the float model and {better} than {listed(labels)}."
    return Chart(
        title,
        scatter(
            marks,
            x,
            y,
            units=(unit, "% of answers"),
            label=f"Changed answers {title.lower()}, {plural(len(marks), 'artifact')}. {sentence}",
        ),
        sentence,
        fixture,
    )


def point(one: Known, cost: float, unit: str) -> Point:
    share = one.row.agreement
    label = artifact_label(one.artifact)
    return Point(
        letter=one.letter,
        x=cost,
        y=100 * (1 - share.value),
        low=100 * (1 - share.high),
        high=100 * (1 - share.low),
        style=style(one.artifact),
        words=f"{label}: {megabytes(1e6 * cost) if unit == 'MB' else milliseconds(cost)} {unit}, "
        f"{number(100 * (1 - share.value), 1)}% of answers changed",
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
