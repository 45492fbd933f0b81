"""Compiles and packages the Android library and app on Linux, with warnings as errors: part of `make test-android`.

The class path resembles a phone's: Android's framework classes of API 23 with the newer members of `overlay/`, and two
versions of ExecuTorch's Java classes, an older one and a stub of the newest. Every Android member that the classes name
is looked up in the signatures of a recent API level, and every permission in the manifest. The app's test on a phone is
compiled, the Gradle project is checked, and a signed package is built and checked. Then library and app run against
classes that act like Android's and ExecuTorch's.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from apk import MODEL_SUFFIXES, check_package, list_compiled_classes, package_app
from compiling import CompiledModules, CompileFailed, compile_modules, compile_test
from gradle_files import check_gradle
from install import install, install_executorch
from members import find_misused_members
from planted import check_planted_mistakes
from platform_tests import compile_platform_tests, run_platform_tests
from resources import read_setting
from snippets import compile_snippets
from toolchain import Toolchain

from shvit_mobile.errors import ShvitError

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent / "android_demo"
BUILD = HERE.parent.parent / "build" / "android"
ASSETS = PROJECT / "app/src/main/assets"
# The values in a package's badging.
PACKAGE_SETTINGS = ("applicationId", "minSdk", "targetSdk", "versionCode", "versionName")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--plant",
        action="store_true",
        help="also plant mistakes and count the detected ones",
    )
    plant = options.parse_args().plant
    try:
        return check(install(), plant)
    except ShvitError as reason:
        print(f"error: {reason}", file=sys.stderr)
        return 2
    except CompileFailed as reason:
        print(f"error: {reason}", file=sys.stderr)
        return reason.status


def check(tools: Toolchain, plant: bool) -> int:
    """Check the project; return 0, or the exit status of the failed step."""
    modules = compile_modules(tools, PROJECT, BUILD)
    written = modules.library, modules.litert, modules.camerax, modules.app.classes
    faults = find_misused_members(tools, written, PROJECT)
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if faults:
        return 1
    print_status(
        "shvit, shvit-litert, shvit-camerax and app compile without warnings against Android and both ExecuTorch APIs."
    )
    compile_test(tools, modules, PROJECT / "app", BUILD / "test")
    print_status("The app's test on a phone compiles without warnings.")
    snippets = compile_snippets(tools, modules, PROJECT / "README.md", BUILD / "snippets")
    print_status(f"The {snippets} Kotlin snippets of the README compile without warnings.")
    check_gradle(tools, PROJECT, BUILD / "gradle")
    print_status("The Gradle scripts compile. Catalog, modules, rules and wrapper are consistent.")
    package = build_package(tools, modules)
    size = f"{package.stat().st_size / 1e6:.1f} MB"
    print_status(f"{package.name}: {size}, aligned, signed, with all classes and {describe_models()}.")
    tests = compile_platform_tests(tools, modules, BUILD / "platform")
    count = run_platform_tests(tools, tests, modules.code, PROJECT / "app/src/main")
    print_status(f"{count} tests pass that run library and app against classes that act like Android's.")
    return 0 if not plant or check_planted_mistakes(tools, modules, tests, PROJECT) else 1


def build_package(tools: Toolchain, modules: CompiledModules) -> Path:
    """Build and check the app's package; return its path."""
    script = (PROJECT / "app/build.gradle.kts").read_text(encoding="utf-8")
    settings = {name: read_setting(script, name) for name in PACKAGE_SETTINGS}
    jars = (tools.library("kotlin-stdlib"), install_executorch())
    package = package_app(tools, modules.app.resources, modules.code, jars, settings["minSdk"], BUILD / "package")
    needed = {*list_compiled_classes(modules.code), "org.pytorch.executorch.Module"}
    check_package(tools, package, ASSETS, needed, settings)
    return package


def describe_models() -> str:
    """Return the number of models in the package as text.

    Raises:
        ShvitError: If there is none, but one is required.
    """
    count = sum(1 for model in ASSETS.glob("models/*/*") if model.suffix in MODEL_SUFFIXES)
    if count == 0 and os.environ.get("SHVIT_EMBEDDED") == "required":
        raise ShvitError("The package contains no model.", why="One is required.", hint="make app-goldens")
    return f"{count} model{'' if count == 1 else 's'}"


def print_status(what: str) -> None:
    print(what, flush=True)


if __name__ == "__main__":
    sys.exit(main())
