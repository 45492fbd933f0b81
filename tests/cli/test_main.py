"""The program as a whole: quick to start, the same manners in every command, and honest about its own faults."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import onnx
import pytest

from shvit_mobile.cli.errors import escape_unprintable, format_error
from shvit_mobile.errors import ShvitError
from shvit_mobile.report.formatting import pluralize
from tests.cli.conftest import Call, SharedFiles, run_executable

COMMANDS = ("export", "finetune", "validate", "devices", "report", "inspect", "embed", "doctor", "demo")
HEAVY = {"torch", "coremltools", "executorch", "onnx", "onnxruntime", "numpy", "PIL"}

# The program itself, which at its end names the packages it has imported.
WATCH_IMPORTS = """
import atexit, runpy, sys
atexit.register(lambda: print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("args", [["--help"], ["export", "--help"], ["--version"], ["export", "--target"]])
def test_help_imports_no_engine(args: list[str]) -> None:
    program = Path(sys.executable).with_name("shvit-mobile")
    ended = subprocess.run(
        [sys.executable, "-c", WATCH_IMPORTS, str(program), *args],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    imported = set(ended.stderr.split())
    assert "typer" in imported, ended.stderr
    # Typer itself parses a command's options with pydantic; before a command is named there are none.
    assert not imported & (HEAVY if args[0] == "export" else {*HEAVY, "pydantic", "rich"})


def test_help_names_every_command() -> None:
    ended = run_executable("--help")
    assert ended.returncode == 0
    assert all(f"\n  {command} " in ended.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, call: Call) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    assert "--json" in result.stdout


def test_the_program_refuses_as_its_tests_say(tmp_path: Path) -> None:
    ended = run_executable("export", "--target", "corelm", "--out", tmp_path / "out")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        "error: 'corelm' is not a target.\n"
        "       Targets: coreml, executorch, onnx, litert, coreai, all. Did you mean coreml?\n"
    )


def test_an_error_has_three_parts_on_two_lines() -> None:
    assert format_error(ShvitError("A.", why="B.", hint="C")) == "error: A.\n       B. C"
    assert format_error(ShvitError("A.", hint="C")) == "error: A.\n       C"
    assert format_error(ShvitError("A.")) == "error: A."


def test_names_from_files_cannot_steer_the_terminal() -> None:
    assert escape_unprintable("a\x1b[31mb\r\u202ec\ud800é\n") == "a\\x1b[31mb\\r\\u202ec\\ud800é\n"
    assert escape_unprintable(pluralize(1091, "box", "boxes")) == "1\N{NARROW NO-BREAK SPACE}091 boxes"


def make_failing(reason: BaseException) -> object:
    def check_model(*_: object, **__: object) -> NoReturn:
        raise reason

    return check_model


def test_a_fault_of_ours_is_not_called_the_users(
    world: SharedFiles, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx.checker, "check_model", make_failing(RuntimeError("boom")))
    monkeypatch.delenv("SHVIT_DEBUG", raising=False)
    args = ("export", "--checkpoint", world.checkpoint, "--target", "onnx", "--out", tmp_path)
    result = call(*args)
    assert result.exit_code == 70
    assert "shvit-mobile failed: RuntimeError: boom" in result.stderr
    assert "please report it" in result.stderr
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("SHVIT_DEBUG", "1")
    result = call(*args)
    assert result.exit_code == 70
    assert "Traceback" in result.stderr


def test_debug_is_an_option_too(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHVIT_DEBUG", "")
    result = call("--debug", "inspect", tmp_path / "nothing.onnx")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr


def test_an_interrupt_leaves_nothing_half_written(
    world: SharedFiles, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path, **_: object) -> None:
        assert path.exists(), "the artifact is being written"
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(onnx.checker, "check_model", interrupted)
    # A shell's background job ignores interrupts, and its children do.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = call("export", "--checkpoint", world.checkpoint, "--target", "onnx", "--out", tmp_path)
    finally:
        signal.signal(signal.SIGINT, inherited)
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_as_such(
    world: SharedFiles, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx.checker, "check_model", make_failing(OSError(28, "No space left on device", "x.onnx")))
    result = call("export", "--checkpoint", world.checkpoint, "--target", "onnx", "--out", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.endswith("error: x.onnx: no space left on device.\n")
    assert list(tmp_path.iterdir()) == []
