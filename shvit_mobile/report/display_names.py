"""What artifacts, devices and runs are called on the page."""

from __future__ import annotations

from shvit_mobile.apps.devices import threads_of
from shvit_mobile.contracts.device_report import Device, DeviceReport, Result
from shvit_mobile.contracts.report import Joined, Report
from shvit_mobile.report.formatting import COMPUTE_NAMES, NONE, plural, target_name


def label(name: str, target: str | None, precision: str | None) -> str:
    """ "ExecuTorch int8, blocks" of shvit_s1-224-executorch-int8-blocks.pte; or the name itself."""
    head, found, tail = name.rpartition(".")[0].partition(f"-{target}-{precision}")
    if not found or not head or (tail and not tail.startswith("-")):
        return name
    return f"{target_name(target)} {precision}{f', {tail[1:]}' if tail else ''}"


def artifact_label(one: Joined) -> str:
    return label(one.name, one.target, one.precision)


def result_label(report: Report, result: Result) -> str:
    """Of the artifact that was measured; of what is no artifact of ours, its own name."""
    known = report.artifact(result.artifact_sha256)
    return artifact_label(known) if known else result.name


def device_label(device: Device) -> str:
    return device.name or device.model


def device_facts(device: Device) -> str:
    """The maker's code where people call it otherwise, the system, cores and memory."""
    memory = f"{device.memory_bytes / 1e9:.0f} GB" if device.memory_bytes else ""
    model = device.model if device.name else ""
    return ", ".join(filter(None, (model, device.system, plural(device.cores, "core"), memory)))


def configuration(report: DeviceReport, result: Result) -> str:
    """The processors it may use, and of a CPU alone the threads, where they were not the engine's own choice."""
    compute = COMPUTE_NAMES.get(result.compute, result.compute)
    threads = threads_of(report, result)
    if threads is None or result.compute != "cpu" or coreml(result):
        return compute
    return f"{compute}, {plural(threads, 'thread')}"


def coreml(result: Result) -> bool:
    """Whether Core ML ran it, which chooses its threads itself."""
    return result.engine.lower().startswith(("core ml", "coreml"))


def charge(report: DeviceReport) -> str:
    """What the phone was like."""
    if report.conditions is None:
        return NONE
    low, battery, charging = report.conditions.low_power, report.conditions.battery, report.conditions.charging
    told = (
        "low-power mode" if low else "",
        "" if battery is None else f"battery {100 * battery:.0f}%",
        "" if charging is None else "charging" if charging else "not charging",
    )
    return ", ".join(filter(None, told)) or NONE
