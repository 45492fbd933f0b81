"""Progress goes to stderr, and a log shows where the time went."""

from __future__ import annotations

import pytest
from rich.progress import Progress

from shvit_mobile.cli import progress
from shvit_mobile.cli.progress import JobProgress


def test_a_log_names_each_long_step(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.9, 10.0, 13.2])
    monkeypatch.setattr(progress, "monotonic", lambda: next(times))
    with JobProgress("Job") as steps:
        with steps.step("Quick"):
            pass
        with steps.step("Slow") as tick:
            tick(1, 2)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "Slow: 3 s\n")


def test_a_step_begins_where_the_description_changes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LONG_STEP_SECONDS", 0.0)
    with JobProgress("Job") as steps:
        for description, done in (("one", 1), ("one", 2), ("two", 1)):
            steps.follow(description, done, 2)
    assert capsys.readouterr().err == "one: 0 s\ntwo: 0 s\n"


def test_an_empty_description_sets_the_number_of_steps() -> None:
    with JobProgress("Job") as steps:
        steps.follow("one", 0, 0)
        steps.follow("", 0, 5)
        (job, step) = steps._bars.tasks
    assert job.total == 5
    assert step.description == "one"


def test_a_terminal_sees_how_far_the_job_and_the_step_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with JobProgress("Job") as steps:
        steps.expect(4)
        with steps.step("Reading [1]"):
            pass
        with steps.step("Running [2]") as tick:
            tick(3, 7)
            bars: Progress = steps._bars
            bars.refresh()
    out, err = capsys.readouterr()
    assert out == ""
    assert "1/4" in err
    assert "Running [2]" in err
    assert "3/7" in err


def test_a_step_that_fails_is_not_counted() -> None:
    with pytest.raises(KeyboardInterrupt), JobProgress("Job") as steps, steps.step("Doomed"):
        raise KeyboardInterrupt
    (job,) = steps._bars.tasks
    assert job.completed == 0
