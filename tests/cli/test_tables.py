"""Tables of the terminal that no command's own tests print."""

from __future__ import annotations

import pytest
from rich.console import Console

from shvit_mobile.cli.tables import build_sensitivity_table
from shvit_mobile.contracts.sensitivity import SensitivityReport
from tests.fixtures import FIXTURES

DOCUMENT = SensitivityReport.load(FIXTURES / "sensitivity" / "small.json")


def render_sensitivity_table(document: SensitivityReport, most: int) -> list[str]:
    console = Console(width=100, markup=False)
    with console.capture() as capture:
        console.print(build_sensitivity_table(document, most))
    return capture.get().splitlines()


def test_the_sensitivity_table_has_the_worst_layers_first() -> None:
    lines = render_sensitivity_table(DOCUMENT, 3)
    assert "the worst 3 of 8 layers" in lines[0]
    worst = sorted(DOCUMENT.layers, key=lambda row: row.quantized_db)
    body = [line.split() for line in lines if line.strip().startswith(("patch_embed", "stages"))]
    assert [cells[0] for cells in body] == [row.layer for row in worst[:3]]
    assert [cells[2] for cells in body] == [f"{row.quantized_db:.1f}" for row in worst[:3]]
    # Noise is power: 10 dB are ten times as much.
    first, second = (float(cells[1]) for cells in body[:2])
    assert first / second == pytest.approx(10 ** ((worst[1].quantized_db - worst[0].quantized_db) / 10), rel=0.01)


def test_a_long_name_leaves_the_figures_whole() -> None:
    row = DOCUMENT.layers[0].model_copy(update={"layer": "stages.10.downsample." + "x" * 90, "float_db": float("inf")})
    lines = render_sensitivity_table(DOCUMENT.model_copy(update={"layers": (row, *DOCUMENT.layers[1:])}), 10)
    assert all(len(line) <= 100 for line in lines)
    assert "8 layers" in lines[0]
    assert "worst" not in lines[0]
    assert any("∞" in line for line in lines)
