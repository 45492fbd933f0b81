"""Runs the jobs of a sweep in parallel processes, each in a folder of its own, and tabulates what came of them.

A job's result is written last, so whatever ends the sweep, the next run does what has no result, or another one's. What
failed is tried again, too.
"""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Protocol

from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.outputs import check_writable, write_atomically
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.sweep_result import SWEEP_RESULT_FILE, SweepResult
from shvit_mobile.errors import BadReport, InvalidValue, ToolMissing
from shvit_mobile.pipeline.sweep_file import SweepJob, SweepPlan
from shvit_mobile.pipeline.sweep_worker import DRIFT_FILE, write_job
from shvit_mobile.processes import count_processors, get_last_line
from shvit_mobile.report.join import build_report
from shvit_mobile.report.page import render_page

TABLE_FILE, PAGE_FILE, JOBS_FOLDER = "results.csv", "report.html", "jobs"
# What a process of a job takes at most, while it lowers SHViT-S4 at its own size.
_BYTES_PER_JOB = 2 * 1024**3
ResultCallback = Callable[[SweepResult], None]


class JobRunner(Protocol):
    """Runs jobs somewhere, several at a time."""

    def run(self, jobs: Sequence[SweepJob], folder: Path) -> Iterator[SweepResult]:
        """Yield the result of each job as it comes, after its files are in its folder.

        Args:
            jobs: The jobs.
            folder: The folder of the jobs' folders.
        """
        ...


@dataclass(frozen=True)
class SweepOutcome:
    """What came of a sweep.

    Attributes:
        results: In the order of the jobs.
        reused: How many of them an earlier run had left.
        table, page: Where the table and the report are; `page` is None where there is no artifact.
    """

    results: tuple[SweepResult, ...]
    reused: int
    table: Path
    page: Path | None

    @property
    def passed(self) -> bool:
        """Whether every job made an artifact, and no gate failed."""
        return all(result.status == "done" for result in self.results)


def run_sweep(
    plan: SweepPlan,
    out: AnyPath,
    *,
    runner: JobRunner | None = None,
    table: AnyPath | None = None,
    on_result: ResultCallback | None = None,
) -> SweepOutcome:
    """Run a sweep, or what is left of it.

    Args:
        plan: The jobs.
        out: The folder for everything.
        runner: Where the jobs run (default: processes on this machine).
        table: The file of the table, .csv or .parquet (default: `results.csv` in `out`).
        on_result: Called with each result as it comes.

    Raises:
        UnwritableOutput: If nothing can be written there.
        InvalidValue: If the table is neither CSV nor Parquet; ToolMissing: If what writes Parquet is not installed.
    """
    out = Path(out)
    table = out / TABLE_FILE if table is None else Path(table)
    _check_table(table)
    check_writable(out)
    folder = out / JOBS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    found = find_results(plan, out)
    reused = len(found)
    for result in (runner or LocalRunner()).run([job for job in plan.jobs if job.name not in found], folder):
        found[result.job] = result
        if on_result is not None:
            on_result(result)
    results = tuple(found[job.name] for job in plan.jobs)
    _write_table(results, table)
    return SweepOutcome(results, reused, table, _write_page(results, folder, out / PAGE_FILE))


def find_results(plan: SweepPlan, out: AnyPath) -> dict[str, SweepResult]:
    """Return the results that an earlier run has left in `out`, by the names of their jobs."""
    folder = Path(out) / JOBS_FOLDER
    return {job.name: result for job in plan.jobs if (result := find_result(job, folder)) is not None}


def find_result(job: SweepJob, folder: Path) -> SweepResult | None:
    """Return the result that an earlier run has left of a job; None if it is to be run, or run again."""
    file = folder / job.name / SWEEP_RESULT_FILE
    if not file.exists():
        return None
    try:
        result = SweepResult.load(file)
    except BadReport:
        return None
    if result.status == "failed" or result.artifact is None or result.key != job.compute_key():
        return None
    artifact = file.parent / result.artifact
    return result if artifact.exists() and compute_sha256(artifact) == result.sha256 else None


class LocalRunner:
    """Runs jobs in processes on this machine."""

    def __init__(self, workers: int | None = None, *, retries: int = 1) -> None:
        """Choose how many run at once.

        Args:
            workers: That number (default: as many as there are processors and memory for).
            retries: How often a job whose process died is run again; what fails with a reason is not.
        """
        self._workers = workers or choose_workers()
        self._retries = retries
        self._processes: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._ended = False

    def run(self, jobs: Sequence[SweepJob], folder: Path) -> Iterator[SweepResult]:
        """See `JobRunner.run`; if the caller stops early, the processes are ended."""
        threads = ThreadPoolExecutor(self._workers)
        try:
            for future in as_completed([threads.submit(self._run_job, job, folder / job.name) for job in jobs]):
                yield future.result()
        finally:
            self._end()
            threads.shutdown(cancel_futures=True)

    def _run_job(self, job: SweepJob, folder: Path) -> SweepResult:
        said = ""
        for _ in range(1 + self._retries):
            said = self._run_process(job, folder)
            if not said:
                return SweepResult.load(folder / SWEEP_RESULT_FILE)
        return describe_death(job, said)

    def _run_process(self, job: SweepJob, folder: Path) -> str:
        """Run a job in a process; return how it died, empty if it wrote a result."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SWEEP_RESULT_FILE).unlink(missing_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, count_processors() // self._workers))}
        command = [sys.executable, "-m", "shvit_mobile.pipeline.sweep_worker", str(folder)]
        with TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr:
            with self._lock:
                if self._ended:
                    return "The sweep was ended."
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    env=environment,
                    encoding="utf-8",
                )
                self._processes.add(process)
            assert process.stdin is not None
            with process.stdin as pipe:  # open until the process ends: it dies with this end of the pipe
                try:
                    pipe.write(write_job(job))
                    pipe.flush()
                except OSError:
                    pass  # it has died, as its status says
                status = process.wait()
            with self._lock:
                self._processes.discard(process)
            stderr.seek(0)
            last = get_last_line(stderr.read())
        if status == 0 and (folder / SWEEP_RESULT_FILE).exists():
            return ""
        return f"Its process ended with status {status}. {last}".strip()

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            for process in self._processes:
                process.kill()


def describe_death(job: SweepJob, reason: str) -> SweepResult:
    """Return the result of a job that could not even write one."""
    return SweepResult(**job.describe(), status="failed", error=reason, seconds=0)


def choose_workers() -> int:
    """Return how many jobs this machine has processors and memory for."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows and macOS
        return count_processors()
    return max(1, min(count_processors(), memory // _BYTES_PER_JOB))


def _check_table(table: Path) -> None:
    if table.suffix not in (".csv", ".parquet"):
        raise InvalidValue(f"The table would be {table.name}.", why="A table is .csv or .parquet.", parameter="table")
    if table.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise ToolMissing(
                "pyarrow is not installed.", why="It writes Parquet.", hint="Run: pip install pyarrow"
            ) from None


def _list_rows(results: Sequence[SweepResult]) -> list[dict[str, Any]]:
    rows = [result.model_dump(exclude={"key"}) for result in results]
    return [{**row, "size": row["size"] and "x".join(map(str, row["size"]))} for row in rows]


def _write_table(results: Sequence[SweepResult], table: Path) -> None:
    rows = _list_rows(results)
    with write_atomically(table, overwrite=True) as (part,):
        if table.suffix == ".parquet":
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), part)
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        part.write_text(text.getvalue(), encoding="utf-8")


def _write_page(results: Sequence[SweepResult], folder: Path, page: Path) -> Path | None:
    """Write the report on all artifacts, with their Pareto fronts."""
    inputs: list[Path] = []
    for result in results:
        if result.artifact is not None:
            inputs.append(folder / result.job / result.artifact)
            drift = folder / result.job / DRIFT_FILE
            inputs += [drift] if drift.exists() else []
    if not inputs:
        return None
    with write_atomically(page, overwrite=True) as (part,):
        part.write_text(render_page(build_report(inputs)), encoding="utf-8")
    return page
