"""Compiles the modules of the Android project: the core, the library, the app, and the app's test on a phone."""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from install import install_executorch, install_framework
from resources import LinkedResources, check_classes, check_permissions, link_resources
from toolchain import Toolchain, join_paths

HERE = Path(__file__).parent
BUILD_CONFIG = """\
package {package};

public final class BuildConfig {{
    public static final String {field} = "{version}";
}}
"""
# The version in the catalog that each module's class states, by the module's package.
BUILD_CONFIG_VERSIONS = {"dev.shvit": "executorch", "dev.shvit.litert": "litert"}


class CompileFailed(Exception):
    """A compiler rejected sources and printed why."""

    def __init__(self, what: str, status: int) -> None:
        super().__init__(f"{what} does not compile.")
        self.status = status


@dataclass(frozen=True)
class CompiledApp:
    """The app, compiled against the library and one of ExecuTorch's APIs.

    Attributes:
        resources: The linked resources.
        ids: The folder of its class `R`.
        classes: The folder of its own classes.
    """

    resources: LinkedResources
    ids: Path
    classes: Path


@dataclass(frozen=True)
class CompiledModules:
    """The compiled modules of the project.

    Attributes:
        core: The classes of `shvit-core`.
        generated: The classes that Gradle would generate.
        library: The classes of `shvit`, compiled against the newest ExecuTorch.
        litert: The classes of `shvit-litert`, compiled against the newest ExecuTorch.
        litert_api: The stub of LiteRT.
        camerax: The classes of `shvit-camerax`, compiled against the newest ExecuTorch.
        camera: The stub of CameraX.
        app: The app, compiled against the newest ExecuTorch.
        known: The library's class path without ExecuTorch.
        apis: ExecuTorch's classes by API.
    """

    core: Path
    generated: Path
    library: Path
    litert: Path
    litert_api: Path
    camerax: Path
    camera: Path
    app: CompiledApp
    known: tuple[Path, ...]
    apis: dict[str, Path]

    @property
    def code(self) -> tuple[Path, ...]:
        """The folders of all classes in the package, without Kotlin's library and ExecuTorch."""
        return self.core, self.generated, self.library, self.litert, self.camerax, self.app.ids, self.app.classes

    @property
    def app_path(self) -> tuple[Path, ...]:
        """The app's class path, with the newest ExecuTorch."""
        libraries = self.library, self.litert_api, self.litert, self.camera, self.camerax
        return *self.known, self.apis["newest"], *libraries


def compile_modules(tools: Toolchain, project: Path, build: Path) -> CompiledModules:
    """Compile the project's modules into a folder, which is cleared first.

    Raises:
        CompileFailed: If a compiler reports an error or a warning.
        BadResources: If aapt2 rejects the app's resources.
        ToolMissing, InstallFailed: If a tool or library is not available.
    """
    shutil.rmtree(build, ignore_errors=True)
    android = (merge_overlay(tools, build), install_framework())
    core = build / "core"
    standard = tools.library("kotlin-stdlib")
    sources = list_kotlin_sources(project / "shvit-core/src/main")
    check_status("shvit-core", tools.kotlinc(sources, core, [standard], "-module-name", "shvit-core"))
    generated = build / "generated"
    check_status("BuildConfig", tools.javac(write_build_configs(project, build), generated, []))
    known = (*android, standard, core, generated)
    apis = {"older": install_executorch(), "newest": compile_stub(tools, build, [*android, standard])}
    camera = compile_camerax_stub(tools, build, [*android, standard])
    litert_api = compile_litert_stub(tools, build, [*android, standard])
    for name, api in apis.items():
        library = compile_module(tools, project / "shvit", build / name, [*known, api])
        litert = compile_module(tools, project / "shvit-litert", build / name, [*known, library, litert_api])
        camerax = compile_module(tools, project / "shvit-camerax", build / name, [*known, library, camera])
        libraries = library, litert_api, litert, camera, camerax
        app = compile_app(tools, project / "app", build / name, [*known, api, *libraries])
    return CompiledModules(core, generated, library, litert, litert_api, camerax, camera, app, known, apis)


def compile_app(tools: Toolchain, module: Path, into: Path, known: list[Path]) -> CompiledApp:
    """Compile the app's classes and resources, and check that they fit together.

    Raises:
        BadResources: If they do not fit together.
        CompileFailed: If a compiler rejects the sources.
    """
    resources = link_resources(module, into / "resources")
    ids = into / "R"
    check_status("R", tools.javac([resources.java], ids, known))
    classes = compile_module(tools, module, into, [*known, ids])
    check_classes(resources, [classes, *known])
    check_permissions(resources, classes)
    return CompiledApp(resources, ids, classes)


def compile_test(tools: Toolchain, modules: CompiledModules, module: Path, into: Path) -> None:
    """Compile the app's test that runs on a phone, which uses internals of the app."""
    junit = [jar for jar in tools.jars if jar.stem in ("junit4", "hamcrest")]
    stubs, app = into / "androidx", modules.app
    check_status(
        "AndroidX's stub", tools.javac(list_java_sources(HERE / "androidx-stub"), stubs, [*modules.known, *junit])
    )
    known = [*modules.app_path, app.ids, app.classes, stubs, *junit]
    options = ("-module-name", module.name, f"-Xfriend-paths={app.classes}")
    sources = list_kotlin_sources(module / "src/androidTest")
    check_status("The app's test", tools.kotlinc_android(sources, into / "androidTest", known, *options))


def compile_module(tools: Toolchain, module: Path, into: Path, known: list[Path]) -> Path:
    classes = into / module.name
    what = f"{module.name}, against the {into.name} API of ExecuTorch,"
    sources = list_kotlin_sources(module / "src/main")
    check_status(what, tools.kotlinc_android(sources, classes, known, "-module-name", module.name))
    return classes


def merge_overlay(tools: Toolchain, build: Path) -> Path:
    """Merge the newer members of `overlay/` into the framework classes; return the folder of merged classes."""
    newer, merged = build / "overlay", build / "android"
    framework = install_framework()
    check_status("The overlay", tools.javac(list_java_sources(HERE / "overlay"), newer, [framework]))
    merge = ("-cp", join_paths(tools.asm), HERE / "Merge.java", newer, framework, merged)
    check_status("The overlay", tools.java(*merge))
    return merged


def compile_stub(tools: Toolchain, build: Path, known: list[Path]) -> Path:
    """Compile the stub of ExecuTorch's newest API."""
    return compile_mixed(tools, HERE / "executorch-stub", build / "executorch", known, "ExecuTorch's stub")


def compile_camerax_stub(tools: Toolchain, build: Path, known: list[Path]) -> Path:
    """Compile the stub of CameraX and of what its API refers to."""
    return compile_mixed(tools, HERE / "camerax-stub", build / "camerax-stub", known, "CameraX's stub")


def compile_litert_stub(tools: Toolchain, build: Path, known: list[Path]) -> Path:
    """Compile the stub of LiteRT."""
    return compile_mixed(tools, HERE / "litert-stub", build / "litert-stub", known, "LiteRT's stub")


def compile_mixed(tools: Toolchain, sources: Path, into: Path, known: list[Path], what: str) -> Path:
    """Compile a folder of Kotlin and Java sources that refer to each other."""
    kotlin, java = list_kotlin_sources(sources), list_java_sources(sources)
    check_status(what, tools.kotlinc_android([*kotlin, *java], into, known, "-module-name", into.name))
    if java:
        check_status(what, tools.javac(java, into, [into, *known]))
    return into


def write_build_configs(project: Path, build: Path) -> list[Path]:
    """Write the classes that Gradle would generate from the version catalog."""
    catalog = tomllib.loads((project / "gradle/libs.versions.toml").read_text(encoding="utf-8"))
    sources = []
    for package, runtime in BUILD_CONFIG_VERSIONS.items():
        source = build / "generated-sources" / package / "BuildConfig.java"
        source.parent.mkdir(parents=True)
        version = catalog["versions"][runtime]
        text = BUILD_CONFIG.format(package=package, field=runtime.upper(), version=version)
        source.write_text(text, encoding="utf-8")
        sources.append(source)
    return sources


def list_kotlin_sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.kt"))


def list_java_sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.java"))


def check_status(what: str, status: int) -> None:
    if status != 0:
        raise CompileFailed(what, status)
