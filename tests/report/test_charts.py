"""Charts: scales, fronts and bins, and nothing in them that is not escaped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some
from markupsafe import Markup

from shvit_mobile.bench.statistics import summarize_latency
from shvit_mobile.report.charts.histogram import histogram
from shvit_mobile.report.charts.scatter import Point, front, together
from shvit_mobile.report.charts.svg import Scale, element
from tests.report.markup import parsed

FIGURES = some.floats(0, 100, allow_nan=False)


def point(letter: str, x: float, y: float) -> Point:
    return Point(letter, x, y, y, y, "target-onnx", letter)


def test_an_element_escapes_its_attributes_and_its_children() -> None:
    made = element("text", "<b>", Markup("<i></i>"), class_='"x', stroke_width=2, id=None)
    assert made == '<text class="&#34;x" stroke-width="2">&lt;b&gt;<i></i></text>'


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (Scale(0, 10), [0, 2, 4, 6, 8, 10]),
        (Scale(-1.2, 1.4), [-1, -0.5, 0, 0.5, 1]),
        (Scale(0.9, 110, log=True), [1, 3, 10, 30, 100]),
        (Scale(2, 9, log=True), [2, 5]),
        (Scale(3, 3), [3]),
    ],
)
def test_ticks_are_round(scale: Scale, ticks: list[float]) -> None:
    assert scale.ticks() == ticks


def test_equal_factors_are_equal_distances() -> None:
    scale = Scale(1, 100, log=True)
    assert scale.share(10) == pytest.approx(0.5)
    assert (scale.share(0.1), scale.share(1000)) == (0, 1)


@given(some.lists(some.tuples(FIGURES, FIGURES), min_size=1, max_size=12))
def test_the_front_is_what_nothing_beats(figures: list[tuple[float, float]]) -> None:
    points = [point(str(place), x, y) for place, (x, y) in enumerate(figures)]
    best = front(points)
    assert best
    for one in points:
        beaten = any(o.x <= one.x and o.y <= one.y and (o.x, o.y) != (one.x, one.y) for o in points)
        assert (one in best) != beaten
    assert [one.x for one in best] == sorted(one.x for one in best)


def test_points_on_one_another_bear_one_label() -> None:
    scale = Scale(0, 10)
    groups = together([point("A", 5, 5), point("B", 5.1, 5.2), point("C", 9, 5)], scale, scale)
    assert [[one.letter for one in group] for group in groups] == [["A", "B"], ["C"]]


def test_every_sample_is_in_a_bin() -> None:
    samples = [1.0, 1.0, 1.0, 5.0, 99.0, 2000.0]
    drawn = histogram(samples, summarize_latency(samples), Scale(1, 100, log=True), made_up=False, label="x")
    bars = parsed(drawn).all("rect")
    heights = [float(bar.attributes["height"].rstrip("%")) for bar in bars]
    assert heights == pytest.approx([70, 70 / 3, 70 * 2 / 3], abs=0.01)
    assert bars[0].attributes["x"] == "0.00%"
    assert bars[-1].attributes["x"] == "99.00%"
