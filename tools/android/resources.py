"""Compiles and links the app's resources and manifest with aapt2, as Gradle would.

Misspelled attributes, missing texts, and missing classes that the manifest names are errors.

aapt2 and the framework's resources come from Debian and are those of Android 10, so resources must not use newer ones.
"""

from __future__ import annotations

import os
import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from debian import unpack_packages
from install import get_toolchain_folder, print_status

from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.errors import ShvitError

PACKAGES = ("aapt", "android-framework-res")
FRAMEWORK = "usr/share/android-framework-res/framework-res.apk"
# The folders of the shared libraries that Debian's programs need.
LIBRARIES = ("usr/lib", "usr/lib/*-linux-gnu", "usr/lib/*-linux-gnu/android", "usr/lib/p7zip")
ANDROID = "http://schemas.android.com/apk/res/android"
NAME = f"{{{ANDROID}}}name"
PERMISSION = re.compile(rb"android\.permission\.[A-Z_]+")
COMPONENTS = ("activity", "provider", "service", "receiver")


class BadResources(ShvitError):
    """Resources or a manifest that Gradle would reject."""


@dataclass(frozen=True)
class LinkedResources:
    """An app's linked resources.

    Attributes:
        package: The package without code.
        java: The source of the class `R`.
        classes: The full names of classes in the manifest and the layouts.
        permissions: The full names of permissions in the manifest.
    """

    package: Path
    java: Path
    classes: tuple[str, ...]
    permissions: tuple[str, ...]


def install_aapt2() -> Path:
    """Return the folder of aapt2 and its dependencies; download it if needed."""
    place = get_toolchain_folder() / "aapt2"
    if not place.exists():
        print_status("Downloading aapt2 and Android's resources")
        with write_atomically(place) as (part,):
            part.mkdir()
            unpack_packages(PACKAGES, part, dependencies=True)
    return place


def link_resources(app: Path, into: Path) -> LinkedResources:
    """Compile and link the resources of an app's Gradle module.

    Raises:
        BadResources: If aapt2 rejects them; the error has its output.
        ToolMissing, InstallFailed: If aapt2 is not available.
    """
    tools = install_aapt2()
    into.mkdir(parents=True)
    script = (app / "build.gradle.kts").read_text(encoding="utf-8")
    namespace = read_setting(script, "namespace")
    manifest = merge_manifest(app / "src/main/AndroidManifest.xml", namespace, into / "AndroidManifest.xml")
    archive, package, assets = into / "resources.zip", into / "resources.apk", app / "src/main/assets"
    run_aapt2(tools, "compile", "--dir", app / "src/main/res", "-o", archive)
    run_aapt2(
        tools,
        *("link", "-I", tools / FRAMEWORK, "--manifest", manifest, "--java", into / "java", "-o", package),
        *(
            "--min-sdk-version",
            read_setting(script, "minSdk"),
            "--target-sdk-version",
            read_setting(script, "targetSdk"),
        ),
        *("--version-code", read_setting(script, "versionCode"), "--version-name", read_setting(script, "versionName")),
        *(("-A", assets, *list_uncompressed(script)) if assets.is_dir() else ()),
        archive,
    )
    java = into / "java" / namespace.replace(".", "/") / "R.java"
    named = {*list_components(manifest, namespace), *list_view_classes(app / "src/main/res")}
    return LinkedResources(package, java, tuple(sorted(named)), tuple(list_permissions(manifest)))


def read_setting(script: str, name: str) -> str:
    """Return a text or number that a Gradle file sets.

    Raises:
        BadResources: If it does not set it.
    """
    found = re.search(rf'^\s*{name} = "?([\w.]+)"?$', script, re.MULTILINE)
    if found is None:
        raise BadResources(f"build.gradle.kts does not set {name}.", why="Android's Gradle plugin needs it.")
    return found[1]


def list_uncompressed(script: str) -> list[str]:
    """Return aapt2's options for the suffixes that a Gradle file leaves uncompressed."""
    named = re.search(r"noCompress \+= (.*)", script)
    suffixes = re.findall(r'"(\w+)"', named[1]) if named else []
    return [word for suffix in suffixes for word in ("-0", f".{suffix}")]


def merge_manifest(source: Path, namespace: str, into: Path) -> Path:
    """Write the manifest as Gradle passes it to aapt2: with the package's name, and without placeholders."""
    ET.register_namespace("android", ANDROID)
    manifest = ET.fromstring(source.read_text(encoding="utf-8").replace("${applicationId}", namespace))
    manifest.set("package", namespace)
    ET.ElementTree(manifest).write(into, encoding="utf-8", xml_declaration=True)
    return into


def dump_badging(package: Path) -> str:
    """Return the values that aapt2 reads from a package's manifest."""
    return run_aapt2(install_aapt2(), "dump", "badging", package)


def run_aapt2(tools: Path, *arguments: str | Path) -> str:
    """Run aapt2 and return its output.

    Raises:
        BadResources: If it fails.
    """
    found = [str(path) for pattern in LIBRARIES for path in sorted(tools.glob(pattern))]
    environment = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(found)}
    command = [tools / "usr/bin/aapt2", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, encoding="utf-8")
    if done.returncode != 0:
        raise BadResources("aapt2 rejects the app's resources.", why=done.stderr.strip() or done.stdout.strip())
    return done.stdout


def list_components(manifest: Path, namespace: str) -> list[str]:
    """Return the classes that a manifest names."""
    root = ET.parse(manifest).getroot()
    names = [element.get(NAME, "") for tag in (*COMPONENTS, "application") for element in root.iter(tag)]
    return [f"{namespace}{name}" if name.startswith(".") else name for name in names if name]


def list_permissions(manifest: Path) -> list[str]:
    """Return the permissions in a manifest."""
    return [element.get(NAME, "") for element in ET.parse(manifest).getroot().iter("uses-permission")]


def list_view_classes(resources: Path) -> list[str]:
    """Return the classes that layouts name: elements with a dot."""
    layouts = resources.glob("layout*/*.xml")
    return [element.tag for layout in layouts for element in ET.parse(layout).getroot().iter() if "." in element.tag]


def check_classes(resources: LinkedResources, folders: Iterable[Path]) -> None:
    """Check that the classes in manifest and layouts exist in one of these folders.

    Raises:
        BadResources: If one does not exist.
    """
    places = {name: f"{name.replace('.', '/')}.class" for name in resources.classes}
    known = list(folders)
    missing = [name for name, place in places.items() if not any((folder / place).exists() for folder in known)]
    if missing:
        raise BadResources(f"There is no class {', '.join(missing)}.", why="The manifest or a layout names it.")


def check_permissions(resources: LinkedResources, classes: Path) -> None:
    """Check that the manifest contains the permissions in the code; otherwise the system denies them without asking.

    Raises:
        BadResources: If it lacks one.
    """
    files = sorted(classes.rglob("*.class"))
    named = {name.decode() for path in files for name in PERMISSION.findall(path.read_bytes())}
    missing = sorted(named - set(resources.permissions))
    if missing:
        raise BadResources(f"The manifest lacks {', '.join(missing)}.", why="The app's code names it.")
