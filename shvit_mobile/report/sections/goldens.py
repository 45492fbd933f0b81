"""The goldens as each device answered them: preprocessing apart from inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shvit_mobile.contracts.device_report import DeviceReport, GoldenCheck
from shvit_mobile.contracts.report import Report
from shvit_mobile.report.display_names import device_label, result_label
from shvit_mobile.report.formatting import decibels, number, short
from shvit_mobile.report.sections.section import Section


@dataclass(frozen=True)
class Checked:
    """One artifact, whatever the processors: the worst of its checks."""

    label: str
    preprocessing_passed: bool
    pixels: str
    inference_passed: bool
    difference: str
    tolerance: str
    sqnr: str
    same_class: str


@dataclass(frozen=True)
class OnDevice:
    """What a device answered."""

    name: str
    fixture: bool
    checks: tuple[Checked, ...]


def goldens(report: Report) -> Section | None:
    found = [checked(report, device) for device in report.devices]
    data = {"devices": [device for device in found if device.checks]}
    return Section("goldens", "Golden checks on the devices", "Goldens", data) if data["devices"] else None


def checked(report: Report, device: DeviceReport) -> OnDevice:
    """The checks of one report, by artifact."""
    checks: dict[str, list[GoldenCheck]] = {}
    for result in device.results:
        if result.golden:
            checks.setdefault(result_label(report, result), []).append(result.golden)
    rows = tuple(worst(label, made) for label, made in checks.items())
    return OnDevice(device_label(device.device), device.fixture, rows)


def worst(label: str, checks: Sequence[GoldenCheck]) -> Checked:
    furthest = max(checks, key=lambda check: (not check.inference_passed, check.largest_difference))
    fewest = min(checks, key=lambda check: check.same_class / check.images)
    return Checked(
        label=label,
        preprocessing_passed=all(check.preprocessing_passed for check in checks),
        pixels=number(max(check.pixels_difference for check in checks), 2),
        inference_passed=all(check.inference_passed for check in checks),
        difference=short(furthest.largest_difference),
        tolerance=short(furthest.tolerance),
        sqnr=decibels(min(check.sqnr_db for check in checks)),
        same_class=f"{fewest.same_class} of {fewest.images}",
    )
