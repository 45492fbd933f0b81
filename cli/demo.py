"""`shvit-mobile demo`: the whole job on the embedded demo model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import check_out
from .console import data, note, show
from .options import OUTPUT, Json, Overwrite
from .progress import Steps
from .results import artifact_json, sizes
from .tables import drift_table


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write into.", rich_help_panel=OUTPUT)] = Path(
        "artifacts/demo"
    ),
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Do the whole job on the embedded demo model.

    To every target in every precision; each artifact is run and compared with the checkpoint, and one table printed.
    """
    check_out(out)
    with Steps("Demo") as steps:
        with steps.step("Loading the tools"):
            from shvit_mobile.pipeline.demo import PLAN, REPORT, RUNGS, run_demo
        # The tools, the calibration, the checkpoint; each artifact is made and run; the rungs that PyTorch computes.
        steps.expect(3 + 2 * len(PLAN) + RUNGS)
        result = run_demo(out, overwrite=overwrite, step=steps.follow)
    if as_json:
        data({"artifacts": [artifact_json(artifact) for artifact in result.artifacts]})
        return
    rows = [row for row in result.report.rows if row.how != "simulated"]
    show(drift_table(rows, sizes(result.artifacts)))
    note(f"{len(PLAN)} artifacts with their manifests, recipes and goldens, and {REPORT}, are in {out}.")
