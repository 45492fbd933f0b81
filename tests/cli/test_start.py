"""A signal ends the program with one line and its status, and printing never fails."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import signal, sys, time, types
from shvit_mobile.cli import start

class Destructor:
    def __del__(self):
        wait()

def wait():
    print("ready", flush=True)
    time.sleep(30)

def app():
    {body}

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
sys.modules["shvit_mobile.cli.main"] = main = types.ModuleType("main")
main.app = app
start.main()
"""
BODIES = {
    "a wait": "wait()",
    "an import that becomes an error": """
    try:
        wait()
    except KeyboardInterrupt:
        raise ImportError("initialization failed")""",
    "a destructor": "Destructor(); time.sleep(30)",
}


def start_program(body: str, *, before: str = "") -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", before + PROGRAM.format(body=body)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(("number", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_with_one_line_and_its_status(number: str, status: int, body: str) -> None:
    with start_program(body) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(getattr(signal, number))
        _, errors = process.communicate(timeout=20)
    assert process.returncode == status
    assert len(errors.splitlines()) == 1


def test_a_signal_that_the_caller_ignores_stays_ignored() -> None:
    body = 'print("ready", flush=True); signal.raise_signal(signal.SIGHUP); print("done")'
    before = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    with start_program(body, before=before) as process:
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (0, "ready\ndone\n", "")


def run(*args: str | bytes, stdout: int = subprocess.PIPE, **variables: str) -> "subprocess.CompletedProcess[bytes]":
    """Run the installed `shvit-mobile`; a test of a few tenths of a second."""
    command = [Path(sys.executable).with_name("shvit-mobile"), *args]
    environment = os.environ | variables
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, env=environment, check=False, timeout=60)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_name_outside_the_encoding_of_a_stream_is_printed(encoding: str) -> None:
    done = run("inspect", "/nowhere/飛行機.onnx", PYTHONIOENCODING=encoding)
    assert done.returncode == 2
    assert b"/nowhere/" in done.stderr
    # What is called ascii is mostly a stream whose encoding nobody knows: it gets UTF-8.
    assert ("飛行機".encode() in done.stderr) == (encoding != "cp1252")


def test_a_name_that_is_not_utf_8_is_invalid_input() -> None:
    done = run("inspect", b"/nowhere/\xff\xfe.onnx")
    assert done.returncode == 2
    assert b"udcff" in done.stderr


def test_a_reader_that_leaves_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run("--help", stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_output_stream_that_is_full_is_told() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = run("--version", stdout=full)
    finally:
        os.close(full)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
