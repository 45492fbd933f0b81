"""Builds the verdict on one artifact."""

from collections.abc import Iterable

from shvit_mobile.apps.devices import get_device_name
from shvit_mobile.contracts.device_report import DeviceReport, DeviceResult
from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.report import ArtifactVerdict
from shvit_mobile.report.formatting import (
    EXECUTION_PHRASES,
    format_decibels,
    format_drop_interval,
    format_percent,
    format_points,
    pluralize,
)


def build_verdict(
    drift: DriftRow | None, gates: Iterable[DriftReport], results: Iterable[tuple[DeviceReport, DeviceResult]]
) -> ArtifactVerdict:
    """Build the verdict on an artifact.

    Args:
        drift: The drift of the artifact.
        gates: The drift reports that have a row of it.
        results: Its results on devices; fixtures do not count.
    """
    if drift is None:
        return ArtifactVerdict(status="unproven", sentence="Not compared with the float model.")
    reports = list(gates)
    faults = [fault for report in reports for fault in _find_faults(drift.artifact, report)]
    faults += [
        fault for device, result in results if not device.fixture for fault in _find_golden_faults(device, result)
    ]
    if faults:
        return ArtifactVerdict(status="failed", sentence=" ".join(map(capitalize_sentence, dict.fromkeys(faults))))
    gated = any(report.gate for report in reports)
    return ArtifactVerdict(status="passed" if gated else "measured", sentence=_describe_drift(drift))


def _find_faults(artifact: str, report: DriftReport) -> list[str]:
    """Return the violations of a drift report's gate, and the fp16 faults, of an artifact."""
    gate = report.gate.violations if report.gate else ()
    start = f"{artifact}: "
    overflows = [flag for ranges in report.ranges if ranges.artifact == artifact for flag in ranges.flags]
    return [*(sentence.removeprefix(start) for sentence in gate if sentence.startswith(start)), *overflows]


def _find_golden_faults(device: DeviceReport, result: DeviceResult) -> list[str]:
    """Return whether a device failed the goldens, and in which part."""
    if result.golden is None or result.golden.passed:
        return []
    part = "inference" if result.golden.preprocessing_passed else "preprocessing"
    return [f"{part} on {get_device_name(device)} fails the golden check."]


def _describe_drift(row: DriftRow) -> str:
    """Describe agreement, drop and execution; of maps, their SQNR."""
    if row.agreement is None:
        worst = (
            f"Every map has an SQNR of {format_decibels(row.sqnr_db)} dB or more on {pluralize(row.images, 'image')}"
        )
        if row.boxes and row.boxes.agreement:
            worst += f"; {format_percent(row.boxes.agreement.value)}% of the boxes are found by both models"
        if row.average_precision:
            worst += f"; AP drops by {format_points(row.average_precision.drop)} points"
        return f"{worst}. {capitalize_sentence(EXECUTION_PHRASES[row.how])}."
    agreement = (
        f"Same class as the float model on {format_percent(row.agreement.value)}% of {pluralize(row.images, 'image')}"
    )
    return f"{agreement}{_describe_drop(row)}. {capitalize_sentence(EXECUTION_PHRASES[row.how])}."


def _describe_drop(row: DriftRow) -> str:
    """Describe the drop of top-1 with its interval; nothing without labels."""
    if row.top1_drop is None:
        return ""
    by = f"{format_points(abs(row.top1_drop))} points {'lower' if row.top1_drop > 0 else 'higher'}"
    within = f" (95% interval of the drop {format_drop_interval(row)})" if row.top1_drop_interval else ""
    return f"; top-1 {by if format_points(row.top1_drop) != format_points(0.0) else 'unchanged'}{within}"


def capitalize_sentence(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
