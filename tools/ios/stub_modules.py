"""Compiles the stubs of Apple's frameworks that have bodies into modules that run on Linux.

A stub is an interface without bodies (`NAME.swiftinterface`), against which code is only type-checked, or a source with
bodies that complain about misuse (`NAME.swift`), against which it also runs.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import swift

STUBS = Path(__file__).parent / "stubs"
BUILD = swift.REPOSITORY / "build" / "ios-stubs"
# Each module follows those that it imports.
NAMES = (
    *("CoreFoundation", "CoreVideo", "CoreMedia", "CoreGraphics"),
    *("ImageIO", "QuartzCore", "AVFoundation", "CoreML"),
)


class CompileFailed(Exception):
    """Swift sources that do not compile, with the compiler's text."""


def run_compiler(arguments: Sequence[str]) -> str:
    """Run `swiftc` and return what it prints.

    Raises:
        CompileFailed: If it fails.
    """
    command = swift.build_command(["swiftc", *arguments])
    result = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
    if result.returncode != 0:
        raise CompileFailed(f"{result.stdout}{result.stderr}")
    return result.stdout


def build_stubs() -> list[Path]:
    """Compile the stubs with bodies unless they have not changed; return their object files."""
    BUILD.mkdir(parents=True, exist_ok=True)
    inputs: list[Path] = []
    for name in NAMES:
        inputs.append(STUBS / f"{name}.swift")
        if not is_newer(BUILD / f"{name}.o", inputs):
            compile_stub(inputs[-1], BUILD / f"{name}.o")
    return [BUILD / f"{name}.o" for name in NAMES]


def compile_stub(source: Path, target: Path) -> None:
    """Compile a stub as Apple builds a framework: its enumerations may get new cases."""
    module = ["-module-name", source.stem, "-emit-module", "-emit-module-path", str(target.with_suffix(".swiftmodule"))]
    options = ["-swift-version", "5", "-enable-library-evolution", "-suppress-warnings", "-parse-as-library"]
    run_compiler(["-O", "-wmo", *options, *module, "-I", str(BUILD), "-c", "-o", str(target), str(source)])


def is_newer(target: Path, sources: Sequence[Path]) -> bool:
    """Return whether a file is newer than all its sources."""
    return target.exists() and all(source.stat().st_mtime < target.stat().st_mtime for source in sources)
