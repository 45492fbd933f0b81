"""Measures the CPU time of the kit's preprocessing, from a BGRA frame in memory to the tensor's values.

    python tools/ios/benchmark_preprocessing.py --before REVISION

Compares the kit of the working tree with the kit of an earlier revision, which copied frames, and with Pillow on the
upright picture. All take turns on the same machine, and both kits have to give the same values.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import swift
from PIL import Image

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import ShvitError

KIT = "ios_demo/SHViTKit/Sources/SHViTKit"
HERE = Path(__file__).parent / "benchmark"
BUILD = swift.REPOSITORY / "build" / "ios-benchmark"
FRAMES = ((480, 640, 1), (480, 640, 6), (720, 1280, 1), (720, 1280, 6))


def build_benchmark(name: str, kit: Path, adapter: str) -> Path:
    """Compile a kit's sources with the benchmark and return the program's path."""
    program = BUILD / name
    sources = [*sorted(kit.rglob("*.swift")), HERE / "main.swift", HERE / f"{adapter}.swift"]
    options = ["-O", "-wmo", "-swift-version", "6", "-package-name", "shvit_mobile", "-module-name", "SHViTKit"]
    command = ["swiftc", *options, "-o", str(program)]
    result = subprocess.run(
        swift.build_command([*command, *map(str, sources)]),
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    if result.returncode != 0:
        sys.exit(f"{result.stdout}{result.stderr}error: {name} does not compile.")
    return program


def extract_kit(revision: str) -> Path:
    """Write the kit's sources of a revision to the build folder and return their folder."""
    command = ["git", "-C", str(swift.REPOSITORY), "archive", revision, KIT]
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    folder = BUILD / "before"
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder / KIT


def measure_swift(program: Path, frame: tuple[int, int, int], count: int) -> tuple[float, str]:
    """Return the median CPU time of a frame in milliseconds, and the checksum of the values."""
    command = swift.build_command([str(program), *map(str, frame), str(count)])
    output = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    milliseconds, checksum = output.split()
    return float(milliseconds), checksum


def measure_pillow(frame: tuple[int, int, int], count: int) -> float:
    """Return Pillow's median CPU time of a frame in milliseconds. The picture is upright and RGB already."""
    height, width, orientation = frame
    sides = (width, height) if orientation >= 5 else (height, width)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*sides, 3), dtype=np.uint8))
    preprocessing = Preprocessing()
    samples = []
    for _ in range(count):
        begun = time.thread_time()
        preprocessing.preprocess_image(picture)
        samples.append((time.thread_time() - begun) * 1000)
    return median(samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--before", required=True, metavar="REVISION", help="the earlier revision, whose kit copies frames"
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (default: 7)")
    parser.add_argument("--frames", type=int, default=60, help="frames of a turn (default: 60)")
    arguments = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    try:
        before = build_benchmark("copied-frames", extract_kit(arguments.before), "copied")
        after = build_benchmark("direct-frames", swift.REPOSITORY / KIT, "direct")
    except ShvitError as reason:
        sys.exit(f"error: {reason}")
    print("| frame (BGRA) | Pillow, upright RGB | before | now | share |\n|---|---|---|---|---|")
    for frame in FRAMES:
        old, new, pillow = [], [], []
        for _ in range(arguments.rounds):
            old.append(measure_swift(before, frame, arguments.frames))
            new.append(measure_swift(after, frame, arguments.frames))
            pillow.append(measure_pillow(frame, arguments.frames))
        if {checksum for _, checksum in [*old, *new]} != {old[0][1]}:
            sys.exit("error: The kits give different values.")
        milliseconds = [median(value for value, _ in values) for values in (old, new)]
        turned = ", turned by 90 degrees" if frame[2] == 6 else ""
        print(
            f"| {frame[1]}x{frame[0]}{turned} | {median(pillow):.2f} ms | {milliseconds[0]:.2f} ms "
            f"| {milliseconds[1]:.2f} ms | {milliseconds[1] / milliseconds[0]:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
