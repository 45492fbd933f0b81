"""Which CPUs can be emulated, and which phones each stands for: what XNNPACK chooses its kernels by."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from shvit_mobile.errors import parse_choice


@dataclass(frozen=True)
class CPU:
    """One CPU to emulate.

    Attributes:
        name: the newest instructions that int8 kernels may use on it.
        model: what the emulator is told to be.
        hidden: features of `model` that are kept from XNNPACK, so that it takes the kernels of older phones.
        phones: what it stands for.
    """

    name: str
    model: str
    hidden: tuple[str, ...]
    phones: str


# PyTorch's library, on which ExecuTorch's Python binding stands, has instructions that a Cortex-A53 lacks, so "neon" is
# a newer CPU whose newer features are hidden. SVE and SME are off: few phones offer them to apps, and with qemu 7.2's
# SME an int8 program answered nonsense (logits off by 10), while with qemu 10.0's it answered as everywhere else.
CPUS = {
    cpu.name: cpu
    for cpu in (
        CPU("neon", "cortex-a76", ("rdm", "fp16", "dotprod"), "Cortex-A53, A72, A73; Apple A7 to A12"),
        CPU("dotprod", "cortex-a76", (), "Cortex-A55, A75 to A78; Apple A13, A14"),
        CPU("i8mm", "max,sve=off,sme=off", (), "Cortex-A510, A710, X2 and newer; Apple A15 and newer"),
    )
}
DEFAULT_CPU = "i8mm"


def find_cpu(name: str) -> CPU:
    """The CPU of this name.

    Raises:
        UnknownChoice: there is none.
    """
    return CPUS[parse_choice(name, CPUS, "CPU")]


def is_arm64_host() -> bool:
    """Whether this machine is ARM64 itself, so that nothing need be emulated."""
    return platform.machine().lower() in ("arm64", "aarch64")
