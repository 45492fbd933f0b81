"""Draws lines over layers or time, with bands behind them."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.report.charts.svg import (
    AxisScale,
    choose_text_anchor,
    create_chart,
    create_element,
    create_tooltip,
    format_position,
    join_markup,
)
from shvit_mobile.report.formatting import MINUS


@dataclass(frozen=True)
class ChartLine:
    """Points (x, y, tooltip) in the order of x, joined by a line or not; `style` is a CSS class."""

    points: tuple[tuple[float, float, str], ...]
    style: str
    joined: bool = True


@dataclass(frozen=True)
class Band:
    """An interval of the x axis, its CSS class and its name."""

    start: float
    end: float
    style: str
    name: str


def draw_line_chart(
    drawn: Sequence[ChartLine],
    x: AxisScale,
    y: AxisScale,
    *,
    label: str,
    unit: str,
    bands: Sequence[Band] = (),
    limit: float | None = None,
    x_ticks: str | None = None,
) -> Markup:
    """Draw the chart.

    Args:
        drawn: The lines, the last one on top.
        label: Describes the chart.
        unit: The unit of y, at its largest tick.
        bands: Bands of full height behind the lines.
        limit: A value of y to mark.
        x_ticks: The unit of x; None draws no ticks.
    """
    ticks, below = y.ticks(5), x.ticks(6) if x_ticks else []
    return create_chart(
        *(_draw_band(one, x) for one in bands),
        *(draw_grid_line(y.share(value), "grid") for value in ticks),
        Markup("") if limit is None else draw_grid_line(y.share(limit), "limit"),
        *(_draw_path(line, x, y) for line in drawn if line.joined),
        *(_draw_dot(point, x, y, line.style) for line in drawn for point in line.points),
        *(draw_y_tick(value, y, unit if value == ticks[-1] else "") for value in ticks),
        *(draw_x_tick(value, x, x_ticks or "" if value == below[-1] else "") for value in below),
        kind="lines numbered" if x_ticks else "lines",
        label=label,
    )


def draw_band_strip(bands: Sequence[Band], x: AxisScale, unit: str, label: str) -> Markup:
    """Draw bands over an axis, without lines."""
    ticks = x.ticks(6)
    return create_chart(
        *(_draw_band(one, x) for one in bands),
        *(draw_x_tick(value, x, unit if value == ticks[-1] else "") for value in ticks),
        kind="strip numbered",
        label=label,
    )


def draw_grid_line(share: float, style: str) -> Markup:
    y = format_position(1 - share)
    return create_element("line", x1=0, x2="100%", y1=y, y2=y, class_=style)


def draw_y_tick(value: float, y: AxisScale, unit: str) -> Markup:
    text = f"{value:g}".replace("-", MINUS) + (f" {unit}" if unit else "")
    return create_element("text", text, x=0, y=format_position(1 - y.share(value)), dy=-4, class_="tick")


def draw_x_tick(value: float, x: AxisScale, unit: str) -> Markup:
    share = x.share(value)
    text = f"{value:g}" + (f" {unit}" if unit else "")
    return create_element(
        "text", text, x=format_position(share), y="100%", dy=16, text_anchor=choose_text_anchor(share), class_="tick"
    )


def _draw_band(one: Band, x: AxisScale) -> Markup:
    start, end = x.share(one.start), x.share(one.end)
    name = (
        create_element("text", one.name, x=format_position(start), y=0, dy=-6, class_="band-name")
        if one.name
        else Markup("")
    )
    rect = create_element(
        "rect",
        x=format_position(start),
        width=format_position(end - start),
        y=0,
        height="100%",
        class_=f"band {one.style}",
    )
    return join_markup([rect, name])


def _draw_path(line: ChartLine, x: AxisScale, y: AxisScale) -> Markup:
    """Draw the line in a square of 1000 that is stretched to the chart without its stroke width."""
    steps = " L".join(f"{1000 * x.share(a):.1f} {1000 * (1 - y.share(b)):.1f}" for a, b, _ in line.points)
    drawn = create_element("path", d=f"M{steps}", vector_effect="non-scaling-stroke", class_=f"line {line.style}")
    return create_element(
        "svg",
        drawn,
        viewBox="0 0 1000 1000",
        preserveAspectRatio="none",
        width="100%",
        height="100%",
        overflow="visible",
    )


def _draw_dot(point: tuple[float, float, str], x: AxisScale, y: AxisScale, style: str) -> Markup:
    a, b, words = point
    return create_element(
        "circle",
        create_tooltip(words),
        cx=format_position(x.share(a)),
        cy=format_position(1 - y.share(b)),
        r=2.5,
        class_=f"point {style}",
    )
