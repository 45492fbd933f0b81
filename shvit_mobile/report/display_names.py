"""What artifacts, devices and runs are called on the page."""

from __future__ import annotations

from shvit_mobile.apps.devices import get_threads
from shvit_mobile.contracts.device_report import DeviceInfo, DeviceReport, DeviceResult
from shvit_mobile.contracts.report import ModelReport, ReportArtifact
from shvit_mobile.report.formatting import COMPUTE_NAMES, NO_VALUE, format_target, pluralize


def format_label(name: str, target: str | None, precision: str | None) -> str:
    """ "ExecuTorch int8, blocks" of shvit_s1-224-executorch-int8-blocks.pte; or the name itself."""
    head, found, tail = name.rpartition(".")[0].partition(f"-{target}-{precision}")
    if not found or not head or (tail and not tail.startswith("-")):
        return name
    return f"{format_target(target)} {precision}{f', {tail[1:]}' if tail else ''}"


def format_artifact_label(one: ReportArtifact) -> str:
    return format_label(one.name, one.target, one.precision)


def format_result_label(report: ModelReport, result: DeviceResult) -> str:
    """Of the artifact that was measured; of what is no artifact of ours, its own name."""
    known = report.artifact(result.artifact_sha256)
    return format_artifact_label(known) if known else result.name


def format_device_label(device: DeviceInfo) -> str:
    return device.name or device.model


def describe_device(device: DeviceInfo) -> str:
    """The maker's code where people call it otherwise, the system, cores and memory."""
    memory = f"{device.memory_bytes / 1e9:.0f} GB" if device.memory_bytes else ""
    model = device.model if device.name else ""
    return ", ".join(filter(None, (model, device.system, pluralize(device.cores, "core"), memory)))


def describe_configuration(report: DeviceReport, result: DeviceResult) -> str:
    """The processors it may use, and of a CPU alone the threads, where they were not the engine's own choice."""
    compute = COMPUTE_NAMES.get(result.compute, result.compute)
    threads = get_threads(report, result)
    if threads is None or result.compute != "cpu" or is_coreml(result):
        return compute
    return f"{compute}, {pluralize(threads, 'thread')}"


def is_coreml(result: DeviceResult) -> bool:
    """Whether Core ML ran it, which chooses its threads itself."""
    return result.engine.lower().startswith(("core ml", "coreml"))


def describe_conditions(report: DeviceReport) -> str:
    """What the phone was like."""
    if report.conditions is None:
        return NO_VALUE
    low, battery, charging = report.conditions.low_power, report.conditions.battery, report.conditions.charging
    told = (
        "low-power mode" if low else "",
        "" if battery is None else f"battery {100 * battery:.0f}%",
        "" if charging is None else "charging" if charging else "not charging",
    )
    return ", ".join(filter(None, told)) or NO_VALUE
