"""Draws lines over layers or time, with bands behind them."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.report.charts import svg
from shvit_mobile.report.charts.svg import AxisScale
from shvit_mobile.report.formatting import MINUS

_X_TICKS, _Y_TICKS = 6, 5


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
    return svg.create_chart(
        *(_draw_band(one, x) for one in bands),
        draw_grid(y),
        "" if limit is None else svg.draw_grid_line(y.share(limit), "limit"),
        *(_draw_path(line, x, y) for line in drawn if line.joined),
        *(_draw_dot(point, x, y, line.style) for line in drawn for point in line.points),
        draw_y_ticks(y, unit),
        draw_x_ticks(x, x_ticks) if x_ticks else "",
        kind="lines numbered" if x_ticks else "lines",
        label=label,
    )


def draw_band_strip(bands: Sequence[Band], x: AxisScale, unit: str, label: str) -> Markup:
    """Draw bands over an axis, without lines."""
    return svg.create_chart(
        *(_draw_band(one, x) for one in bands), draw_x_ticks(x, unit), kind="strip numbered", label=label
    )


def draw_grid(y: AxisScale) -> Markup:
    """Draw a line at each tick of `draw_y_ticks`."""
    return svg.join_markup(svg.draw_grid_line(y.share(value)) for value in y.ticks(_Y_TICKS))


def draw_y_ticks(y: AxisScale, unit: str) -> Markup:
    return svg.join_markup(
        svg.create_element(
            "text",
            f"{value:g}".replace("-", MINUS) + suffix,
            x=0,
            y=svg.format_position(1 - y.share(value)),
            dy=-4,
            class_="tick",
        )
        for value, suffix in _list_ticks(y, _Y_TICKS, unit)
    )


def draw_x_ticks(x: AxisScale, unit: str) -> Markup:
    return svg.join_markup(
        svg.create_element(
            "text",
            f"{value:g}{suffix}",
            x=svg.format_position(x.share(value)),
            y="100%",
            dy=16,
            text_anchor=svg.choose_text_anchor(x.share(value)),
            class_="tick",
        )
        for value, suffix in _list_ticks(x, _X_TICKS, unit)
    )


def _list_ticks(scale: AxisScale, most: int, unit: str) -> list[tuple[float, str]]:
    """Return round values, each with the text after it: the last one has the unit."""
    ticks = scale.ticks(most)
    return [(value, f" {unit}" if unit and value == ticks[-1] else "") for value in ticks]


def _draw_band(one: Band, x: AxisScale) -> Markup:
    start, end = x.share(one.start), x.share(one.end)
    name = svg.create_element("text", one.name, x=svg.format_position(start), y=0, dy=-6, class_="band-name")
    return svg.draw_rectangle(start, end - start, f"band {one.style}") + name


def _draw_path(line: ChartLine, x: AxisScale, y: AxisScale) -> Markup:
    steps = " L".join(f"{1000 * x.share(a):.1f} {1000 * (1 - y.share(b)):.1f}" for a, b, _ in line.points)
    return svg.draw_stretched_path(f"M{steps}", f"line {line.style}", overflow="visible")


def _draw_dot(point: tuple[float, float, str], x: AxisScale, y: AxisScale, style: str) -> Markup:
    a, b, words = point
    return svg.create_element(
        "circle",
        svg.create_tooltip(words),
        cx=svg.format_position(x.share(a)),
        cy=svg.format_position(1 - y.share(b)),
        r=2.5,
        class_=f"point {style}",
    )
