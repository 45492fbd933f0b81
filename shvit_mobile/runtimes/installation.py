"""Checks this installation: the interpreter, the packages, and every engine by loading it."""

import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import find_spec

from shvit_mobile.environments import ENVIRONMENTS, Environment, verify_environment
from shvit_mobile.errors import ShvitError, ToolMissing
from shvit_mobile.progress import StepCallback
from shvit_mobile.quiet import REQUIREMENTS, silence_libraries
from shvit_mobile.targets.tools import COREML_WRITER_LIBRARIES, has_coreml_writer
from shvit_mobile.versions import VERSION, get_package_versions

# The distribution with the code, and the one that requires every target; without it, a target is optional.
_PACKAGE, _EVERYTHING = "shvit-mobile-core", "shvit-mobile"
_REINSTALL_HINT = f"Try: pip install --force-reinstall {_EVERYTHING}"
_TARGET_EXTRAS = ("onnx", "executorch", "coreml")
# Versions that work together, the declared ones first: with each set the demo model was exported and run.
_EXECUTORCH_PACKAGES = ("executorch", "torch", "torchao")
EXECUTORCH_SETS = (("1.4.1", "2.13.0", "0.18.0"), ("1.5.1", "2.13.0", "0.18.0"))


@dataclass(frozen=True)
class InstallationCheck:
    """The outcome of one check.

    Attributes:
        name: What was checked.
        found: What is installed.
        wanted: The versions that were tested.
        good: Whether it works.
        hint: What to do if it does not.
    """

    name: str
    found: str
    wanted: str = ""
    good: bool = True
    hint: str = ""


def run_checks(progress: StepCallback = lambda *_: None) -> Iterator[InstallationCheck]:
    """Run every check, in the order of the table."""
    total = 3 + len(ENGINE_CHECKS) + len(ENVIRONMENTS)
    yield InstallationCheck("system", f"{platform.system()} {platform.release()}, {platform.machine()}")
    progress("Looking up the packages", 0, total)
    yield from _check_packages()
    for number, (name, (library, engine)) in enumerate(ENGINE_CHECKS.items(), 1):
        progress(f"Loading {name}", number, total)
        yield check_engine(name, engine) if find_spec(library) else _report_missing(name, library)
    progress("Running Core AI", total - 2 - len(ENVIRONMENTS), total)
    yield _check_coreai()
    progress("Starting the ARM64 emulator", total - 1 - len(ENVIRONMENTS), total)
    yield _check_arm64()
    for number, environment in enumerate(ENVIRONMENTS.values(), total - len(ENVIRONMENTS)):
        progress(f"Running the environment '{environment.name}'", number, total)
        missing = next((one for one in environment.libraries if find_spec(one) is None), None)
        yield (
            _report_optional(f"environment '{environment.name}'", missing)
            if missing
            else check_environment(environment)
        )


def _check_packages() -> Iterator[InstallationCheck]:
    """Compare Python and each package with the versions that this project declares."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    try:
        declared = [Requirement(line) for line in requires(_PACKAGE) or []]
        python = SpecifierSet(metadata(_PACKAGE)["Requires-Python"])
    except PackageNotFoundError:
        hint = "Install it from its folder: pip install '.[all]'"
        yield InstallationCheck(_PACKAGE, "not installed", good=False, hint=hint)
        return
    yield InstallationCheck(_PACKAGE, VERSION)
    installed = platform.python_version()
    yield InstallationCheck(
        "Python", installed, str(python), python.contains(installed), f"Create an environment with Python {python}."
    )
    for package in declared:
        if package.marker is None or package.marker.evaluate({"extra": ""}):
            yield check_package(package.name, str(package.specifier), package.specifier.contains)
        for extra in _TARGET_EXTRAS:
            if package.marker is not None and package.marker.evaluate({"extra": extra}):
                yield check_target_package(package.name, extra, str(package.specifier), package.specifier.contains)
    found = get_package_versions(*_EXECUTORCH_PACKAGES)
    if len(found) == len(_EXECUTORCH_PACKAGES):
        yield check_executorch_set(*found.values())


def _check_coreai() -> InstallationCheck:
    """Run a small program in the optional runtime of Core AI."""
    from shvit_mobile.targets.coreai.process import check_runtime

    name = "Core AI"
    if find_spec("coreai") is None:
        return InstallationCheck(name, f"optional, experimental, not set up: pip install {REQUIREMENTS['coreai']}")
    return check_engine(name, check_runtime)


def check_package(name: str, wanted: str, fits: Callable[..., bool]) -> InstallationCheck:
    """Compare a package with the versions that were tested."""
    hint = f"Try: pip install '{name}{wanted}'"
    try:
        found = version(name)
    except PackageNotFoundError:
        return InstallationCheck(name, "not installed", wanted, good=False, hint=hint)
    return InstallationCheck(name, found, wanted, fits(found, prereleases=True), hint)


def check_target_package(name: str, extra: str, wanted: str, fits: Callable[..., bool]) -> InstallationCheck:
    """Compare a package of a target with the versions that were tested; a partial installation need not have it."""
    if get_package_versions(name) or is_complete():
        return check_package(name, wanted, fits)
    return InstallationCheck(name, f"optional, not installed: pip install '{_PACKAGE}[{extra}]'", wanted)


def is_complete() -> bool:
    """Return whether this is an installation of everything, in which no target is optional."""
    try:
        version(_EVERYTHING)
    except PackageNotFoundError:
        return False
    return True


def _report_missing(name: str, library: str) -> InstallationCheck:
    """Report an engine whose library is not installed."""
    if is_complete():
        hint = f"Try: pip install {REQUIREMENTS.get(library, library)}"
        return InstallationCheck(name, "not installed", good=False, hint=hint)
    return _report_optional(name, library)


def _report_optional(name: str, library: str) -> InstallationCheck:
    """Report what needs a library that need not be installed."""
    return InstallationCheck(name, f"optional, not installed: pip install {REQUIREMENTS.get(library, library)}")


def check_executorch_set(executorch: str, torch: str, torchao: str) -> InstallationCheck:
    """Compare the versions of three packages with the sets that work; a local part such as "+cpu" does not count."""
    name, installed = "ExecuTorch's set", tuple(one.partition("+")[0] for one in (executorch, torch, torchao))
    known = {one[0]: one for one in reversed(EXECUTORCH_SETS)}
    fitting = known.get(installed[0], EXECUTORCH_SETS[0])
    requirements = [f"{package}=={one}" for package, one in zip(_EXECUTORCH_PACKAGES, fitting, strict=True)]
    if installed in EXECUTORCH_SETS:
        return InstallationCheck(name, "the three work together", ", ".join(requirements))
    found = ", ".join(f"{package} {one}" for package, one in zip(_EXECUTORCH_PACKAGES, installed, strict=True))
    hint = f"Try: pip install {' '.join(requirements)}"
    return InstallationCheck(name, f"{found}: not known to work together", ", ".join(requirements), False, hint)


def check_engine(name: str, engine: Callable[[], str]) -> InstallationCheck:
    """Load an engine; report any exception as the fault."""
    try:
        with silence_libraries():
            return InstallationCheck(name, engine())
    except Exception as reason:
        message = str(reason).strip().partition("\n")[0]
        return InstallationCheck(name, f"{type(reason).__name__}: {message}", good=False, hint=_REINSTALL_HINT)


def check_environment(environment: Environment) -> InstallationCheck:
    """Run an optional environment once, if it is installed."""
    name = f"environment '{environment.name}'"
    if not environment.is_installed:
        hint = f"It {environment.purpose}. Install it ({environment.size}): {environment.install_command}"
        return InstallationCheck(name, f"optional, not set up: {hint}")
    try:
        verify_environment(environment)
    except ShvitError as reason:
        return InstallationCheck(name, f"{reason.what} {reason.why}", good=False, hint=reason.hint)
    return InstallationCheck(name, f"{environment.purpose}: {environment.requirements[0]}")


def _check_arm64() -> InstallationCheck:
    """Start the optional ARM64 emulator once."""
    from shvit_mobile.runtimes.arm64.cpus import CPUS, DEFAULT_CPU, is_arm64_host
    from shvit_mobile.runtimes.arm64.process import EmulatedProcess
    from shvit_mobile.runtimes.arm64.sysroot import open_sysroot

    name = "ARM64"
    if is_arm64_host():
        return InstallationCheck(name, "native: this machine is ARM64")
    try:
        sysroot = open_sysroot()
    except ToolMissing as reason:
        return InstallationCheck(name, f"optional, not set up: {reason.hint or reason.what}")
    try:
        with closing(EmulatedProcess(sysroot, CPUS[DEFAULT_CPU])) as process:
            features = ", ".join(process.handshake.features)
        versions = sysroot.versions
    except ShvitError as reason:
        return InstallationCheck(name, reason.what, good=False, hint=reason.hint)
    engine = f"ExecuTorch {versions.executorch}, Python {versions.python}, qemu {versions.emulator}"
    return InstallationCheck(name, f"emulated: {engine}; CPUs {', '.join(CPUS)}; {DEFAULT_CPU} has {features}")


def _check_coreml_writer() -> str:
    """Load the libraries that coremltools writes packages with, which it has for some systems only."""
    if not has_coreml_writer() and (platform.system(), platform.machine()) not in _COREML_SYSTEMS:
        return "not for this system; packages run in the reference executor"
    for library in COREML_WRITER_LIBRARIES:
        import_module(f"coremltools.{library}")
    return "its libraries load"


def _check_coreml_runtime() -> str:
    if sys.platform == "darwin":
        import_module("coremltools.libcoremlpython")
        return f"native, macOS {platform.mac_ver()[0]}"
    import_module("shvit_mobile.runtimes.coreml")
    return "reference executor (Core ML itself needs macOS)"


def _check_executorch() -> str:
    from executorch.runtime import Runtime

    backends = Runtime.get().backend_registry.registered_backend_names
    if "XnnpackBackend" not in backends:
        raise LookupError(f"XNNPACK is not one of its backends: {', '.join(backends) or 'there are none'}")
    return "native, with XNNPACK"


def _check_onnxruntime() -> str:
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    if "CPUExecutionProvider" not in providers:
        raise LookupError(f"there is no provider for the CPU: {', '.join(providers)}")
    return "native, on the CPU"


def _check_torch() -> str:
    import torch

    if torch.ones(2, 2).sum().item() != 4:
        raise ArithmeticError("the sum of four ones is not 4")
    return f"{torch.get_num_threads()} threads"


# Where coremltools has wheels.
_COREML_SYSTEMS = (("Linux", "x86_64"), ("Darwin", "x86_64"), ("Darwin", "arm64"))
# Each engine with the library that it needs.
ENGINE_CHECKS: dict[str, tuple[str, Callable[[], str]]] = {
    "PyTorch": ("torch", _check_torch),
    "Core ML writer": ("coremltools", _check_coreml_writer),
    "Core ML runtime": ("coremltools", _check_coreml_runtime),
    "ExecuTorch runtime": ("executorch", _check_executorch),
    "ONNX Runtime": ("onnxruntime", _check_onnxruntime),
}
