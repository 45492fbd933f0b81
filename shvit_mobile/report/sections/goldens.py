"""The goldens as each device answered them: preprocessing apart from inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shvit_mobile.bench.report import GoldenCheck
from shvit_mobile.report.document import Report
from shvit_mobile.report.figures import decibels, number, short
from shvit_mobile.report.names import device_label, result_label
from shvit_mobile.report.sections.section import Section


@dataclass(frozen=True)
class Checked:
    """One artifact on one device, whatever the processors: the worst of its checks."""

    device: str
    fixture: bool
    label: str
    preprocessing_passed: bool
    pixels: str
    inference_passed: bool
    difference: str
    tolerance: str
    sqnr: str
    same_class: str


def goldens(report: Report) -> Section | None:
    checks: dict[tuple[str, str, bool], list[GoldenCheck]] = {}
    for device in report.devices:
        for result in device.results:
            if result.golden:
                key = (device_label(device.device), result_label(report, result), device.fixture)
                checks.setdefault(key, []).append(result.golden)
    found = [worst(device, label, fixture, made) for (device, label, fixture), made in checks.items()]
    return Section("goldens", "Golden checks on the devices", "Goldens", {"checks": found}) if found else None


def worst(device: str, label: str, fixture: bool, checks: Sequence[GoldenCheck]) -> Checked:
    furthest = max(checks, key=lambda check: (not check.inference_passed, check.largest_difference))
    fewest = min(checks, key=lambda check: check.same_class / check.images)
    return Checked(
        device=device,
        fixture=fixture,
        label=label,
        preprocessing_passed=all(check.preprocessing_passed for check in checks),
        pixels=number(max(check.pixels_difference for check in checks), 2),
        inference_passed=all(check.inference_passed for check in checks),
        difference=short(furthest.largest_difference),
        tolerance=short(furthest.tolerance),
        sqnr=decibels(min(check.sqnr_db for check in checks)),
        same_class=f"{fewest.same_class} of {fewest.images}",
    )
