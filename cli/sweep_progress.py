"""Shows a sweep while it runs, on stderr: a live table of its jobs on a terminal, a line for each job elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self

from shvit_mobile.report.formatting import format_decibels, format_megabytes

from .console import print_note
from .tables import create_table, format_cell

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from shvit_mobile.contracts.sweep_result import SweepResult

# What the table takes beside its rows: title, head, frame, the line below it and the prompt.
_OTHER_LINES = 8
REUSED, WAITING = "earlier run", "…"


class SweepProgress:
    """The jobs of a sweep, what came of those that are done, and an estimate of the time that is left.

    Args:
        jobs: The names of all jobs, in their order.
        reused: The names of those that an earlier run has done.
        console: Where the table is shown (default: stderr).
    """

    def __init__(self, jobs: Sequence[str], reused: Sequence[str] = (), console: Console | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = console or Console(stderr=True, markup=False, highlight=False)
        self._jobs = tuple(jobs)
        self._results: dict[str, SweepResult] = {}
        self._reused = frozenset(reused)
        self._begin = self._last_result = monotonic()
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start(refresh=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def add(self, result: SweepResult) -> None:
        """Show the result of a job."""
        self._results[result.job] = result
        self._last_result = monotonic()
        if not self._console.is_terminal:
            print_note(self._describe(result))

    def _describe(self, result: SweepResult) -> str:
        """Return a line about a job that is done."""
        facts = [result.status if result.status != "done" else "", *_list_facts(result), f"{result.seconds:.0f} s"]
        rest = self._describe_rest()
        return f"{self._describe_count()} {result.job}: {', '.join(filter(None, facts))}{rest and f'; {rest}'}"

    def _describe_count(self) -> str:
        return f"{len(self._results)}/{len(self._jobs) - len(self._reused)}"

    def _describe_rest(self) -> str:
        """Return the time that is left, by the mean time of what is done; empty if nothing is done, or nothing left."""
        done, left = len(self._results), len(self._jobs) - len(self._reused) - len(self._results)
        if not done or not left:
            return ""
        # What has run since the last result is not waited for again.
        seconds = max(0.0, (self._last_result - self._begin) / done * left - (monotonic() - self._last_result))
        return f"about {seconds / 60:.0f} min left" if seconds > 90 else f"about {seconds:.0f} s left"

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        table = create_table("Sweep", "job", "", "")
        for job in self._choose_rows():
            result = self._results.get(job)
            if result is None:
                table.add_row(format_cell(job), REUSED if job in self._reused else WAITING, "")
            else:
                facts = [*_list_facts(result), f"{result.seconds:.0f} s"]
                table.add_row(format_cell(job), result.status, format_cell(", ".join(facts)))
        left_out = len(self._jobs) - table.row_count
        failed = sum(result.status != "done" for result in self._results.values())
        line = [f"{self._describe_count()} done", f"{failed} of them failed or missed a gate" if failed else ""]
        line += [self._describe_rest(), f"{left_out} jobs not shown" if left_out else ""]
        return Group(table, Text(", ".join(filter(None, line))))

    def _choose_rows(self) -> tuple[str, ...]:
        """Return the jobs that fit on the screen: without the first, which are done, as far as that is enough."""
        fitting = max(1, self._console.height - _OTHER_LINES)
        done = next(
            (place for place, job in enumerate(self._jobs) if job not in self._results and job not in self._reused),
            len(self._jobs),
        )
        # Some of those that are done stay in view.
        first = min(max(0, done - fitting // 2), max(0, len(self._jobs) - fitting))
        return self._jobs[first : first + fitting]


def _list_facts(result: SweepResult) -> list[str]:
    """Return why a job failed, or how large and how exact its artifact is."""
    facts = [result.error] if result.error else []
    if result.sqnr_db is not None:
        facts.append(f"{format_decibels(result.sqnr_db)} dB")
    if result.bytes is not None:
        facts.append(f"{format_megabytes(result.bytes)} MB")
    return facts
