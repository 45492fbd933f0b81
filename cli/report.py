"""`shvit-mobile report`: puts everything that was measured on one page and into one JSON file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from shvit_mobile.errors import ConflictingParameters
from shvit_mobile.report.formatting import format_megabytes, format_percent, format_points

from . import options as opt
from .arguments import check_output_files
from .console import print_json, print_note, print_table
from .results import to_contract_json, write_outputs
from .tables import create_table, format_cell

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.contracts.report import ModelReport


def report(
    inputs: opt.InputsArgument,
    out: opt.Page = Path("report.html"),
    json_out: opt.PageJson = None,
    title: opt.Title = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Put everything that was measured on one page.

    Artifacts, drift and devices are joined by the SHA-256 of the artifact. The page needs no network and no JavaScript.
    """
    if json_out is not None and os.path.realpath(out) == os.path.realpath(json_out):
        raise ConflictingParameters(f"`out` and `json_out` are both {out}.", why="They are two files.")
    check_output_files(out, json_out, overwrite=overwrite)

    from shvit_mobile.report.join import build_report
    from shvit_mobile.report.page import render_page

    joined = build_report(inputs, title=title)
    write_outputs((out, render_page(joined)), (json_out, joined.to_json()), overwrite=overwrite)
    for remark in joined.remarks:
        print_note(f"{'warning' if remark.grave else 'note'}: {remark.sentence}")
    for one in joined.artifacts:
        if one.verdict.status == "failed":
            print_note(f"failed: {one.name}: {one.verdict.sentence}")
    if as_json:
        print_json(to_contract_json(joined))
    else:
        print_table(_build_verdict_table(joined), "", *(f"Written: {file}" for file in (out, json_out) if file))


def _build_verdict_table(joined: ModelReport) -> Table:
    """Build a table with a line for each artifact."""
    table = create_table(joined.title, "artifact", "verdict")
    for heading in ("MB", "agreement %", "drop, points"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in joined.artifacts:
        agreement = one.drift.agreement if one.drift else None
        drop = format_points(one.drift.top1_drop if one.drift else None)
        table.add_row(
            format_cell(one.name),
            one.verdict.status,
            format_megabytes(one.size_bytes),
            format_percent(agreement.value if agreement else None, 2),
            drop,
        )
    return table
