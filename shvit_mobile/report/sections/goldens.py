"""The section on golden checks: preprocessing and inference of each device, checked separately."""

from collections.abc import Sequence
from dataclasses import dataclass

from shvit_mobile.contracts.device_report import DeviceReport, GoldenCheck
from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.report.display_names import format_device_label, format_result_label
from shvit_mobile.report.formatting import NO_VALUE, format_decibels, format_number, format_significant


@dataclass(frozen=True)
class _GoldenSummary:
    """The worst checks of one artifact over all processors."""

    label: str
    preprocessing_passed: bool
    pixels: str
    inference_passed: bool
    difference: str
    tolerance: str
    sqnr: str
    same_class: str


@dataclass(frozen=True)
class _DeviceGoldens:
    """The golden checks of one device."""

    name: str
    fixture: bool
    checks: tuple[_GoldenSummary, ...]


def build_variables(report: ModelReport) -> dict[str, object] | None:
    found = [_build_device_goldens(report, device) for device in report.devices]
    checked = [device for device in found if device.checks]
    return {"devices": checked} if checked else None


def _build_device_goldens(report: ModelReport, device: DeviceReport) -> _DeviceGoldens:
    """Summarize the checks of one report by artifact."""
    checks: dict[str, list[GoldenCheck]] = {}
    for result in device.results:
        if result.golden:
            checks.setdefault(format_result_label(report, result), []).append(result.golden)
    rows = tuple(_summarize_checks(label, made) for label, made in checks.items())
    return _DeviceGoldens(format_device_label(device.device), device.fixture, rows)


def _summarize_checks(label: str, checks: Sequence[GoldenCheck]) -> _GoldenSummary:
    furthest = max(checks, key=lambda check: (not check.inference_passed, check.largest_difference))
    classified = [(check.same_class, check.images) for check in checks if check.same_class is not None]
    fewest = min(classified, key=lambda pair: pair[0] / pair[1], default=None)
    return _GoldenSummary(
        label=label,
        preprocessing_passed=all(check.preprocessing_passed for check in checks),
        pixels=format_number(max(check.pixels_difference for check in checks), 2),
        inference_passed=all(check.inference_passed for check in checks),
        difference=format_significant(furthest.largest_difference),
        tolerance=format_significant(furthest.tolerance),
        sqnr=format_decibels(min(check.sqnr_db for check in checks)),
        same_class=NO_VALUE if fewest is None else f"{fewest[0]} of {fewest[1]}",
    )
