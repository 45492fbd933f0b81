"""Whether a device report agrees with itself: what it concludes follows from the raw figures beside it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from math import isclose, isfinite

from shvit_mobile.bench.statistics import summarize_latency
from shvit_mobile.contracts.device_report import DeviceReport, DeviceResult, LatencySummary
from shvit_mobile.errors import BadReport

# A phone's arithmetic may differ in the last digits, or its JSON round to a nanosecond.
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE_MS = 1e-6, 1e-6


def check_time(report: DeviceReport, source: str) -> None:
    """Raises `BadReport` where nobody can tell when the report was made."""
    try:
        known = datetime.fromisoformat(report.created).tzinfo is not None
    except ValueError:
        known = False
    if not known:
        raise BadReport(
            f"{source} says that it was created '{report.created[:40]}'.",
            why="It is to be a time with the offset from UTC, such as 2025-02-14T09:30:00+01:00: runs have an order.",
        )


def check_result(result: DeviceResult, source: str) -> None:
    """Raises `BadReport` where a summary does not follow from the samples, or a golden check from its figures."""
    samples = [sample for samples in result.samples_ms for sample in samples]
    whose = f"{source}: {result.name}"
    if not all(isfinite(sample) and sample > 0 for sample in samples):
        raise BadReport(f"{whose} has a sample that is not above 0 and finite.", why="Every inference takes time.")
    for name, told, found in find_disagreements(result.latency, summarize_latency(samples)):
        raise BadReport(
            f"{whose} says that {name} is {told:g}, but its samples give {found:g}.",
            why="A summary is computed from the samples beside it; this report was edited, or its app has a fault.",
            hint="Measure again, and share the report as the app writes it.",
        )
    golden = result.golden
    if golden and (golden.inference_passed != (golden.largest_difference <= golden.tolerance)):
        said = "passed" if golden.inference_passed else "failed"
        raise BadReport(
            f"{whose} says that its golden check {said}, with a largest difference of {golden.largest_difference:g} "
            f"and a tolerance of {golden.tolerance:g}.",
            why="It passes where the difference is within the tolerance; this was edited, or its app has a fault.",
        )
    if golden and golden.same_class > golden.images:
        raise BadReport(f"{whose} chose the same class on {golden.same_class} of {golden.images} goldens.")


def find_disagreements(stated: LatencySummary, computed: LatencySummary) -> Iterator[tuple[str, float, float]]:
    """Each figure of a summary that is not what the samples give: its name, as told, as found."""
    for name in LatencySummary.model_fields:
        said, is_so = getattr(stated, name), getattr(computed, name)
        if not isclose(said, is_so, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE_MS):
            yield name, said, is_so
