"""Points of two figures each, and the front that no other point beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.report.charts.lines import bottom, rule, side
from shvit_mobile.report.charts.svg import Scale, at, element, joined, picture, tooltip
from shvit_mobile.report.dominance import beaten_by

# Points nearer than these shares of the width and the height bear one label together.
NEAR = (0.05, 0.1)


@dataclass(frozen=True)
class Point:
    """Both less is better.

    Attributes:
        letter: by which a list beside the chart explains it.
        x, y: the figures; low, high: the interval of y.
        style: a class; words: for its tooltip.
    """

    letter: str
    x: float
    y: float
    low: float
    high: float
    style: str
    words: str


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in one figure without losing in the other, by x."""
    beaten = beaten_by([(one.x, one.y) for one in points])
    kept = [one for one, by in zip(points, beaten, strict=True) if by is None]
    return sorted(kept, key=lambda one: (one.x, one.y, one.letter))


def scatter(points: Sequence[Point], x: Scale, y: Scale, *, units: tuple[str, str], label: str) -> Markup:
    """The chart: the front as steps, its points filled, the others hollow."""
    best = front(points)
    ticks, below = y.ticks(5), x.ticks(6)
    return picture(
        *(rule(y.share(value), "grid") for value in ticks),
        *(side(value, y, units[1] if value == ticks[-1] else "") for value in ticks),
        *(bottom(value, x, units[0] if value == below[-1] else "") for value in below),
        steps(best, x, y),
        *(mark(one, x, y, one in best) for one in points),
        *(name(group, x, y) for group in together(points, x, y)),
        kind="scatter numbered",
        label=label,
    )


def steps(best: Sequence[Point], x: Scale, y: Scale) -> Markup:
    """From each point of the front to the right, then down to the next."""
    corners = [(1000 * x.share(one.x), 1000 * (1 - y.share(one.y))) for one in best]
    turns = [f"H{right:.1f} V{down:.1f}" for right, down in corners[1:]]
    begin = f"M{corners[0][0]:.1f} 0 V{corners[0][1]:.1f}"
    drawn = element("path", d=" ".join([begin, *turns, "H1000"]), vector_effect="non-scaling-stroke", class_="front")
    return element("svg", drawn, viewBox="0 0 1000 1000", preserveAspectRatio="none", width="100%", height="100%")


def mark(one: Point, x: Scale, y: Scale, best: bool) -> Markup:
    cx = at(x.share(one.x))
    return joined(
        [
            element(
                "line", x1=cx, x2=cx, y1=at(1 - y.share(one.low)), y2=at(1 - y.share(one.high)), class_="interval faint"
            ),
            element(
                "circle",
                tooltip(one.words),
                cx=cx,
                cy=at(1 - y.share(one.y)),
                r=6,
                class_=f"spot {one.style} {'best' if best else 'beaten'}",
            ),
        ]
    )


def name(group: Sequence[Point], x: Scale, y: Scale) -> Markup:
    right = max(x.share(one.x) for one in group)
    turned = right > 0.9
    return element(
        "text",
        ", ".join(one.letter for one in group),
        x=at(min(x.share(one.x) for one in group) if turned else right),
        y=at(1 - sum(y.share(one.y) for one in group) / len(group)),
        dx=-11 if turned else 11,
        dy=-8,
        text_anchor="end" if turned else "start",
        class_="letter",
    )


def together(points: Sequence[Point], x: Scale, y: Scale) -> list[list[Point]]:
    """Points in groups, each near the first of its group."""
    groups: list[list[Point]] = []
    for one in points:
        for group in groups:
            first = group[0]
            if abs(x.share(one.x) - x.share(first.x)) < NEAR[0] and abs(y.share(one.y) - y.share(first.y)) < NEAR[1]:
                group.append(one)
                break
        else:
            groups.append([one])
    return groups
