"""The ARM64 Linux that programs run in: Debian's Python, ExecuTorch's wheel and the emulator, in one folder."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from shvit_mobile.cache import resolve_cache_folder
from shvit_mobile.contracts.document import Contract
from shvit_mobile.errors import BadArtifact, ToolMissing

# The wheels. ExecuTorch 1.3.1 has the XNNPACK of 1.4.1, the version that exports and that apps embed (commit 1adaa7c in
# both), and asks less of PyTorch. PyTorch 2.10.0 is the newest whose ARM64 wheel does without CUDA's libraries.
EXECUTORCH_VERSION, TORCH_VERSION = "1.3.1", "2.10.0"
WHEELS = (f"torch=={TORCH_VERSION}", f"executorch=={EXECUTORCH_VERSION}")
SYSROOT_VARIABLE = "SHVIT_ARM64"
INSTALL_COMMAND = "shvit-mobile doctor --install arm64"


class SysrootVersions(Contract):
    """What a sysroot is made of; `versions.json` in its folder, written last."""

    emulator: str
    python: str
    executorch: str
    torch: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Sysroot:
    """A folder of these: `root`, where Debian's packages are unpacked; `site`, the wheels; `qemu`, the emulator."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def python(self) -> Path:
        return self.root / "usr/bin/python3"

    @property
    def site(self) -> Path:
        return self.folder / "site"

    @property
    def qemu(self) -> Path:
        return self.folder / "qemu-aarch64"

    @property
    def versions_file(self) -> Path:
        return self.folder / "versions.json"

    @property
    def versions(self) -> SysrootVersions:
        """What it is made of.

        Raises:
            BadArtifact: the file is damaged.
        """
        return SysrootVersions.read_file(self.versions_file, BadArtifact, "the versions of the ARM64 emulation")


def find_sysroot_folder() -> Path:
    """Where the sysroot is, or will be: $SHVIT_ARM64, or a folder of its versions in the cache."""
    return resolve_cache_folder(SYSROOT_VARIABLE, f"arm64-executorch-{EXECUTORCH_VERSION}-torch-{TORCH_VERSION}")


def open_sysroot() -> Sysroot:
    """The sysroot of this machine.

    Raises:
        ToolMissing: it was not set up, or its emulator has gone.
    """
    check_host()
    sysroot = Sysroot(find_sysroot_folder())
    if not sysroot.versions_file.exists() or not sysroot.qemu.exists():
        raise ToolMissing(
            "The ARM64 emulation is not set up on this machine.",
            why=f"It is looked for in {sysroot.folder}.",
            hint=f"Set it up, without root, in half a gigabyte: {INSTALL_COMMAND}",
        )
    return sysroot


def check_host() -> None:
    """Raises `ToolMissing` where user-mode emulation of Linux cannot be had."""
    if platform.system() != "Linux":
        raise ToolMissing(
            f"ARM64 is emulated on Linux only, and this is {platform.system()}.",
            why="User-mode emulation needs Linux beneath it. On Apple silicon the native runtime is ARM64 already.",
        )
