"""Draws the graphics in cells of tables: bars, ranges, whiskers and histograms, and the axes above them."""

from collections import Counter
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from shvit_mobile.contracts.device_report import LatencySummary
from shvit_mobile.report.charts import svg
from shvit_mobile.report.charts.svg import AxisScale
from shvit_mobile.report.formatting import MINUS

_BINS = 100
# The base of a histogram's bars, and the position of the percentiles below them.
_FLOOR, _MIDDLE = 0.7, 0.86


def draw_stacked_bar(parts: Mapping[str, tuple[float, str]], most: float, label: str) -> Markup:
    """Draw a bar of parts.

    Args:
        parts: The value and the color class of each part, by name.
        most: The value that fills the whole width.
        label: Describes the bar.
    """
    children, start = [], 0.0
    for name, (value, color) in parts.items():
        share = value / most if most else 0.0
        children.append(svg.draw_rectangle(start, share, f"part {color}", svg.create_tooltip(name)))
        start += share
    return svg.create_chart(*children, kind="stacked", label=label)


def draw_range_bar(low: float, high: float, limit: float, ends: tuple[float, float], *, past: bool) -> Markup:
    """Draw a range and a limit on an axis that spans `ends`."""
    start, end, line = ((value - ends[0]) / (ends[1] - ends[0]) for value in (low, high, limit))
    style = "reach past" if past else "reach"
    return svg.create_chart(
        svg.draw_rectangle(start, max(end - start, 0.01), style, y="30%", height="40%", rx=3),
        svg.draw_vertical_line(line, "limit"),
        kind="whisker",
        label=None,
    )


def draw_whisker(value: float, low: float, high: float, scale: AxisScale, *, zero: float | None = None) -> Markup:
    """Draw a value as a dot, and its interval as a line.

    Args:
        value: The value; low, high: Its interval.
        scale: The scale of the column.
        zero: A value to mark with a line.
    """
    start, middle, end = (scale.share(one) for one in (low, value, high))
    return svg.create_chart(
        ""
        if zero is None or not scale.low <= zero <= scale.high
        else svg.draw_vertical_line(scale.share(zero), "origin"),
        _draw_interval(start, end, "50%"),
        *(svg.draw_vertical_line(share, "interval", "30%", "70%") for share in (start, end)),
        svg.create_element("circle", cx=svg.format_position(middle), cy="50%", r=4, class_="dot"),
        kind="whisker",
        label=None,
    )


def _draw_interval(start: float, end: float, y: str) -> Markup:
    return svg.create_element(
        "line", x1=svg.format_position(start), x2=svg.format_position(end), y1=y, y2=y, class_="interval"
    )


def draw_histogram(
    samples: Sequence[float], latency: LatencySummary, scale: AxisScale, *, made_up: bool, label: str
) -> Markup:
    """Draw bars relative to the highest; below them a dot at p50, and a line to the percentiles that are stated."""
    counts = Counter(min(int(_BINS * scale.share(sample)), _BINS - 1) for sample in samples)
    most = max(counts.values(), default=1)
    p50, end = scale.share(latency.p50), scale.share(latency.tail)
    marked = [scale.share(value) for value in (latency.p90, latency.p99) if value is not None]
    top, middle, bottom = (svg.format_position(_MIDDLE + offset) for offset in (-0.1, 0, 0.1))
    return svg.create_chart(
        *(
            svg.draw_rectangle(
                place / _BINS,
                1 / _BINS,
                "bar made-up" if made_up else "bar",
                y=svg.format_position(_FLOOR * (1 - count / most)),
                height=svg.format_position(_FLOOR * count / most),
            )
            for place, count in sorted(counts.items())
        ),
        svg.draw_grid_line(1 - _FLOOR),
        _draw_interval(p50, end, middle),
        *(svg.draw_vertical_line(share, "interval", top, bottom) for share in marked),
        svg.create_element("circle", cx=svg.format_position(p50), cy=middle, r=3.5, class_="dot"),
        kind="histogram",
        label=label,
    )


def draw_axis(scale: AxisScale, most: int) -> Markup:
    """Draw the ticks of a column of whiskers or histograms, for its head."""
    return svg.create_chart(*(_draw_tick(value, scale) for value in scale.ticks(most)), kind="axis", label=None)


def _draw_tick(value: float, scale: AxisScale) -> Markup:
    share = scale.share(value)
    text, anchor = f"{value:g}".replace("-", MINUS), svg.choose_text_anchor(share)
    name = svg.create_element("text", text, x=svg.format_position(share), y=10, text_anchor=anchor)
    return name + svg.draw_vertical_line(share, "grid", 13, 18)
