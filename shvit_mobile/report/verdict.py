"""What can be said of one artifact, in one line."""

from __future__ import annotations

from collections.abc import Iterable

from shvit_mobile.contracts.device_report import DeviceReport, DeviceResult
from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.report import ArtifactVerdict
from shvit_mobile.report.formatting import format_drop_interval, format_percent, format_points, pluralize

EXECUTION_SENTENCES = {
    "native": "Run natively",
    "reference": "Run by the reference executor",
    "emulated": "Run on an emulated CPU",
    "simulated": "Simulated in PyTorch",
}
NOT_COMPARED = "Never compared with its float model."


def build_verdict(
    drift: DriftRow | None, gates: Iterable[DriftReport], results: Iterable[tuple[DeviceReport, DeviceResult]]
) -> ArtifactVerdict:
    """The verdict on an artifact.

    Args:
        drift: the row that counts.
        gates: the drift reports that hold a row of it.
        results: what was measured of it, and where; fixtures prove nothing and count for nothing.
    """
    if drift is None:
        return ArtifactVerdict(status="unproven", sentence=NOT_COMPARED)
    reports = list(gates)
    faults = [fault for report in reports for fault in find_faults(drift.artifact, report)]
    faults += [
        fault for device, result in results if not device.fixture for fault in find_golden_faults(device, result)
    ]
    if faults:
        return ArtifactVerdict(status="failed", sentence=" ".join(map(capitalize_sentence, faults)))
    gated = any(report.gate for report in reports)
    return ArtifactVerdict(status="passed" if gated else "measured", sentence=describe_drift(drift))


def find_faults(artifact: str, report: DriftReport) -> list[str]:
    """What a drift report's gate and its look at fp16 have against an artifact."""
    gate = report.gate.violations if report.gate else ()
    start = f"{artifact}: "
    overflows = [flag for ranges in report.ranges if ranges.artifact == artifact for flag in ranges.flags]
    return [*(sentence.removeprefix(start) for sentence in gate if sentence.startswith(start)), *overflows]


def find_golden_faults(device: DeviceReport, result: DeviceResult) -> list[str]:
    """Where a device did not answer the goldens as it should."""
    if result.golden is None or result.golden.passed:
        return []
    where = device.device.name or device.device.model
    off = "its preprocessing" if not result.golden.preprocessing_passed else "inference"
    return [f"on {where}, {off} is off the goldens."]


def describe_drift(row: DriftRow) -> str:
    """The figures that matter most, and what ran."""
    agreement = (
        f"Same class as the float model on {format_percent(row.agreement.value)}% of {pluralize(row.images, 'image')}"
    )
    return f"{agreement}{describe_drop(row)}. {EXECUTION_SENTENCES[row.how]}."


def describe_drop(row: DriftRow) -> str:
    """The drop of top-1 in words, with its interval in points lost; nothing without labels."""
    if row.top1_drop is None:
        return ""
    by = f"{format_points(abs(row.top1_drop))} points {'lower' if row.top1_drop > 0 else 'higher'}"
    within = f" (95% interval of the drop {format_drop_interval(row)})" if row.top1_drop_interval else ""
    return f"; top-1 {by if format_points(row.top1_drop) != format_points(0.0) else 'unchanged'}{within}"


def capitalize_sentence(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
