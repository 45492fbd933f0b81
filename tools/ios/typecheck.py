"""Checks the types of Swift code for Apple's frameworks on Linux: the kit, the app and the examples in their texts.

    python tools/ios/typecheck.py

The interfaces in `stubs/`, written from Apple's documentation, replace Apple's frameworks, so that
`#if canImport(CoreML)` is true. Every function is checked as in a build without code generation, in Swift 6 mode with
warnings as errors. `availability.py` adds the availability checks that the Linux compiler lacks. Errors in the stubs
stay hidden; nothing is linked or run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import stub_modules
import swift
from availability import find_marked_types, find_unguarded
from stub_modules import STUBS, CompileFailed

from shvit_mobile.errors import ShvitError

EXAMPLE = re.compile(r"^```swift\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# What examples may use without a declaration.
EXAMPLE_SOURCE = """\
{imports}
import CoreVideo
import UIKit

func example{number}(photo: UIImage, jpeg: Data, frame: CVPixelBuffer) async throws {{
{body}
}}
"""
DEMO = swift.REPOSITORY / "ios_demo"
BUILD = swift.REPOSITORY / "build" / "ios-typecheck"
# The target in C++ that the Swift code imports.
THREAD_POOL = DEMO / "SHViTKit" / "Sources" / "SHViTThreadPool"
# Modules of one package share declarations with the access level `package`.
PACKAGE = "shvit_mobile"


@dataclass(frozen=True)
class SwiftModule:
    """A module to check.

    Attributes:
        name: The module's name.
        folder: The folder of its sources, including subfolders.
        options: Further compiler options of its target.
    """

    name: str
    folder: Path
    options: tuple[str, ...] = ()

    def sources(self) -> list[Path]:
        return sorted(self.folder.rglob("*.swift"))


# Adds what Apple's XCTest has and Linux's lacks.
TESTS = ("-Xfrontend", "-import-module", "-Xfrontend", "AppleXCTest")
# Each module follows those that it imports.
MODULES = (
    SwiftModule("SHViTKit", DEMO / "SHViTKit/Sources/SHViTKit"),
    SwiftModule("SHViTKitCoreML", DEMO / "SHViTKit/Sources/SHViTKitCoreML"),
    SwiftModule("SHViTKitExecuTorch", DEMO / "SHViTKit/Sources/SHViTKitExecuTorch"),
    SwiftModule("SHViTDemoCore", DEMO / "SHViTKit/Sources/SHViTDemoCore"),
    SwiftModule("SHViTDemo", DEMO / "SHViTDemo", ("-parse-as-library", "-enable-testing")),
    SwiftModule("SHViTDemoTests", DEMO / "SHViTDemoTests", TESTS),
    SwiftModule("SHViTDemoPerformanceTests", DEMO / "SHViTDemoPerformanceTests", TESTS),
)


def write_examples() -> SwiftModule:
    """Write the Swift examples of the app's README and of the kit's articles as a module, each as a function."""
    folder = BUILD / "examples"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.swift"):
        old.unlink()
    pages = [DEMO / "README.md", *sorted(DEMO.glob("SHViTKit/Sources/**/*.docc/*.md"))]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    for number, example in enumerate(example for text in texts for example in EXAMPLE.findall(text)):
        lines = example.splitlines()
        imports = [line for line in lines if line.startswith("import ")]
        body = "\n".join(f"    {line}" for line in lines if line not in imports)
        source = EXAMPLE_SOURCE.format(imports="\n".join(imports), number=number, body=body)
        (folder / f"example{number}.swift").write_text(source, encoding="utf-8")
    return SwiftModule("Examples", folder)


def check_module(module: SwiftModule, build: Path = BUILD) -> subprocess.CompletedProcess[str]:
    """Check a module, write its interface to `build`, and return the compiler's result.

    The interfaces that it imports are in `build` or `BUILD`. If the compiler reports nothing, unguarded uses of a newer
    iOS are returned as errors in the compiler's format.
    """
    build.mkdir(parents=True, exist_ok=True)
    command = [
        # Not /dev/null: a failing compiler deletes its output file, even a device.
        *("swiftc", "-emit-sil", "-o", f"{build / module.name}.sil", "-wmo", "-module-name", module.name),
        *("-emit-module-path", f"{build / module.name}.swiftmodule"),
        *("-swift-version", "6", "-package-name", PACKAGE, "-warnings-as-errors", *module.options),
        *("-I", str(STUBS), "-I", str(stub_modules.BUILD), "-I", str(build), "-I", str(BUILD)),
        *("-I", str(THREAD_POOL / "include")),
        *("-module-cache-path", str(BUILD / "cache")),
        *("-Xfrontend", "-import-module", "-Xfrontend", "AppleFoundation"),
        *map(str, module.sources()),
    ]
    result = subprocess.run(swift.build_command(command), capture_output=True, text=True, check=False, encoding="utf-8")
    if result.returncode == 0 and (errors := find_too_new(module)):
        return subprocess.CompletedProcess(result.args, 1, result.stdout, "\n".join([*errors, ""]))
    return result


def find_too_new(module: SwiftModule) -> list[str]:
    """Return an error for each unguarded use of a type that needs a newer iOS."""
    types = find_marked_types(STUBS)
    return [
        f"{path}:{use.line}:1: error: {use.name} needs iOS {use.system}, but no availability check guards it"
        for path in module.sources()
        for use in find_unguarded(path.read_text(encoding="utf-8"), types)
    ]


def check_all(modules: Sequence[SwiftModule]) -> None:
    """Check modules in order; print the errors of the first one that fails and exit with 1."""
    for module in modules:
        if not module.sources():
            print(f"{module.name}: no sources")
            continue
        result = check_module(module)
        if result.returncode != 0:
            sys.exit(f"{result.stdout}{result.stderr}error: {module.name} fails the type check against {STUBS.name}/.")
        print(f"{module.name}: {len(module.sources())} sources pass the type check against {STUBS.name}/", flush=True)


def main() -> None:
    try:
        stub_modules.build_stubs()
        check_all([*MODULES, write_examples()])
    except (CompileFailed, ShvitError) as reason:
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
