"""Install the ARM64 emulator: packages with apt and wheels with pip, from their configured sources, without root."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path

from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.errors import ToolMissing
from shvit_mobile.processes import InstallFailed, check_pip, run_command
from shvit_mobile.progress import StepCallback
from shvit_mobile.runtimes.arm64.apt import DOWNLOAD_ERROR, Apt
from shvit_mobile.runtimes.arm64.cpus import CPUS, DEFAULT_CPU
from shvit_mobile.runtimes.arm64.process import EmulatedProcess
from shvit_mobile.runtimes.arm64.sysroot import (
    EXECUTORCH_VERSION,
    TORCH_VERSION,
    WHEELS,
    Sysroot,
    SysrootVersions,
    check_host,
    find_sysroot_folder,
)

# Debian's default Python, and the libraries that the wheels link to. ctypes is in libpython3-stdlib.
_DEBIAN_PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
# The emulator's package and the program in it. From Debian 13 on the first is empty and the second is static.
_EMULATOR_PACKAGES = (
    ("qemu-user-static", "./usr/bin/qemu-aarch64-static"),
    ("qemu-user", "./usr/bin/qemu-aarch64"),
)
# The files needed from the wheels: PyTorch's libraries, for ExecuTorch's tensors, and ExecuTorch's Python binding.
_WHEEL_PATTERNS = ("torch/_C.*.so", "torch/lib/*.so*", "executorch/extension/pybindings/*.so")
_WHEEL_PLATFORM = "manylinux_2_28_aarch64"

# What failed, and what the download needs.
_PYPI_DOWNLOAD_ERROR = (
    "pip cannot download the ARM64 wheels.",
    f"Needed: {', '.join(WHEELS)} for {_WHEEL_PLATFORM}, from the index in pip's configuration.",
)


def install(progress: StepCallback | None = None) -> Sysroot:
    """Download and unpack the sysroot, complete or not at all, and return it; do nothing if it is installed.

    Downloads survive an interruption and are reused.

    Args:
        progress: Called before each step and at the end.

    Raises:
        ToolMissing: If this is not Linux, or apt, dpkg or pip are missing.
        InstallFailed: If a download fails.
        EmulatorFailed: If the downloaded Python does not run.
    """
    check_tools()
    final = Sysroot(find_sysroot_folder())
    if final.versions_file.exists() and final.qemu.exists():
        return final
    downloads = final.folder.with_name(f"{final.folder.name}.downloads")
    report = progress or (lambda step, done, total: None)
    with write_atomically(final.folder, folders={final.folder: final.versions_file.name}, overwrite=True) as (part,):
        sysroot = Sysroot(part)
        report("Downloading Debian's packages", 0, 5)
        packages, emulator = download_debian_packages(downloads / "apt")
        report("Unpacking them", 1, 5)
        _unpack_packages(packages, emulator, sysroot)
        report("Downloading PyTorch and ExecuTorch for ARM64", 2, 5)
        version = os.readlink(sysroot.python).removeprefix("python")  # Debian's python3 is a link to python3.11
        wheels = _download_wheels(downloads / "wheels", version)
        report("Unpacking them", 3, 5)
        _unpack_wheels(wheels, sysroot.site)
        report("Starting Python on ARM64", 4, 5)
        versions = _verify_sysroot(sysroot, packages)
        sysroot.versions_file.write_text(versions.to_json(), encoding="utf-8")
    shutil.rmtree(downloads, ignore_errors=True)
    report("Starting Python on ARM64", 5, 5)
    return final


def check_tools() -> None:
    """Raise `ToolMissing` if this machine lacks a program that the installation needs."""
    check_host()
    missing = [tool for tool in ("apt-get", "dpkg", "dpkg-deb") if not shutil.which(tool)]
    if missing:
        raise ToolMissing(
            f"{', '.join(missing)} cannot be found on this machine.",
            why="The ARM64 emulator consists of Debian packages, which apt downloads and verifies.",
            hint="Use a Debian machine or container; an ARM64 machine needs no emulator.",
        )
    check_pip("It downloads and verifies the ARM64 wheels.")


def download_debian_packages(folder: Path) -> tuple[list[Path], Path | None]:
    """Download the ARM64 packages and that of the emulator, which is None if the machine has the emulator.

    Raises:
        InstallFailed: If apt has none, or cannot download them.
    """
    apt = Apt(folder)
    archives = apt.download_with_dependencies(*_DEBIAN_PACKAGES)
    if _find_installed_emulator():
        return archives, None
    for package, program in _EMULATOR_PACKAGES:
        archive = apt.download_alone(package)
        if read_member(archive, program):
            return archives, archive
    raise InstallFailed("No Debian package contains an ARM64 emulator.", why="apt offers no qemu-user.")


def _unpack_packages(packages: Sequence[Path], emulator: Path | None, sysroot: Sysroot) -> None:
    """Unpack the packages into the sysroot's `root`, and put the emulator beside it."""
    sysroot.root.mkdir(parents=True)
    for package in packages:
        run_command(["dpkg-deb", "--extract", str(package), str(sysroot.root)], failure=DOWNLOAD_ERROR)
    if emulator is None:
        sysroot.qemu.symlink_to(_find_installed_emulator() or "")
        return
    program = next(program for package, program in _EMULATOR_PACKAGES if emulator.name.startswith(f"{package}_"))
    sysroot.qemu.write_bytes(read_member(emulator, program) or b"")
    sysroot.qemu.chmod(0o755)


def _download_wheels(folder: Path, version: str) -> list[Path]:
    """Download the ARM64 wheels for one version of Python, as '3.11', and compare their SHA-256.

    Raises:
        InstallFailed: If pip cannot download them, or one is not the file of `WHEELS`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    choice = ["--platform", _WHEEL_PLATFORM, "--python-version", version, "--only-binary=:all:", "--no-deps"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    lines = (f"{wheel} {' '.join(f'--hash=sha256:{one}' for one in hashes)}" for wheel, hashes in WHEELS.items())
    requirements = folder / "requirements.txt"
    requirements.write_text("\n".join(lines), encoding="utf-8")
    pinned = ["--require-hashes", "--requirement", str(requirements)]
    run_command([*pip, *choice, "--dest", str(folder), *pinned], failure=_PYPI_DOWNLOAD_ERROR)
    return sorted(folder.glob("*.whl"))


def _unpack_wheels(wheels: Sequence[Path], site: Path) -> None:
    """Unpack the needed files of the wheels into `site`."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if any(fnmatch(name, pattern) for pattern in _WHEEL_PATTERNS):
                    archive.extract(name, site)


def _verify_sysroot(sysroot: Sysroot, packages: Sequence[Path]) -> SysrootVersions:
    """Start Python, PyTorch and ExecuTorch in a sysroot, and return its versions."""
    with closing(EmulatedProcess(sysroot, CPUS[DEFAULT_CPU])) as process:
        emulator = run_command([str(sysroot.qemu), "--version"])  # "qemu-aarch64 version 7.2.22 (Debian …)"
        return SysrootVersions(
            emulator=emulator.partition(" version ")[2].split()[0],
            python=process.handshake.python,
            executorch=EXECUTORCH_VERSION,
            torch=TORCH_VERSION,
            packages=tuple(package.stem for package in packages),
        )


def _find_installed_emulator() -> str | None:
    return shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


def read_member(archive: Path, name: str) -> bytes | None:
    """Return the bytes of one file in a Debian package; None if it has no such file, or a link."""
    with (
        # If the file comes early, dpkg-deb writes errors about the closed pipe.
        subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as unpacking,
        tarfile.open(fileobj=unpacking.stdout, mode="r|") as files,
    ):
        for file in files:
            if file.name == name:
                data = files.extractfile(file) if file.isfile() else None
                return data.read() if data else None
    return None
