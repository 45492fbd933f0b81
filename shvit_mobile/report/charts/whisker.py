"""Draws a value as a dot and its interval as a line, for the cell of a table."""

from markupsafe import Markup

from shvit_mobile.report.charts.svg import (
    AxisScale,
    choose_text_anchor,
    create_chart,
    create_element,
    format_position,
    join_markup,
)
from shvit_mobile.report.formatting import MINUS


def draw_whisker(value: float, low: float, high: float, scale: AxisScale, *, zero: float | None = None) -> Markup:
    """Draw the dot and its line.

    Args:
        value: The value; low, high: Its interval.
        scale: The scale of the column.
        zero: A value to mark with a line.
    """
    start, middle, end = (format_position(scale.share(one)) for one in (low, value, high))
    return create_chart(
        _draw_origin(zero, scale),
        create_element("line", x1=start, x2=end, y1="50%", y2="50%", class_="interval"),
        *(create_element("line", x1=x, x2=x, y1="30%", y2="70%", class_="interval") for x in (start, end)),
        create_element("circle", cx=middle, cy="50%", r=4, class_="dot"),
        kind="whisker",
        label=None,
    )


def _draw_origin(zero: float | None, scale: AxisScale) -> Markup:
    if zero is None or not scale.low <= zero <= scale.high:
        return Markup("")
    x = format_position(scale.share(zero))
    return create_element("line", x1=x, x2=x, y1=0, y2="100%", class_="origin")


def draw_axis(scale: AxisScale, most: int = 4) -> Markup:
    """Draw the ticks of a column of whiskers or histograms, for its head."""
    ticks = scale.ticks(most)
    return create_chart(join_markup(_draw_tick(value, scale) for value in ticks), kind="axis", label=None)


def _draw_tick(value: float, scale: AxisScale) -> Markup:
    share = scale.share(value)
    return join_markup(
        [
            create_element(
                "text",
                f"{value:g}".replace("-", MINUS),
                x=format_position(share),
                y=10,
                text_anchor=choose_text_anchor(share),
            ),
            create_element("line", x1=format_position(share), x2=format_position(share), y1=13, y2=18, class_="grid"),
        ]
    )
