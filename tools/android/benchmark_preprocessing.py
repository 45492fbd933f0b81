"""Measures the Kotlin preprocessing beside that of an earlier commit: CPU time and garbage per camera frame.

Both run in turns, each turn in a virtual machine of its own. Their values must be the same. The ratio is the median of
the turns. Pillow runs on an upright RGB picture of that size.
"""

from __future__ import annotations

import argparse
import io
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from check_core import list_sources
from compiling import check_status
from install import install
from PIL import Image
from toolchain import Toolchain, join_paths

from shvit_mobile.contracts.preprocessing import Preprocessing

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
CORE = "android_demo/shvit-core/src/main"
# The last commit whose preprocessing copies every frame.
BEFORE = "59a4e0364d30"
PILLOW_FRAMES = 60


@dataclass(frozen=True)
class Measurement:
    """A case in one turn.

    Attributes:
        milliseconds: The median CPU time of a frame.
        garbage: The bytes that a frame allocates.
        sha256: The SHA-256 of the values of the input tensor.
    """

    milliseconds: float
    garbage: int
    sha256: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", default=BEFORE, help="the commit to compare with (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="turns of each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="warm-up of each case (default: %(default)s)")
    options = parser.parse_args()
    tools = install()
    measured: dict[str, dict[str, list[Measurement]]] = defaultdict(lambda: {"before": [], "now": []})
    with tempfile.TemporaryDirectory(prefix="shvit-benchmark-") as temporary:
        folder = Path(temporary)
        extract_core(options.before, folder / "sources")
        before = compile_benchmark(tools, folder / "sources" / CORE, "Before.kt", folder / "before")
        now = compile_benchmark(tools, REPOSITORY / CORE, "Now.kt", folder / "now")
        for _ in range(options.turns):
            for name, classes in (("before", before), ("now", now)):
                for case, measurement in run(tools, classes, options.seconds).items():
                    measured[case][name].append(measurement)
    columns = ("frame", "Pillow, ms", "before, ms", "now, ms", "ratio", "lowest to highest")
    print(f"| {' | '.join(columns)} | garbage before, kB | garbage now, kB |")
    print("|---|---|---|---|---|---|---|---|")
    pillow = {size: measure_pillow(size) for size in {parse_size(case) for case in measured}}
    for case, of in measured.items():
        times = [statistics.median(one.milliseconds for one in of[name]) for name in ("before", "now")]
        garbage = [of[name][-1].garbage / 1000 for name in ("before", "now")]
        ratios = sorted(
            now.milliseconds / before.milliseconds for before, now in zip(of["before"], of["now"], strict=True)
        )
        cells = (
            f"{pillow[parse_size(case)]:.2f}",
            *(f"{time:.2f}" for time in times),
            f"{statistics.median(ratios):.2f}",
            f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
            f"{garbage[0]:,.0f}",
            f"{garbage[1]:,.1f}",
        )
        print(f"| {case} | {' | '.join(cells)} |")
    different = [case for case, of in measured.items() if len({one.sha256 for name in of for one in of[name]}) > 1]
    for case in different:
        print(f"error: the values of {case} differ.", file=sys.stderr)
    return 1 if different else 0


def parse_size(case: str) -> tuple[int, int]:
    """Return the width and height in a case's name: "640 x 480 YUV, turned"."""
    width, _, height, *_ = case.split()
    return int(width), int(height)


def measure_pillow(size: tuple[int, int]) -> float:
    """Return the median CPU time of Python's preprocessing with Pillow, in milliseconds."""
    width, height = size
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    preprocessing = Preprocessing()
    samples = []
    for _ in range(PILLOW_FRAMES):
        begun = time.thread_time()
        preprocessing.preprocess_image(picture)
        samples.append((time.thread_time() - begun) * 1000)
    return statistics.median(samples)


def extract_core(commit: str, into: Path) -> None:
    """Write the core's sources of a commit into a folder."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", commit, CORE], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(into, filter="data")


def compile_benchmark(tools: Toolchain, core: Path, adapter: str, into: Path) -> list[Path]:
    """Compile a core and the benchmark with its adapter; return the class path."""
    standard = tools.library("kotlin-stdlib")
    classes, benchmark = into / "core", into / "benchmark"
    check_status("The core", tools.kotlinc(list_sources(core), classes, [standard], "-module-name", "shvit-core"))
    sources = [HERE / "benchmark" / "Benchmark.kt", HERE / "benchmark" / adapter]
    check_status("The benchmark", tools.kotlinc(sources, benchmark, [standard, classes]))
    return [standard, classes, benchmark]


def run(tools: Toolchain, classes: list[Path], seconds: float) -> dict[str, Measurement]:
    """Run the benchmark in a virtual machine of its own; return its cases."""
    printed = tools.run_java("-XX:+UseSerialGC", "-cp", join_paths(classes), "benchmark.BenchmarkKt", str(seconds))
    cases = {}
    for line in printed.splitlines():
        name, milliseconds, garbage, sha256 = line.split("\t")
        cases[name] = Measurement(float(milliseconds), int(garbage), sha256)
    return cases


if __name__ == "__main__":
    sys.exit(main())
