"""Fronts: what is smaller or faster and no further from the float model makes another artifact pointless."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shvit_mobile.contracts.report import ModelReport, ParetoFront
from shvit_mobile.drift.intervals import compute_wilson_interval
from shvit_mobile.report.join import build_report
from shvit_mobile.report.page import render_page
from shvit_mobile.report.pareto_fronts import DISTANCES, dominates, find_dominators, find_fastest_latencies
from tests.report.builders import MANIFESTS, PHONES, build_full_report
from tests.report.markup import parse_page

FIGURES = st.tuples(st.integers(0, 9), st.integers(-5, 5))


@given(st.lists(FIGURES, min_size=1, max_size=12))
def test_what_is_beaten_is_beaten_by_something_on_the_front(figures: list[tuple[int, int]]) -> None:
    by = find_dominators(figures)
    for one, place in zip(figures, by, strict=True):
        assert (place is None) == (not any(dominates(other, one) for other in figures))
        if place is not None:
            assert by[place] is None
            assert dominates(figures[place], one)
            on_front = [f for f, beater in zip(figures, by, strict=True) if beater is None and dominates(f, one)]
            assert figures[place] == min(on_front)


def test_equal_artifacts_do_not_beat_one_another() -> None:
    assert find_dominators([(1, 1), (1, 1), (2, 1)]) == [None, None, 0]


def cost_of(report: ModelReport, front: ParetoFront, sha256: str) -> float:
    found = report.find_artifact(sha256)
    assert found
    if front.device is None:
        assert front.cost == "bytes"
        assert found.size_bytes is not None
        return found.size_bytes
    assert front.cost == "latency"
    device = report.devices[front.device]
    return min(one.latency.p50 for one in device.results if one.artifact_sha256 == sha256)


def distance_of(report: ModelReport, front: ParetoFront, sha256: str) -> float:
    found = report.find_artifact(sha256)
    assert found
    assert found.drift
    distance = DISTANCES[front.drift](found.drift)
    assert distance is not None
    return distance


def test_on_every_front_nearer_costs_more_and_what_is_off_it_is_beaten() -> None:
    report = build_full_report()
    kinds = {(front.drift, front.cost) for front in report.fronts}
    assert kinds == {(drift, cost) for drift in DISTANCES for cost in ("bytes", "latency")}
    assert any(front.beaten for front in report.fronts)
    for front in report.fronts:
        figures = [(cost_of(report, front, one), distance_of(report, front, one)) for one in front.best]
        assert figures == sorted(figures)
        assert [near for _, near in figures] == sorted((near for _, near in figures), reverse=True)
        for lost in front.beaten:
            mine = cost_of(report, front, lost.sha256), distance_of(report, front, lost.sha256)
            assert lost.by in front.best
            assert dominates((cost_of(report, front, lost.by), distance_of(report, front, lost.by)), mine)


def test_a_front_has_all_that_were_measured_both_ways() -> None:
    report = build_full_report()
    compared = {one.sha256 for one in report.artifacts if one.drift}
    for front in report.fronts:
        costs = set(find_fastest_latencies(report.devices[front.device])) if front.device is not None else compared
        assert {*front.best, *(one.sha256 for one in front.beaten)} == compared & costs


def test_less_is_nearer_in_every_figure() -> None:
    rows = [one.drift for one in build_full_report().artifacts if one.drift and one.drift.top1_drop is not None]
    near = rows[0].model_copy(
        update={"top1_drop": 0.1, "sqnr_db": 40.0, "agreement": compute_wilson_interval(999, 1000)}
    )
    far = rows[0].model_copy(
        update={"top1_drop": 0.4, "sqnr_db": 30.0, "agreement": compute_wilson_interval(990, 1000)}
    )
    for distance in DISTANCES.values():
        assert (distance(near) or 0.0) < (distance(far) or 0.0)


def test_there_is_no_front_without_drift() -> None:
    assert build_report([PHONES]).fronts == ()


def test_the_page_shows_the_drop_and_names_dominated_artifacts() -> None:
    told = " ".join(parse_page(render_page(build_report([MANIFESTS]))).text.split())
    assert "Top-1 drop against size" in told
    assert "On the Pareto front, where no artifact is both more accurate and smaller:" in told
    (front,) = (one for one in build_report([MANIFESTS]).fronts if one.drift == "drop")
    assert front.beaten
    assert "Dominated:" in told
