"""Checks that the summaries of a device report follow from its samples."""

from datetime import datetime
from math import isclose, isfinite

from shvit_mobile.bench.statistics import summarize_latency
from shvit_mobile.contracts.device_report import DeviceReport, DeviceResult, LatencySummary
from shvit_mobile.errors import BadReport

# A phone may compute other last digits, or round to a nanosecond.
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE_MS = 1e-6, 1e-6


def check_time(report: DeviceReport, source: str) -> None:
    """Raise `BadReport` if the time of the report is unknown."""
    try:
        known = datetime.fromisoformat(report.created).tzinfo is not None
    except ValueError:
        known = False
    if not known:
        raise BadReport(
            f"{source} says that it was created '{report.created[:40]}'.",
            why="It must be a time with its offset from UTC, such as 2025-02-14T09:30:00+01:00.",
        )


def check_result(result: DeviceResult, source: str) -> None:
    """Raise `BadReport` if a summary does not follow from the samples, or a golden check from its differences."""
    samples = [sample for samples in result.samples_ms for sample in samples]
    whose = f"{source}: {result.name}"
    if not all(isfinite(sample) and sample > 0 for sample in samples):
        raise BadReport(f"{whose} has a sample that is not above 0 and finite.", why="Samples are in milliseconds.")
    summary = summarize_latency(samples)
    for name in LatencySummary.model_fields:
        stated, computed = getattr(result.latency, name), getattr(summary, name)
        if not isclose(stated, computed, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE_MS):
            raise BadReport(
                f"{whose} says that {name} is {stated:g}, but its samples give {computed:g}.",
                why="The report was edited, or its app has a bug.",
                hint="Measure again, and share the report as the app writes it.",
            )
    golden = result.golden
    if golden and (golden.inference_passed != (golden.largest_difference <= golden.tolerance)):
        outcome = "passed" if golden.inference_passed else "failed"
        raise BadReport(
            f"{whose} says that its golden check {outcome}, with a largest difference of {golden.largest_difference:g} "
            f"and a tolerance of {golden.tolerance:g}.",
            why="It passes if the difference is within the tolerance. The report was edited, or its app has a bug.",
        )
    if golden and golden.same_class > golden.images:
        raise BadReport(f"{whose} chose the same class on {golden.same_class} of {golden.images} goldens.")
