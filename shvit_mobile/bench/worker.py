"""A process of its own for each contestant: pinned, measured from its birth, and idle while others run."""

from __future__ import annotations

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
from types import TracebackType
from typing import Self

from shvit_mobile.bench.contestant import Subject
from shvit_mobile.errors import BenchmarkFailed, ShvitError, ToolMissing

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Loaded:
    """What loading took.

    Attributes:
        load_ms: from the file to a program that is ready.
        first_ms: the first inference.
        peak_bytes: what the process grew by, at most, while it loaded and ran the first inference; None where the
            system does not tell.
        running_bytes: the same during an inference once it is loaded.
    """

    load_ms: float
    first_ms: float
    peak_bytes: int | None
    running_bytes: int | None


class Worker:
    """A contestant in its process; a context manager that ends it.

    Attributes:
        subject: who runs there.
        loaded: what loading took.
    """

    subject: Subject
    loaded: Loaded

    def __init__(self, subject: Subject, *, threads: int, cpus: Sequence[int] = ()) -> None:
        """Starts the process and loads the subject there.

        Args:
            subject: the contestant.
            threads: of its engine.
            cpus: the only processors it may use; any if empty.

        Raises:
            ToolMissing: its engine is not installed here.
            BenchmarkFailed: it did not load, or its process died.
        """
        self.subject = subject
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, subject, threads, tuple(cpus)), daemon=True)
        self._process.start()
        theirs.close()
        answer = self._answer()
        if not isinstance(answer, Loaded):
            self.close()
            raise answer if isinstance(answer, Exception) else BenchmarkFailed(f"{subject.name} did not load.")
        self.loaded = answer

    def run(self, count: int) -> list[float]:
        """The milliseconds that each of `count` inferences took.

        Raises:
            BenchmarkFailed: one of them failed, or the process died.
        """
        with suppress(OSError):
            self._pipe.send(count)
        answer = self._answer()
        if not isinstance(answer, list):
            raise answer if isinstance(answer, Exception) else BenchmarkFailed(f"{self.subject.name} did not answer.")
        return answer

    def close(self) -> None:
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _answer(self) -> object:
        try:
            return self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(5)
            return BenchmarkFailed(
                f"The process of {self.subject.name} died with status {self._process.exitcode}.",
                why="Its engine crashed, or the machine ran out of memory.",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(pipe: Connection, subject: Subject, threads: int, cpus: tuple[int, ...]) -> None:
    """What the process does: load, tell what it took, and run as often as it is told to, until the pipe closes."""
    with suppress(KeyboardInterrupt):
        try:
            if cpus:
                pin(cpus)
            work(pipe, subject, threads)
        except EOFError:
            return
        except ShvitError as reason:
            pipe.send(reason if isinstance(reason, ToolMissing) else BenchmarkFailed(str(reason)))
        except Exception as reason:  # whatever an engine raises, the parent has to hear of it
            pipe.send(BenchmarkFailed(f"{subject.name} cannot be run: {type(reason).__name__}: {reason}"))


def work(pipe: Connection, subject: Subject, threads: int) -> None:
    from shvit_mobile.bench.engines import import_engine, load

    # Beforehand: what a library takes to be imported is not what a model takes to be loaded.
    import_engine(subject)
    before = memory_now()
    begun = time.perf_counter()
    run = load(subject, threads)
    ready = time.perf_counter()
    run()
    done = time.perf_counter()
    peak = grown_since(before)
    memory_now()
    run()
    pipe.send(
        Loaded(
            load_ms=1000 * (ready - begun),
            first_ms=1000 * (done - ready),
            peak_bytes=peak,
            running_bytes=grown_since(before),
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


def pin(cpus: Sequence[int]) -> None:
    """Keeps this process, and all threads it will start, on some processors.

    Raises:
        BenchmarkFailed: there are no such processors, or the system has no way to pin.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise BenchmarkFailed("Processes cannot be pinned on this system.", hint="Leave out --cpus.")
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as reason:
        raise BenchmarkFailed(
            f"Processors {', '.join(map(str, cpus))} cannot be used: {reason.strerror}.",
            hint=f"There are {sorted(os.sched_getaffinity(0))}.",
        ) from None


def memory_now() -> int | None:
    """Bytes of memory that this process holds; from here on its peak is measured anew."""
    try:
        CLEAR.write_text("5")
        return status_bytes("VmRSS")
    except OSError:
        return None


def grown_since(before: int | None) -> int | None:
    """How far the last peak is above `before`, in bytes."""
    peak = memory_peak()
    return None if before is None or peak is None else max(0, peak - before)


def memory_peak() -> int | None:
    """The most memory it has held since `memory_now`, in bytes."""
    try:
        return status_bytes("VmHWM")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


def status_bytes(field: str) -> int:
    for line in STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return 1024 * int(value.split()[0])
    raise OSError(f"{STATUS} has no {field}")
