"""The page holds everything, needs nothing but itself, and lets no name out of a file become markup."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from html import unescape
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from shvit_mobile.bench.statistics import summarize_latency
from shvit_mobile.contracts.instruction_report import InstructionReport, OperatorInstructions
from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.errors import ShvitError
from shvit_mobile.report.join import build_report
from shvit_mobile.report.load import read_file
from shvit_mobile.report.page import SECTIONS, render_page
from shvit_mobile.report.thumbnails import to_data_url
from tests.report.builders import (
    DRIFT,
    INSTRUCTIONS,
    MANIFESTS,
    PHONES,
    SENSITIVITY,
    build_full_report,
    load_json,
    load_manifest,
    load_phone_report,
    write_json,
)
from tests.report.markup import HtmlElement, parse_page

HOSTILE = "\"'></svg><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 191 }} javascript:alert(3)&amp;"
TAGS = {
    *("html", "head", "meta", "link", "title", "style", "body", "header", "nav", "main", "section", "footer", "aside"),
    *("h1", "h2", "h3", "h4", "p", "a", "span", "strong", "code", "div", "ul", "li", "dl", "dt", "dd", "article"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "img", "details", "summary"),
    *("svg", "rect", "line", "circle", "text", "path"),
}


@pytest.fixture(scope="module")
def report() -> ModelReport:
    return build_full_report()


@pytest.fixture(scope="module")
def tree(report: ModelReport) -> HtmlElement:
    return parse_page(render_page(report))


def find_section(tree: HtmlElement, name: str) -> HtmlElement:
    return next(one for one in tree.all("section") if one.attributes["id"] == name)


def get_words(element: HtmlElement) -> str:
    return " ".join(element.text.split())


def test_every_section_is_there_and_in_the_contents(tree: HtmlElement) -> None:
    ids = [one.attributes["id"] for one in tree.all("section")]
    assert len(ids) == len(SECTIONS)
    (nav,) = tree.all("nav")
    assert [link.attributes["href"] for link in nav.all("a")] == [f"#{name}" for name in ids]


def test_instructions_are_drawn_by_kind_for_each_cpu_and_called_no_cycles(tree: HtmlElement) -> None:
    section = find_section(tree, "instructions")
    words = get_words(section)
    assert "Instructions are not cycles" in words
    counts = InstructionReport.load(INSTRUCTIONS).counts
    for one in counts:
        assert one.cpu.name in words
        assert f"{one.instructions / 1e6:.2f}" in words
    assert len(section.all("svg")) == len(counts)


def test_operators_are_drawn_alone_and_added_up_by_name(report: ModelReport) -> None:
    document = InstructionReport.load(INSTRUCTIONS)
    first = document.counts[0]
    instructions = [first.instructions // 40] * 30 + [first.instructions // 10]
    operators = tuple(
        OperatorInstructions(
            name="Fully Connected" if number > 1 else "Convert",
            shape=(1, 7, number),
            dtype="int8" if number else "float32",
            instructions=one,
            minimum=one // 2 if number > 1 else None,
        )
        for number, one in enumerate(instructions)
    )
    count = first.model_copy(update={"operators": operators, "outside": first.instructions - sum(instructions)})
    counted = document.model_copy(update={"counts": (count,)})
    page = parse_page(render_page(report.model_copy(update={"instructions": (counted,)})))
    (details,) = find_section(page, "instructions").all("details")
    by_name, most = (
        [[get_words(cell) for cell in (*row.all("th"), *row.all("td"))] for row in table.all("tr")[1:]]
        for table in details.all("table")
    )
    assert [row[:3] for row in by_name] == [
        ["Fully Connected", "int8", "29"],
        ["Convert", "float32", "1"],
        ["Convert", "int8", "1"],
        ["outside of operators", "", ""],
    ]
    layers = sum(instructions[2:])
    assert by_name[0][4:] == [f"{layers / 1e6:.3f}", f"{100 * layers / first.instructions:.1f}", "50%"]
    assert by_name[1][-1] == ""
    assert len(most) == 15
    assert most[0][:3] == ["Fully Connected", "int8 1×7×30", "31"]
    assert most[0][4] == f"{instructions[-1] / 1e6:.3f}"


def test_a_section_without_data_is_left_out() -> None:
    only_manifests = parse_page(render_page(build_report([MANIFESTS])))
    ids = {one.attributes["id"] for one in only_manifests.all("section")}
    assert ids == {"headline", "ladder", "tradeoffs", "contents", "provenance"}
    only_phones = parse_page(render_page(build_report([PHONES])))
    ids = {one.attributes["id"] for one in only_phones.all("section")}
    assert ids == {"headline", "latency", "heat", "placement", "goldens", "provenance"}
    only_drift = parse_page(render_page(build_report([DRIFT])))
    ids = {one.attributes["id"] for one in only_drift.all("section")}
    assert ids == {"headline", "ladder", "changes", "layers", "ranges", "provenance"}
    only_sensitivity = parse_page(render_page(build_report([SENSITIVITY])))
    ids = {one.attributes["id"] for one in only_sensitivity.all("section")}
    assert ids == {"headline", "sensitivity", "provenance"}


def test_every_artifact_has_its_verdict(report: ModelReport, tree: HtmlElement) -> None:
    told = get_words(find_section(tree, "headline"))
    assert report.artifacts
    for one in report.artifacts:
        assert one.name in told
        assert one.verdict.sentence in told


def test_every_row_of_the_ladder_says_how_it_ran(tmp_path: Path) -> None:
    drift = load_json(DRIFT)
    cpu = {"arch": "arm64", "name": "dotprod", "features": ["neon", "dotprod"]}
    drift["rows"][3] |= {"how": "emulated", "cpu": cpu}
    drift["rows"].append(drift["rows"][3] | {"how": "native", "cpu": None})
    tree = parse_page(render_page(build_report([write_json(tmp_path, "d.json", drift)])))
    rows = [get_words(row) for row in find_section(tree, "ladder").all("tr")[1:]]
    hows = [
        next(how for how in ("native", "reference", "emulated", "simulated", "float") if how in row) for row in rows
    ]
    assert "Deploy form" in rows[1]
    assert hows == ["float", "simulated", "reference", "reference", "native", "emulated"]
    assert "arm64 dotprod" in rows[-1]
    assert "57.7" in rows[2]
    assert "−0.91 to 1.40" in rows[3]


def test_a_gate_is_told_below_its_ladder(tmp_path: Path) -> None:
    drift = load_json(DRIFT)
    drift["gate"] = {"passed": False, "violations": ["x: too much."], "caveats": ["y: too few images."]}
    tree = parse_page(render_page(build_report([write_json(tmp_path, "d.json", drift)])))
    told = get_words(find_section(tree, "ladder"))
    assert "gate failed" in told
    assert "x: too much." in told
    assert "y: too few images." in told


def test_rows_that_saw_other_images_stand_on_another_ladder(tmp_path: Path) -> None:
    drift = load_json(DRIFT)
    drift["images"]["sha256"] = "cd" * 32
    both = parse_page(render_page(build_report([DRIFT, write_json(tmp_path, "d.json", drift)])))
    assert len(find_section(both, "ladder").all("table")) == 2
    drift["images"]["sha256"] = load_json(DRIFT)["images"]["sha256"]
    drift["created"] = "2025-02-15T00:00:00+00:00"
    together = parse_page(render_page(build_report([DRIFT, write_json(tmp_path, "d.json", drift)])))
    (table,) = find_section(together, "ladder").all("table")
    assert len(table.all("tr")) == 2 + len(drift["rows"])
    assert "Every row in all 2 drift reports was measured on the same images" in get_words(
        find_section(together, "ladder")
    )


def test_fixtures_are_called_so_wherever_they_appear(report: ModelReport, tree: HtmlElement) -> None:
    assert "6 of 6 device reports are fixtures." in get_words(tree.all("body")[0])
    for name in ("latency", "goldens", "placement", "heat", "provenance", "headline"):
        badges = [one for one in find_section(tree, name).all("span") if one.attributes.get("class") == "badge fixture"]
        assert badges, name
    for chart in find_section(tree, "latency").all("svg"):
        if chart.attributes.get("role") == "img":
            assert chart.attributes["aria-label"].startswith("Fixture, not measured.")
    assert "Latency was measured" not in get_words(tree.all("header")[0])
    assert "Fastest median" not in get_words(tree.all("header")[0])


def test_what_was_measured_is_called_no_fixture(tmp_path: Path) -> None:
    told = render_page(build_report([MANIFESTS, write_json(tmp_path, "p.json", load_phone_report(measured=True))]))
    body = told.partition("<body>")[2]
    assert "fixture" not in body.lower()
    assert "Latency was measured on 1 phone." in body


def measure_bars(table: HtmlElement) -> list[tuple[str, float]]:
    """The name of each row and how long its bar is, in percent."""
    rows = table.all("tbody")[0].all("tr")
    return [(get_words(row.all("th")[0]), float(row.all("rect")[0].attributes["width"].rstrip("%"))) for row in rows]


def test_sensitivity_is_shown_worst_first(tree: HtmlElement) -> None:
    document = load_json(SENSITIVITY)
    blocks, layers = map(measure_bars, find_section(tree, "sensitivity").all("table"))
    for found, rows, key in ((blocks, document["blocks"], "block"), (layers, document["layers"], "layer")):
        worst = sorted(rows, key=lambda row: row["quantized_db"])
        assert [name for name, _ in found] == [row[key] for row in worst]
        for (_, width), row in zip(found, worst, strict=True):
            # 10 dB less noise is a tenth of it.
            below = row["quantized_db"] - worst[0]["quantized_db"]
            assert width == pytest.approx(100 / 10 ** (below / 10), abs=0.01)


def test_sensitivity_says_what_makes_half_of_the_noise(tmp_path: Path) -> None:
    document = load_json(SENSITIVITY)
    for row, db in zip(document["layers"], (40.0, 40.0, 40.0, 40.0, *[400.0] * 4), strict=True):
        row["quantized_db"] = db
    document["layers"][0]["quantized_db"] = "Infinity"
    told = get_words(
        find_section(parse_page(render_page(build_report([write_json(tmp_path, "s.json", document)]))), "sensitivity")
    )
    assert "2 of 8 layers cause half of the noise: patch_embed.2 (33.3%) and patch_embed.4 (33.3%)." in told
    assert "∞" in told


def test_only_the_worst_layers_are_shown_at_first(tmp_path: Path) -> None:
    document = load_json(SENSITIVITY)
    document["layers"] = [row | {"layer": f"layer {n}"} for n, row in enumerate(5 * document["layers"])]
    document["blocks"] = [row | {"layers": []} for row in document["blocks"]]
    shown = find_section(
        parse_page(render_page(build_report([write_json(tmp_path, "s.json", document)]))), "sensitivity"
    )
    _, open_, rest = shown.all("table")
    assert (len(measure_bars(open_)), len(measure_bars(rest))) == (12, 28)
    assert get_words(shown.all("summary")[0]) == "28 more with less noise"


def test_mismatches_are_told_in_words(tmp_path: Path) -> None:
    device = load_phone_report()
    for result in device["results"]:
        result["artifact_sha256"] = "ab" * 32
    tree = parse_page(render_page(build_report([MANIFESTS, write_json(tmp_path, "stale.json", device)])))
    (remarks,) = find_section(tree, "headline").all("aside")
    assert "iPhone 13 (stale.json) measured another shvit_s1-224-coreml-fp16.mlpackage" in get_words(remarks)


def test_the_page_describes_changed_predictions(tree: HtmlElement) -> None:
    told = get_words(find_section(tree, "changes"))
    assert "3 right predictions became wrong, and 2 wrong ones became right. The difference is not significant" in told
    assert re.search(r"About 4\s200 images would be needed to show that top-1 drops by at most 0\.5 points", told)


def test_the_worst_images_are_shown_with_both_answers(tree: HtmlElement) -> None:
    pictures = [one for one in find_section(tree, "changes").all("li") if one.all("img")]
    assert len(pictures) == 2
    assert [image.attributes["alt"] for image in pictures[0].all("img")] == ["airplane/0000.jpg, of the class airplane"]
    answers = [get_words(answer) for answer in pictures[0].all("dd")]
    assert answers == ["✓ airplane 41%", "✗ automobile 38%"]


def test_images_that_kept_their_answer_stand_back(tmp_path: Path) -> None:
    drift = load_json(DRIFT)
    worst = drift["changed"][1]["worst"]
    worst[1]["answer"]["label"] = worst[1]["float_answer"]["label"]
    changed = find_section(parse_page(render_page(build_report([write_json(tmp_path, "d.json", drift)]))), "changes")
    (back,) = changed.all("details")
    assert get_words(back.all("summary")[0]) == "1 with a large KL divergence and the same prediction"
    assert [image.attributes["alt"] for image in back.all("img")] == ["automobile/0000.jpg, of the class automobile"]
    assert len(changed.all("img")) == 2


def test_the_page_asks_for_nothing(tree: HtmlElement) -> None:
    for element in tree.every():
        for name in ("src", "href", "action", "srcset", "poster", "data", "xlink:href", "background"):
            value = element.attributes.get(name, "#")
            assert value.startswith(("#", "data:image/jpeg;base64,")) or value == "data:,", (element.tag, name, value)
    style = tree.all("style")[0].text
    assert "url(" not in style
    assert "@import" not in style


def test_every_link_has_its_place_once(tree: HtmlElement) -> None:
    ids = [one.attributes["id"] for one in tree.every() if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    for element in tree.every():
        for name in ("href", "aria-labelledby"):
            value = element.attributes.get(name, "").removeprefix("#")
            assert not value or value.startswith("data:") or value in ids


def test_tables_and_charts_are_told_to_those_who_cannot_see_them(tree: HtmlElement) -> None:
    for table in tree.all("table"):
        assert table.all("caption")
        heads = table.all("th")
        assert heads
        assert all(head.attributes.get("scope") in ("col", "row", "rowgroup") for head in heads)
        columns = len(table.all("thead")[0].all("th"))
        for row in table.all("tr"):
            cells = [one for one in row.inside if one.tag in ("th", "td")]
            assert sum(int(cell.attributes.get("colspan", 1)) for cell in cells) == columns
    charts = [one for one in tree.all("svg") if "chart" in one.attributes.get("class", "")]
    assert charts
    for chart in charts:
        assert chart.attributes.get("aria-hidden") == "true" or chart.attributes["aria-label"].strip()
    levels = [int(one.tag[1]) for one in tree.every() if re.fullmatch("h[1-6]", one.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))


def test_the_page_needs_no_script(tree: HtmlElement) -> None:
    assert {one.tag for one in tree.every()} - {""} <= TAGS
    assert not [name for one in tree.every() for name in one.attributes if name.startswith("on")]


def iterate_leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The places of all texts in a document, and of the names in its tables; those of a list count as one."""
    if isinstance(value, dict):
        yield (*path, "{}")
        for key, inner in value.items():
            yield from iterate_leaves(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from iterate_leaves(inner, (*path, "[]"))
    elif isinstance(value, str):
        yield path


def poison_value(value: Any, path: tuple[str, ...]) -> Any:
    """A copy with hostile words at a place; where there is none of this path, the same."""
    if not has_path(value, path):
        return value
    if not path:
        return value + HOSTILE
    first, rest = path[0], path[1:]
    if first == "{}":
        return value | {HOSTILE: next(iter(value.values()), None)}
    if first == "[]":
        return [poison_value(one, rest) for one in value]
    return value | {first: poison_value(value[first], rest)}


def has_path(value: Any, path: tuple[str, ...]) -> bool:
    if not path:
        return isinstance(value, str)
    return (isinstance(value, dict) and (path[0] == "{}" or path[0] in value)) or (
        isinstance(value, list) and path[0] == "[]"
    )


def write_hostile(folder: Path, name: str, document: dict[str, Any]) -> tuple[Path, int]:
    """A file in which every text that may be anything is hostile, and how many such places there were."""
    count = 0
    for place in sorted(set(iterate_leaves(document))):
        changed = poison_value(document, place)
        try:
            read_file(write_json(folder, name, changed))
        except ShvitError:
            continue
        document, count = changed, count + 1
    return write_json(folder, name, document), count


def shorten_report(document: dict[str, Any]) -> dict[str, Any]:
    """Of a phone's report, two results with few samples: reading it over and over takes time."""
    kept = []
    for one in document["results"][2:5]:
        rounds = one["samples_ms"][:2]
        latency = summarize_latency([sample for samples in rounds for sample in samples])
        kept.append(one | {"samples_ms": rounds, "latency": latency.model_dump()})
    settings = document["settings"] | {"timed": "runtime-call"}
    return document | {"schema_version": "1.1", "settings": settings, "results": kept}


def test_no_text_of_any_document_becomes_markup(tmp_path: Path) -> None:
    made = [
        write_hostile(tmp_path, "a.manifest.json", load_manifest("shvit_s1-224-executorch-int8")),
        write_hostile(tmp_path, "b.json", load_json(DRIFT)),
        write_hostile(tmp_path, "c.json", shorten_report(load_phone_report("iphone-13"))),
        write_hostile(tmp_path, "d.json", shorten_report(load_phone_report("galaxy-s23", measured=True))),
        write_hostile(tmp_path, "e.json", load_json(SENSITIVITY)),
    ]
    assert [count for _, count in made] >= [20, 25, 10, 8, 3]
    text = render_page(build_report([path for path, _ in made], title=HOSTILE))
    tree = parse_page(text)
    assert {one.tag for one in tree.every()} - {""} <= TAGS
    assert not [name for one in tree.every() for name in one.attributes if name.startswith("on")]
    assert len(tree.all("title")) >= 1
    assert HOSTILE in tree.all("h1")[0].text
    assert tree.text.count("<script>alert(1)</script>") > 100
    assert str(7 * 191) not in text
    labels = [one.attributes["aria-label"] for one in tree.all("svg") if "aria-label" in one.attributes]
    assert any("onerror=alert(2)" in label for label in labels), "a hostile name stands in an attribute, escaped"
    for image in tree.all("img"):
        assert image.attributes["src"].startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize(
    "thumbnail",
    ["", "not base64!", "PHN2Zz48c2NyaXB0Lz48L3N2Zz4=", "iVBORw0KGgo=", "/9j/4AAQSkZJRgABAQ==", 'x" onerror="alert(1)'],
)
def test_a_thumbnail_that_is_no_jpeg_is_not_shown(thumbnail: str) -> None:
    assert to_data_url(thumbnail) is None


@pytest.mark.parametrize(
    ("form", "side", "shown"), [("JPEG", 512, True), ("JPEG", 513, False), ("PNG", 8, False), ("GIF", 8, False)]
)
def test_only_a_small_jpeg_is_a_thumbnail(form: str, side: int, shown: bool) -> None:
    written_to = BytesIO()
    Image.new("RGB", (side, 8)).save(written_to, form)
    encoded = base64.b64encode(written_to.getvalue()).decode()
    assert to_data_url(encoded) == (f"data:image/jpeg;base64,{encoded}" if shown else None)


def test_a_broken_thumbnail_leaves_the_answers(tmp_path: Path) -> None:
    drift = load_json(DRIFT)
    drift["changed"][1]["worst"][0]["thumbnail"] = "PHN2Zz4="
    tree = parse_page(render_page(build_report([write_json(tmp_path, "d.json", drift)])))
    assert len(find_section(tree, "changes").all("img")) == 1
    assert "no thumbnail" in get_words(find_section(tree, "changes"))


def test_the_page_is_the_same_each_time(report: ModelReport) -> None:
    again = ModelReport.model_validate(json.loads(report.to_json()))
    assert render_page(report) == render_page(again)


def parse_colors(style: str) -> dict[str, dict[str, str]]:
    """The variables of the light scheme and of the dark one."""
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2]
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in (light, dark)]
    return {"light": found[0], "dark": found[0] | found[1]}


def compute_luminance(colour: str) -> float:
    """WCAG 2's relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def compute_contrast(one: str, other: str) -> float:
    low, high = sorted((compute_luminance(one), compute_luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_marks_can_be_told_from_their_grounds(tree: HtmlElement, scheme: str) -> None:
    """WCAG 2 AA: 4.5 for texts, 3 for graphics."""
    known = parse_colors(tree.all("style")[0].text)[scheme]
    grounds = ("page", "card")
    texts = [(text, ground) for text in ("ink", "muted", "accent", "good", "bad", "warn") for ground in grounds]
    texts += [(one, f"{one}-soft") for one in ("accent", "good", "bad", "warn")] + [("ink", "warn-soft")]
    texts += [("muted", f"heat-{state}") for state in ("nominal", "fair", "serious", "critical")] + [("card", "muted")]
    for text, ground in texts:
        assert compute_contrast(known[text], known[ground]) >= 4.5, (text, ground)
    for mark in ("c1", "c2", "c3", "c4", "c5"):
        assert compute_contrast(known[mark], known["card"]) >= 3, mark


def test_a_page_speaks_of_what_the_json_holds(report: ModelReport) -> None:
    text = unescape(render_page(report))
    for device in report.devices:
        assert (device.device.name or device.device.model) in text
        assert device.device.system in text
    for found in report.manifests:
        assert found.artifact.sha256 in text
        assert found.model.checkpoint_sha256 in text
        assert all(operator in text for operator in found.inventory.operators)


def test_the_page_says_how_folders_became_classes_and_which_images_were_not_used(tree: HtmlElement) -> None:
    drift, origins = get_words(find_section(tree, "ladder")), get_words(find_section(tree, "provenance"))
    assert "The 10 folders in test were matched with classes by name." in drift
    assert "Used 200 of 203 files in calibration" in origins
    assert "3 (first: cat/0007.jpg): it is a link to nothing" in origins
