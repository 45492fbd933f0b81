"""Checks the Swift that only Apple's systems compile, on Linux: the kit, and the app where it has sources.

    python tools/ios/typecheck.py

Apple's frameworks are stood in for by `stubs/`, interfaces written from Apple's documented declarations, so that
`#if canImport(CoreML)` holds. Every function is checked as for a build, up to where code would be generated, in Swift 6
mode with warnings as errors; `availability.py` adds what Linux's compiler leaves out. What the stubs say wrongly, this
cannot find; nothing is linked or run.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import swift
from availability import find_marked_types, find_unguarded

from shvit_mobile.errors import ShvitError

STUBS = Path(__file__).parent / "stubs"
DEMO = swift.REPOSITORY / "ios_demo"
BUILD = swift.REPOSITORY / "build" / "ios-typecheck"


@dataclass(frozen=True)
class SwiftModule:
    """A module to be checked.

    Attributes:
        name: what others import it as.
        folder: of its sources, in folders of any depth.
        options: that its target has, beside those of all.
    """

    name: str
    folder: Path
    options: tuple[str, ...] = ()

    def sources(self) -> list[Path]:
        return sorted(self.folder.rglob("*.swift"))


# XCTest with what Apple's has beyond Linux's.
TESTS = ("-Xfrontend", "-import-module", "-Xfrontend", "AppleXCTest")
# In an order in which each comes after what it imports.
MODULES = (
    SwiftModule("SHViTKit", DEMO / "SHViTKit/Sources/SHViTKit"),
    SwiftModule("SHViTKitExecuTorch", DEMO / "SHViTKit/Sources/SHViTKitExecuTorch"),
    SwiftModule("SHViTDemoCore", DEMO / "SHViTKit/Sources/SHViTDemoCore"),
    SwiftModule("SHViTDemo", DEMO / "SHViTDemo", ("-parse-as-library", "-enable-testing")),
    SwiftModule("SHViTDemoTests", DEMO / "SHViTDemoTests", TESTS),
    SwiftModule("SHViTDemoPerformanceTests", DEMO / "SHViTDemoPerformanceTests", TESTS),
)


def check_module(module: SwiftModule, build: Path = BUILD) -> subprocess.CompletedProcess[str]:
    """The compiler's answer to a module, whose interface it leaves in `build` for those that import it.

    What it imports itself lies there too, or in `BUILD`. Where the compiler finds nothing, uses of what is newer than
    the app's iOS are errors in its form.
    """
    build.mkdir(parents=True, exist_ok=True)
    command = [
        # Into a file that nobody reads: the compiler deletes what it was to write where it fails, a device too.
        *("swiftc", "-emit-sil", "-o", f"{build / module.name}.sil", "-wmo", "-module-name", module.name),
        *("-emit-module-path", f"{build / module.name}.swiftmodule"),
        *("-swift-version", "6", "-warnings-as-errors", *module.options),
        *("-I", str(STUBS), "-I", str(build), "-I", str(BUILD), "-module-cache-path", str(BUILD / "cache")),
        *("-Xfrontend", "-import-module", "-Xfrontend", "AppleFoundation"),
        *map(str, module.sources()),
    ]
    answer = subprocess.run(swift.build_command(command), capture_output=True, text=True, check=False)
    if answer.returncode == 0 and (told := find_too_new(module)):
        return subprocess.CompletedProcess(answer.args, 1, answer.stdout, "\n".join([*told, ""]))
    return answer


def find_too_new(module: SwiftModule) -> list[str]:
    """An error for each unguarded use of what only a newer iOS has."""
    types = find_marked_types(STUBS)
    return [
        f"{path}:{found.line}:1: error: {found.name} is of iOS {found.system}, and nothing here asks for that"
        for path in module.sources()
        for found in find_unguarded(path.read_text(), types)
    ]


def check_all(modules: Sequence[SwiftModule]) -> None:
    """Prints what is wrong, and exits with 1 at the first module in which something is."""
    for module in modules:
        if not module.sources():
            print(f"{module.name}: no sources")
            continue
        answer = check_module(module)
        if answer.returncode != 0:
            sys.exit(f"{answer.stdout}{answer.stderr}error: {module.name} does not pass against {STUBS.name}/.")
        print(f"{module.name}: {len(module.sources())} sources are right against {STUBS.name}/", flush=True)


def main() -> None:
    try:
        check_all(MODULES)
    except ShvitError as reason:
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
