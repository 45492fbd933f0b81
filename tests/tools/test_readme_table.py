"""The README's table is what the demo's report says, and no other text states other figures of the demo model."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import readme_table

from shvit_mobile.errors import BadArtifact
from tests.fixtures import FIXTURES

ROOT = Path(__file__).parents[2]
README, QUANTIZATION, BENCHMARKS = (
    (ROOT / name).read_text() for name in ("README.md", "docs/quantization.md", "docs/benchmarks.md")
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
Row = dict[str, str]


def rows(text: str) -> Iterator[Row]:
    """The rows of all tables in Markdown, by heading; the first cell of a row is its "name", without bold."""
    headings: list[str] = []
    for line in [*text.splitlines(), ""]:
        cells = [cell.strip().replace("**", "") for cell in line.strip("|").split("|")] if line[:1] == "|" else []
        if not cells:
            headings = []
        elif not headings:
            headings = ["name", *cells[1:]]
        elif set(line) - set("|-: "):
            yield dict(zip(headings, cells, strict=True))


def demo(target: str, precision: str) -> Row:
    """What the README states of an artifact of the demo."""
    table = README.partition(readme_table.BEGIN)[2].partition(readme_table.END)[0]
    (row,) = (row for row in rows(table) if (row["name"], row["precision"]) == (target, precision))
    return row


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next."""
    return text.partition(f"\n## {heading}")[2].partition("\n## ")[0]


def same(first: str, second: str) -> bool:
    """Whether two figures are one, by the digits that both have."""
    one, two = (NUMBER.findall(text)[0] for text in (first, second))
    digits = min(len(figure.partition(".")[2]) for figure in (one, two))
    return abs(float(one) - float(two)) < 0.5 * 10**-digits + 1e-9


def check(stated: Row, target: str, precision: str, columns: dict[str, str]) -> None:
    """Holds a row against the README's; `columns` are headings here and there."""
    expected = demo(target, precision)
    differing = {here: (stated[here], expected[there]) for here, there in columns.items()}
    assert {here: pair for here, pair in differing.items() if not same(*pair)} == {}


@pytest.mark.parametrize(
    ("name", "target"),
    [("ONNX", "onnx"), ("ExecuTorch", "executorch"), ("Core ML (reference executor)", "coreml")],
)
def test_what_the_steps_come_to_is_one_thing(name: str, target: str) -> None:
    table = section(QUANTIZATION, "Steps towards a better int8")
    (row,) = (row for row in rows(table) if row["name"] == name and row["images"] == "500")
    drift = {"drop, points (95%)": "drop, points", "agreement %": "agreement %", "SQNR dB": "SQNR dB"}
    check(row, target, "int8", drift)


@pytest.mark.parametrize("name", ["executorch-int8", "executorch-fp32", "onnx-int8", "onnx-fp32"])
def test_what_was_raced_drifts_as_the_readme_says(name: str) -> None:
    (row,) = (row for row in rows(section(BENCHMARKS, "The demo model")) if row["name"] == name)
    drift = {"top-1 drop, points": "drop, points", "agreement": "agreement %", "SQNR, dB": "SQNR dB"}
    target, precision = name.split("-")
    check(row, target, precision, {"MB on disk": "MB", **drift})


@pytest.mark.parametrize("precision", ["fp16", "int8-weights"])
def test_core_mls_precisions_cost_what_the_readme_says(precision: str) -> None:
    table = section(BENCHMARKS, "What Core ML's precisions cost in accuracy")
    (row,) = (row for row in rows(table) if row["name"] == precision)
    columns = ("MB", "drop, points", "agreement %", "SQNR dB")
    check(row, "coreml", precision, dict(zip(columns, columns, strict=True)))


@pytest.mark.parametrize(
    ("text", "said", "target", "precision"),
    [
        (README, r"The embedded model's int8 program.*?: ([\d.]+)% top-1 on x86", "executorch", "int8"),
        (BENCHMARKS, r"top-1 of the float model is ([\d.]+) %", "onnx", "fp32"),
        (QUANTIZATION, r"on its 500 embedded images \(([\d.]+)% top-1 in float\)", "onnx", "fp32"),
    ],
)
def test_top1_is_one_thing(text: str, said: str, target: str, precision: str) -> None:
    (stated,) = re.findall(said, text, re.DOTALL)
    assert same(stated, demo(target, precision)["top-1 %"])


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A drift report with the manifests of its artifacts beside it."""
    report = tmp_path / "drift_report.json"
    shutil.copy(FIXTURES / "drift_report" / "full.json", report)
    for row in json.loads(report.read_text())["rows"]:
        manifest = (FIXTURES / "manifest" / row["artifact"]).with_suffix(".manifest.json")
        if manifest.exists():
            shutil.copy(manifest, tmp_path)
    return report


def test_the_table_is_what_the_report_says(made: Path) -> None:
    measured = [row for row in json.loads(made.read_text())["rows"] if row["how"] != "simulated"]
    written = list(rows(readme_table.table(made)))
    assert [(row["name"], row["precision"]) for row in written] == [(r["target"], r["precision"]) for r in measured]
    for row, expected in zip(written, measured, strict=True):
        assert row["SQNR dB"] == f"{expected['sqnr_db']:.1f}"
        assert row["agreement %"] == f"{100 * expected['agreement']['value']:.1f}"


def test_a_report_of_other_artifacts_is_refused(made: Path) -> None:
    measured = next(row for row in json.loads(made.read_text())["rows"] if row["how"] != "simulated")
    made.write_text(made.read_text().replace(measured["artifact_sha256"], "ab" * 32))
    with pytest.raises(BadArtifact, match="another"):
        readme_table.table(made)


def test_only_what_stands_between_the_comments_is_replaced() -> None:
    text = f"before\n{readme_table.BEGIN}\nold\n{readme_table.END}\nafter\n"
    assert readme_table.with_table(text, "new") == text.replace("old", "new")
