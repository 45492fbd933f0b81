"""Sentences on what devices answered wrong, and on what became slower or cannot be told from so few rounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from shvit_mobile.apps.collect import DeviceRun
from shvit_mobile.apps.devices import DeviceComparison, RunComparison, format_compute_unit, get_device_name
from shvit_mobile.apps.regression import MIN_ROUNDS, SlowdownGate
from shvit_mobile.contracts.drift_report import GateVerdict
from shvit_mobile.errors import InvalidConfig


def evaluate_devices(
    runs: Sequence[DeviceRun], comparison: DeviceComparison, gate: SlowdownGate | None
) -> GateVerdict:
    """Return the verdict on golden checks and, with a gate, on slowdowns.

    Raises:
        InvalidConfig: If there is a gate and no run has an earlier run.
    """
    failures = tuple(describe_failed_goldens(runs))
    if gate is None:
        return GateVerdict.from_findings(failures)
    check_comparable(comparison)
    slowdowns = describe_slowdowns(comparison.comparisons, gate)
    return GateVerdict.from_findings((*failures, *slowdowns), describe_undecided(comparison, gate))


def describe_failed_goldens(runs: Iterable[DeviceRun]) -> Iterator[str]:
    """A sentence for each golden check that failed, one for preprocessing a run, since that is the app's own."""
    for run in runs:
        device = get_device_name(run.report)
        checked = [(result, result.golden) for result in run.report.results if result.golden]
        off = [golden.pixels_difference for _, golden in checked if not golden.preprocessing_passed]
        if off:
            yield (
                f"{device}: preprocessing is off in {len(off)} of {len(checked)} golden checks. Its pixels are not the "
                f"goldens', by {max(off):g} steps of 255 on average; what the artifact answers is another matter."
            )
        for result, golden in checked:
            if not golden.inference_passed:
                yield (
                    f"{device}, {result.name}, {format_compute_unit(run.report, result)}: inference is off. Given the goldens' "
                    f"pixels, a logit differs by {golden.largest_difference:g}, more than {golden.tolerance:g}."
                )


def describe_slowdowns(comparisons: Iterable[RunComparison], gate: SlowdownGate) -> list[str]:
    """A sentence for each comparison whose whole interval is past the limit."""
    return [
        f"{format_comparison(one)}, more than {100 * gate.limit:g}%{format_differences(one)}."
        for one in comparisons
        if gate.evaluate(one.slowdown) == "slower"
    ]


def describe_undecided(found: DeviceComparison, gate: SlowdownGate) -> list[str]:
    """A sentence for each comparison that leaves the limit open, and for each row without an earlier run."""
    sentences = []
    for one in found.comparisons:
        if gate.evaluate(one.slowdown) != "open":
            continue
        if one.slowdown.low is None:
            reason = f"too few rounds for an interval: both runs need {MIN_ROUNDS}"
        else:
            reason = f"the interval reaches past {100 * gate.limit:g}%; more rounds would decide"
        sentences.append(f"{format_comparison(one)}: {reason}{format_differences(one)}.")
    return [*sentences, *(f"{words}: no earlier run to be held against." for words in found.missing)]


def format_comparison(one: RunComparison) -> str:
    """A comparison in words."""
    change, low, high = (None if end is None else 100 * (end - 1) for end in vars(one.slowdown).values())
    interval = "" if low is None else f" (95% interval {low:+.1f}% to {high:+.1f}%)"
    since = one.earlier_created[:10]
    return f"{one.device}, {one.artifact}, {one.unit}: {change:+.1f}% in time since {since}{interval}"


def format_differences(one: RunComparison) -> str:
    """What else was different, to be said after a verdict."""
    others = [*(() if one.same_artifact else ("another export of the artifact",)), *one.differences]
    return f" (not alike: {'; '.join(others)})" if others else ""


def check_comparable(found: DeviceComparison) -> None:
    """Raises `InvalidConfig` where a gate on the slowdown has nothing to be held against."""
    if not found.comparisons:
        raise InvalidConfig(
            "--max-slowdown is given, but no report has an earlier run.",
            why="An earlier run is one of the same device, artifact name, compute units, threads and batch.",
            hint="Add --baseline FILE with it.",
        )
