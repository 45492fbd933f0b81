"""Sets the ARM64 emulation up: packages by apt, wheels by pip, from wherever both are configured to; needs no root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.errors import ShvitError, ToolMissing
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

InstallProgress = Callable[[str, int, int], None]

# Debian's default Python, and what the wheels' libraries link to. ctypes is in libpython3-stdlib.
DEBIAN_PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
# The emulator's package and the program in it; from Debian 13 on the first is empty and the second is static.
EMULATOR_PACKAGES = (
    ("qemu-user-static", "./usr/bin/qemu-aarch64-static"),
    ("qemu-user", "./usr/bin/qemu-aarch64"),
)
# All that is needed of the wheels: PyTorch's libraries, for the tensors at ExecuTorch's border, and its binding.
WHEEL_PATTERNS = ("torch/_C.*.so", "torch/lib/*.so*", "executorch/extension/pybindings/*.so")
WHEEL_PLATFORM = "manylinux_2_28_aarch64"

# A world of apt's own, so that neither root nor the machine's package database is touched. Sources, keys and proxies
# stay the machine's.
APT_CONFIG = """\
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; "{host}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
"""


class InstallFailed(ShvitError):
    """Something that had to be downloaded could not be."""


def install(progress: InstallProgress | None = None) -> Sysroot:
    """The sysroot, downloaded and unpacked if it is not there; whole or not at all.

    What was downloaded before an interruption is kept and not downloaded again.

    Args:
        progress: told (what is being done, steps done, steps in all).

    Raises:
        ToolMissing: this is not Linux, or apt, dpkg or pip are missing.
        InstallFailed: a download failed.
        EmulatorFailed: what was downloaded does not run.
    """
    check_tools()
    final = Sysroot(find_sysroot_folder())
    if final.versions_file.exists() and final.qemu.exists():
        return final
    downloads = final.folder.with_name(f"{final.folder.name}.downloads")
    say = progress or (lambda what, done, total: None)
    with write_atomically(final.folder, folders={final.folder: final.versions_file.name}, overwrite=True) as (part,):
        made = Sysroot(part)
        say("Downloading Debian's packages", 0, 5)
        packages, emulator = download_debian_packages(downloads / "apt")
        say("Unpacking them", 1, 5)
        unpack_packages(packages, emulator, made)
        say("Downloading PyTorch and ExecuTorch for ARM64", 2, 5)
        wheels = download_wheels(downloads / "wheels", read_python_version(made))
        say("Unpacking them", 3, 5)
        unpack_wheels(wheels, made.site)
        say("Starting Python on ARM64", 4, 5)
        versions = verify_sysroot(made, packages)
        made.versions_file.write_text(versions.to_json())
    shutil.rmtree(downloads, ignore_errors=True)
    say("Starting Python on ARM64", 5, 5)
    return final


def check_tools() -> None:
    """Raises `ToolMissing` where the sysroot cannot be made on this machine."""
    check_host()
    missing = [tool for tool in ("apt-get", "dpkg", "dpkg-deb") if not shutil.which(tool)]
    if missing:
        raise ToolMissing(
            f"{', '.join(missing)} cannot be found on this machine.",
            why="The ARM64 emulation is made of Debian's packages, which apt downloads and verifies.",
            hint="Use a Debian machine or container; a machine that is ARM64 itself needs no emulation.",
        )
    if find_spec("pip") is None:
        raise ToolMissing(
            "pip is not installed in this environment.",
            why="It downloads and verifies the ARM64 wheels.",
            hint=f"Try: {sys.executable} -m ensurepip",
        )


def download_debian_packages(folder: Path) -> tuple[list[Path], Path | None]:
    """The ARM64 packages, and the emulator's, which is None where the machine has the emulator.

    Raises:
        InstallFailed: apt has none, or cannot download them.
    """
    host = run_command(["dpkg", "--print-architecture"])
    for place in ("state/lists/partial", "cache/archives/partial"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    config = folder / "apt.conf"
    config.write_text(APT_CONFIG.format(folder=folder, host=host))
    environment = {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C"}

    # A source that is not Debian's may fail without harm: whether the packages are there is what counts.
    update = ["apt-get", "--quiet=2", "update"]
    updated = subprocess.run(update, env=environment, capture_output=True, text=True, check=False)
    what, why = DEBIAN_DOWNLOAD_ERROR
    about = what, f"{why} {format_last_error(updated)}".strip()

    def apt(*arguments: str) -> None:
        run_command(["apt-get", "--quiet=2", *arguments], environment, folder, about)

    apt("autoclean")  # versions that an interrupted attempt left, and that are no longer the newest
    apt("install", "--yes", "--download-only", *DEBIAN_PACKAGES)
    archives = sorted((folder / "cache/archives").glob("*.deb"))
    if find_installed_emulator():
        return archives, None
    for package, program in EMULATOR_PACKAGES:
        apt("download", f"{package}:{host}")
        archive = max(folder.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)
        if contains_file(archive, program):
            return archives, archive
    raise InstallFailed("None of Debian's packages holds an emulator of ARM64.", why="apt offers no qemu-user.")


DEBIAN_DOWNLOAD_ERROR = (
    "apt cannot download the ARM64 packages.",
    "They come from the Debian mirror that apt is configured with; other systems' mirrors may hold no ARM64.",
)
PYPI_DOWNLOAD_ERROR = (
    "pip cannot download the ARM64 wheels.",
    f"Needed: {', '.join(WHEELS)} for {WHEEL_PLATFORM}, from the index that pip is configured with.",
)


def unpack_packages(packages: Sequence[Path], emulator: Path | None, sysroot: Sysroot) -> None:
    """Fills `root`, and puts the emulator beside it."""
    sysroot.root.mkdir(parents=True)
    for package in packages:
        run_command(["dpkg-deb", "--extract", str(package), str(sysroot.root)], failure=DEBIAN_DOWNLOAD_ERROR)
    if emulator is None:
        sysroot.qemu.symlink_to(find_installed_emulator() or "")
        return
    program = next(program for package, program in EMULATOR_PACKAGES if emulator.name.startswith(f"{package}_"))
    sysroot.qemu.write_bytes(read_member(emulator, program) or b"")
    sysroot.qemu.chmod(0o755)


def download_wheels(folder: Path, version: str) -> list[Path]:
    """The wheels for ARM64 and one version of Python, as '3.11'.

    Raises:
        InstallFailed: pip cannot download them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    choice = ["--platform", WHEEL_PLATFORM, "--python-version", version, "--only-binary=:all:", "--no-deps"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    run_command([*pip, *choice, "--dest", str(folder), *WHEELS], failure=PYPI_DOWNLOAD_ERROR)
    return sorted(folder.glob("*.whl"))


def unpack_wheels(wheels: Sequence[Path], site: Path) -> None:
    """Puts what is needed of the wheels into `site`."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if any(fnmatch(name, pattern) for pattern in WHEEL_PATTERNS):
                    archive.extract(name, site)


def verify_sysroot(sysroot: Sysroot, packages: Sequence[Path]) -> SysrootVersions:
    """The versions of a sysroot whose Python, PyTorch and ExecuTorch have started on ARM64."""
    with EmulatedProcess(sysroot, CPUS[DEFAULT_CPU]) as process:
        return SysrootVersions(
            emulator=read_emulator_version(sysroot.qemu),
            python=process.handshake.python,
            executorch=EXECUTORCH_VERSION,
            torch=TORCH_VERSION,
            packages=tuple(package.stem for package in packages),
        )


def find_installed_emulator() -> str | None:
    return shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


def read_emulator_version(qemu: Path) -> str:
    """As '7.2.22', out of 'qemu-aarch64 version 7.2.22 (Debian …)'."""
    return run_command([str(qemu), "--version"]).partition(" version ")[2].split()[0]


def read_python_version(sysroot: Sysroot) -> str:
    """As '3.11': Debian's python3 is a link to python3.11."""
    return os.readlink(sysroot.python).removeprefix("python")


def contains_file(archive: Path, program: str) -> bool:
    return bool(read_member(archive, program))


def read_member(archive: Path, name: str) -> bytes | None:
    """The bytes of one file in a Debian package; None where it has none of this name, or a link."""
    with (
        # Where the file is found early, dpkg-deb complains that nobody hears the rest.
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


def run_command(
    command: Sequence[str],
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
    failure: tuple[str, str] = ("A program failed.", ""),
) -> str:
    """What a program prints.

    Args:
        command: the program and its arguments.
        environment: its environment; that of this process otherwise.
        folder: where it runs.
        about: what a failure means, and why it is needed.

    Raises:
        InstallFailed: it ends with another status than 0; holds the last of what it said.
    """
    ended = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        what, why = failure
        raise InstallFailed(what, why=f"{why} {format_last_error(ended)}".strip(), hint="Is there a network?")
    return ended.stdout.strip()


def format_last_error(completed: subprocess.CompletedProcess[str]) -> str:
    """The last line of a program's complaints, in a sentence; nothing where it did not complain."""
    lines = [line.strip() for line in completed.stderr.splitlines() if line.strip()]
    return f"{' '.join(completed.args[:1])} said: {lines[-1]}" if lines else ""
