"""`shvit-mobile report`: one page and one JSON out of everything that was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shvit_mobile.errors import InvalidConfig

from .arguments import check_output_files
from .console import print_json, print_note, print_table
from .options import OUTPUT_PANEL, JsonOption, OverwriteOption
from .results import to_contract_json
from .tables import NO_VALUE, create_table, format_cell, format_megabytes, format_points

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.contracts.report import ModelReport


def report(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Artifacts, drift reports (validate --out), sensitivity reports (calibrate), device reports "
            "(benchmark --out, or a phone's), and "
            "folders of them.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page (HTML).", rich_help_panel=OUTPUT_PANEL)] = Path(
        "report.html"
    ),
    json_out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write what is on it here too (JSON).", rich_help_panel=OUTPUT_PANEL),
    ] = None,
    title: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Of the page; else it names the model.", rich_help_panel=OUTPUT_PANEL),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put everything that was measured on one page.

    Artifacts, drift and devices are joined by the artifact's SHA-256. The page needs no network and no JavaScript.
    """
    if json_out is not None and out.resolve() == json_out.resolve():
        raise InvalidConfig(f"--out and --json-out are both {out}.", why="They are two files.")

    check_output_files(out, json_out, overwrite=overwrite)

    from shvit_mobile.contracts.outputs import write_atomically
    from shvit_mobile.report.join import build_report
    from shvit_mobile.report.page import render_page

    gathered = build_report(inputs, title=title)
    texts = {out: render_page(gathered), **({json_out: gathered.to_json()} if json_out else {})}
    for file, text in texts.items():
        with write_atomically(file, overwrite=overwrite) as (path,):
            path.write_text(text)
    for remark in gathered.remarks:
        print_note(f"{'warning' if remark.grave else 'note'}: {remark.sentence}")
    for one in gathered.artifacts:
        if one.verdict.status == "failed":
            print_note(f"failed: {one.name}: {one.verdict.sentence}")
    if as_json:
        print_json(to_contract_json(gathered))
    else:
        print_table(build_verdict_table(gathered), "", *(f"Written: {file}" for file in texts))


def build_verdict_table(gathered: ModelReport) -> Table:
    """One line an artifact."""
    table = create_table(gathered.title, "artifact", "verdict")
    for heading in ("MB", "agreement %", "drop, points"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in gathered.artifacts:
        size = NO_VALUE if one.size_bytes is None else format_megabytes(one.size_bytes)
        agreement = f"{100 * one.drift.agreement.value:.2f}" if one.drift else NO_VALUE
        table.add_row(format_cell(one.name), one.verdict.status, size, agreement, format_points(one.drift))
    return table
