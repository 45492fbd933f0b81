"""Plants mistakes in copies of the Android project to test the checks: each has to be detected."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from android_mistakes import MISTAKES, Mistake
from compiling import CompiledModules, CompileFailed, check_status
from gradle_files import BadGradle, check_gradle
from members import find_misused_members
from platform_tests import PlatformTestFailed, PlatformTests, run_platform_tests
from resources import BadResources, check_classes, check_permissions, link_resources
from toolchain import Toolchain


def check_planted_mistakes(tools: Toolchain, modules: CompiledModules, tests: PlatformTests, project: Path) -> bool:
    """Plant each mistake in a copy of the project and print the check that detects it.

    Returns:
        Whether all mistakes are detected.
    """
    caught = 0
    for mistake in MISTAKES:
        with tempfile.TemporaryDirectory(prefix="shvit-planted-") as temporary:
            copy = Path(temporary) / "project"
            # The embedded models are large, and no mistake is in them.
            shutil.copytree(project, copy, ignore=shutil.ignore_patterns("assets", "build", "shvit-core"))
            shutil.copytree(project / "shvit-core", copy / "shvit-core", ignore=shutil.ignore_patterns("src", "build"))
            mistake.plant(copy)
            finding = find_noticing_check(mistake, tools, modules, tests, copy)
        print(f"{mistake.what}: {finding or 'not detected'}", flush=True)
        caught += finding is not None
    print(f"{caught} of {len(MISTAKES)} planted mistakes are detected.")
    return caught == len(MISTAKES)


def find_noticing_check(
    mistake: Mistake, tools: Toolchain, modules: CompiledModules, tests: PlatformTests, project: Path
) -> str | None:
    """Return the finding of the check that detects a mistake in a copy of the project; None if none does."""
    try:
        if mistake.file.endswith(".kt"):
            return find_in_code(mistake, tools, modules, tests, project)
        if mistake.file.startswith("app/src"):
            resources = link_resources(project / "app", project / "resources")
            check_classes(resources, [modules.app.classes, *modules.app_path])
            check_permissions(resources, modules.app.classes)
        else:
            check_gradle(tools, project, project / "scripts", quiet=True)
    except CompileFailed as reason:
        return f"the compiler: {reason}"
    except PlatformTestFailed as reason:
        return f"the test '{reason.what}'"
    except (BadResources, BadGradle) as reason:
        return f"{reason.what} {reason.why.splitlines()[0]}"
    return None


def find_in_code(
    mistake: Mistake, tools: Toolchain, modules: CompiledModules, tests: PlatformTests, project: Path
) -> str | None:
    """Compile only the file with the mistake, beside the other classes of its module, and run all checks of classes."""
    newest, older = modules.apis["newest"], modules.apis["older"]
    # The module's classes and class path, by the module's folder.
    compiled: dict[str, tuple[Path, tuple[Path, ...]]] = {
        "shvit": (modules.library, (*modules.known, newest)),
        "shvit-litert": (modules.litert, (*modules.known, modules.library, modules.litert_api)),
        "shvit-camerax": (modules.camerax, (*modules.known, modules.library, modules.camera)),
        "app": (modules.app.classes, (*modules.app_path, modules.app.ids)),
    }
    module = mistake.file.partition("/")[0]
    classes, known = compiled[module]
    planted = project / "planted"
    source = project / mistake.file
    compile_file(tools, module, source, planted, [classes, *known])
    run_platform_tests(tools, tests, (planted, *modules.code), project / "app/src/main")
    if faults := find_misused_members(tools, (classes, planted), project):
        return faults[0]
    check_permissions(modules.app.resources, planted)
    if module == "shvit":
        compile_file(tools, module, source, project / "older", [classes, *modules.known, older])
    return None


def compile_file(tools: Toolchain, module: str, source: Path, into: Path, known: list[Path]) -> None:
    """Compile one file of a module whose other classes are first in the class path."""
    options = ("-module-name", module, f"-Xfriend-paths={known[0]}")
    check_status(source.name, tools.kotlinc_android([source], into, known, *options, quiet=True))
