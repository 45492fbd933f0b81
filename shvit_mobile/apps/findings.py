"""Describes golden checks that failed on devices, and runs that became slower or need more rounds."""

from collections.abc import Iterable, Iterator, Sequence

from shvit_mobile.apps.collect import DeviceRun
from shvit_mobile.apps.devices import DeviceComparison, RunComparison, format_compute_unit, get_device_name
from shvit_mobile.apps.regression import MIN_ROUNDS, SlowdownGate
from shvit_mobile.contracts.drift_report import GateVerdict
from shvit_mobile.errors import MissingParameter


def evaluate_devices(runs: Sequence[DeviceRun], comparison: DeviceComparison, gate: SlowdownGate | None) -> GateVerdict:
    """Return the verdict on golden checks and, with a gate, on slowdowns.

    Raises:
        MissingParameter: If there is a gate and no run has an earlier run.
    """
    failures = tuple(describe_failed_goldens(runs))
    if gate is None:
        return GateVerdict.from_findings(failures)
    check_comparable(comparison)
    slowdowns = describe_slowdowns(comparison.comparisons, gate)
    return GateVerdict.from_findings((*failures, *slowdowns), describe_undecided(comparison, gate))


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
                unit = format_compute_unit(run.report, result)
                yield (
                    f"{device}, {result.name}, {unit}: inference is off. With the goldens' "
                    f"pixels, a logit differs by {golden.largest_difference:g}, more than {golden.tolerance:g}."
                )


def describe_slowdowns(comparisons: Iterable[RunComparison], gate: SlowdownGate) -> list[str]:
    """Describe each comparison whose whole interval is above the limit."""
    return [
        f"{_format_comparison(one)}, more than {100 * gate.limit:g}%{_format_differences(one)}."
        for one in comparisons
        if gate.evaluate(one.slowdown) == "slower"
    ]


def describe_undecided(comparison: DeviceComparison, gate: SlowdownGate) -> list[str]:
    """Describe each comparison whose interval contains the limit, and the rows without an earlier run."""
    sentences = []
    for one in comparison.comparisons:
        if gate.evaluate(one.slowdown) != "open":
            continue
        if one.slowdown.low is None:
            reason = f"too few rounds for an interval: both runs need {MIN_ROUNDS}"
        else:
            reason = f"the interval contains {100 * gate.limit:g}%; more rounds would decide"
        sentences.append(f"{_format_comparison(one)}: {reason}{_format_differences(one)}.")
    return [*sentences, *(f"{rows}: no earlier run to compare with." for rows in comparison.missing)]


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


def check_comparable(comparison: DeviceComparison) -> None:
    """Raise `MissingParameter` if no run has an earlier run."""
    if not comparison.comparisons:
        raise MissingParameter(
            "`max_slowdown` is given, but no report has an earlier run.",
            why="An earlier run has the same device, artifact name, compute units, threads and batch.",
            hint="Give earlier reports as `baseline`.",
            parameter="baseline",
        )
