"""Runs the Android library and app on Linux, against classes that act like Android's and ExecuTorch's.

`fakes/` has the classes that the code uses, with bodies that complain like a phone, or where a phone would only
misbehave: a frame that stays open, a buffer that is not direct, a view that another thread changes, a camera that is
never closed. CameraX's classes that have nothing to complain about come from its stub. `platform-tests/` leads the code
through its life. Robolectric is in none of the registries that these tools install from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compiling import CompiledModules, check_status, list_java_sources, list_kotlin_sources
from install import install_framework
from toolchain import Toolchain

from shvit_mobile.errors import ShvitError

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent


class PlatformTestFailed(ShvitError):
    """A test of the library or the app failed."""


@dataclass(frozen=True)
class PlatformTests:
    """The compiled tests.

    Attributes:
        classes: The folder of the tests.
        fakes: The folder of the fakes.
        libraries: Kotlin's library and JUnit.
        work: A folder for temporary files.
    """

    classes: Path
    fakes: Path
    libraries: tuple[Path, ...]
    work: Path


def compile_platform_tests(tools: Toolchain, modules: CompiledModules, into: Path) -> PlatformTests:
    """Compile the fakes and the tests, which use internals of the app.

    Raises:
        CompileFailed: If a compiler reports an error or a warning.
    """
    fakes = into / "fakes"
    jars = [tools.library(name) for name in ("kotlin-stdlib", "kotlin-test", "kotlin-test-junit")]
    compile_fakes(tools, fakes, [jars[0], install_framework()])
    libraries = (*jars, *(jar for jar in tools.jars if jar.stem in ("junit4", "hamcrest")))
    tests = PlatformTests(into / "tests", fakes, libraries, into / "work")
    friends = ("-module-name", "platform-tests", f"-Xfriend-paths={modules.app.classes},{modules.core}")
    sources = list_kotlin_sources(HERE / "platform-tests")
    known = [fakes, *modules.code, *libraries, install_framework()]
    check_status("The platform tests", tools.kotlinc(sources, tests.classes, known, *friends))
    return tests


def compile_fakes(tools: Toolchain, into: Path, known: list[Path]) -> None:
    """Compile the fakes; those of classes with default arguments are Kotlin, and refer to the others."""
    kotlin, java = list_kotlin_sources(HERE / "fakes"), list_java_fakes()
    check_status("The fakes", tools.kotlinc([*kotlin, *java], into, known, "-module-name", "fakes"))
    check_status("The fakes", tools.javac(java, into, [into, *known]))


def list_java_fakes() -> list[Path]:
    """Return the Java sources of the fakes, and those of CameraX's stub that have no fake."""
    fakes, stubs = HERE / "fakes", HERE / "camerax-stub"
    plain = [source for source in list_java_sources(stubs) if not (fakes / source.relative_to(stubs)).exists()]
    return [*list_java_sources(fakes), *plain]


def run_platform_tests(tools: Toolchain, tests: PlatformTests, code: tuple[Path, ...], app: Path) -> int:
    """Run the tests with the classes of the project and return how many there are.

    Args:
        tools: The toolchain.
        tests: The compiled tests.
        code: The folders of the project's classes.
        app: The app's folder `src/main`.

    Raises:
        PlatformTestFailed: If one fails.
    """
    # Of Android's classes that do nothing, those that have no fake.
    classpath = [tests.classes, tests.fakes, *code, install_framework()]
    outcome, _, words = tools.run_anew(tests.libraries, classpath, "RunKt", REPOSITORY, app, tests.work).partition("\t")
    if outcome != "passed":
        raise PlatformTestFailed(words, why="The fakes in tools/android/fakes act like Android.")
    return int(words)
