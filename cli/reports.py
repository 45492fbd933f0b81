"""Prints the drift of each layer, and the range of every value in fp16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shvit_mobile.report.formatting import format_decibels, format_number, format_percent, format_significant
from shvit_mobile.report.sentences import describe_layers, describe_ranges

from .console import print_table
from .tables import create_table, format_cell

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.contracts.drift_report import LayerReport, RangeReport, ValueRange

_SHOWN_VALUES = 20


def print_layers_and_ranges(layers: Sequence[LayerReport], ranges: Sequence[RangeReport]) -> None:
    for layered in layers:
        print_table("", _build_layer_table(layered), describe_layers(layered))
    for ranged in ranges:
        print_table("", _build_range_table(ranged), describe_ranges(ranged))
        if (left := len(ranged.values) - _SHOWN_VALUES) > 0:
            print_table(f"{left} smaller values are not shown; --json prints all.")


def _build_layer_table(report: LayerReport) -> Table:
    """Build a table with a line for each layer, in the order of the data."""
    table = create_table(f"Layers of {report.artifact}, SQNR in dB, {report.images} images")
    for heading in ("layer", "kind"):
        table.add_column(heading, no_wrap=True)
    for heading in ("free-\nrunning", "teacher-\nforced"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in report.rows:
        below = min(row.free_db, row.forced_db) < report.threshold_db
        mark = "first divergence" if row.layer == report.first else "below" if below else ""
        style = "bold red" if row.layer == report.first else None
        table.add_row(
            format_cell(row.layer),
            row.kind,
            format_decibels(row.free_db),
            format_decibels(row.forced_db),
            mark,
            style=style,
        )
    return table


def _build_range_table(report: RangeReport) -> Table:
    """Build a table of the values that are nearest to the largest number of fp16, or above it."""
    table = create_table(f"Values of {report.artifact} against fp16's range, {report.images} images", gap=1)
    table.add_column("layer", no_wrap=True)
    table.add_column("value", overflow="fold")
    for heading in ("largest", "headroom,\nbits", "smallest\npeak", "sub-\nnormal %"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("in fp16", no_wrap=True)
    for row in report.values[:_SHOWN_VALUES]:
        table.add_row(
            format_cell(row.layer),
            format_cell(f"{row.part} in {row.operator}" if row.part else row.operator),
            format_significant(row.largest, 3),
            format_number(row.headroom_bits, 1),
            format_significant(row.smallest_peak, 2),
            format_percent(min(row.subnormal, 1.0)),
            _format_range_outcome(row),
            style="bold red" if row.headroom_bits < 0 or row.silent or row.not_finite else None,
        )
    return table


def _format_range_outcome(row: ValueRange) -> str:
    if row.not_finite:
        return "not finite"
    return "silent" if row.silent else ""
