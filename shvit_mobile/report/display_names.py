"""Names artifacts, devices and runs on the page."""

from shvit_mobile.apps.devices import get_threads
from shvit_mobile.contracts.device_report import DeviceInfo, DeviceReport, DeviceResult
from shvit_mobile.contracts.report import ModelReport, ReportArtifact
from shvit_mobile.report.formatting import COMPUTE_NAMES, NO_VALUE, format_target, pluralize


def format_label(name: str, target: str | None, precision: str | None) -> str:
    """Return "ExecuTorch int8, blocks" for shvit_s1-224-executorch-int8-blocks.pte; other names stay as they are."""
    for known in (target, f"{target}-coreml", f"{target}-vulkan"):
        head, found, tail = name.rpartition(".")[0].partition(f"-{known}-{precision}")
        if found and head and (not tail or tail.startswith("-")):
            return f"{format_target(known)} {precision}{f', {tail[1:]}' if tail else ''}"
    return name


def format_artifact_label(one: ReportArtifact) -> str:
    return format_label(one.name, one.target, one.precision)


def format_result_label(report: ModelReport, result: DeviceResult) -> str:
    """Return the label of the measured artifact, or the name of another contestant."""
    known = report.find_artifact(result.artifact_sha256)
    return format_artifact_label(known) if known else result.name


def format_device_label(device: DeviceInfo) -> str:
    return device.name or device.model


def format_fixture_prefix(device: DeviceReport) -> str:
    return "Fixture, not measured. " if device.fixture else ""


def describe_device(device: DeviceInfo) -> str:
    """Describe a device: its model where it has another name, its system, cores and memory."""
    memory = f"{device.memory_bytes / 1e9:.0f} GB" if device.memory_bytes else ""
    model = device.model if device.name else ""
    return ", ".join(filter(None, (model, device.system, pluralize(device.cores, "core"), memory)))


def describe_configuration(report: DeviceReport, result: DeviceResult) -> str:
    """Describe the processors of a run, with the threads of a CPU if the engine did not choose them itself."""
    compute = COMPUTE_NAMES.get(result.compute, result.compute)
    threads = get_threads(report, result)
    # They choose threads themselves.
    if threads is None or result.compute != "cpu" or result.engine.lower().startswith(("core ml", "coreml", "coreai")):
        return compute
    return f"{compute}, {pluralize(threads, 'thread')}"


def describe_conditions(report: DeviceReport) -> str:
    """Describe the state of the phone."""
    if report.conditions is None:
        return NO_VALUE
    low, battery, charging = report.conditions.low_power, report.conditions.battery, report.conditions.charging
    facts = (
        "low-power mode" if low else "",
        "" if battery is None else f"battery {100 * battery:.0f}%",
        "" if charging is None else "charging" if charging else "not charging",
    )
    return ", ".join(filter(None, facts)) or NO_VALUE
