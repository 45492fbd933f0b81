"""The CPUs that can be emulated, by the features from which XNNPACK chooses its kernels."""

import platform
from dataclasses import dataclass

from shvit_mobile.errors import parse_choice


@dataclass(frozen=True)
class CPU:
    """One CPU to emulate.

    Attributes:
        name: The newest instructions that int8 kernels may use on it.
        model: The emulator's `-cpu` option.
        hidden: Features of `model` that are hidden from XNNPACK, so that it uses the kernels of older phones.
        phones: The phones that it represents.
    """

    name: str
    model: str
    hidden: tuple[str, ...]
    phones: str


# ExecuTorch's Python binding needs PyTorch's library, which uses instructions that a Cortex-A53 lacks, so "neon" is a
# newer CPU whose newer features are hidden. SVE and SME are off: few phones offer them to apps, and under qemu 7.2 with
# SME an int8 program returned wrong logits (off by 10), which were correct under qemu 10.0.
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
    """Return the CPU of this name.

    Raises:
        UnknownChoice: If there is none.
    """
    return CPUS[parse_choice(name, CPUS, "CPU")]


def is_arm64_host() -> bool:
    """Return whether this machine is ARM64 itself and needs no emulator."""
    return platform.machine().lower() in ("arm64", "aarch64")
