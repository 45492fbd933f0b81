"""Runs the code for Apple's frameworks on Linux: frames, pictures, Core ML and the camera, against stubs that complain.

    python tools/ios/run_platform.py

The kit and the app's camera are compiled with `platform/` against the stubs with bodies (`stub_modules.py`). Those
complain about misuse: a pixel buffer is only readable while it is locked and has padded rows, a session may not start
on the main thread or run on. `platform/` compares pixels, and counts starts, stops, observers and frames.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import stub_modules
import swift
from stub_modules import CompileFailed, run_compiler
from typecheck import DEMO, PACKAGE, SwiftModule

from shvit_mobile.errors import ShvitError

CHECKS = Path(__file__).parent / "platform"
BUILD = swift.REPOSITORY / "build" / "ios-platform"
KIT = DEMO / "SHViTKit/Sources"
TIMEOUT_S = 60


@dataclass(frozen=True)
class RunnableModule:
    """A module that runs against the stubs with bodies.

    Attributes:
        name: The module's name.
        sources: Its sources.
        options: Further compiler options.
    """

    name: str
    sources: tuple[Path, ...]
    options: tuple[str, ...] = ("-parse-as-library",)


def list_modules() -> list[RunnableModule]:
    """Return the modules in the order in which they import each other."""
    return [
        *(
            RunnableModule(name, tuple(SwiftModule(name, KIT / name).sources()))
            for name in ("SHViTKit", "SHViTKitCoreML", "SHViTDemoCore")
        ),
        RunnableModule("PlatformChecks", (DEMO / "SHViTDemo/Camera/Camera.swift", *sorted(CHECKS.glob("*.swift"))), ()),
    ]


def build_options(module: RunnableModule) -> list[str]:
    """Return the options of both the compiler's driver and its frontend."""
    folders = ["-I", str(stub_modules.BUILD), "-I", str(BUILD), "-module-cache-path", str(BUILD / "cache")]
    language = ["-swift-version", "6", "-package-name", PACKAGE, "-enable-testing", "-O"]
    return [*language, "-module-name", module.name, *folders, *module.options]


def locate_object(module: RunnableModule, source: Path) -> Path:
    return BUILD / module.name / f"{source.stem}.o"


def build_all() -> list[Path]:
    """Compile stubs and modules, each source into a file of its own; return the object files.

    Modules that have not changed are not compiled again.
    """
    objects = stub_modules.build_stubs()
    inputs = [*objects]
    for module in list_modules():
        objects += [locate_object(module, source) for source in module.sources]
        inputs += module.sources
        stamp = BUILD / module.name / "compiled"
        if stub_modules.is_newer(stamp, inputs):
            continue
        (BUILD / module.name).mkdir(parents=True, exist_ok=True)
        places = {str(source): {"object": str(locate_object(module, source))} for source in module.sources}
        places[""] = {"swift-dependencies": str(BUILD / module.name / "module.d")}
        file_map = BUILD / module.name / "outputs.json"
        file_map.write_text(json.dumps(places), encoding="utf-8")
        interface = ["-emit-module", "-emit-module-path", str(BUILD / f"{module.name}.swiftmodule")]
        jobs = ["-enable-batch-mode", "-j", str(os.cpu_count() or 1), "-output-file-map", str(file_map)]
        run_compiler([*build_options(module), *interface, *jobs, "-c", *map(str, module.sources)])
        stamp.touch()
    return objects


@functools.cache
def find_macros() -> str:
    """Return the folder of the standard macros, which the compiler's driver finds, but not its frontend."""
    info = json.loads(run_compiler(["-print-target-info"]))
    return f"{info['paths']['runtimeResourcePath']}/host/plugins"


def compile_changed(module: RunnableModule, source: Path, changed: Path, target: Path) -> None:
    """Compile one source of a module in place of another.

    Raises:
        CompileFailed: If it does not compile.
    """
    others = [str(path) for path in module.sources if path != source]
    frontend = ["-frontend", "-c", "-primary-file", str(changed), *others, "-o", str(target)]
    run_compiler([*frontend, *build_options(module), "-plugin-path", find_macros()])


def run_checks(objects: list[Path], program: Path) -> list[str]:
    """Link and run the checks; return their complaints, each with the check's name."""
    # As in the Makefile: libswiftObservation lacks a symbol that it only calls when it fails.
    run_compiler(["-Xlinker", "--allow-shlib-undefined", "-o", str(program), *map(str, objects)])
    command = swift.build_command([str(program)])
    try:
        result = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as expired:
        return [*list_complaints(expired.stdout or b""), f"The checks do not end within {TIMEOUT_S} s."]
    complaints = list_complaints(result.stdout)
    if result.returncode != 0 or not result.stdout.endswith(b"finished\n"):
        last = result.stderr.decode(errors="replace").strip().splitlines()[:1]
        complaints.append(f"{name_last_check(result.stdout)}: The program ends early, with {result.returncode}. {last}")
    return complaints


def list_complaints(output: bytes) -> list[str]:
    """Return the complaints in a program's output."""
    complaints, check = [], ""
    for line in output.decode(errors="replace").splitlines():
        kind, _, text = line.partition(": ")
        if kind == "check":
            check = text
        elif kind == "complaint":
            complaints.append(f"{check}: {text}")
    return complaints


def name_last_check(output: bytes) -> str:
    names = [line for line in output.decode(errors="replace").splitlines() if line.startswith("check: ")]
    return names[-1].removeprefix("check: ") if names else "the start"


def find_module(source: Path) -> RunnableModule:
    """Return the module of a source."""
    return next(module for module in list_modules() if source in module.sources)


def find_complaints(objects: list[Path], changes: Mapping[Path, Path], folder: Path) -> list[str]:
    """Run the checks with changed sources; return the complaints.

    Args:
        objects: The result of `build_all`.
        changes: Changed sources by the sources that they replace.
        folder: The folder for the program.

    Raises:
        CompileFailed: If a changed source does not compile.
    """
    linked = list(objects)
    for source, changed in changes.items():
        module = find_module(source)
        target = folder / f"{source.stem}.o"
        compile_changed(module, source, changed, target)
        linked[linked.index(locate_object(module, source))] = target
    return run_checks(linked, folder / "checks")


def main() -> None:
    try:
        complaints = run_checks(build_all(), BUILD / "checks")
    except (CompileFailed, ShvitError) as reason:
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(2)
    if complaints:
        sys.exit("\n".join(f"error: {complaint}" for complaint in complaints))
    print("Frames, pictures, Core ML and camera run against the stubs without a complaint.")


if __name__ == "__main__":
    main()
