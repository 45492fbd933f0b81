"""What `doctor` looks at: the interpreter, the packages and the engines, each tried and not only looked up."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from shvit_mobile.errors import ShvitError, ToolMissing
from shvit_mobile.quiet import silence_libraries

from .progress import JobProgress

PACKAGE = "shvit-mobile"
REINSTALL_HINT = f"Try: pip install --force-reinstall {PACKAGE}"


@dataclass(frozen=True)
class InstallationCheck:
    """One thing that was looked at.

    Attributes:
        name: what it is.
        found: what is here.
        wanted: what was tested.
        good: whether that will do.
        hint: what to do where it will not.
    """

    name: str
    found: str
    wanted: str = ""
    good: bool = True
    hint: str = ""


def run_checks(steps: JobProgress) -> Iterator[InstallationCheck]:
    """Every check, in the order of the table."""
    steps.expect(3 + len(ENGINE_CHECKS))
    yield InstallationCheck("system", f"{platform.system()} {platform.release()}, {platform.machine()}")
    with steps.step("Looking up the packages"):
        yield from check_packages()
    for name, engine in ENGINE_CHECKS.items():
        with steps.step(f"Loading {name}"):
            yield check_engine(name, engine)
    with steps.step("Starting the ARM64 emulation"):
        yield check_arm64()


def check_packages() -> Iterator[InstallationCheck]:
    """Python and each package against what this project declares."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    try:
        declared = [Requirement(line) for line in requires(PACKAGE) or []]
        python = SpecifierSet(metadata(PACKAGE)["Requires-Python"])
    except PackageNotFoundError:
        yield InstallationCheck(PACKAGE, "not installed", good=False, hint="Install it from its folder: pip install .")
        return
    yield InstallationCheck(PACKAGE, version(PACKAGE))
    here = platform.python_version()
    yield InstallationCheck(
        "Python", here, str(python), python.contains(here), f"Make an environment with Python {python}."
    )
    for package in declared:
        if package.marker is None or package.marker.evaluate():
            yield check_package(package.name, str(package.specifier), package.specifier.contains)


def check_package(name: str, wanted: str, fits: Callable[..., bool]) -> InstallationCheck:
    """One package against the versions it was tested with."""
    hint = f"Try: pip install '{name}{wanted}'"
    try:
        found = version(name)
    except PackageNotFoundError:
        return InstallationCheck(name, "not installed", wanted, good=False, hint=hint)
    return InstallationCheck(name, found, wanted, fits(found, prereleases=True), hint)


def check_engine(name: str, engine: Callable[[], str]) -> InstallationCheck:
    """An engine after loading it; whatever that raises is what is wrong with it."""
    try:
        with silence_libraries():
            return InstallationCheck(name, engine())
    except Exception as reason:
        said = str(reason).strip().partition("\n")[0]
        return InstallationCheck(name, f"{type(reason).__name__}: {said}", good=False, hint=REINSTALL_HINT)


def check_arm64() -> InstallationCheck:
    """The ARM64 emulation, which nobody must have, after starting it once."""
    from shvit_mobile.runtimes.arm64.cpus import CPUS, DEFAULT_CPU, is_arm64_host
    from shvit_mobile.runtimes.arm64.process import EmulatedProcess
    from shvit_mobile.runtimes.arm64.sysroot import open_sysroot

    name, cpus = "ARM64", ", ".join(CPUS)
    if is_arm64_host():
        return InstallationCheck(name, "native: this machine is ARM64")
    try:
        sysroot = open_sysroot()
    except ToolMissing as reason:
        return InstallationCheck(name, f"not set up: {reason.hint or reason.what}")
    try:
        with EmulatedProcess(sysroot, CPUS[DEFAULT_CPU]) as process:
            features = ", ".join(process.handshake.features)
        made = sysroot.versions
    except ShvitError as reason:
        return InstallationCheck(name, reason.what, good=False, hint=reason.hint)
    engine = f"ExecuTorch {made.executorch}, Python {made.python}, qemu {made.emulator}"
    return InstallationCheck(name, f"emulated: {engine}; CPUs {cpus}; {DEFAULT_CPU} has {features}")


def check_coreml_writer() -> str:
    """coremltools' own libraries, which its packages for some systems lack; without them nothing can be written."""
    for library in ("libmilstoragepython", "libmodelpackage"):
        import_module(f"coremltools.{library}")
    return "its libraries load"


def check_coreml_runtime() -> str:
    if sys.platform == "darwin":
        import_module("coremltools.libcoremlpython")
        return f"native, macOS {platform.mac_ver()[0]}"
    import_module("shvit_mobile.runtimes.coreml")
    return "reference executor (Core ML itself needs macOS)"


def check_executorch() -> str:
    from executorch.runtime import Runtime

    backends = Runtime.get().backend_registry.registered_backend_names
    if "XnnpackBackend" not in backends:
        raise LookupError(f"XNNPACK is not among its backends: {', '.join(backends) or 'there are none'}")
    return "native, with XNNPACK"


def check_onnxruntime() -> str:
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    if "CPUExecutionProvider" not in providers:
        raise LookupError(f"there is no provider for the CPU: {', '.join(providers)}")
    return "native, on the CPU"


def check_torch() -> str:
    import torch

    return f"{torch.ones(2, 2).sum().item():g} ones, {torch.get_num_threads()} threads"


ENGINE_CHECKS: dict[str, Callable[[], str]] = {
    "PyTorch": check_torch,
    "Core ML writer": check_coreml_writer,
    "Core ML runtime": check_coreml_runtime,
    "ExecuTorch runtime": check_executorch,
    "ONNX Runtime": check_onnxruntime,
}
