"""Checks the Gradle project without Gradle: compiles the scripts and compares catalog, modules and wrapper.

Each script is compiled as the body of an extension function of Gradle's script object in `gradle-stub/`, with accessors
generated from the version catalog. This finds syntax errors, unknown properties and wrong types.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain import Toolchain

from shvit_mobile.errors import ShvitError
from shvit_mobile.versions import VERSION

HERE = Path(__file__).parent
# The type of a script, by the plugin that it applies.
SCRIPTS = {
    "plugins.android.application": "ApplicationScript",
    "plugins.android.library": "LibraryScript",
    "plugins.kotlin.jvm": "JvmScript",
}
ALIAS = re.compile(r"\blibs\.((?:\w+\.)*\w+)")
WRAPPER = "gradle/wrapper/gradle-wrapper.properties"
DISTRIBUTION = re.compile(r"^https\\://services\.gradle\.org/distributions/gradle-(\d+)\.(\d+)(?:\.\d+)?-bin\.zip$")
# The minimum Gradle of each version of the Android plugin: developer.android.com/build/releases/gradle-plugin.
LEAST_GRADLE = {"9.2": (9, 4), "9.3": (9, 5), "9.4": (9, 6)}


class BadGradle(ShvitError):
    """A Gradle project that Gradle would reject."""


@dataclass(frozen=True)
class GradleProject:
    """The files of a Gradle project.

    Attributes:
        folder: The project's folder.
        catalog: The version catalog.
        settings: The text of `settings.gradle.kts`.
        root: The text of the root `build.gradle.kts`.
        properties: The entries of `gradle.properties`.
        modules: The texts of the modules' `build.gradle.kts`.
    """

    folder: Path
    catalog: dict[str, Any]
    settings: str
    root: str
    properties: dict[str, str]
    modules: dict[str, str]


def read_project(folder: Path) -> GradleProject:
    """Read the project in a folder.

    Raises:
        BadGradle: If the catalog is not TOML.
    """
    try:
        catalog = tomllib.loads((folder / "gradle/libs.versions.toml").read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as reason:
        raise BadGradle("The version catalog is not TOML.", why=str(reason)) from None
    modules = {path.parent.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*/build.gradle.kts"))}
    settings, root = (
        (folder / name).read_text(encoding="utf-8") for name in ("settings.gradle.kts", "build.gradle.kts")
    )
    properties = read_properties(folder / "gradle.properties")
    return GradleProject(folder, catalog, settings, root, properties, modules)


def read_properties(path: Path) -> dict[str, str]:
    """Return the entries of a file of Java properties that needs no escapes."""
    lines = path.read_text(encoding="utf-8").splitlines()
    entries = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in entries}


def check_gradle(tools: Toolchain, folder: Path, into: Path, *, quiet: bool = False) -> None:
    """Check that a Gradle project is consistent and compiles.

    Args:
        tools: The toolchain.
        folder: The project's folder.
        into: The folder for compiled scripts, which is cleared first.
        quiet: Whether to hide the compiler's output (default: False).

    Raises:
        BadGradle: If it is inconsistent or does not compile.
    """
    found = read_project(folder)
    faults = [
        *find_alias_faults(found),
        *find_module_faults(found),
        *find_rule_faults(found),
        *find_publication_faults(found, VERSION),
        *find_wrapper_faults(found),
    ]
    if faults:
        raise BadGradle("The Gradle project is inconsistent.", why="\n".join(faults))
    shutil.rmtree(into, ignore_errors=True)
    sources = [*sorted((HERE / "gradle-stub").glob("*.kt")), *write_kotlin_sources(found, into / "scripts")]
    status = tools.kotlinc(sources, into / "classes", [tools.library("kotlin-stdlib")], quiet=quiet)
    if status != 0:
        raise BadGradle("A Gradle script does not compile.", why="The compiler's output says where.")


def find_alias_faults(found: GradleProject) -> Iterator[str]:
    """Find aliases and versions that are used but not defined, or defined but not used."""
    used = set(ALIAS.findall("".join([found.root, *found.modules.values()])))
    used = {name.removesuffix(".get") for name in used}
    catalog = found.catalog
    versions = {f"versions.{to_dotted_name(name)}" for name in catalog["versions"]}
    aliases = {to_dotted_name(name) for name in catalog["libraries"]} | {
        f"plugins.{to_dotted_name(name)}" for name in catalog["plugins"]
    }
    referred = {entry["version"]["ref"] for kind in ("libraries", "plugins") for entry in catalog[kind].values()}
    for name in sorted(used - aliases - versions):
        yield f"libs.{name} is used, but the catalog does not define it."
    for name in sorted(aliases - used):
        yield f"libs.{name} is defined, but no script uses it."
    for name in sorted(referred - set(catalog["versions"])):
        yield f"The version {name} is used, but the catalog does not define it."
    for name in sorted(set(catalog["versions"]) - referred):
        if f"versions.{to_dotted_name(name)}" not in used:
            yield f"The version {name} is defined, but nothing uses it."


def to_dotted_name(alias: str) -> str:
    """Return an alias as scripts spell it."""
    return re.sub(r"[-_]", ".", alias)


def find_module_faults(found: GradleProject) -> Iterator[str]:
    """Find modules that differ from the settings, and Android modules with different SDK levels."""
    included = set(re.findall(r'":([\w-]+)"', found.settings))
    for name in sorted(included ^ set(found.modules)):
        yield f"The module {name} {'is included, but does not exist' if name in included else 'is not included'}."
    depended = {name for text in found.modules.values() for name in re.findall(r'project\(":([\w-]+)"\)', text)}
    for name in sorted(depended - included):
        yield f"A module depends on {name}, which is not included in the settings."
    for setting in ("compileSdk", "minSdk"):
        values = {value for text in found.modules.values() for value in re.findall(rf"{setting} = (\d+)", text)}
        if len(values) != 1:
            yield f"{setting} is {' and '.join(sorted(values)) or 'nowhere'}; the Android modules should share one."


def find_rule_faults(found: GradleProject) -> Iterator[str]:
    """Find missing files of R8 rules."""
    for module, text in found.modules.items():
        for name in re.findall(r'"([\w-]+\.pro)"', text):
            if not (found.folder / module / name).is_file():
                yield f"{module}/build.gradle.kts names {name}, which does not exist."


def find_publication_faults(found: GradleProject, version: str) -> Iterator[str]:
    """Find libraries that are not published with their sources, and versions that differ from the Python package's."""
    if found.properties.get("version") != version:
        yield f"gradle.properties does not set the Python package's version {version}."
    if "group" not in found.properties:
        yield "gradle.properties does not set the group of the published modules."
    if 'withPlugin("maven-publish")' not in found.root or "license {" not in found.root:
        yield "The root script does not name the license of the published modules."
    for name, text in found.modules.items():
        if "plugins.android.application" in text:
            if f'versionName = "{version}"' not in text:
                yield f"{name} does not have the Python package's version {version}."
            continue
        component = "java" if "plugins.kotlin.jvm" in text else "release"
        parts = ["`maven-publish`", "withSourcesJar()", f'from(components["{component}"])']
        if component == "release":
            parts.append('singleVariant("release")')
        for part in parts:
            if part not in text:
                yield f"{name} cannot be published: {part} is missing."


def find_wrapper_faults(found: GradleProject) -> Iterator[str]:
    """Find faults of the wrapper: not from Gradle's site, no checksum, or too old for the Android plugin."""
    properties = read_properties(found.folder / WRAPPER)
    distribution = DISTRIBUTION.match(properties.get("distributionUrl", ""))
    if distribution is None:
        yield f"{WRAPPER} does not name a distribution from Gradle's site."
        return
    if not re.fullmatch("[0-9a-f]{64}", properties.get("distributionSha256Sum", "")):
        yield f"{WRAPPER} has no SHA-256 of the distribution."
    plugin = found.catalog["versions"]["android"].rpartition(".")[0]
    least = LEAST_GRADLE.get(plugin)
    if least is None:
        yield f"LEAST_GRADLE does not list the Android plugin {plugin}."
    elif (int(distribution[1]), int(distribution[2])) < least:
        yield f"The Android plugin {plugin} needs Gradle {least[0]}.{least[1]} or newer."


def write_kotlin_sources(found: GradleProject, into: Path) -> list[Path]:
    """Write the scripts and the catalog's accessors as Kotlin sources."""
    into.mkdir(parents=True)
    sources = {"Libs": format_accessors(found.catalog)}
    sources["Settings"] = format_script_function(found.settings, "SettingsScript", "settings")
    sources["Root"] = format_script_function(found.root, "RootScript", "root")
    for module, text in found.modules.items():
        (kind,) = {SCRIPTS[name] for name in SCRIPTS if re.search(rf"alias\(libs\.{re.escape(name)}\)", text)}
        sources[kind] = format_script_function(text, kind, module.replace("-", "_"))
    for name, text in sources.items():
        (into / f"{name}.kt").write_text(text, encoding="utf-8")
    return sorted(into.glob("*.kt"))


def format_script_function(script: str, receiver: str, name: str) -> str:
    """Return a script as an extension function of Gradle's script object, with Gradle's implicit imports."""
    lines = script.splitlines()
    imports = [line for line in lines if line.startswith("import ")]
    body = [line for line in lines if not line.startswith("import ")]
    return "\n".join(
        [f"package scripts.{name}", "import gradle.*", *imports, f"fun {receiver}.script() {{", *body, "}\n"]
    )


def format_accessors(catalog: dict[str, Any]) -> str:
    """Return Gradle's accessors of a catalog: `libs.a.b` for the library `a-b`, `libs.plugins.*`, `libs.versions.*`."""
    values = {to_dotted_name(name): f'Library("{entry["module"]}")' for name, entry in catalog["libraries"].items()}
    values |= {
        f"plugins.{to_dotted_name(name)}": f'PluginAlias("{entry["id"]}")' for name, entry in catalog["plugins"].items()
    }
    values |= {
        f"versions.{to_dotted_name(name)}": f'Provider("{value}")' for name, value in catalog["versions"].items()
    }
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *groups, leaf = path.split(".")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[leaf] = value
    return "\n".join(["package gradle", *format_nested("libs", tree), ""])


def format_nested(name: str, tree: dict[str, Any]) -> Iterator[str]:
    yield f"object {name} {{"
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from format_nested(key, value)
        else:
            yield f"val {key} = {value}"
    yield "}"
