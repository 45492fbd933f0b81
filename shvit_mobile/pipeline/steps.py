"""Reports the steps of a workflow to one callback."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from shvit_mobile.progress import ProgressCallback, StepCallback


class Steps:
    """The steps of one workflow.

    The callback is called with the name of each step as it begins, then with what is done of it. Under an empty name it
    is called with the number of steps that are done and their total, once that is known.

    Args:
        progress: The callback of the caller; None reports nothing.
    """

    def __init__(self, progress: StepCallback | None) -> None:
        self._progress = progress or (lambda *_: None)
        self._done, self._total = 0, 0

    def expect(self, count: int) -> None:
        """Report how many steps there are in all; a workflow that needs more of them reports more."""
        self._total = count
        self._progress("", self._done, count)

    @contextmanager
    def step(self, name: str) -> Iterator[ProgressCallback]:
        """Run one step; yield the callback for what is done of it, which need not be called."""
        self._progress(name, 0, 0)
        yield partial(self._progress, name)
        self._done += 1
        if self._total:
            self._total = max(self._done, self._total)
            self._progress("", self._done, self._total)
