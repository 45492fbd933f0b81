"""Describes golden checks that failed on devices, and runs that became slower or need more rounds."""

from collections.abc import Iterable, Iterator, Sequence
from math import isfinite

from shvit_mobile.apps.collect import DeviceRun
from shvit_mobile.apps.devices import (
    TIMING_PHRASES,
    DeviceComparison,
    RunComparison,
    format_compute_unit,
    get_device_name,
)
from shvit_mobile.apps.regression import MIN_ROUNDS, evaluate_slowdown
from shvit_mobile.contracts.drift_report import GateVerdict
from shvit_mobile.errors import InvalidValue, MissingParameter


def evaluate_devices(
    runs: Sequence[DeviceRun], comparison: DeviceComparison, max_slowdown: float | None
) -> GateVerdict:
    """Return the verdict on golden checks and, with a limit (a share; 0.05 is 5%), on slowdowns.

    Raises:
        InvalidValue: If the limit is negative or not finite.
        MissingParameter: If there is a limit and no run has an earlier run that was timed alike.
    """
    failures = tuple(describe_failed_goldens(runs))
    if max_slowdown is None:
        return GateVerdict.from_findings(failures)
    if not isfinite(max_slowdown) or max_slowdown < 0:
        raise InvalidValue(
            f"`max_slowdown` is {max_slowdown:g}.", why="It is a share, at least 0.", parameter="max_slowdown"
        )
    if not comparison.comparisons:
        raise MissingParameter(
            "`max_slowdown` is given, but no report has an earlier run.",
            why="An earlier run has the same device, artifact name, compute units, threads and batch.",
            hint="Give earlier reports as `baseline`.",
            parameter="baseline",
        )
    if not any(one.same_timing for one in comparison.comparisons):
        raise MissingParameter(
            "`max_slowdown` is given, but no earlier run was timed like its later one.",
            why=describe_other_timings(comparison.comparisons)[0],
            hint="Measure the earlier version again with an app of this version, and give that report as `baseline`.",
            parameter="baseline",
        )
    slowdowns = describe_slowdowns(comparison.comparisons, max_slowdown)
    return GateVerdict.from_findings((*failures, *slowdowns), describe_undecided(comparison, max_slowdown))


def describe_failed_goldens(runs: Iterable[DeviceRun]) -> Iterator[str]:
    """Describe each golden check that failed; preprocessing, which belongs to the app, once per run."""
    for run in runs:
        device = get_device_name(run.report)
        checked = [(result, result.golden) for result in run.report.results if result.golden]
        failed = [golden.pixels_difference for _, golden in checked if not golden.preprocessing_passed]
        if failed:
            yield (
                f"{device}: preprocessing is off in {len(failed)} of {len(checked)} golden checks: its pixels differ "
                f"by {max(failed):g} of 255 on average. This does not depend on the artifact."
            )
        for result, golden in checked:
            if not golden.inference_passed:
                noun = "a value of a map" if golden.same_class is None else "a logit"
                unit = format_compute_unit(run.report, result)
                yield (
                    f"{device}, {result.name}, {unit}: inference is off. With the goldens' "
                    f"pixels, {noun} differs by {golden.largest_difference:g}, more than {golden.tolerance:g}."
                )


def describe_slowdowns(comparisons: Iterable[RunComparison], limit: float) -> list[str]:
    """Describe each comparison whose whole interval is above the limit."""
    return [
        f"{_format_comparison(one)}, more than {100 * limit:g}%{_format_differences(one)}."
        for one in comparisons
        if one.same_timing and evaluate_slowdown(one.slowdown, limit) == "slower"
    ]


def describe_undecided(comparison: DeviceComparison, limit: float) -> list[str]:
    """Describe what the limit was not held against: undecided comparisons, other timings, and missing runs."""
    sentences = []
    for one in comparison.comparisons:
        if not one.same_timing or evaluate_slowdown(one.slowdown, limit) != "open":
            continue
        if one.slowdown.low is None:
            reason = f"too few rounds for an interval: both runs need {MIN_ROUNDS}"
        else:
            reason = f"the interval contains {100 * limit:g}%; more rounds would decide"
        sentences.append(f"{_format_comparison(one)}: {reason}{_format_differences(one)}.")
    return [
        *sentences,
        *(f"{one.device}, {one.artifact}, {one.unit}: not measured: {one.error}" for one in comparison.failures),
        *describe_other_timings(comparison.comparisons),
        *(f"{rows}: no earlier run to compare with." for rows in comparison.missing),
    ]


def describe_other_timings(comparisons: Iterable[RunComparison]) -> list[str]:
    """Describe the earlier runs whose samples cover something else, a sentence for each pair of runs."""
    found: dict[str, int] = {}
    for one in comparisons:
        if not one.same_timing:
            before, now = TIMING_PHRASES[one.earlier_timed], TIMING_PHRASES[one.later_timed]
            sentence = f"{one.device} cannot be compared with {one.earlier}: timed {before} before, {now} now"
            found[sentence] = found.get(sentence, 0) + 1
    return [f"{sentence} ({count} row{'s' if count > 1 else ''})." for sentence, count in found.items()]


def _format_comparison(one: RunComparison) -> str:
    """Return a comparison as text."""
    change, low, high = one.slowdown.value, one.slowdown.low, one.slowdown.high
    interval = ""
    if low is not None and high is not None:
        interval = f" (95% interval {100 * (low - 1):+.1f}% to {100 * (high - 1):+.1f}%)"
    since = one.earlier_created[:10]
    return f"{one.device}, {one.artifact}, {one.unit}: {100 * (change - 1):+.1f}% in time since {since}{interval}"


def _format_differences(one: RunComparison) -> str:
    """Return what else differs, in parentheses."""
    others = [*(() if one.same_artifact else ("another export of the artifact",)), *one.differences]
    return f" (other differences: {'; '.join(others)})" if others else ""
