"""Describes this machine."""

import os
import platform
from pathlib import Path

from shvit_mobile.contracts.device_report import DeviceInfo
from shvit_mobile.processes import count_processors


def describe_host() -> DeviceInfo:
    """Describe the machine of this process."""
    return DeviceInfo(
        kind="host",
        model=_read_processor_name(),
        system=f"{platform.system()} {platform.release()}",
        cores=count_processors(),
        memory_bytes=_read_memory_bytes(),
    )


def _read_processor_name() -> str:
    """Return the name of the processor, or its architecture if the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _read_memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
