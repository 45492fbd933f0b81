"""Draws points of two values each, and their Pareto front."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.report.charts import svg
from shvit_mobile.report.charts.lines import draw_grid, draw_x_ticks, draw_y_ticks
from shvit_mobile.report.charts.svg import AxisScale
from shvit_mobile.report.pareto_fronts import find_pareto_front

# Points closer than these shares of the width and the height share a label.
_LABEL_MERGE_DISTANCE = (0.05, 0.1)


@dataclass(frozen=True)
class ScatterPoint:
    """A point; less is better in both values.

    Attributes:
        letter: Identifies it in the legend.
        x, y: The values; low, high: The interval of y.
        style: A CSS class; words: The text of its tooltip.
    """

    letter: str
    x: float
    y: float
    low: float
    high: float
    style: str
    words: str


def draw_scatter(
    points: Sequence[ScatterPoint], x: AxisScale, y: AxisScale, *, units: tuple[str, str], label: str
) -> Markup:
    """Draw the chart: the front as steps, its points filled, the others hollow."""
    best = [points[place] for place in find_pareto_front([(one.x, one.y) for one in points])]
    return svg.create_chart(
        draw_grid(y),
        draw_y_ticks(y, units[1]),
        draw_x_ticks(x, units[0]),
        _draw_front_steps(best, x, y),
        *(_draw_point(one, x, y, one in best) for one in points),
        *(_draw_group_label(group, x, y) for group in group_nearby_points(points, x, y)),
        kind="scatter numbered",
        label=label,
    )


def _draw_front_steps(best: Sequence[ScatterPoint], x: AxisScale, y: AxisScale) -> Markup:
    """Draw the front: from each point to the right, then down to the next."""
    corners = [(1000 * x.share(one.x), 1000 * (1 - y.share(one.y))) for one in best]
    turns = [f"H{right:.1f} V{down:.1f}" for right, down in corners[1:]]
    begin = f"M{corners[0][0]:.1f} 0 V{corners[0][1]:.1f}"
    return svg.draw_stretched_path(" ".join([begin, *turns, "H1000"]), "front")


def _draw_point(one: ScatterPoint, x: AxisScale, y: AxisScale, best: bool) -> Markup:
    share = x.share(one.x)
    bottom, middle, top = (svg.format_position(1 - y.share(value)) for value in (one.low, one.y, one.high))
    style = f"spot {one.style} {'best' if best else 'beaten'}"
    spot = svg.create_element(
        "circle", svg.create_tooltip(one.words), cx=svg.format_position(share), cy=middle, r=6, class_=style
    )
    return svg.draw_vertical_line(share, "interval faint", bottom, top) + spot


def _draw_group_label(group: Sequence[ScatterPoint], x: AxisScale, y: AxisScale) -> Markup:
    right = max(x.share(one.x) for one in group)
    turned = right > 0.9
    return svg.create_element(
        "text",
        ", ".join(one.letter for one in group),
        x=svg.format_position(min(x.share(one.x) for one in group) if turned else right),
        y=svg.format_position(1 - sum(y.share(one.y) for one in group) / len(group)),
        dx=-11 if turned else 11,
        dy=-8,
        text_anchor="end" if turned else "start",
        class_="letter",
    )


def group_nearby_points(points: Sequence[ScatterPoint], x: AxisScale, y: AxisScale) -> list[list[ScatterPoint]]:
    """Group points that are close to the first of their group."""
    groups: list[list[ScatterPoint]] = []
    for one in points:
        for group in groups:
            first = group[0]
            if (
                abs(x.share(one.x) - x.share(first.x)) < _LABEL_MERGE_DISTANCE[0]
                and abs(y.share(one.y) - y.share(first.y)) < _LABEL_MERGE_DISTANCE[1]
            ):
                group.append(one)
                break
        else:
            groups.append([one])
    return groups
