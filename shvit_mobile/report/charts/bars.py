"""Draws stacked bars and ranges."""

from collections.abc import Mapping

from markupsafe import Markup

from shvit_mobile.report.charts.svg import create_chart, create_element, create_tooltip, format_position


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
        children.append(
            create_element(
                "rect",
                create_tooltip(name),
                x=format_position(start),
                width=format_position(share),
                y=0,
                height="100%",
                class_=f"part {color}",
            )
        )
        start += share
    return create_chart(*children, kind="stacked", label=label)


def draw_range_bar(low: float, high: float, limit: float, ends: tuple[float, float], *, past: bool) -> Markup:
    """Draw a range and a limit on an axis that spans `ends`."""
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
