"""Prints progress on stderr: a bar for the whole job and one for the running step, with the time left."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic
from types import TracebackType
from typing import Self

from shvit_mobile.progress import ProgressCallback

from .console import print_note

LONG_STEP_SECONDS = 2.0


class JobProgress:
    """The progress of a job with several steps.

    On a terminal it shows bars, which vanish when the job is over. Elsewhere it prints a line for each step that took
    more than two seconds, so that a log shows where the time went.
    """

    def __init__(self, job: str) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        console = Console(stderr=True, markup=False, highlight=False)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._job = self._bars.add_task(job, total=None)
        self._followed: tuple[str, ProgressCallback] | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._open.__exit__(kind, value, at)
        self._bars.stop()

    def expect(self, count: int) -> None:
        """Set how many steps the job has."""
        self._bars.update(self._job, total=count)

    def follow(self, description: str, done: int, total: int) -> None:
        """Show the progress of a workflow: a `StepCallback`, for which a new description ends the step before.

        An empty description sets the number of steps.
        """
        if not description:
            self.expect(total)
            return
        if self._followed is None or self._followed[0] != description:
            self._open.close()
            self._followed = description, self._open.enter_context(self.step(description))
        self._followed[1](done, total)

    @contextmanager
    def step(self, description: str) -> Iterator[ProgressCallback]:
        """Run one step; yield the callback for what is done of it, which need not be called."""
        start = monotonic()
        bar = self._bars.add_task(description, total=None)
        try:
            yield lambda done, total: self._bars.update(bar, completed=done, total=total or None)
        finally:
            self._bars.remove_task(bar)
        self._bars.advance(self._job)
        if self._bars.disable and (seconds := monotonic() - start) >= LONG_STEP_SECONDS:
            print_note(f"{description}: {seconds:.0f} s")
