"""Compiles and packages the Android library and app on Linux, every warning an error: part of `make test-android`.

What they see is what a phone and Gradle would give them, as near as it is to be had: Android's framework classes of
API 23, with the newer members of `overlay/` merged in; and ExecuTorch's Java classes twice, those of an older version
and a stub of the newest. Then every member of Android's that the classes name is looked up in the signatures of a
recent API level, and every permission in the manifest; the app's test on a phone is compiled, the Gradle project is
checked, and a signed package is made and looked into. Nothing is run: that takes a phone.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from apk import check_package, list_compiled_classes, package_app
from compiling import CompiledModules, CompileFailed, compile_modules, compile_test
from gradle_files import check_gradle
from install import install, install_executorch
from members import find_misused_members
from planted import check_planted_mistakes
from resources import read_setting
from toolchain import Toolchain

from shvit_mobile.errors import ShvitError

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent / "android_demo"
BUILD = HERE.parent.parent / "build" / "android"
ASSETS = PROJECT / "app/src/main/assets"
# What a package says of itself.
PACKAGE_SETTINGS = ("applicationId", "minSdk", "targetSdk", "versionCode", "versionName")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--plant", action="store_true", help="then plant mistakes in copies, and count the caught")
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
    """0, or the exit status of what failed."""
    modules = compile_modules(tools, PROJECT, BUILD)
    wrong = find_misused_members(tools, (modules.library, modules.app.classes), PROJECT)
    for fault in wrong:
        print(f"error: {fault}", file=sys.stderr)
    if wrong:
        return 1
    print_status("shvit and app compile without a warning against Android's classes and both of ExecuTorch's APIs.")
    compile_test(tools, modules, PROJECT / "app", BUILD / "test")
    print_status("The app's test on a phone compiles without a warning.")
    check_gradle(tools, PROJECT, BUILD / "gradle")
    print_status("The Gradle scripts compile; catalog, modules, rules and wrapper agree.")
    made = build_package(tools, modules)
    print_status(
        f"{made.name}: {made.stat().st_size / 1e6:.1f} MB, aligned, signed, with all classes and {describe_models()}."
    )
    return 0 if not plant or check_planted_mistakes(tools, modules, PROJECT) else 1


def build_package(tools: Toolchain, modules: CompiledModules) -> Path:
    """The app's package, looked into."""
    script = (PROJECT / "app/build.gradle.kts").read_text()
    told = {name: read_setting(script, name) for name in PACKAGE_SETTINGS}
    jars = (tools.library("kotlin-stdlib"), install_executorch())
    made = package_app(tools, modules.app.resources, modules.code, jars, told["minSdk"], BUILD / "package")
    needed = {*list_compiled_classes(modules.code), *modules.app.resources.classes, "org.pytorch.executorch.Module"}
    check_package(tools, made, ASSETS, needed, told)
    return made


def describe_models() -> str:
    """How many models the package holds.

    Raises:
        ShvitError: there is none, and one is required.
    """
    count = len(list(ASSETS.glob("models/*/*.pte")))
    if count == 0 and os.environ.get("SHVIT_EMBEDDED") == "required":
        raise ShvitError("The package holds no model.", why="One is required.", hint="make app-goldens")
    return f"{count} model{'' if count == 1 else 's'}"


def print_status(what: str) -> None:
    print(what, flush=True)


if __name__ == "__main__":
    sys.exit(main())
