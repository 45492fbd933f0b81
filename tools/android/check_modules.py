"""Compiles the Android library and app on Linux, with every warning an error: part of `make test-android`.

What they see is what a phone and Gradle would give them, as near as it is to be had: Android's framework classes of
API 23, with the newer members of `overlay/` merged in; and ExecuTorch's Java classes twice, those of an older version
and a stub of the newest. Then every member of Android's that the classes name is looked up in the signatures of a
recent API level. Nothing is run: that takes a phone.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from install import executorch, framework, install, signatures
from members import faults, uses
from members import signatures as parsed
from planted import MISTAKES
from resources import check_classes, linked
from toolchain import Toolchain, paths

from shvit_mobile.errors import ShvitError

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent / "android_demo"
BUILD = HERE.parent.parent / "build" / "android"
ASM = ("asm", "asm-tree")
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
        known: what the library sees besides ExecuTorch, in the order of a class path.
        apis: ExecuTorch's classes, by the names of their APIs.
    """

    library: Path
    app: Path | None
    known: tuple[Path, ...]
    apis: dict[str, Path]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--plant", action="store_true", help="then plant mistakes in copies, and count the caught")
    plant = options.parse_args().plant
    try:
        tools = install()
        modules = compiled(tools, PROJECT, BUILD)
        wrong = misused(tools, modules, PROJECT)
    except ShvitError as reason:
        print(f"error: {reason}", file=sys.stderr)
        return 2
    except CompileFailed as reason:
        print(f"error: {reason}", file=sys.stderr)
        return reason.status
    for fault in wrong:
        print(f"error: {fault}", file=sys.stderr)
    if wrong:
        return 1
    names = "shvit and app compile" if modules.app else "shvit compiles"
    print(f"{names} without a warning against Android's classes and both of ExecuTorch's APIs.")
    return planted(tools, modules) if plant else 0


def planted(tools: Toolchain, modules: Modules) -> int:
    """Plants each mistake in a copy of the library; 0 where no more than one goes unnoticed."""
    caught = 0
    for mistake in MISTAKES:
        with tempfile.TemporaryDirectory(prefix="shvit-planted-") as temporary:
            copy = Path(temporary)
            shutil.copytree(PROJECT / "shvit", copy / "shvit")
            mistake.plant(copy / "shvit/src/main/kotlin/dev/shvit")
            noticed = by_whom(tools, modules, copy)
        print(f"{mistake.what}: {noticed or 'not noticed'}", flush=True)
        caught += noticed is not None
    print(f"{caught} of {len(MISTAKES)} planted mistakes are caught.")
    return 0 if caught >= len(MISTAKES) - 1 else 1


def by_whom(tools: Toolchain, modules: Modules, project: Path) -> str | None:
    """Which check notices that something is wrong with a copy of the library; None where none does."""
    for name, api in modules.apis.items():
        try:
            library = compiled_module(tools, project / "shvit", project / name, [*modules.known, api], quiet=True)
        except CompileFailed:
            return f"the compiler, against the {name} API of ExecuTorch"
    if misused(tools, replace(modules, library=library, app=None), project):
        return "the signatures of Android"
    return None


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
    known = (*android, standard, core, generated)
    apis = {"older": executorch(), "newest": stub(tools, build, [*android, standard])}
    for name, api in apis.items():
        library, app = with_apps(tools, project, build / name, [*known, api])
    return Modules(library, app, known, apis)


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


def misused(tools: Toolchain, modules: Modules, project: Path) -> list[str]:
    """What is wrong with the members of Android's that the modules name."""
    asm = [jar for jar in tools.jars if jar.stem in ASM]
    folders = [modules.library, *filter(None, [modules.app])]
    named = uses(tools.told("-cp", paths(asm), HERE / "Members.java", *folders))
    return list(faults(named, parsed(signatures()), least_level(project / "shvit/build.gradle.kts")))


def least_level(script: Path) -> int:
    """The API level of the oldest phone that a module runs on."""
    return int(re.findall(r"minSdk = (\d+)", script.read_text())[0])


def merged_overlay(tools: Toolchain, build: Path) -> Path:
    """The framework classes that have newer members, with them."""
    newer, merged = build / "overlay", build / "android"
    done("The overlay", tools.javac(sorted((HERE / "overlay").rglob("*.java")), newer, [framework()]))
    asm = [jar for jar in tools.jars if jar.stem in ASM]
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


def compiled_module(tools: Toolchain, module: Path, into: Path, known: list[Path], *, quiet: bool = False) -> Path:
    classes = into / module.name
    sources = kotlin(module / "src/main")
    what = f"{module.name}, against the {into.name} API of ExecuTorch,"
    done(what, tools.kotlinc_android(sources, classes, known, "-module-name", module.name, quiet=quiet))
    return classes


def kotlin(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.kt"))


def done(what: str, status: int) -> None:
    if status != 0:
        raise CompileFailed(what, status)


if __name__ == "__main__":
    sys.exit(main())
