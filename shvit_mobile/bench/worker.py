"""Runs each contestant in its own process: pinned, measured from the start, and idle while others run."""

import os
import resource
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from shvit_mobile.bench.contestant import BenchmarkSubject
from shvit_mobile.errors import BenchmarkFailed, ShvitError, ToolMissing
from shvit_mobile.processes import die_with_parent, shield_children

_STDERR = 2
PROC_STATUS, PROC_CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class LoadMetrics:
    """Time and memory of loading.

    Attributes:
        load_ms: From the file to a loaded program.
        first_ms: The first inference.
        peak_bytes: The peak growth of the process during loading and the first inference; None if unknown.
        running_bytes: The peak growth during a later inference.
    """

    load_ms: float
    first_ms: float
    peak_bytes: int | None
    running_bytes: int | None


class BenchmarkWorker:
    """A contestant in its process, until `close` ends it.

    Attributes:
        subject: The contestant.
        load_metrics: Time and memory of loading.
    """

    subject: BenchmarkSubject
    load_metrics: LoadMetrics

    def __init__(self, subject: BenchmarkSubject, *, threads: int, cpus: Sequence[int] = ()) -> None:
        """Start the process and load the subject in it.

        Args:
            subject: The contestant.
            threads: Threads of its engine.
            cpus: The processors that it may use (default: all).

        Raises:
            ToolMissing: If its engine is not installed here.
            BenchmarkFailed: If it does not load, or its process dies.
        """
        self.subject = subject
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve_subject, args=(theirs, subject, threads, tuple(cpus)), daemon=True
        )
        with shield_children():
            self._process.start()
        theirs.close()
        try:
            self.load_metrics = self._receive()
        except BaseException:
            self.close()
            raise

    def run(self, count: int) -> list[float]:
        """Return the milliseconds of each of `count` inferences.

        Raises:
            BenchmarkFailed: If one of them fails, or the process dies.
        """
        with suppress(OSError):
            self._pipe.send(count)
        return self._receive()

    def close(self) -> None:
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _receive(self) -> Any:
        """Return the process's answer, or raise it if it is an error."""
        try:
            answer = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(5)
            raise BenchmarkFailed(
                f"The process of {self.subject.name} died with status {self._process.exitcode}.",
                why="Its engine crashed, or the machine ran out of memory.",
            ) from None
        if isinstance(answer, Exception):
            raise answer
        return answer


def _serve_subject(pipe: Connection, subject: BenchmarkSubject, threads: int, cpus: tuple[int, ...]) -> None:
    """Load the subject, send its load metrics, and run it as often as requested until the pipe closes."""
    # Engines log to standard error from C++; errors reach the parent through the pipe.
    with open(os.devnull, "wb") as devnull:
        os.dup2(devnull.fileno(), _STDERR)
    die_with_parent()
    with suppress(KeyboardInterrupt):
        try:
            if cpus:
                _pin_process(cpus)
            _load_and_time(pipe, subject, threads)
        except EOFError:
            return
        except ShvitError as reason:
            pipe.send(reason if isinstance(reason, ToolMissing) else BenchmarkFailed(str(reason)))
        except Exception as reason:  # an engine may raise anything; the parent reports it
            pipe.send(BenchmarkFailed(f"{subject.name} cannot be run: {type(reason).__name__}: {reason}"))


def _load_and_time(pipe: Connection, subject: BenchmarkSubject, threads: int) -> None:
    from shvit_mobile.bench.engines import import_engine, load_subject

    # Importing a library is not part of loading a model.
    import_engine(subject)
    before = _reset_peak_memory()
    begun = time.perf_counter()
    run = load_subject(subject, threads)
    ready = time.perf_counter()
    run()
    done = time.perf_counter()
    peak = _measure_memory_growth(before)
    _reset_peak_memory()
    run()
    pipe.send(
        LoadMetrics(
            load_ms=1000 * (ready - begun),
            first_ms=1000 * (done - ready),
            peak_bytes=peak,
            running_bytes=_measure_memory_growth(before),
        )
    )
    while True:
        count = pipe.recv()
        samples = []
        for _ in range(count):
            begun = time.perf_counter()
            run()
            samples.append(1000 * (time.perf_counter() - begun))
        pipe.send(samples)


def _pin_process(cpus: Sequence[int]) -> None:
    """Pin this process and its threads to some processors.

    Raises:
        BenchmarkFailed: If they do not exist, or the system cannot pin processes.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise BenchmarkFailed("Processes cannot be pinned on this system.", hint="Leave out `cpus`.", parameter="cpus")
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as reason:
        raise BenchmarkFailed(
            f"Processors {', '.join(map(str, cpus))} cannot be used: {reason.strerror}.",
            hint=f"There are {sorted(os.sched_getaffinity(0))}.",
            parameter="cpus",
        ) from None


def _reset_peak_memory() -> int | None:
    """Return the bytes of memory of this process, and reset its peak."""
    try:
        PROC_CLEAR_REFS.write_text("5", encoding="utf-8")
        return _read_status_bytes("VmRSS")
    except OSError:
        return None


def _measure_memory_growth(before: int | None) -> int | None:
    """Return how far the peak is above `before`, in bytes."""
    peak = _read_peak_memory()
    return None if before is None or peak is None else max(0, peak - before)


def _read_peak_memory() -> int | None:
    """Return the peak since `_reset_peak_memory`, in bytes."""
    try:
        return _read_status_bytes("VmHWM")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


def _read_status_bytes(field: str) -> int:
    for line in PROC_STATUS.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return 1024 * int(value.split()[0])
    raise OSError(f"{PROC_STATUS} has no {field}")
