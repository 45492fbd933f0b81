"""Lines over an axis: layers, or time; bands behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.report.charts.svg import Scale, anchor, at, element, joined, picture, tooltip
from shvit_mobile.report.formatting import MINUS


@dataclass(frozen=True)
class Line:
    """Points (x, y, what they are in words) in the order of x, joined by a line or not; `style` is a class."""

    points: tuple[tuple[float, float, str], ...]
    style: str
    joined: bool = True


@dataclass(frozen=True)
class Band:
    """A stretch of the x axis, its class and its name."""

    start: float
    end: float
    style: str
    name: str


def lines(
    drawn: Sequence[Line],
    x: Scale,
    y: Scale,
    *,
    label: str,
    unit: str,
    bands: Sequence[Band] = (),
    limit: float | None = None,
    x_ticks: str | None = None,
) -> Markup:
    """The chart.

    Args:
        drawn: the lines, the last above the others.
        label: in words, what is to be seen.
        unit: of y, written at the uppermost number.
        bands: behind the lines; each stretches over the whole height.
        limit: a value of y to mark.
        x_ticks: the unit of x; None leaves the axis without numbers.
    """
    ticks, below = y.ticks(5), x.ticks(6) if x_ticks else []
    return picture(
        *(band(one, x) for one in bands),
        *(rule(y.share(value), "grid") for value in ticks),
        Markup("") if limit is None else rule(y.share(limit), "limit"),
        *(path(line, x, y) for line in drawn if line.joined),
        *(dot(point, x, y, line.style) for line in drawn for point in line.points),
        *(side(value, y, unit if value == ticks[-1] else "") for value in ticks),
        *(bottom(value, x, x_ticks or "" if value == below[-1] else "") for value in below),
        kind="lines numbered" if x_ticks else "lines",
        label=label,
    )


def strip(bands: Sequence[Band], x: Scale, unit: str, label: str) -> Markup:
    """Bands alone, over an axis."""
    ticks = x.ticks(6)
    return picture(
        *(band(one, x) for one in bands),
        *(bottom(value, x, unit if value == ticks[-1] else "") for value in ticks),
        kind="strip numbered",
        label=label,
    )


def rule(share: float, style: str) -> Markup:
    y = at(1 - share)
    return element("line", x1=0, x2="100%", y1=y, y2=y, class_=style)


def side(value: float, y: Scale, unit: str) -> Markup:
    """The number of a horizontal line, on it."""
    text = f"{value:g}".replace("-", MINUS) + (f" {unit}" if unit else "")
    return element("text", text, x=0, y=at(1 - y.share(value)), dy=-4, class_="tick")


def bottom(value: float, x: Scale, unit: str) -> Markup:
    share = x.share(value)
    text = f"{value:g}" + (f" {unit}" if unit else "")
    return element("text", text, x=at(share), y="100%", dy=16, text_anchor=anchor(share), class_="tick")


def band(one: Band, x: Scale) -> Markup:
    start, end = x.share(one.start), x.share(one.end)
    name = element("text", one.name, x=at(start), y=0, dy=-6, class_="band-name") if one.name else Markup("")
    rect = element("rect", x=at(start), width=at(end - start), y=0, height="100%", class_=f"band {one.style}")
    return joined([rect, name])


def path(line: Line, x: Scale, y: Scale) -> Markup:
    """The line in a square of 1000 that is stretched to the chart; its width is not."""
    steps = " L".join(f"{1000 * x.share(a):.1f} {1000 * (1 - y.share(b)):.1f}" for a, b, _ in line.points)
    drawn = element("path", d=f"M{steps}", vector_effect="non-scaling-stroke", class_=f"line {line.style}")
    return element(
        "svg",
        drawn,
        viewBox="0 0 1000 1000",
        preserveAspectRatio="none",
        width="100%",
        height="100%",
        overflow="visible",
    )


def dot(point: tuple[float, float, str], x: Scale, y: Scale, style: str) -> Markup:
    a, b, words = point
    return element("circle", tooltip(words), cx=at(x.share(a)), cy=at(1 - y.share(b)), r=2.5, class_=f"point {style}")
