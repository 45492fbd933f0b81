"""Install the instruction counter: an emulator that takes plugins, and the plugin, compiled from `counter.c`."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from shvit_mobile.cache import resolve_cache_folder
from shvit_mobile.contracts.document import JsonFile
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.errors import BadArtifact, ToolMissing
from shvit_mobile.processes import InstallFailed, run_command
from shvit_mobile.progress import StepCallback
from shvit_mobile.runtimes.arm64.apt import DOWNLOAD_ERROR, Apt
from shvit_mobile.runtimes.arm64.cpus import CPUS, DEFAULT_CPU
from shvit_mobile.runtimes.arm64.install import check_tools
from shvit_mobile.runtimes.arm64.process import EmulatedProcess, Emulator
from shvit_mobile.runtimes.arm64.sysroot import INSTALL_COMMAND, Sysroot, check_host

_SOURCE = Path(__file__).with_name("counter.c")
_FOLDER_VARIABLE = "SHVIT_ARM64_COUNTER"
_PACKAGE = "qemu-user"
# The emulator of this machine's system uses its C library.
_OWN_LIBRARIES = ("libc6_",)
# The first version of the emulator with another plugin interface, and the numbers of both.
_NEW_INTERFACE_SINCE, _OLD_INTERFACE, _NEW_INTERFACE = 9, 1, 4
_COMPILERS = ("cc", "gcc", "clang")


class _CounterVersions(JsonFile):
    """The versions in a counter's folder: `versions.json`, written last."""

    ERROR = BadArtifact
    TITLE = "the versions of the instruction counter"

    emulator: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Counter:
    """A folder with an emulator that takes plugins, the libraries that it needs, and the plugin."""

    folder: Path

    @property
    def emulator(self) -> Path:
        return self.folder / "qemu-aarch64"

    @property
    def libraries(self) -> Path:
        return self.folder / "lib"

    @property
    def plugin(self) -> Path:
        return self.folder / "counter.so"

    @property
    def versions_file(self) -> Path:
        return self.folder / "versions.json"

    @property
    def emulator_version(self) -> str:
        return _CounterVersions.load(self.versions_file).emulator

    def describe_emulator(self, counts: Path) -> Emulator:
        """Return the emulator with the plugin, which appends what it counts to the file `counts`."""
        options = f"{self.plugin},out={counts}"
        return Emulator((str(self.emulator), "-plugin", options), self.libraries)


def find_counter_folder() -> Path:
    """Return the folder of the counter: $SHVIT_ARM64_COUNTER, or one in the cache, named after the plugin's source."""
    return resolve_cache_folder(_FOLDER_VARIABLE, f"arm64-counter-{compute_sha256(_SOURCE)[:12]}")


def open_counter() -> Counter:
    """Open the counter of this machine.

    Raises:
        ToolMissing: If it is not installed.
    """
    check_host()
    counter = Counter(find_counter_folder())
    if not counter.versions_file.exists():
        raise ToolMissing(
            "The instruction counter is not set up on this machine.",
            why=f"It should be in {counter.folder}.",
            hint=f"Set it up (no root needed): {INSTALL_COMMAND}",
        )
    return counter


def install_counter(sysroot: Sysroot, progress: StepCallback | None = None) -> Counter:
    """Download an emulator that takes plugins, compile the plugin and try both; do nothing if they are installed.

    Args:
        sysroot: The Linux in which it is tried.
        progress: Called before each step and at the end.

    Raises:
        ToolMissing: If this is not Linux, or apt, dpkg or a C compiler are missing.
        InstallFailed: If a download fails, the plugin does not compile, or the system's emulator takes no plugins.
    """
    check_tools()
    final = Counter(find_counter_folder())
    if final.versions_file.exists():
        return final
    compiler = _find_compiler()
    downloads = final.folder.with_name(f"{final.folder.name}.downloads")
    report = progress or (lambda step, done, total: None)
    with write_atomically(final.folder, folders={final.folder: final.versions_file.name}, overwrite=True) as (part,):
        counter = Counter(part)
        report("Downloading an emulator that takes plugins", 0, 2)
        apt = Apt(downloads / "apt")
        packages = apt.download_with_dependencies(f"{_PACKAGE}:{apt.host}")
        _unpack(packages, downloads / "root", counter)
        report("Compiling the counter", 1, 2)
        emulator = _read_version(counter)
        version = _OLD_INTERFACE if int(emulator.partition(".")[0]) < _NEW_INTERFACE_SINCE else _NEW_INTERFACE
        options = ["-O2", "-shared", "-fPIC", "-fvisibility=hidden", f"-DPLUGIN_VERSION={version}"]
        failure = "The instruction counter does not compile.", f"It is compiled with {compiler}."
        run_command([compiler, *options, "-o", str(counter.plugin), str(_SOURCE)], failure=failure)
        _try(counter, sysroot)
        versions = _CounterVersions(emulator=emulator, packages=tuple(package.stem for package in packages))
        counter.versions_file.write_text(versions.to_json(), encoding="utf-8")
    shutil.rmtree(downloads, ignore_errors=True)
    report("Compiling the counter", 2, 2)
    return final


def _find_compiler() -> str:
    for name in _COMPILERS:
        if found := shutil.which(name):
            return found
    raise ToolMissing(
        "There is no C compiler on this machine.",
        why="The instruction counter is a plugin of the emulator, which is compiled here.",
        hint="Install one: apt install gcc libc6-dev",
    )


def _unpack(packages: list[Path], root: Path, counter: Counter) -> None:
    """Unpack packages into `root`, and copy the emulator and all libraries but the C library to the counter."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for package in packages:
        if not package.name.startswith(_OWN_LIBRARIES):
            run_command(["dpkg-deb", "--extract", str(package), str(root)], failure=DOWNLOAD_ERROR)
    counter.libraries.mkdir(parents=True)
    for library in root.rglob("*.so.*"):
        if library.is_file():  # links too, each as a file of its own
            shutil.copyfile(library, counter.libraries / library.name)
    shutil.copy(root / "usr/bin" / counter.emulator.name, counter.emulator)


def _read_version(counter: Counter) -> str:
    """Return the version of the emulator, as "7.2.22"."""
    failure = "The emulator that apt has downloaded does not start.", ""
    emulator = Emulator((str(counter.emulator), "--version"), counter.libraries)
    said = run_command(emulator.command, emulator.environment, failure=failure)
    return said.partition(" version ")[2].split()[0]


def _try(counter: Counter, sysroot: Sysroot) -> None:
    """Start Python with the plugin.

    Raises:
        InstallFailed: If the emulator takes no plugins, as that of Debian 13, which is one static program.
    """
    emulator = counter.describe_emulator(counter.folder / "none")
    with closing(EmulatedProcess(sysroot, CPUS[DEFAULT_CPU], emulator=emulator)) as process:
        try:
            _ = process.handshake
        except Exception as reason:
            raise InstallFailed(
                "The emulator of this system cannot count instructions.",
                why=f"It does not run with a plugin. {reason}",
                hint="Use a system whose qemu-user takes plugins, such as Debian 12.",
            ) from None
