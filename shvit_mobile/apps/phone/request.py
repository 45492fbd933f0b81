"""The request for a benchmark, and the lines with which both apps report its progress."""

from __future__ import annotations

import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from pathlib import PurePosixPath
from typing import Literal

from shvit_mobile.apps.phone.tools import LineStream
from shvit_mobile.contracts.device_report import ComputeUnits
from shvit_mobile.errors import ConflictingParameters, InvalidValue, PhoneFailed, PhoneFault
from shvit_mobile.progress import ProgressCallback

POLL_SECONDS = 2.0
_KEPT_LINES = 200
# What the apps tell to set where the state of the phone forbids a measurement.
_FORBIDDING_STATES: dict[str, tuple[PhoneFault, str]] = {
    "allow_low_power": ("low_power", "Switch the power-saving mode off, or set `allow_low_power=True`."),
    "allow_heat": ("too_warm", "Let the phone cool, without a case and charger, or set `allow_heat=True`."),
}
_LINE = re.compile(r"\[([A-Za-z0-9._-]+)\] (?:(\d{1,3}) ?%(.*)|(report|error): (.*)|(no report))", re.IGNORECASE)


@dataclass(frozen=True)
class BenchmarkRequest:
    """What the app on the phone measures, and how; None leaves a setting to the app.

    Attributes:
        run_id: The identity of the run: the report contains it, and its file has its name.
        models: The names of the embedded models; empty for all.
        rounds: How often each model has its turn.
        iterations, seconds: The length of a turn: a number of measured inferences, or a time.
        warm_up: Inferences before them.
        sustained_s: Length of a run without a pause after the rounds, in seconds.
        threads: Numbers of threads to measure with; Android only.
        compute: Core ML's compute units to measure with; iOS only.
        allow_low_power: Measure although a power-saving mode is on.
        allow_heat: Start although the phone is warm.
    """

    run_id: str
    models: tuple[str, ...] = ()
    rounds: int | None = None
    iterations: int | None = None
    seconds: float | None = None
    warm_up: int | None = None
    sustained_s: int | None = None
    threads: tuple[int, ...] = ()
    compute: tuple[ComputeUnits, ...] = ()
    allow_low_power: bool = False
    allow_heat: bool = False

    def __post_init__(self) -> None:
        limits = {"rounds": 1, "iterations": 1, "warm_up": 0, "sustained_s": 0}
        for name, least in limits.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise InvalidValue(f"`{name}` is {value}.", why=f"It is at least {least}.", parameter=name)
        if self.seconds is not None and not (0 < self.seconds < inf):
            raise InvalidValue(
                f"`seconds` is {self.seconds:g}.", why="It is a time above 0 in seconds.", parameter="seconds"
            )
        if self.seconds is not None and self.iterations is not None:
            raise ConflictingParameters(
                "`iterations` and `seconds` are both given.", why="Each is the length of a turn.", parameter="seconds"
            )
        if any(count < 1 for count in self.threads):
            raise InvalidValue(f"`threads` is {self.threads}.", why="Each is at least 1.", parameter="threads")

    @property
    def settings(self) -> dict[str, str]:
        """The settings that were chosen, by their name in the apps with underscores."""
        values = {
            "benchmark": ",".join(self.models) or "all",
            "rounds": self.rounds,
            "iterations": self.iterations,
            "seconds": None if self.seconds is None else f"{self.seconds:g}",
            "warm_up": self.warm_up,
            "sustained": self.sustained_s,
            "threads": ",".join(map(str, self.threads)) or None,
            "compute": ",".join(self.compute) or None,
            "allow_low_power": "true" if self.allow_low_power else None,
            "allow_heat": "true" if self.allow_heat else None,
            "run_id": self.run_id,
        }
        return {name: str(value) for name, value in values.items() if value is not None}


def create_run_id() -> str:
    """Return the identity of a new run: the local time and a random number."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class RunLine:
    """A line of an app about a run.

    Attributes:
        kind: What it says: how much is done, that something could not be measured, or how the run ended.
        text: The model, the error, or the report's path on the phone.
        percent: What is done.
    """

    kind: Literal["progress", "error", "report", "no_report"]
    text: str = ""
    percent: int = 0


def parse_run_line(line: str, run_id: str) -> RunLine | None:
    """Return what a line says about a run; None if it belongs to another run, or is none of these lines."""
    match = _LINE.search(line)
    if match is None or match[1] != run_id:
        return None
    if match[2]:
        return RunLine("progress", match[3].strip(), min(int(match[2]), 100))
    if match[6]:
        return RunLine("no_report")
    return RunLine("report" if match[4].lower() == "report" else "error", match[5].strip())


@dataclass(frozen=True)
class RunEnd:
    """A run that wrote its report.

    Attributes:
        report: The report's path on the phone.
        errors: What could not be measured, as sentences.
    """

    report: str
    errors: tuple[str, ...] = ()


def follow_run(
    lines: LineStream,
    run_id: str,
    *,
    limit_s: float,
    progress: ProgressCallback,
    check_alive: Callable[[Sequence[str]], None],
    explain_end: Callable[[Sequence[str], Sequence[str]], PhoneFailed],
) -> RunEnd:
    """Follow a run to its end.

    Args:
        limit_s: Longest time without a line about this run, in seconds.
        progress: Called with percent and 100.
        check_alive: Called with the last other lines whenever nothing was said for a while; raises if the run is over.
        explain_end: Returns the error if the lines end before the run, from the last other lines and the errors.

    Raises:
        PhoneFailed: If the run ended without a report, stopped, or was silent for too long.
    """
    errors: list[str] = []
    others: deque[str] = deque(maxlen=_KEPT_LINES)
    quiet_since = time.monotonic()
    while True:
        try:
            text = lines.read_line(POLL_SECONDS)
        except EOFError:
            raise explain_end(others, errors) from None
        line = parse_run_line(text, run_id) if text is not None else None
        if line is not None:
            quiet_since = time.monotonic()
        elif text:
            others.append(text)
        if text is None:
            check_alive(others)
        if line is None:
            if time.monotonic() - quiet_since > limit_s:
                raise _create_timeout_error(limit_s, others)
        elif line.kind == "progress":
            progress(line.percent, 100)
        elif line.kind == "error":
            errors.append(line.text)
        elif line.kind == "no_report":
            raise create_no_report_error(errors)
        elif PurePosixPath(line.text).name != f"{run_id}.json":
            raise PhoneFailed(
                f"The app on the phone wrote {line.text}, and not {run_id}.json.",
                fault="other_run",
                why="The report belongs to another run.",
                hint="Run the command again.",
            )
        else:
            return RunEnd(line.text, tuple(errors))


def create_no_report_error(errors: Sequence[str]) -> PhoneFailed:
    """Return the error of a run whose app said why it writes no report."""
    *before, last = errors or ["it gave no reason."]
    for setting, (fault, hint) in _FORBIDDING_STATES.items():
        if setting in last.replace("-", "_"):
            what = last.partition(" Switch it off,")[0].partition(" Let it cool,")[0]
            return PhoneFailed(
                f"The app on the phone does not measure: {what}", fault=fault, hint=hint, parameter=setting
            )
    return PhoneFailed(
        f"The app on the phone could not measure: {last}",
        fault="not_measured",
        why=" ".join(before),
        hint="Open the app on the phone, and run its golden check.",
    )


def _create_timeout_error(limit_s: float, others: Sequence[str]) -> PhoneFailed:
    return PhoneFailed(
        f"The app on the phone reported nothing for {limit_s:g} s.",
        fault="timeout",
        why=f"Its last line is: {others[-1]}" if others else "Its benchmark may have stopped.",
        hint="Keep the app on the screen, or set a longer `timeout`.",
        parameter="timeout",
    )
