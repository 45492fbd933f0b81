"""The page in a real browser: nothing sticks out, nothing is missing, nothing is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from check_page import VIEWS, find_chromium, find_faults

from shvit_mobile.report.join import build_report
from shvit_mobile.report.page import render_page
from tests.report.builders import DRIFT, MANIFESTS, PHONES, build_full_report, load_json, load_phone_report
from tests.report.builders import write_json as written_json

BROWSER = find_chromium()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on PATH")
FAULTS = {
    '<p style="width:2000px">x</p>': "the page is 2",
    '<img alt="gone" src="gone.jpg">': 'the image "gone" is broken',
    '<img alt="" src="http://localhost:9/x.jpg">': "it requests http://localhost:9/x.jpg",
    "<script>console.error('oh')</script>": '"value": "oh"',
    '<svg class="chart" width="50"><text x="200" y="9">far</text></svg>': 'the text "far" leaves its chart',
}


def write_page(folder: Path, text: str) -> Path:
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_page_has_no_faults(tmp_path: Path) -> None:
    assert BROWSER
    report = build_report([MANIFESTS, DRIFT, PHONES / "iphone-13.json", PHONES / "galaxy-s23.json"])
    shots = tmp_path / "shots"
    assert find_faults(write_page(tmp_path, render_page(report)), BROWSER, shots) == []
    assert {shot.name[:-7] for shot in shots.glob("*.png")} == {view.name for view in VIEWS}
    assert (shots / "print.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_many_and_strange_names_do_not_burst_the_page(tmp_path: Path) -> None:
    assert BROWSER
    assert find_faults(write_page(tmp_path, render_page(build_full_report())), BROWSER) == []
    device, drift = load_phone_report(), load_json(DRIFT)
    device["device"]["name"] = "unbroken" * 20
    device["results"][0]["placement"] = {"processor-of-a-strange-name" * 5: 3}
    drift["changed"][1]["worst"][0]["file"] = "folder/" + "x" * 200
    drift["layers"][0]["rows"][0]["layer"] = "stages.9." + "y" * 120
    strange = [MANIFESTS, written_json(tmp_path, "p.json", device), written_json(tmp_path, "d.json", drift)]
    assert find_faults(write_page(tmp_path, render_page(build_report(strange, title="Title" * 40))), BROWSER) == []


def test_every_fault_is_found_in_every_view(tmp_path: Path) -> None:
    assert BROWSER
    found = find_faults(write_page(tmp_path, f"<!doctype html><title>x</title><body>{''.join(FAULTS)}"), BROWSER)
    for view in VIEWS:
        for words in FAULTS.values():
            assert any(fault.startswith(view.name) and words in fault for fault in found), (view, words, found)
