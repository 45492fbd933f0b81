"""`shvit-mobile report`: one page and one JSON out of everything that was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shvit_mobile.errors import WrongConfig

from .arguments import check_files
from .console import data, note, show
from .options import OUTPUT, Json, Overwrite
from .results import contract_json
from .tables import NONE, cell, megabytes, points, titled

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.contracts.report import Report


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
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page (HTML).", rich_help_panel=OUTPUT)] = Path(
        "report.html"
    ),
    json_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what is on it here too (JSON).", rich_help_panel=OUTPUT)
    ] = None,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Of the page; else it names the model.", rich_help_panel=OUTPUT)
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Put everything that was measured on one page.

    Artifacts, drift and devices are joined by the artifact's SHA-256. The page needs no network and no JavaScript.
    """
    if json_out is not None and out.resolve() == json_out.resolve():
        raise WrongConfig(f"--out and --json-out are both {out}.", why="They are two files.")

    check_files(out, json_out, overwrite=overwrite)

    from shvit_mobile.contracts.outputs import whole
    from shvit_mobile.report.join import gather
    from shvit_mobile.report.page import page

    gathered = gather(inputs, title=title)
    texts = {out: page(gathered), **({json_out: gathered.json_text()} if json_out else {})}
    for file, text in texts.items():
        with whole(file, overwrite=overwrite) as (path,):
            path.write_text(text)
    for remark in gathered.remarks:
        note(f"{'warning' if remark.grave else 'note'}: {remark.sentence}")
    for one in gathered.artifacts:
        if one.verdict.status == "failed":
            note(f"failed: {one.name}: {one.verdict.sentence}")
    if as_json:
        data(contract_json(gathered))
    else:
        show(verdict_table(gathered), "", *(f"Written: {file}" for file in texts))


def verdict_table(gathered: Report) -> Table:
    """One line an artifact."""
    table = titled(gathered.title, "artifact", "verdict")
    for heading in ("MB", "agreement %", "drop, points"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in gathered.artifacts:
        size = NONE if one.size_bytes is None else megabytes(one.size_bytes)
        agreement = f"{100 * one.drift.agreement.value:.2f}" if one.drift else NONE
        table.add_row(cell(one.name), one.verdict.status, size, agreement, points(one.drift))
    return table
