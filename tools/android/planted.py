"""Plants mistakes in copies of the Android project to test the checks: each has to be detected."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from compiling import CompiledModules, CompileFailed, compile_app_classes, compile_module
from gradle_files import BadGradle, check_gradle
from members import find_misused_members
from mistakes import APP, LIBRARY, MISTAKES, Mistake
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
        if mistake.file.startswith(LIBRARY):
            planted = compile_library(tools, modules, project, "newest")
            code = [planted if one == modules.library else one for one in modules.code]
        elif mistake.file.startswith(APP):
            known = list(modules.app_path)
            planted = compile_app_classes(tools, project / "app", project / "newest", known, modules.app, quiet=True)
            code = [planted if one == modules.app.classes else one for one in modules.code]
        elif mistake.file.startswith("app/src"):
            resources = link_resources(project / "app", project / "resources")
            check_classes(resources, modules.app.classes)
            check_permissions(resources, modules.app.classes)
            return None
        else:
            check_gradle(tools, project, project / "scripts", quiet=True)
            return None
        run_platform_tests(tools, tests, tuple(code), project / "app/src/main")
        if faults := find_misused_members(tools, (planted,), project):
            return faults[0]
        if mistake.file.startswith(LIBRARY):
            compile_library(tools, modules, project, "older")
    except CompileFailed as reason:
        return f"the compiler: {reason}"
    except PlatformTestFailed as reason:
        return f"the test '{reason.what}'"
    except (BadResources, BadGradle) as reason:
        return f"{reason.what} {reason.why.splitlines()[0]}"
    return None


def compile_library(tools: Toolchain, modules: CompiledModules, project: Path, api: str) -> Path:
    return compile_module(tools, project / "shvit", project / api, [*modules.known, modules.apis[api]], quiet=True)
