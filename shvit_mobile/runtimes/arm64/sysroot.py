"""The ARM64 Linux in which programs run: Debian's Python, ExecuTorch's wheel and the emulator, in one folder."""

import platform
from dataclasses import dataclass
from pathlib import Path

from shvit_mobile.cache import resolve_cache_folder
from shvit_mobile.contracts.document import JsonFile
from shvit_mobile.errors import BadArtifact, ToolMissing

# ExecuTorch 1.3.1 has the same XNNPACK (commit 1adaa7c) as 1.4.1, which exports and which apps embed, and works with an
# older PyTorch. PyTorch 2.10.0 is the newest whose ARM64 wheel does not need CUDA's libraries.
EXECUTORCH_VERSION, TORCH_VERSION = "1.3.1", "2.10.0"
# By wheel, the SHA-256 of its ARM64 files on PyPI, for Python 3.10 to 3.13.
WHEELS = {
    f"torch=={TORCH_VERSION}": (
        "5276fa790a666ee8becaffff8acb711922252521b28fbce5db7db5cf9cb2026d",
        "3282d9febd1e4e476630a099692b44fdc214ee9bf8ee5377732d9d9dfe5712e4",
        "5fd4117d89ffd47e3dcc71e71a22efac24828ad781c7e46aaaf56bf7f2796acf",
        "5c4d217b14741e40776dd7074d9006fd28b8a97ef5654db959d8635b2fe5f29b",
    ),
    f"executorch=={EXECUTORCH_VERSION}": (
        "5324779b2352b3d568dcc2136ae7d8eec375e0f7a6d84d93110db4cf66cfbd4f",
        "93e9acba2230c7feb48de6925db1057f1237c5ea642047c8b4dc0cd18a0d83af",
        "ad846052fa20fc63714367cd09db7fe6dd434fe5b00883266c2674079a8626f6",
        "9bdd717784b3d774ce902fcd3338312cafc145f79a0c4686c367c6a1a32735c3",
    ),
}
_SYSROOT_VARIABLE = "SHVIT_ARM64"
INSTALL_COMMAND = "shvit-mobile doctor --install arm64"


class SysrootVersions(JsonFile):
    """The versions in a sysroot: `versions.json` in its folder, written last."""

    ERROR = BadArtifact
    TITLE = "the versions of the ARM64 emulation"

    emulator: str
    python: str
    executorch: str
    torch: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Sysroot:
    """A folder with `root`, Debian's packages; `site`, the wheels; and `qemu`, the emulator."""

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
        """The versions in it.

        Raises:
            BadArtifact: If the file is damaged.
        """
        return SysrootVersions.load(self.versions_file)


def find_sysroot_folder() -> Path:
    """Return the folder of the sysroot: $SHVIT_ARM64, or a folder in the cache that its versions name."""
    return resolve_cache_folder(_SYSROOT_VARIABLE, f"arm64-executorch-{EXECUTORCH_VERSION}-torch-{TORCH_VERSION}")


def open_sysroot() -> Sysroot:
    """Open the sysroot of this machine.

    Raises:
        ToolMissing: If it is not installed, or its emulator is missing.
    """
    check_host()
    sysroot = Sysroot(find_sysroot_folder())
    if not sysroot.versions_file.exists() or not sysroot.qemu.exists():
        raise ToolMissing(
            "The ARM64 emulator is not set up on this machine.",
            why=f"It should be in {sysroot.folder}.",
            hint=f"Set it up (half a gigabyte, no root needed): {INSTALL_COMMAND}",
        )
    return sysroot


def check_host() -> None:
    """Raise `ToolMissing` unless this machine runs Linux."""
    if platform.system() != "Linux":
        raise ToolMissing(
            f"The ARM64 emulator runs only on Linux, and this is {platform.system()}.",
            why="It is a user-mode emulator. On Apple silicon the native runtime already is ARM64.",
        )
