"""This machine, in words."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from shvit_mobile.contracts.device_report import DeviceInfo
from shvit_mobile.processes import count_processors


def describe_host() -> DeviceInfo:
    """The machine that this process runs on."""
    return DeviceInfo(
        kind="host",
        model=read_processor_name(),
        system=f"{platform.system()} {platform.release()}",
        cores=count_processors(),
        memory_bytes=read_memory_bytes(),
    )


def read_processor_name() -> str:
    """The processor's name, as the system tells it, or its architecture."""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def read_memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
