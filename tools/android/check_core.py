"""Compiles the Android core, runs its tests and holds their coverage against a floor: `make test-android`.

At the end Python reads the device report that a simulated run in the tests has written.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from install import install
from toolchain import Toolchain, paths

from shvit_mobile.bench.report import DeviceReport
from shvit_mobile.errors import ShvitError

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
MODULE = REPOSITORY / "android_demo" / "shvit-core"
BUILD = MODULE / "build" / "linux"
PACKAGE = "dev.shvit.core"
REPORT = BUILD / "simulated-report.json"
# Of the lines, in percent.
FLOOR = 90


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="TEXT", default="", help="run only test classes whose name holds this")
    options = parser.parse_args()
    try:
        status = check(install(), options.only)
        if status == 0 and not options.only:
            report = DeviceReport.read(REPORT)
            print(f"Python reads the simulated run's report: {len(report.results)} results of {report.device.model}.")
        return status
    except ShvitError as reason:
        print(f"error: {reason}", file=sys.stderr)
        return 2


def check(tools: Toolchain, only: str) -> int:
    """0, or the exit status of what failed."""
    shutil.rmtree(BUILD, ignore_errors=True)
    classes, tests = BUILD / "classes", BUILD / "test-classes"
    (BUILD / "work").mkdir(parents=True)
    os.environ["SHVIT_REPORT"] = str(REPORT)
    standard = tools.library("kotlin-stdlib")
    libraries = [standard, tools.library("kotlin-test"), tools.library("kotlin-test-junit"), *tools.jars]
    # The module's name is in the names of what is internal, which the tests reach too.
    named = ("-module-name", "shvit-core")
    return (
        tools.kotlinc(sources(MODULE / "src/main"), classes, [standard], *named)
        or tools.kotlinc(
            [*sources(MODULE / "src/test"), *sources(HERE / "coverage")],
            tests,
            [classes, *libraries],
            *named,
            f"-Xfriend-paths={classes}",
        )
        or tools.java(
            *("-cp", paths([tests, *libraries])),
            f"-Dshvit.repository={REPOSITORY}",
            f"-Dshvit.work={BUILD / 'work'}",
            *("CoverageKt", classes, MODULE / "src/main/kotlin", PACKAGE, str(FLOOR), only),
        )
    )


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.kt"))


if __name__ == "__main__":
    sys.exit(main())
