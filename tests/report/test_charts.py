"""Charts: scales, fronts and bins, and nothing in them that is not escaped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some
from markupsafe import Markup

from shvit_mobile.bench.statistics import summarize_latency
from shvit_mobile.report.charts.cells import draw_histogram
from shvit_mobile.report.charts.scatter import ScatterPoint, group_nearby_points
from shvit_mobile.report.charts.svg import AxisScale, create_element
from shvit_mobile.report.pareto_fronts import find_pareto_front
from tests.report.markup import parse_page

FIGURES = some.floats(0, 100, allow_nan=False)


def build_scatter_point(letter: str, x: float, y: float) -> ScatterPoint:
    return ScatterPoint(letter, x, y, y, y, "target-onnx", letter)


def test_an_element_escapes_its_attributes_and_its_children() -> None:
    made = create_element("text", "<b>", Markup("<i></i>"), class_='"x', stroke_width=2, id=None)
    assert made == '<text class="&#34;x" stroke-width="2">&lt;b&gt;<i></i></text>'


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (AxisScale(0, 10), [0, 2, 4, 6, 8, 10]),
        (AxisScale(-1.2, 1.4), [-1, -0.5, 0, 0.5, 1]),
        (AxisScale(0.9, 110, log=True), [1, 3, 10, 30, 100]),
        (AxisScale(2, 9, log=True), [2, 5]),
        (AxisScale(3, 3), [3]),
    ],
)
def test_ticks_are_round(scale: AxisScale, ticks: list[float]) -> None:
    assert scale.ticks() == ticks


def test_equal_factors_are_equal_distances() -> None:
    scale = AxisScale(1, 100, log=True)
    assert scale.share(10) == pytest.approx(0.5)
    assert (scale.share(0.1), scale.share(1000)) == (0, 1)


@given(some.lists(some.tuples(FIGURES, FIGURES), min_size=1, max_size=12))
def test_the_pareto_front_holds_exactly_what_nothing_dominates(values: list[tuple[float, float]]) -> None:
    front = find_pareto_front(values)
    assert front
    for place, (x, y) in enumerate(values):
        dominated = any(a <= x and b <= y and (a, b) != (x, y) for a, b in values)
        assert (place in front) != dominated
    assert [values[place] for place in front] == sorted(values[place] for place in front)


def test_points_on_one_another_bear_one_label() -> None:
    scale = AxisScale(0, 10)
    groups = group_nearby_points(
        [build_scatter_point("A", 5, 5), build_scatter_point("B", 5.1, 5.2), build_scatter_point("C", 9, 5)],
        scale,
        scale,
    )
    assert [[one.letter for one in group] for group in groups] == [["A", "B"], ["C"]]


def test_every_sample_is_in_a_bin() -> None:
    samples = [1.0, 1.0, 1.0, 5.0, 99.0, 2000.0]
    drawn = draw_histogram(samples, summarize_latency(samples), AxisScale(1, 100, log=True), made_up=False, label="x")
    bars = parse_page(drawn).all("rect")
    heights = [float(bar.attributes["height"].rstrip("%")) for bar in bars]
    assert heights == pytest.approx([70, 70 / 3, 70 * 2 / 3], abs=0.01)
    assert bars[0].attributes["x"] == "0.00%"
    assert bars[-1].attributes["x"] == "99.00%"
