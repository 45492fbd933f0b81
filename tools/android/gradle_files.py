"""Checks the Gradle project without Gradle: scripts compiled, catalog and wrapper held against each other.

Each script is compiled as the body of a function on what Gradle would hand it, against `gradle-stub/`, with accessors
made of the version catalog. That finds what does not parse, a property that a plugin does not have, and a wrong type.
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

HERE = Path(__file__).parent
# What a script is, by the plugin that it applies.
SCRIPTS = {
    "plugins.android.application": "ApplicationScript",
    "plugins.android.library": "LibraryScript",
    "plugins.kotlin.jvm": "JvmScript",
}
ALIAS = re.compile(r"\blibs\.((?:\w+\.)*\w+)")
WRAPPER = "gradle/wrapper/gradle-wrapper.properties"
DISTRIBUTION = re.compile(r"^https\\://services\.gradle\.org/distributions/gradle-(\d+)\.(\d+)(?:\.\d+)?-bin\.zip$")
# The oldest Gradle that a version of the Android plugin runs on: developer.android.com/build/releases/gradle-plugin.
LEAST_GRADLE = {"9.2": (9, 4), "9.3": (9, 5), "9.4": (9, 6)}


class BadGradle(ShvitError):
    """A Gradle project that Gradle would refuse."""


@dataclass(frozen=True)
class GradleProject:
    """A Gradle project's files.

    Attributes:
        catalog: the version catalog.
        settings: text of `settings.gradle.kts`; root: of the outer `build.gradle.kts`.
        modules: texts of the inner ones, by module.
    """

    folder: Path
    catalog: dict[str, Any]
    settings: str
    root: str
    modules: dict[str, str]


def read_project(folder: Path) -> GradleProject:
    """The project in a folder.

    Raises:
        BadGradle: the catalog is no TOML.
    """
    try:
        catalog = tomllib.loads((folder / "gradle/libs.versions.toml").read_text())
    except tomllib.TOMLDecodeError as reason:
        raise BadGradle("The version catalog is no TOML.", why=str(reason)) from None
    modules = {path.parent.name: path.read_text() for path in sorted(folder.glob("*/build.gradle.kts"))}
    settings, root = ((folder / name).read_text() for name in ("settings.gradle.kts", "build.gradle.kts"))
    return GradleProject(folder, catalog, settings, root, modules)


def check_gradle(tools: Toolchain, folder: Path, into: Path, *, quiet: bool = False) -> None:
    """Refuses a Gradle project that contradicts itself or does not compile.

    Args:
        into: a folder for what is compiled, of which nothing that was there is left.
        quiet: drops the compiler's words.

    Raises:
        BadGradle: it does.
    """
    found = read_project(folder)
    faults = [
        *find_alias_faults(found),
        *find_module_faults(found),
        *find_rule_faults(found),
        *find_wrapper_faults(found),
    ]
    if faults:
        raise BadGradle("The Gradle project contradicts itself.", why="\n".join(faults))
    shutil.rmtree(into, ignore_errors=True)
    sources = [*sorted((HERE / "gradle-stub").glob("*.kt")), *write_kotlin_sources(found, into / "scripts")]
    status = tools.kotlinc(sources, into / "classes", [tools.library("kotlin-stdlib")], quiet=quiet)
    if status != 0:
        raise BadGradle("A Gradle script does not compile.", why="The compiler has said where.")


def find_alias_faults(found: GradleProject) -> Iterator[str]:
    """Aliases of the catalog that are used and not defined, or defined and not used; versions likewise."""
    used = set(ALIAS.findall("".join([found.root, *found.modules.values()])))
    used = {name.removesuffix(".get") for name in used}
    catalog = found.catalog
    versions = {f"versions.{to_dotted_name(name)}" for name in catalog["versions"]}
    aliases = {to_dotted_name(name) for name in catalog["libraries"]} | {
        f"plugins.{to_dotted_name(name)}" for name in catalog["plugins"]
    }
    referred = {entry["version"]["ref"] for kind in ("libraries", "plugins") for entry in catalog[kind].values()}
    for name in sorted(used - aliases - versions):
        yield f"libs.{name} is used, and the catalog does not define it."
    for name in sorted(aliases - used):
        yield f"libs.{name} is defined, and no script uses it."
    for name in sorted(referred - set(catalog["versions"])):
        yield f"The version {name} is referred to, and the catalog does not define it."
    for name in sorted(set(catalog["versions"]) - referred):
        if f"versions.{to_dotted_name(name)}" not in used:
            yield f"The version {name} is defined, and nothing uses it."


def to_dotted_name(alias: str) -> str:
    """An alias as scripts name it."""
    return re.sub(r"[-_]", ".", alias)


def find_module_faults(found: GradleProject) -> Iterator[str]:
    """Modules that are not what the settings say, and Android modules that differ in what they are built for."""
    included = set(re.findall(r'":([\w-]+)"', found.settings))
    for name in sorted(included ^ set(found.modules)):
        yield f"The module {name} is {'included' if name in included else 'there'}, and not both."
    depended = {name for text in found.modules.values() for name in re.findall(r'project\(":([\w-]+)"\)', text)}
    for name in sorted(depended - included):
        yield f"A module depends on {name}, which is not included."
    for setting in ("compileSdk", "minSdk"):
        values = {value for text in found.modules.values() for value in re.findall(rf"{setting} = (\d+)", text)}
        if len(values) != 1:
            yield f"{setting} is {' and '.join(sorted(values)) or 'nowhere'}; the Android modules should share one."


def find_rule_faults(found: GradleProject) -> Iterator[str]:
    """Files of R8's rules that a script names and that are not there."""
    for module, text in found.modules.items():
        for name in re.findall(r'"([\w-]+\.pro)"', text):
            if not (found.folder / module / name).is_file():
                yield f"{module}/build.gradle.kts names {name}, which is not there."


def find_wrapper_faults(found: GradleProject) -> Iterator[str]:
    """What is wrong with the wrapper: not Gradle's own, no checksum, or too old for the Android plugin."""
    lines = (found.folder / WRAPPER).read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines if "=" in line)
    distribution = DISTRIBUTION.match(properties.get("distributionUrl", ""))
    if distribution is None:
        yield f"{WRAPPER} names no distribution of Gradle's own."
        return
    if not re.fullmatch("[0-9a-f]{64}", properties.get("distributionSha256Sum", "")):
        yield f"{WRAPPER} has no SHA-256 of the distribution."
    plugin = found.catalog["versions"]["android"].rpartition(".")[0]
    least = LEAST_GRADLE.get(plugin)
    if least is None:
        yield f"Nobody wrote down which Gradle the Android plugin {plugin} needs."
    elif (int(distribution[1]), int(distribution[2])) < least:
        yield f"The Android plugin {plugin} needs Gradle {least[0]}.{least[1]} or newer."


def write_kotlin_sources(found: GradleProject, into: Path) -> list[Path]:
    """The scripts as Kotlin sources, and the catalog's accessors."""
    into.mkdir(parents=True)
    sources = {"Libs": format_accessors(found.catalog)}
    sources["Settings"] = format_script_function(found.settings, "SettingsScript", "settings")
    sources["Root"] = format_script_function(found.root, "RootScript", "root")
    for module, text in found.modules.items():
        (kind,) = {SCRIPTS[name] for name in SCRIPTS if re.search(rf"alias\(libs\.{re.escape(name)}\)", text)}
        sources[kind] = format_script_function(text, kind, module.replace("-", "_"))
    for name, text in sources.items():
        (into / f"{name}.kt").write_text(text)
    return sorted(into.glob("*.kt"))


def format_script_function(script: str, receiver: str, name: str) -> str:
    """A script as a function on what Gradle hands it, with what Gradle imports by itself."""
    lines = script.splitlines()
    imports = [line for line in lines if line.startswith("import ")]
    body = [line for line in lines if not line.startswith("import ")]
    return "\n".join(
        [f"package scripts.{name}", "import gradle.*", *imports, f"fun {receiver}.script() {{", *body, "}\n"]
    )


def format_accessors(catalog: dict[str, Any]) -> str:
    """Gradle's accessors of a catalog: `libs.a.b` for the library `a-b`, `libs.plugins.` and `libs.versions.`."""
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
