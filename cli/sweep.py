"""`shvit-mobile sweep`: exports every combination of a file's lists, in parallel, and compares them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shvit_mobile.errors import ConflictingParameters
from shvit_mobile.report.formatting import NO_VALUE, format_decibels, format_megabytes, format_percent, format_points

from . import options as opt
from .console import print_json, print_note, print_table
from .errors import GATE_FAILED
from .progress import JobProgress
from .results import to_contract_json
from .sweep_progress import SweepProgress
from .tables import create_table, format_cell

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.pipeline.sweep import JobRunner, SweepOutcome
    from shvit_mobile.pipeline.sweep_file import SweepPlan


def sweep(
    file: Annotated[Path, typer.Argument(metavar="SWEEP.TOML", help="The lists to combine.")],
    out: opt.SweepOut = Path("sweep"),
    workers: opt.Workers = None,
    ray: opt.RayAddress = None,
    table: opt.SweepTable = None,
    dry_run: opt.DryRun = False,
    as_json: opt.Json = False,
) -> None:
    """Export every combination of checkpoints, sizes, targets, precisions and budgets in a file.

    Jobs run in parallel; one that fails does not stop the others. If it is interrupted, even killed, the next run
    continues. Exit status 1 if a job failed or missed its budget.
    """
    if workers is not None and ray is not None:
        raise ConflictingParameters(
            "`workers` is given with `ray`.", why="A cluster runs as many jobs as it has CPUs.", parameter="workers"
        )
    with JobProgress("Sweep") as progress, progress.step("Reading the file"):
        from shvit_mobile.pipeline.sweep import LocalRunner, find_results, run_sweep
        from shvit_mobile.pipeline.sweep_file import load_sweep

        plan = load_sweep(file)
    for sentence in plan.skipped:
        print_note(f"note: {sentence}")
    if dry_run:
        _print_jobs(plan, as_json=as_json)
        return
    runner: JobRunner = LocalRunner(workers)
    if ray is not None:
        from shvit_mobile.pipeline.sweep_ray import RayRunner

        runner = RayRunner(ray, runtime_env=plan.runtime_env)
    with SweepProgress([job.name for job in plan.jobs], list(find_results(plan, out))) as shown:
        outcome = run_sweep(plan, out, runner=runner, table=table, on_result=shown.add)
    _print_outcome(outcome, as_json=as_json)
    if not outcome.passed:
        raise typer.Exit(GATE_FAILED)


def _print_jobs(plan: SweepPlan, *, as_json: bool) -> None:
    if as_json:
        print_json({"dry_run": True, "jobs": [job.name for job in plan.jobs], "skipped": list(plan.skipped)})
    else:
        print_table(f"{len(plan.jobs)} artifacts would be exported", *(f"  {job.name}" for job in plan.jobs))


def _print_outcome(outcome: SweepOutcome, *, as_json: bool) -> None:
    if outcome.reused:
        print_note(f"note: {outcome.reused} of {len(outcome.results)} artifacts are of an earlier run.")
    if as_json:
        print_json(
            {
                "results": [to_contract_json(result) for result in outcome.results],
                "reused": outcome.reused,
                "table": str(outcome.table),
                "page": outcome.page and str(outcome.page),
            }
        )
        return
    written = [f"Written: {path}" for path in (outcome.table, outcome.page) if path is not None]
    print_table(_build_table(outcome), "", *written)


def _build_table(outcome: SweepOutcome) -> Table:
    table = create_table("Sweep", "job", "")
    for heading in ("MB", "SQNR\ndB", "agree-\nment %", "drop,\npoints", "s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in outcome.results:
        table.add_row(
            format_cell(one.job),
            one.status,
            format_megabytes(one.bytes),
            NO_VALUE if one.sqnr_db is None else format_decibels(one.sqnr_db),
            format_percent(one.agreement, 2),
            format_points(one.top1_drop if one.ap_drop is None else one.ap_drop),
            f"{one.seconds:.0f}",
        )
    return table
