"""Runs the programs that build apps and talk to phones, with time limits, and follows the lines that they print."""

from __future__ import annotations

import queue
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from shvit_mobile.contracts.outputs import name_unwritable
from shvit_mobile.errors import PhoneFailed
from shvit_mobile.processes import get_last_line

ANSWER_SECONDS, TRANSFER_SECONDS = 60.0, 600.0


@dataclass(frozen=True)
class Ended:
    """A program that ended: its exit status, and what it printed on both streams."""

    status: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return f"{self.stdout}\n{self.stderr}"

    @property
    def last_line(self) -> str:
        return get_last_line(self.stderr) or get_last_line(self.stdout) or f"exit status {self.status}"


def run_tool(command: Sequence[str], *, limit_s: float = ANSWER_SECONDS) -> Ended:
    """Run a program to its end, whatever its exit status.

    Raises:
        PhoneFailed: If it does not end in time, or cannot be started.
    """
    try:
        completed = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired:
        raise PhoneFailed(
            f"{shlex.join(command)} did not end within {limit_s:g} s.",
            fault="no_answer",
            why="The phone or the program that talks to it does not answer.",
            hint="Look at the phone's screen for a question. Connect the phone again.",
        ) from None
    except OSError as reason:
        raise _create_start_error(command, reason) from None
    return Ended(completed.returncode, completed.stdout, completed.stderr)


def run_build(command: Sequence[str], *, folder: Path, log: Path) -> list[str]:
    """Run a build in a folder, with all of its output in a file; return the output's lines if it failed.

    Raises:
        PhoneFailed: If the program cannot be started.
        UnwritableOutput: If the file cannot be written.
    """
    with name_unwritable(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            try:
                completed = subprocess.run(
                    command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
                )
            except OSError as reason:
                raise _create_start_error(command, reason) from None
    if completed.returncode == 0:
        return []
    return log.read_text(encoding="utf-8", errors="replace").splitlines() or [f"exit status {completed.returncode}"]


def _create_start_error(command: Sequence[str], reason: OSError) -> PhoneFailed:
    return PhoneFailed(
        f"{command[0]} cannot be started: {str(reason.strerror).lower()}.",
        fault="tool",
        hint=f"Try: {shlex.join([command[0], '--version'])}",
    )


class LineStream:
    """The lines of a running program, which ends with this context."""

    def __init__(self, command: Sequence[str]) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as reason:
            raise _create_start_error(command, reason) from None
        assert self._process.stdout is not None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        self._reader.join(timeout=1)

    def read_line(self, seconds: float) -> str | None:
        """Return the next line without its end; None if there is none within that time.

        Raises:
            EOFError: If the program ended and every line was read.
        """
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            return None
        if line is None:
            raise EOFError
        return line

    def _read(self, output: Iterable[str]) -> None:
        with suppress(ValueError, OSError):
            for line in output:
                self._lines.put(line.rstrip())
        self._lines.put(None)
