"""Programs and processes on this machine: how many run at once, and how to run one."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from shvit_mobile.errors import ShvitError


class InstallFailed(ShvitError):
    """A download or an installation that failed."""


def count_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def format_last_error(completed: subprocess.CompletedProcess[str]) -> str:
    """Return a sentence with the last line of a program's stderr; empty if stderr is empty."""
    line = get_last_line(completed.stderr)
    return f"{completed.args[0]} said: {line}" if line else ""


def get_last_line(text: str) -> str:
    """Return the last line that is not blank; empty if there is none."""
    return text.strip().rpartition("\n")[2].strip()
