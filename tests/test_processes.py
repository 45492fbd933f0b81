"""Processes that this program starts end when it does, and not before."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shvit_mobile.processes import collect_garbage_rarely, die_with_parent, shield_children

ROOT = Path(__file__).parents[1]
PARENT = """
import multiprocessing, time
from tests.test_processes import wait_long
if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=wait_long, daemon=True)
    child.start()
    print(child.pid, flush=True)
    time.sleep(60)
"""


def wait_long() -> None:
    die_with_parent()
    time.sleep(60)


def test_garbage_is_collected_as_before_afterwards() -> None:
    before = gc.get_threshold()
    seen = []

    @collect_garbage_rarely()
    def fail() -> None:
        seen.append(gc.get_threshold())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert seen[0][0] > before[0] > 0
    assert gc.get_threshold() == before


def test_ctrl_c_does_not_reach_a_shielded_process() -> None:
    command = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]
    with shield_children():
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM


def test_a_worker_ends_when_its_parent_is_killed() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
    deadline = time.monotonic() + 20
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(child)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not stat.exists() or stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"


def test_the_main_process_has_no_parent_to_die_with() -> None:
    assert multiprocessing.parent_process() is None
    die_with_parent()
