"""A command that is killed leaves nothing in part, and a command that is signalled says so in one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.faults.conftest import collect_result
from tests.faults.processes import TIMEOUT_SECONDS, run_command
from tests.faults.works import WORKS, Course, count_renames, find_staging, follow_course, prepare_folder

pytestmark = pytest.mark.faults
Record = Callable[[str, object], None]
NAMES = tuple(WORKS)
KILLS = [(NAMES[number % len(NAMES)], number) for number in range(40)]
SIGNALS = [(("SIGINT", "SIGTERM", "SIGHUP")[number % 3], number) for number in range(40)]
# Every third signal is sent to a freshly started program, in its first seconds.
FRESH = 3
LINES = {"SIGINT": "Interrupted.", "SIGTERM": "Terminated.", "SIGHUP": "Hung up."}


class Courses(dict[str, Course]):
    """How each work goes when nothing ends it."""

    def __init__(self, world: Path, scratch: Path) -> None:
        super().__init__()
        self.world, self.scratch = world, scratch

    def __missing__(self, name: str) -> Course:
        self[name] = follow_course(self.world, self.scratch / name.replace(" ", "-"), name)
        assert self[name].ended.status == 0, self[name].ended
        return self[name]


@pytest.fixture(scope="session")
def courses(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Courses:
    return Courses(world, tmp_path_factory.mktemp("courses"))


@pytest.mark.parametrize(("name", "number"), KILLS)
def test_a_killed_command_leaves_nothing_in_part(
    name: str, number: int, seed: int, world: Path, tmp_path: Path, courses: Courses, record_property: Record
) -> None:
    random, course, work = Random(f"{seed} kill {number}"), courses[name], WORKS[name]
    folder = prepare_folder(world, tmp_path / "work", name)
    if number // len(NAMES) % 2:
        chosen = random.randrange(course.renames)
        moment = f"before rename {chosen} of {course.renames}"
        end = count_renames(tmp_path / "renames", lambda index: _kill_self() if index == chosen else None)
        ended = run_command(work.command, folder, prepare=end)
    else:
        share = random.random()
        moment = f"after {share:.0%} of {course.seconds:.1f} s"
        ended = run_command(work.command, folder, watch=lambda child: _kill_later(child, share * course.seconds))
    fault = None if ended.status in (0, -signal.SIGKILL) else f"status {ended.status}: {ended.stderr[-300:]}"
    fault = fault or work.find_part(folder, course.result)
    again = run_command(work.again, folder)
    fault = fault or again.find_misconduct()
    if not fault and again.status != 0:
        fault = f"the next run: {again.stderr[-400:]}"
    elif not fault and collect_result(again, folder)[2] != course.result[2]:
        fault = "the next run has another result"
    elif not fault and (left := find_staging(folder)):
        fault = f"the next run leaves {left}"
    record_property("fault", (f"SIGKILL: {name}", "wrong" if fault else "whole"))
    assert fault is None, f"{' '.join(work.command)}, killed {moment} (seed {seed}): {fault}"


@pytest.mark.parametrize(("name", "number"), SIGNALS)
def test_a_signal_ends_a_command_with_one_line(
    name: str, number: int, seed: int, world: Path, tmp_path: Path, courses: Courses, record_property: Record
) -> None:
    random = Random(f"{seed} signal {number}")
    chosen, fresh = NAMES[random.randrange(len(NAMES))], number % FRESH == number // FRESH % FRESH
    work, delay = WORKS[chosen], random.random()
    for attempt in range(8):
        # A command that ended before the signal came is signalled earlier.
        seconds = delay / 2**attempt * (2 if fresh else courses[chosen].seconds)
        folder = prepare_folder(world, tmp_path / f"work{attempt}", chosen)
        came, status, stderr = (_run_fresh if fresh else _run_forked)(work.command, folder, name, seconds)
        if came:
            break
    lines = [line for line in stderr.splitlines() if line.startswith(LINES[name])]
    fault = None
    if not came:
        fault = "it never heard the signal"
    elif status != 128 + getattr(signal, name):
        fault = f"status {status}: {stderr[-400:]}"
    elif len(lines) != 1 or "Traceback" in stderr or "error" in stderr:
        fault = f"it said: {stderr[-600:]}"
    elif left := find_staging(folder):
        fault = f"it left {left}"
    else:
        fault = work.find_part(folder, courses[chosen].result)
    record_property("fault", (f"{name}{' at the start' if fresh else ''}", "wrong" if fault else "whole"))
    moment = f"{seconds:.2f} s after {'the start' if fresh else 'its first step'}"
    assert fault is None, f"{' '.join(work.command)}, {name} {moment} (seed {seed}): {fault}"


def _kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_later(child: int, seconds: float) -> None:
    _end_later(child, seconds, signal.SIGKILL)


def _end_later(child: int, seconds: float, number: int) -> bool:
    """Signal a process after some seconds; return whether it still ran, and had not begun to end."""
    time.sleep(seconds)
    running = not _has_signal(child, "SigIgn", number)
    os.kill(child, number)
    return running


def _run_forked(command: tuple[str, ...], folder: Path, name: str, seconds: float) -> tuple[bool, int, str]:
    came = []

    def watch(child: int) -> None:
        _wait_for_handlers(child)
        came.append(_end_later(child, seconds, getattr(signal, name)))

    ended = run_command(command, folder, watch=watch)
    return came[0], ended.status, ended.stderr


def _run_fresh(command: tuple[str, ...], folder: Path, name: str, seconds: float) -> tuple[bool, int, str]:
    program, streams = Path(sys.executable).with_name("shvit-mobile"), [subprocess.DEVNULL, subprocess.PIPE]
    with subprocess.Popen(
        [program, *command], cwd=folder, stdout=streams[0], stderr=streams[1], preexec_fn=_restore_signals
    ) as started:
        _wait_for_handlers(started.pid)
        came = _end_later(started.pid, seconds, getattr(signal, name))
        _, stderr = started.communicate(timeout=TIMEOUT_SECONDS)
    return came, started.returncode, stderr.decode("utf-8", "replace")


def _restore_signals() -> None:
    """Undo what a caller in the background or under nohup ignores."""
    for name in LINES:
        signal.signal(getattr(signal, name), signal.SIG_DFL)


def _wait_for_handlers(process: int) -> None:
    """Wait until a process handles SIGTERM: no program can say anything before its first line runs."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline and not _has_signal(process, "SigCgt", signal.SIGTERM):
        time.sleep(0.002)


def _has_signal(process: int, field: str, number: int) -> bool:
    """Return whether a process catches (`SigCgt`) or ignores (`SigIgn`) a signal; both are true of an ended one."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return found["State"][0] in "ZX" or bool(int(found[field], 16) >> (number - 1) & 1)
