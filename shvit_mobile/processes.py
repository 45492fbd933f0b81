"""Programs and processes on this machine: how many run at once, and how to run one."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from shvit_mobile.errors import ShvitError, ToolMissing


class InstallFailed(ShvitError):
    """A download or an installation that failed."""


def count_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def collect_garbage_rarely() -> Iterator[None]:
    """Let Python look for cycles of unused objects after 50,000 new ones instead of 700 inside the context.

    Graphs of models are hundreds of thousands of objects that stay: looking through them took 7% of a lowering.
    """
    before = gc.get_threshold()
    gc.set_threshold(50_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def shield_children() -> Iterator[None]:
    """Start processes in this block that Ctrl-C and a closed terminal do not reach: this process ends them itself."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def die_with_parent() -> None:
    """End this process, which `multiprocessing` started, as soon as its parent ends, even if that is killed."""
    if (parent := multiprocessing.parent_process()) is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def run_command(
    command: Sequence[str],
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
    failure: tuple[str, str] = ("A program failed.", ""),
) -> str:
    """Run a program and return its output.

    Args:
        command: The program and its arguments.
        environment: Its environment (default: that of this process).
        folder: Its working directory.
        failure: What a failure means, and why the program is needed; both go into the error.

    Raises:
        InstallFailed: If the exit status is not 0; the error contains the last line of stderr.
    """
    completed = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, check=False, encoding="utf-8", errors="replace"
    )
    if completed.returncode != 0:
        what, why = failure
        why = f"{why} {format_last_error(completed)}".strip()
        raise InstallFailed(what, why=why, hint="Check the network connection.")
    return completed.stdout.strip()


def check_pip(why: str) -> None:
    """Raise `ToolMissing` if this environment has no pip; `why` is what needs it."""
    if find_spec("pip") is None:
        raise ToolMissing("pip is not installed in this environment.", why=why, hint=f"{sys.executable} -m ensurepip")


def format_last_error(completed: subprocess.CompletedProcess[str]) -> str:
    """Return a sentence with the last line of a program's stderr; empty if stderr is empty."""
    line = get_last_line(completed.stderr)
    return f"{completed.args[0]} said: {line}" if line else ""


def get_last_line(text: str) -> str:
    """Return the last line that is not blank; empty if there is none."""
    return text.strip().rpartition("\n")[2].strip()
