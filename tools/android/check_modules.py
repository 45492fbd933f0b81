"""Compiles the Android library and app on Linux, with every warning an error: part of `make test-android`.

What they see is what a phone and Gradle would give them, as near as it is to be had: Android's framework classes of
API 23, with the newer members of `overlay/` merged in; and ExecuTorch's Java classes twice, those of an older version
and a stub of the newest. Nothing is run: that takes a phone.
"""

from __future__ import annotations

import shutil
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from install import executorch, framework, install
from resources import check_classes, linked
from toolchain import Toolchain, paths

from shvit_mobile.errors import ShvitError

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent / "android_demo"
BUILD = HERE.parent.parent / "build" / "android"
MERGE = ("asm", "asm-tree")
BUILD_CONFIG = """\
package dev.shvit;

public final class BuildConfig {{
    public static final String EXECUTORCH = "{executorch}";
}}
"""


class CompileFailed(Exception):
    """A compiler refused sources; it has said why."""

    def __init__(self, what: str, status: int) -> None:
        super().__init__(f"{what} does not compile.")
        self.status = status


@dataclass(frozen=True)
class Modules:
    """The compiled modules of the project.

    Attributes:
        library: classes of `shvit`, against the newest ExecuTorch.
        app: classes of `app`; None where it has no sources.
        framework: what they were compiled against, in the order of a class path.
    """

    library: Path
    app: Path | None
    framework: tuple[Path, ...]


def main() -> int:
    try:
        modules = compiled(install(), PROJECT, BUILD)
    except ShvitError as reason:
        print(f"error: {reason}", file=sys.stderr)
        return 2
    except CompileFailed as reason:
        print(f"error: {reason}", file=sys.stderr)
        return reason.status
    names = "shvit and app compile" if modules.app else "shvit compiles"
    print(f"{names} without a warning against Android's classes and both of ExecuTorch's APIs.")
    return 0


def compiled(tools: Toolchain, project: Path, build: Path) -> Modules:
    """The project's modules, compiled into a folder of which nothing that was there is left.

    Raises:
        CompileFailed: a compiler found an error, or something to warn of.
        BadResources: aapt2 refuses the app's resources.
        ToolMissing, InstallFailed: what they are compiled against cannot be had.
    """
    shutil.rmtree(build, ignore_errors=True)
    android = (merged_overlay(tools, build), framework())
    core = build / "core"
    standard = tools.library("kotlin-stdlib")
    sources = kotlin(project / "shvit-core/src/main")
    done("shvit-core", tools.kotlinc(sources, core, [standard], "-module-name", "shvit-core"))
    generated = build / "generated"
    done("BuildConfig", tools.javac([build_config(project, build)], generated, []))
    known = [*android, standard, core, generated]
    with_apps(tools, project, build / "older", [*known, executorch()])
    library, app = with_apps(tools, project, build / "newest", [*known, stub(tools, build, [*android, standard])])
    return Modules(library, app, android)


def with_apps(tools: Toolchain, project: Path, into: Path, known: list[Path]) -> tuple[Path, Path | None]:
    """The classes of the library and of the app, if it has any, against one of ExecuTorch's APIs."""
    library = compiled_module(tools, project / "shvit", into, known)
    if not kotlin(project / "app/src/main"):
        return library, None
    resources = linked(project / "app", into / "resources")
    ids = into / "R"
    done("R", tools.javac([resources.java], ids, known))
    app = compiled_module(tools, project / "app", into, [*known, library, ids])
    check_classes(resources, app)
    return library, app


def merged_overlay(tools: Toolchain, build: Path) -> Path:
    """The framework classes that have newer members, with them."""
    newer, merged = build / "overlay", build / "android"
    done("The overlay", tools.javac(sorted((HERE / "overlay").rglob("*.java")), newer, [framework()]))
    asm = [jar for jar in tools.jars if jar.stem in MERGE]
    done("The overlay", tools.java("-cp", paths(asm), HERE / "Merge.java", newer, framework(), merged))
    return merged


def stub(tools: Toolchain, build: Path, known: list[Path]) -> Path:
    """The classes of ExecuTorch's newest API, without code."""
    into, sources = build / "executorch-stub", HERE / "executorch-stub"
    java = sorted(sources.rglob("*.java"))
    what = "ExecuTorch's stub"
    done(what, tools.kotlinc_android([*kotlin(sources), *java], into, known, "-module-name", "executorch"))
    done(what, tools.javac(java, into, [into, *known]))
    return into


def build_config(project: Path, build: Path) -> Path:
    """The class that Gradle would generate of the version catalog."""
    catalog = tomllib.loads((project / "gradle/libs.versions.toml").read_text())
    source = build / "generated-sources" / "BuildConfig.java"
    source.parent.mkdir(parents=True)
    source.write_text(BUILD_CONFIG.format(executorch=catalog["versions"]["executorch"]))
    return source


def compiled_module(tools: Toolchain, module: Path, into: Path, known: list[Path]) -> Path:
    classes = into / module.name
    sources = kotlin(module / "src/main")
    what = f"{module.name}, against the {into.name} API of ExecuTorch,"
    done(what, tools.kotlinc_android(sources, classes, known, "-module-name", module.name))
    return classes


def kotlin(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.kt"))


def done(what: str, status: int) -> None:
    if status != 0:
        raise CompileFailed(what, status)


if __name__ == "__main__":
    sys.exit(main())
