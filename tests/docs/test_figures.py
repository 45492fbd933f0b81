"""Figures that the documentation states twice agree, and those that the code defines are the code's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import pytest
import readme_table

from shvit_mobile.demo import CHECKPOINT
from shvit_mobile.targets.tolerances import FP16_FLOATS_TOLERANCE_SHARE, INT8_TOLERANCE_SHARES, TOLERANCE_SHARES
from tests.docs.markdown import ROOT, read

README, QUANTIZATION, BENCHMARKS, EXPORT, ARM64, MODEL_CARD = (
    read(ROOT / name)
    for name in (
        "README.md",
        "docs/quantization.md",
        "docs/benchmarks.md",
        "docs/guides/export.md",
        "docs/guides/arm64.md",
        "shvit_mobile/demo/MODEL_CARD.md",
    )
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
Row = dict[str, str]


def parse_tables(text: str) -> Iterator[Row]:
    """Yield the rows of all tables by heading; the first cell of a row is its "name", without bold."""
    headings: list[str] = []
    for line in [*text.splitlines(), ""]:
        cells = [cell.strip().replace("**", "") for cell in line.strip("|").split("|")] if line[:1] == "|" else []
        if not cells:
            headings = []
        elif not headings:
            headings = ["name", *cells[1:]]
        elif set(line) - set("|-: "):
            yield dict(zip(headings, cells, strict=True))


def find_demo_row(target: str, precision: str) -> Row:
    """Return what the README states of an artifact of the demo."""
    table = README.partition(readme_table.BEGIN)[2].partition(readme_table.END)[0]
    (row,) = (row for row in parse_tables(table) if (row["name"], row["precision"]) == (target, precision))
    return row


def get_section(text: str, heading: str) -> str:
    """Return the text below a heading, up to the next."""
    return text.partition(f"\n## {heading}")[2].partition("\n## ")[0]


def agree(first: str, second: str) -> bool:
    """Tell whether two figures are equal in the digits that both have."""
    one, two = (NUMBER.findall(text)[0] for text in (first, second))
    digits = min(len(figure.partition(".")[2]) for figure in (one, two))
    return abs(float(one) - float(two)) < 0.5 * 10**-digits + 1e-9


def check_row(stated: Row, target: str, precision: str, columns: dict[str, str]) -> None:
    """Compare a row with the README's; `columns` are headings here and there."""
    expected = find_demo_row(target, precision)
    differing = {here: (stated[here], expected[there]) for here, there in columns.items()}
    assert {here: pair for here, pair in differing.items() if not agree(*pair)} == {}


@pytest.mark.parametrize(
    ("name", "target"),
    [("ONNX", "onnx"), ("ExecuTorch", "executorch"), ("Core ML (reference executor)", "coreml")],
)
def test_drift_with_all_passes_is_that_of_the_readme(name: str, target: str) -> None:
    rows = parse_tables(get_section(QUANTIZATION, "Passes"))
    (row,) = (row for row in rows if row["name"] == name and row.get("images") == "500")
    drift = {"drop, points (95%)": "drop, points", "agreement %": "agreement %", "SQNR dB": "SQNR dB"}
    check_row(row, target, "int8", drift)


@pytest.mark.parametrize("name", ["executorch-int8", "executorch-fp32", "onnx-int8", "onnx-fp32"])
def test_drift_beside_latency_is_that_of_the_readme(name: str) -> None:
    (row,) = (row for row in parse_tables(get_section(BENCHMARKS, "The demo model")) if row["name"] == name)
    drift = {"top-1 drop, points": "drop, points", "agreement": "agreement %", "SQNR, dB": "SQNR dB"}
    target, precision = name.split("-")
    check_row(row, target, precision, {"MB on disk": "MB", **drift})


@pytest.mark.parametrize("precision", ["fp16", "int8-weights"])
def test_costs_of_core_ml_precisions_are_those_of_the_readme(precision: str) -> None:
    table = get_section(BENCHMARKS, "What Core ML's precisions cost in accuracy")
    (row,) = (row for row in parse_tables(table) if row["name"] == precision)
    columns = ("MB", "drop, points", "agreement %", "SQNR dB")
    check_row(row, "coreml", precision, dict(zip(columns, columns, strict=True)))


def test_the_cost_of_palette_4_is_stated_alike() -> None:
    (stated,) = re.findall(r"`palette-4` costs the demo model ([\d.]+) points", EXPORT)
    table = get_section(BENCHMARKS, "What Core ML's precisions cost in accuracy")
    (row,) = (row for row in parse_tables(table) if row["name"] == "palette-4")
    assert agree(stated, row["drop, points"])


@pytest.mark.parametrize(
    ("text", "statement", "target", "precision"),
    [
        (ARM64, r"The embedded model's int8 program.*?: ([\d.]+)% top-1 on x86", "executorch", "int8"),
        (BENCHMARKS, r"[Tt]op-1 of the float model is ([\d.]+) %", "onnx", "fp32"),
        (QUANTIZATION, r"on its 500 embedded images \(([\d.]+)% top-1 in float\)", "onnx", "fp32"),
    ],
)
def test_top1_is_stated_alike(text: str, statement: str, target: str, precision: str) -> None:
    (stated,) = re.findall(statement, text, re.DOTALL)
    assert agree(stated, find_demo_row(target, precision)["top-1 %"])


def test_tolerances_of_the_guide_are_those_of_the_code() -> None:
    stated = {row["name"]: float(row["tolerance"]) for row in parse_tables(get_section(EXPORT, "Goldens"))}
    assert stated == {
        "fp32": TOLERANCE_SHARES["fp32"],
        "fp16, int8-weights, palettes": TOLERANCE_SHARES["fp16"],
        "int8, ExecuTorch": INT8_TOLERANCE_SHARES["executorch"],
        "int8, ExecuTorch, `--float-dtype fp16`": FP16_FLOATS_TOLERANCE_SHARE,
        "int8, ONNX": INT8_TOLERANCE_SHARES["onnx"],
        "int8, Core ML": INT8_TOLERANCE_SHARES["coreml"],
        "int8, LiteRT": INT8_TOLERANCE_SHARES["litert"],
        "int8, Core AI": INT8_TOLERANCE_SHARES["coreai"],
    }


def test_the_model_card_describes_the_embedded_file() -> None:
    data = CHECKPOINT.read_bytes()
    assert f"{len(data):,} bytes" in MODEL_CARD
    assert hashlib.sha256(data).hexdigest() in MODEL_CARD
