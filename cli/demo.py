"""`shvit-mobile demo`: the whole job on the embedded demo model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import check_output_folder
from .console import print_json, print_note, print_table
from .options import OUTPUT_PANEL, JsonOption, OverwriteOption
from .progress import JobProgress
from .results import collect_sizes, to_artifact_json
from .tables import build_drift_table


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder to write into.", rich_help_panel=OUTPUT_PANEL)
    ] = Path("artifacts/demo"),
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Do the whole job on the embedded demo model.

    To every target in every precision; each artifact is run and compared with the checkpoint, and one table printed.
    """
    check_output_folder(out)
    with JobProgress("Demo") as steps:
        with steps.step("Loading the tools"):
            from shvit_mobile.pipeline.demo import DEMO_EXPORTS, LADDER_STEPS, REPORT_FILE, run_demo
        # The tools, the calibration, the checkpoint; each artifact is made and run; the rungs that PyTorch computes.
        steps.expect(3 + 2 * len(DEMO_EXPORTS) + LADDER_STEPS)
        result = run_demo(out, overwrite=overwrite, step=steps.follow)
    if as_json:
        print_json({"artifacts": [to_artifact_json(artifact) for artifact in result.artifacts]})
        return
    rows = [row for row in result.report.rows if row.how != "simulated"]
    print_table(build_drift_table(rows, collect_sizes(result.artifacts)))
    print_note(
        f"{len(DEMO_EXPORTS)} artifacts with their manifests, recipes and goldens, and {REPORT_FILE}, are in {out}."
    )
