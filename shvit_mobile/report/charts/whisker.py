"""A figure as a dot and its interval as a line, small enough for a table's cell."""

from __future__ import annotations

from markupsafe import Markup

from shvit_mobile.report.charts.svg import Scale, anchor, at, element, joined, picture
from shvit_mobile.report.formatting import MINUS


def whisker(value: float, low: float, high: float, scale: Scale, *, zero: float | None = None) -> Markup:
    """The dot and its line; the figures stand beside it in words.

    Args:
        value: the figure; low, high: its interval.
        scale: of all rows of the column.
        zero: where nothing was lost, as a line.
    """
    start, middle, end = (at(scale.share(one)) for one in (low, value, high))
    return picture(
        origin(zero, scale),
        element("line", x1=start, x2=end, y1="50%", y2="50%", class_="interval"),
        *(element("line", x1=x, x2=x, y1="30%", y2="70%", class_="interval") for x in (start, end)),
        element("circle", cx=middle, cy="50%", r=4, class_="dot"),
        kind="whisker",
        label=None,
    )


def origin(zero: float | None, scale: Scale) -> Markup:
    if zero is None or not scale.low <= zero <= scale.high:
        return Markup("")
    x = at(scale.share(zero))
    return element("line", x1=x, x2=x, y1=0, y2="100%", class_="origin")


def axis(scale: Scale, most: int = 4) -> Markup:
    """The numbers of a column of whiskers or histograms, for its head."""
    ticks = scale.ticks(most)
    return picture(joined(tick(value, scale) for value in ticks), kind="axis", label=None)


def tick(value: float, scale: Scale) -> Markup:
    share = scale.share(value)
    return joined(
        [
            element("text", f"{value:g}".replace("-", MINUS), x=at(share), y=10, text_anchor=anchor(share)),
            element("line", x1=at(share), x2=at(share), y1=13, y2=18, class_="grid"),
        ]
    )
