"""Parts of a whole, side by side."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from shvit_mobile.report.charts.svg import create_chart, create_element, create_tooltip, format_position


def draw_stacked_bar(parts: Mapping[str, tuple[float, str]], most: float, label: str) -> Markup:
    """A bar of parts.

    Args:
        parts: by name, how much, and the class of its colour.
        most: what fills the whole width.
        label: the same in words.
    """
    children, start = [], 0.0
    for name, (value, colour) in parts.items():
        share = value / most if most else 0.0
        children.append(
            create_element(
                "rect",
                create_tooltip(name),
                x=format_position(start),
                width=format_position(share),
                y=0,
                height="100%",
                class_=f"part {colour}",
            )
        )
        start += share
    return create_chart(*children, kind="stacked", label=label)


def draw_range_bar(low: float, high: float, limit: float, ends: tuple[float, float], *, past: bool) -> Markup:
    """From the least to the most that was seen, and a limit; all of them shares, `ends` of the axis."""
    start, end, line = ((value - ends[0]) / (ends[1] - ends[0]) for value in (low, high, limit))
    return create_chart(
        create_element(
            "rect",
            x=format_position(start),
            width=format_position(max(end - start, 0.01)),
            y="30%",
            height="40%",
            rx=3,
            class_="reach past" if past else "reach",
        ),
        create_element("line", x1=format_position(line), x2=format_position(line), y1=0, y2="100%", class_="limit"),
        kind="whisker",
        label=None,
    )
