"""Recognizes an app's source tree: its system, its folder of models, and the runtimes that it links."""

import json
import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shvit_mobile.contracts.files import MAX_TEXT_BYTES, read_bytes
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadApp

AppKind = Literal["ios", "android"]
_BUNDLED_APPS = ("ios_demo", "android_demo")
SYSTEM_NAMES: dict[AppKind, str] = {"ios": "iOS", "android": "Android"}
_GRADLE_SETTINGS_NAMES = ("settings.gradle.kts", "settings.gradle")
_GRADLE_BUILD_NAMES = ("build.gradle.kts", "build.gradle")
_GRADLE_CATALOG_NAME = "libs.versions.toml"

_VERSION_PATTERN = r"v?(?:swiftpm-)?(\d[\w.]*)"
# The repository and then its version, in Package.swift and in Xcode's project.pbxproj.
_REPOSITORY_PATTERN = r'pytorch/executorch(?:\.git)?"'
_SWIFT_PIN = re.compile(rf'{_REPOSITORY_PATTERN}[^)]{{0,160}}?(?:branch|exact|from)\W{{1,6}}"{_VERSION_PATTERN}')
# An XCFramework that upstream publishes, in a `binaryTarget`.
_FRAMEWORK_PIN = re.compile(r'ossci-ios\.s3\.amazonaws\.com/executorch/[^"\s]*?-(\d[\w.]*)\.zip')
_LIBRARIES = re.compile(r"\b((?:kernels|backend)_[a-z]+)(?:_debug)?\b")
_LOCAL_PACKAGE = re.compile(r'isa = XCLocalSwiftPackageReference;\s*relativePath = "?([^";]+)"?;')
_XCODE_PIN = re.compile(rf'{_REPOSITORY_PATTERN}[^/]*?(?:branch|version|minimumVersion) = "?{_VERSION_PATTERN}')
_ANDROID_PLUGIN = re.compile(r"com\.android\.application|plugins\.android\.application")
# The Maven module of each runtime.
_ANDROID_MODULES: dict[Target, str] = {
    "executorch": r"org\.pytorch:executorch-android[\w-]*",
    "litert": r"com\.google\.ai\.edge\.litert:litert",
}
_GRADLE_PINS = {target: re.compile(rf"{module}:(\d[\w.]*)") for target, module in _ANDROID_MODULES.items()}


@dataclass(frozen=True)
class RuntimePin:
    """The version of a runtime that an app links.

    Attributes:
        file: The file that names it.
        version: The version.
        target: The target whose artifacts the runtime runs.
    """

    file: Path
    version: str
    target: Target = "executorch"


@dataclass(frozen=True)
class App:
    """An app's source tree.

    Attributes:
        root: Its folder.
        kind: Its system.
        models: The folder for models; it may not exist yet.
        pins: Every file that names a version of ExecuTorch or LiteRT; empty if the app links neither.
        libraries: The names of ExecuTorch's libraries of kernels and backends that an iOS app links, such as
            "kernels_optimized" and "backend_coreml". An Android app links all kernels, and XNNPACK.
    """

    root: Path
    kind: AppKind
    models: Path
    pins: tuple[RuntimePin, ...]
    libraries: frozenset[str] = frozenset()


def find_app_folder(app: AnyPath) -> Path:
    """Return the folder that a path names, or the folder of one of this project's own apps by its name.

    Raises:
        BadApp: If the project's own app is not in the source tree, nor above the current folder.
    """
    path = Path(app)
    if path.exists() or str(path) not in _BUNDLED_APPS:
        return path
    source = Path(__file__).resolve().parents[2]
    candidates = (folder / path for folder in (Path.cwd(), *Path.cwd().parents, source))
    folder = next((folder for folder in candidates if folder.is_dir()), None)
    if folder is None:
        raise BadApp(
            f"There is no {path} here.",
            why=f"It was looked for in {Path.cwd()}, in the folders above it, and in {source}.",
            hint="Give the path of an app's source tree.",
        )
    return folder


def open_app(root: AnyPath) -> App:
    """Open the app in a folder.

    Raises:
        BadApp: If there is none, or its system or models folder is ambiguous.
    """
    root = Path(root)
    if not root.is_dir():
        raise BadApp(f"There is no folder {root}.", why="An app's source tree should be there.")
    projects, packages = sorted(root.glob("*.xcodeproj")), [*_find_nearby_files(root, "Package.swift")]
    ios, android = bool(projects or packages), any((root / name).is_file() for name in _GRADLE_SETTINGS_NAMES)
    if ios == android:
        raise BadApp(
            f"{root} is {'both an iOS and an Android app' if ios else 'no app'}.",
            why="An iOS app has NAME.xcodeproj there, or Package.swift there or in a folder of it; an Android app has "
            f"{' or '.join(_GRADLE_SETTINGS_NAMES)}.",
            hint="Give the folder that contains one of them.",
        )
    if android:
        return App(root, "android", _find_android_models_folder(root), tuple(_find_android_pins(root)))
    packages = list(dict.fromkeys([*packages, *_find_local_packages(projects)]))
    sources = [*packages, *(project / "project.pbxproj" for project in projects)]
    libraries = frozenset(name for source in sources for name in _LIBRARIES.findall(_read_source(source)))
    pins = tuple(_find_ios_pins(root, projects, packages))
    return App(root, "ios", _find_ios_models_folder(root, projects), pins, libraries)


def _find_nearby_files(root: Path, name: str) -> Iterator[Path]:
    """Yield the files of a name in a folder and in its visible subfolders."""
    for folder in (root, *sorted(child for child in root.iterdir() if child.is_dir() and child.name[0] != ".")):
        if (folder / name).is_file():
            yield folder / name


def _find_ios_models_folder(root: Path, projects: list[Path]) -> Path:
    """Return an existing `Models` folder beside the app's sources, or one in the folder with the project's name."""
    existing = sorted(path for path in root.glob("*/Models") if path.is_dir())
    named = [root / project.stem for project in projects if (root / project.stem).is_dir()]
    candidates = existing or [folder / "Models" for folder in named] or [root / "Models"]
    if len(candidates) > 1:
        raise BadApp(
            f"It is not clear where {root} keeps its models: {' or '.join(map(str, candidates))}.",
            why="A folder Models beside the app's sources contains them.",
            hint="Keep one of them.",
        )
    return candidates[0]


def _find_android_models_folder(root: Path) -> Path:
    """Return the assets of the app's module: `app`, or the only module that builds an application."""
    builds = [path for name in _GRADLE_BUILD_NAMES for path in sorted(root.glob(f"*/{name}"))]
    modules = [path.parent for path in builds if _ANDROID_PLUGIN.search(_read_source(path))]
    if root / "app" in modules or (not modules and (root / "app").is_dir()):
        modules = [root / "app"]
    if len(modules) != 1:
        raise BadApp(
            f"It is not clear which module of {root} is the app: {', '.join(path.name for path in modules) or 'none'}.",
            why=f"A folder app, or one whose {_GRADLE_BUILD_NAMES[0]} applies com.android.application.",
        )
    return modules[0] / "src" / "main" / "assets" / "models"


def _find_ios_pins(root: Path, projects: list[Path], packages: list[Path]) -> Iterator[RuntimePin]:
    for package in packages:
        yield from dict.fromkeys([*_match_pins(package, _SWIFT_PIN), *_match_pins(package, _FRAMEWORK_PIN)])
    for project in projects:
        yield from _match_pins(project / "project.pbxproj", _XCODE_PIN)
    resolved = [root / "Package.resolved", *(path.parent / "Package.resolved" for path in packages)]
    shared = Path("project.xcworkspace", "xcshareddata", "swiftpm", "Package.resolved")
    for file in dict.fromkeys([*resolved, *(project / shared for project in projects)]):
        yield from _read_resolved_pins(file)


def _find_local_packages(projects: list[Path]) -> Iterator[Path]:
    """Yield the manifests of the Swift packages that projects refer to by path, such as the folder above."""
    for project in projects:
        for path in _LOCAL_PACKAGE.findall(_read_source(project / "project.pbxproj")):
            yield Path(os.path.normpath(project.parent / path / "Package.swift"))


def _read_resolved_pins(file: Path) -> Iterator[RuntimePin]:
    """Yield the version that Swift's package manager resolved."""
    try:
        pins = json.loads(_read_source(file) or "{}").get("pins", [])
        for pin in pins:
            if re.search(r"pytorch/executorch(\.git)?$", pin["location"]):
                state = pin["state"]
                if match := re.fullmatch(_VERSION_PATTERN, str(state.get("version") or state.get("branch"))):
                    yield RuntimePin(file, match[1])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadApp(f"{file} cannot be read.", why="It should be a file of Swift's package manager.") from None


def _find_android_pins(root: Path) -> Iterator[RuntimePin]:
    yield from _read_catalog_pins(root / "gradle" / _GRADLE_CATALOG_NAME)
    for name in _GRADLE_BUILD_NAMES:
        for build in _find_nearby_files(root, name):
            for target, pattern in _GRADLE_PINS.items():
                yield from _match_pins(build, pattern, target)


def _read_catalog_pins(file: Path) -> Iterator[RuntimePin]:
    """Yield the versions of runtimes in Gradle's catalog."""
    try:
        catalog = tomllib.loads(_read_source(file))
        versions, libraries = catalog.get("versions", {}), catalog.get("libraries", {}).values()
        pinned = [
            (target, _get_library_version(library, versions, target))
            for target in _ANDROID_MODULES
            for library in libraries
        ]
        named: tuple[Target, Any] = "executorch", versions.get("executorch")
    except (ValueError, AttributeError, RecursionError):
        raise BadApp(f"{file} cannot be read.", why="It should be Gradle's version catalog in TOML.") from None
    for target, version in dict.fromkeys(pin for pin in (*pinned, named) if isinstance(pin[1], str)):
        yield RuntimePin(file, version, target)


def _get_library_version(library: Any, versions: dict[str, Any], target: Target) -> str | None:
    """Return the version of a library in the catalog if it is the runtime of a target."""
    if isinstance(library, str):
        return match[1] if (match := _GRADLE_PINS[target].fullmatch(library)) else None
    module = library.get("module") or f"{library.get('group')}:{library.get('name')}"
    if not re.fullmatch(_ANDROID_MODULES[target], module):
        return None
    version = library.get("version")
    resolved = versions.get(str(version.get("ref"))) if isinstance(version, dict) else version
    return resolved if isinstance(resolved, str) else None


def _match_pins(file: Path, pattern: re.Pattern[str], target: Target = "executorch") -> Iterator[RuntimePin]:
    for match in pattern.finditer(_read_source(file)):
        yield RuntimePin(file, match[1].rstrip("."), target)


def _read_source(file: Path) -> str:
    """Return the text of a file without line comments; empty if it does not exist."""
    if not file.is_file():
        return ""
    content = read_bytes(file, limit=MAX_TEXT_BYTES, error=BadApp, what="a source file")
    return re.sub(r"(?m)^\s*//.*$", "", content.decode(errors="replace"))
