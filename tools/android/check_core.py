"""Compiles the Android core, runs its tests and checks their coverage: part of `make test-android`.

At the end, `shvit-mobile devices` must accept the device report that a simulated run in the tests wrote, and decide
whether that run is slower than the same run of a day earlier. The app's default number of rounds must be enough.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from install import install
from toolchain import Toolchain, join_paths

from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.errors import ShvitError

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
MODULE = REPOSITORY / "android_demo" / "shvit-core"
BUILD = MODULE / "build" / "linux"
PACKAGE = "dev.shvit.core"
REPORT, EARLIER = BUILD / "simulated-report.json", BUILD / "simulated-report-earlier.json"
COMPARED = BUILD / "comparison.json"
MEASURED = REPOSITORY / "schemas/fixtures/goldens/shvit_s1-64-executorch-fp32.manifest.json"
# The mean over a picture, in steps of 0 to 255.
MAX_PIXEL_DIFFERENCE = 1.0
# Covered lines, in percent.
MIN_COVERAGE = 90


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="TEXT", default="", help="run only test classes whose name contains TEXT")
    options = parser.parse_args()
    try:
        status = check(install(), options.only)
        return status or (0 if options.only else check_simulated_report())
    except ShvitError as reason:
        print(f"error: {reason}", file=sys.stderr)
        return 2


def check(tools: Toolchain, only: str) -> int:
    """Compile and test the core; return 0, or the exit status of the failed step."""
    shutil.rmtree(BUILD, ignore_errors=True)
    classes, tests = BUILD / "classes", BUILD / "test-classes"
    (BUILD / "work").mkdir(parents=True)
    os.environ["SHVIT_REPORT"] = str(REPORT)
    standard = tools.library("kotlin-stdlib")
    libraries = [standard, tools.library("kotlin-test"), tools.library("kotlin-test-junit"), *tools.jars]
    # Internal names, which the tests use, contain the module's name.
    named = ("-module-name", "shvit-core")
    return (
        tools.kotlinc(list_sources(MODULE / "src/main"), classes, [standard], *named)
        or tools.kotlinc(
            [*list_sources(MODULE / "src/test"), *list_sources(HERE / "coverage")],
            tests,
            [classes, *libraries],
            *named,
            f"-Xfriend-paths={classes}",
        )
        or tools.java(
            *("-cp", join_paths([tests, *libraries])),
            f"-Dshvit.repository={REPOSITORY}",
            f"-Dshvit.work={BUILD / 'work'}",
            *("CoverageKt", classes, MODULE / "src/main/kotlin", PACKAGE, str(MIN_COVERAGE), only),
        )
    )


def check_simulated_report() -> int:
    """Return 0 if the simulated run's pixels are within the tolerance and `devices` accepts its report."""
    report = DeviceReport.load(REPORT)
    checks = [result.golden for result in report.results if result.golden]
    worst, images = max(check.pixels_difference for check in checks), sum(check.images for check in checks)
    print(
        f"Fixtures' goldens: {images} images, pixel difference {worst:g}/255, limit {MAX_PIXEL_DIFFERENCE:g}/255.",
        flush=True,
    )
    if worst > MAX_PIXEL_DIFFERENCE:
        return 1
    EARLIER.write_text(
        json.dumps(json.loads(REPORT.read_text(encoding="utf-8")) | {"created": "2025-02-13T09:41:00+01:00"}),
        encoding="utf-8",
    )
    command: list[str | Path] = [
        Path(sys.executable).with_name("shvit-mobile"),
        "devices",
        REPORT,
        "--artifacts",
        MEASURED,
    ]
    gate = ("--baseline", EARLIER, "--max-slowdown", "5%", "--out", COMPARED)
    status = subprocess.run([*command, *gate], check=False).returncode
    if status == 0 and is_undecided(json.loads(COMPARED.read_text(encoding="utf-8"))):
        print("error: the run has too few rounds to compare it with an earlier one.", file=sys.stderr)
        return 1
    return status


def is_undecided(output: dict[str, Any]) -> bool:
    """Return whether a comparison has no interval."""
    return not output["comparisons"] or any(one["slowdown"]["low"] is None for one in output["comparisons"])


def list_sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.kt"))


if __name__ == "__main__":
    sys.exit(main())
