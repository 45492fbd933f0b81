"""What can be said of one artifact, in one line."""

from __future__ import annotations

from collections.abc import Iterable

from shvit_mobile.bench.report import DeviceReport, Result
from shvit_mobile.drift.report import DriftReport
from shvit_mobile.drift.row import DriftRow
from shvit_mobile.report.document import Verdict
from shvit_mobile.report.figures import drop_interval, percent, plural, points

RAN = {
    "native": "run by the target's own runtime",
    "reference": "run by the reference executor",
    "emulated": "run on an emulated CPU",
    "simulated": "simulated in PyTorch",
}
UNPROVEN = "Never compared with its float model."


def verdict(
    drift: DriftRow | None, gates: Iterable[DriftReport], results: Iterable[tuple[DeviceReport, Result]]
) -> Verdict:
    """The verdict on an artifact.

    Args:
        drift: the row that counts.
        gates: the drift reports that hold a row of it.
        results: what was measured of it, and where; fixtures prove nothing and count for nothing.
    """
    if drift is None:
        return Verdict(status="unproven", sentence=UNPROVEN)
    reports = list(gates)
    faults = [fault for report in reports for fault in faults_of(drift.artifact, report)]
    faults += [fault for device, result in results if not device.fixture for fault in golden_faults(device, result)]
    if faults:
        return Verdict(status="failed", sentence=" ".join(map(capitalised, faults)))
    gated = any(report.gate for report in reports)
    return Verdict(status="passed" if gated else "measured", sentence=compared(drift))


def faults_of(artifact: str, report: DriftReport) -> list[str]:
    """What a drift report's gate and its look at fp16 have against an artifact."""
    gate = report.gate.violations if report.gate else ()
    start = f"{artifact}: "
    overflows = [flag for ranges in report.ranges if ranges.artifact == artifact for flag in ranges.flags]
    return [*(sentence.removeprefix(start) for sentence in gate if sentence.startswith(start)), *overflows]


def golden_faults(device: DeviceReport, result: Result) -> list[str]:
    """Where a device did not answer the goldens as it should."""
    if result.golden is None or result.golden.passed:
        return []
    where = device.device.name or device.device.model
    off = "its preprocessing" if not result.golden.preprocessing_passed else "inference"
    return [f"on {where}, {off} is off the goldens."]


def compared(row: DriftRow) -> str:
    """The figures that matter most, and what ran."""
    agreement = f"Same class as the float model on {percent(row.agreement.value)}% of {plural(row.images, 'image')}"
    if row.top1_drop is None or row.top1 is None:
        return f"{agreement}; {RAN[row.how]}."
    within = f" (95% interval {drop_interval(row)})" if row.top1_drop_interval else ""
    return f"Top-1 {percent(row.top1.value)}%, a drop of {points(row.top1_drop)} points{within}. {agreement}; {RAN[row.how]}."


def capitalised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
