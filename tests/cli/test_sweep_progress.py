"""A sweep is a live table on a terminal, and a line for each job elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cli.sweep_progress import SweepProgress
from shvit_mobile.contracts.sweep_result import JobStatus, SweepResult


def build_result(job: str, status: JobStatus = "done", **fields: object) -> SweepResult:
    options = {"checkpoint": "demo", "size": None, "task": "classify", "target": "onnx", "delegate": None}
    facts = {"key": "0" * 64, "precision": "fp32", "max_drop": None, "seconds": 3.0}
    return SweepResult.model_validate({"job": job, "status": status, **options, **facts, **fields})


def build_terminal(height: int = 40) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=height, color_system=None)


def render(progress: SweepProgress, terminal: Console) -> str:
    with terminal.capture() as capture:
        terminal.print(progress._render())
    return capture.get()


def test_the_table_shows_what_is_done_what_waits_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("cli.sweep_progress.monotonic", lambda: now[0])
    terminal = build_terminal()
    progress = SweepProgress(["one", "two", "three", "four"], ["four"], terminal)
    shown = render(progress, terminal)
    assert "0/3 done" in shown
    assert "left" not in shown
    now[0] += 200
    progress.add(build_result("two", sqnr_db=31.25, bytes=6_500_000))
    shown = render(progress, terminal)
    assert "1/3 done, about 7 min left" in shown
    lines = {line.split()[0]: line for line in shown.splitlines() if line.split()}
    assert "31.2 dB, 6.50 MB, 3 s" in lines["two"]
    assert "earlier run" in lines["four"]
    assert "…" in lines["one"]
    now[0] += 340
    assert "about 60 s left" in render(progress, terminal)
    progress.add(build_result("one", "failed", error="It has no neck."))
    shown = render(progress, terminal)
    assert "1 of them failed or missed a gate" in shown
    assert "It has no neck." in shown
    progress.add(build_result("three"))
    assert "left" not in render(progress, terminal)


def test_a_table_longer_than_the_screen_shows_what_runs() -> None:
    terminal = build_terminal(height=18)
    jobs = [f"job{number:02d}" for number in range(40)]
    progress = SweepProgress(jobs, jobs[:20], terminal)
    shown = render(progress, terminal)
    assert len(shown.splitlines()) < 18
    assert "job20" in shown
    assert "job00" not in shown
    assert "30 jobs not shown" in shown
    for job in jobs[20:]:
        progress.add(build_result(job))
    assert "job39" in render(progress, terminal)


def test_a_terminal_gets_the_table_and_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = build_terminal()
    with SweepProgress(["one", "two"], (), terminal) as progress:
        progress.add(build_result("one"))
    assert isinstance(terminal.file, io.StringIO)
    assert "one" in terminal.file.getvalue()
    assert capsys.readouterr().err == ""


def test_a_log_gets_a_line_for_each_job(capsys: pytest.CaptureFixture[str]) -> None:
    with SweepProgress(["one", "two"], (), Console(file=io.StringIO())) as progress:
        progress.add(build_result("two", bytes=1_000_000))
        progress.add(build_result("one", "failed", error="It broke."))
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("1/2 two: 1.00 MB, 3 s; about 0 s left")
    assert second == "2/2 one: failed, It broke., 3 s"
