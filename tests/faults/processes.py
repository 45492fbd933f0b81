"""Runs commands in children that are forked from this process, in which the heavy modules are already imported.

A command takes a tenth of a second that way, in a process of its own with its own limits, signals and exit status.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import pkgutil
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

MAX_BYTES = 4 << 30
TIMEOUT_SECONDS = 300
CRASHED = 99
_STREAMS = ("stdout", "stderr")
# Imported inside functions of the product; each takes seconds.
_LAZY_MODULES = (
    "coremltools",
    "onnxruntime",
    "ai_edge_litert.interpreter",
    "ai_edge_litert.schema_py_generated",
    "executorch.extension.pybindings._portable_lib",
    "executorch.backends.xnnpack.partition.xnnpack_partitioner",
    "executorch.backends.xnnpack.quantizer.xnnpack_quantizer",
    "torchao.quantization.pt2e.quantize_pt2e",
)
# They run in environments of their own.
_OTHER_PROGRAMS = (
    "shvit_mobile.runtimes.arm64.worker",
    "shvit_mobile.targets.litert.worker",
    "shvit_mobile.bench.litert_stock",
)


@dataclass(frozen=True)
class Ending:
    """How a command ended.

    Attributes:
        status: The exit status; negative after a signal that nobody handled.
        timed_out: Whether it was killed because it took too long.
        peak_bytes: The largest memory that it held.
        seconds: The processor time.
    """

    args: tuple[str, ...]
    status: int
    stdout: str
    stderr: str
    timed_out: bool
    peak_bytes: int
    seconds: float

    def find_misconduct(self) -> str | None:
        """Return what no command may ever do, if it did: crash, hang, show a traceback, take too much memory."""
        if self.timed_out:
            return f"it did not end within {TIMEOUT_SECONDS} s"
        if self.status not in (0, 1, 2):
            return f"it ended with status {self.status}: {self.stderr[-600:]}"
        if "Traceback (most recent call last)" in self.stdout + self.stderr:
            return f"it printed a traceback: {self.stderr[-600:]}"
        if self.peak_bytes > MAX_BYTES or "memory does not suffice" in self.stderr:
            return f"it took {self.peak_bytes >> 20} MB: {self.stderr[-300:]}"
        if self.status == 2 and not any(line.startswith("error: ") for line in self.stderr.splitlines()):
            return f"it was refused without a sentence: {self.stderr[-300:]!r}"
        return None


@cache
def warm_up() -> None:
    """Import everything that commands use, but run nothing: engines start threads, which a fork does not copy."""
    import torch

    torch.set_num_threads(1)
    package = importlib.import_module("shvit_mobile")
    cli = importlib.import_module("shvit_mobile.cli")
    for path, name in ((package.__path__, "shvit_mobile."), (cli.__path__, "shvit_mobile.cli.")):
        for module in pkgutil.walk_packages(path, name):
            if module.name not in _OTHER_PROGRAMS:
                importlib.import_module(module.name)
    for lazy in _LAZY_MODULES:
        if importlib.util.find_spec(lazy.partition(".")[0]) is not None:
            importlib.import_module(lazy)
    gc.collect()
    gc.freeze()


def run_command(
    args: Sequence[object],
    folder: Path,
    *,
    prepare: Callable[[], None] | None = None,
    watch: Callable[[int], None] | None = None,
) -> Ending:
    """Run `shvit-mobile` with arguments in a folder.

    Args:
        args: The arguments.
        folder: The working directory.
        prepare: Called in the child before the command.
        watch: Called in this process with the child's id while it runs.
    """
    warm_up()
    words = tuple(os.fsdecode(arg) if isinstance(arg, bytes) else str(arg) for arg in args)
    streams = [folder.parent / f"{folder.name}.{name}" for name in _STREAMS]
    child = os.fork()
    if child == 0:
        _become_command(words, folder, streams, prepare)
    if watch is not None:
        watch(child)
    status, usage, timed_out = _wait(child)
    stdout, stderr = (stream.read_text(encoding="utf-8", errors="replace") for stream in streams)
    seconds = usage.ru_utime + usage.ru_stime
    return Ending(words, status, stdout, stderr, timed_out, usage.ru_maxrss << 10, seconds)


def _wait(child: int) -> tuple[int, resource.struct_rusage, bool]:
    deadline, pause = time.monotonic() + TIMEOUT_SECONDS, 0.005
    while time.monotonic() < deadline:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage, False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    os.killpg(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), usage, True


def _become_command(
    words: tuple[str, ...], folder: Path, streams: Sequence[Path], prepare: Callable[[], None] | None
) -> NoReturn:
    """Turn a forked child into the command; it never returns."""
    status = CRASHED
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        for number, stream in enumerate(streams, 1):
            opened = os.open(stream, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(opened, number)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
        sys.unraisablehook = sys.__unraisablehook__
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.environ |= {"HF_HUB_OFFLINE": "1", "COLUMNS": "120", "XDG_CACHE_HOME": str(folder.parent / "cache")}
        _limit_memory()
        sys.argv = ["shvit-mobile", *words]
        if prepare is not None:
            prepare()
        status = _call_main()
    finally:
        os._exit(status)


def _call_main() -> int:
    from shvit_mobile.cli.start import main

    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        status = CRASHED
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return status


def _limit_memory() -> None:
    """Let the command reserve 4 GB beyond what this process has, so that a fault does not stop the machine."""
    with open("/proc/self/statm", encoding="ascii") as file:
        reserved = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (reserved + MAX_BYTES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def list_tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return the mode, size and time of change of everything in a folder, by its relative path."""
    found = {}
    for parent, folders, files in os.walk(os.fsencode(folder)):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            known = os.lstat(path)
            is_folder = (known.st_mode & 0o170000) == 0o040000
            key = os.fsdecode(os.path.relpath(path, os.fsencode(folder)))
            found[key] = (known.st_mode, 0, 0) if is_folder else (known.st_mode, known.st_size, known.st_mtime_ns)
    return found
