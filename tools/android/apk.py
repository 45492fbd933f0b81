"""Builds the app's package without Gradle (dex, resources, models), aligns and signs it, and checks its contents.

This proves that the compiled parts fit together in one package. The package cannot run: dx, unlike d8, does not convert
lambdas into classes, ExecuTorch's classes are older than the catalog's, and its native library is missing. R8 shrinks
nothing. The signing key is temporary.
"""

from __future__ import annotations

import os
import re
import secrets
import struct
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from debian import unpack_packages
from install import FRAMEWORK_RELEASE, get_toolchain_folder, print_status
from resources import LIBRARIES, LinkedResources, dump_badging
from toolchain import Toolchain

from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.errors import ShvitError

# d8 is not available as a package; dx is its predecessor.
DX, DX_JAR = "dalvik-exchange", "usr/share/java/com.android.dx.jar"
SIGNER, SIGNER_JAR = "apksigner", "usr/share/java/apksigner.jar"
ALIGNER, ALIGNER_PROGRAM = "zipalign", "usr/lib/android-sdk/build-tools/debian/zipalign"
STORE = "PKCS12"
# What is not compressed in a package.
MODEL_SUFFIXES = (".pte", ".tflite")


class BadPackage(ShvitError):
    """A package that is incomplete, or that a phone would not install."""


def install_packaging_tools() -> Path:
    """Return the folder of dx, zipalign and apksigner; download it if needed."""
    place = get_toolchain_folder() / "packaging"
    if not place.exists():
        print_status("Downloading dx, zipalign and apksigner")
        with write_atomically(place) as (part,):
            part.mkdir()
            unpack_packages([ALIGNER], part, dependencies=True)
            # These only depend on a Java runtime, which is installed.
            unpack_packages([SIGNER], part)
            unpack_packages([DX], part, release=FRAMEWORK_RELEASE)
    return place


def package_app(
    tools: Toolchain, resources: LinkedResources, classes: Iterable[Path], jars: Iterable[Path], least: str, into: Path
) -> Path:
    """Build an app's signed package and return its path.

    Args:
        tools: The toolchain.
        resources: The linked resources, with the assets.
        classes: Folders of compiled classes.
        jars: Libraries that the classes need on a phone.
        least: The minimum API level.
        into: The output folder, which must not exist.

    Raises:
        BadPackage: If a tool fails.
        ToolMissing, InstallFailed: If a tool is not available.
    """
    place = install_packaging_tools()
    into.mkdir(parents=True)
    code = [*classes, *(strip_metadata(jar, into / jar.name) for jar in jars)]
    dex, loose, aligned, signed = (into / name for name in ("classes.dex", "loose.apk", "aligned.apk", "app.apk"))
    dx = ("-Xmx1g", "-cp", place / DX_JAR, "com.android.dx.command.Main", "--dex", f"--min-sdk-version={least}")
    if tools.java(*dx, f"--output={dex}", *code) != 0:
        raise BadPackage("dx cannot convert the compiled classes.", why="A phone only runs dex.")
    loose.write_bytes(resources.package.read_bytes())
    with zipfile.ZipFile(loose, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.write(dex, dex.name)
    align(place, "-f", "-p", "4", loose, aligned)
    sign(tools, place, aligned, signed, least)
    return signed


def strip_metadata(jar: Path, into: Path) -> Path:
    """Copy a jar with only its classes, without those for other Java versions."""
    with zipfile.ZipFile(jar) as source, zipfile.ZipFile(into, "w") as target:
        for name in source.namelist():
            if name.endswith(".class") and not name.startswith("META-INF/"):
                target.writestr(name, source.read(name))
    return into


def align(place: Path, *arguments: str | Path) -> None:
    found = [str(path) for pattern in LIBRARIES for path in sorted(place.glob(pattern))]
    environment = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(found)}
    command = [place / ALIGNER_PROGRAM, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, encoding="utf-8")
    if done.returncode != 0:
        raise BadPackage("zipalign rejects the package.", why=done.stderr.strip() or done.stdout.strip())


def sign(tools: Toolchain, place: Path, package: Path, into: Path, least: str) -> None:
    """Sign a package with a temporary key."""
    with tempfile.TemporaryDirectory(prefix="shvit-key-") as temporary:
        store, password = Path(temporary) / "key.p12", secrets.token_hex()
        about = ("-alias", "once", "-keyalg", "RSA", "-keysize", "2048", "-validity", "1", "-dname", "CN=once")
        tools.keytool("-genkeypair", "-keystore", store, "-storetype", STORE, "-storepass", password, *about)
        key = ("--ks", store, "--ks-type", STORE, "--ks-pass", f"pass:{password}")
        run_apksigner(tools, place, "sign", *key, "--min-sdk-version", least, "--in", package, "--out", into)


def run_apksigner(tools: Toolchain, place: Path, *arguments: str | Path) -> str:
    """Run apksigner and return its output.

    Raises:
        BadPackage: If it fails.
    """
    try:
        return tools.run_java("-jar", place / SIGNER_JAR, *arguments)
    except subprocess.CalledProcessError as failed:
        raise BadPackage("apksigner rejects the package.", why=str(failed.stdout).strip()) from None


def check_package(
    tools: Toolchain, package: Path, assets: Path, classes: Iterable[str], settings: dict[str, str]
) -> None:
    """Check a signed package.

    Args:
        tools: The toolchain.
        package: The package.
        assets: The folder of the app's assets.
        classes: The names, with dots, of classes that the package must contain.
        settings: The Gradle file's applicationId, minSdk, targetSdk, versionCode and versionName.

    Raises:
        BadPackage: If it is incomplete or not aligned, or its signature is invalid.
    """
    place = install_packaging_tools()
    align(place, "-c", "-p", "4", package)
    verified = run_apksigner(tools, place, "verify", "--verbose", "--min-sdk-version", settings["minSdk"], package)
    faults = [
        *([] if re.search(r"Verified using v2 scheme.*: true", verified) else ["It has no valid v2 signature."]),
        *find_missing(package, assets, classes),
        *find_contradictions(dump_badging(package), settings),
    ]
    if faults:
        raise BadPackage("The package is invalid.", why="\n".join(faults))


def find_missing(package: Path, assets: Path, classes: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each thing that a package lacks."""
    with zipfile.ZipFile(package) as archive:
        members = {member.filename: member for member in archive.infolist()}
        for name in ("AndroidManifest.xml", "resources.arsc", "classes.dex"):
            if name not in members:
                yield f"It has no {name}."
                return
        dex = archive.read("classes.dex")
    models = [path for path in sorted(assets.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    for path in models:
        member = members.get(f"assets/{path.relative_to(assets)}")
        if member is None or member.file_size != path.stat().st_size:
            yield f"It lacks the asset {path.relative_to(assets)}."
        elif path.suffix in MODEL_SUFFIXES and member.compress_type != zipfile.ZIP_STORED:
            yield f"{path.relative_to(assets)} is compressed."
    for name in sorted(set(classes) - read_dex_classes(dex)):
        yield f"Its code lacks the class {name}."


def find_contradictions(badging: str, settings: dict[str, str]) -> Iterator[str]:
    """Yield a sentence for each value in a package's badging that differs from the Gradle file."""
    expected = {
        "package: name": settings["applicationId"],
        "versionCode": settings["versionCode"],
        "versionName": settings["versionName"],
        "sdkVersion": settings["minSdk"],
        "targetSdkVersion": settings["targetSdk"],
    }
    for name, value in expected.items():
        found = re.search(rf"(?:^|\s){name}[=:]'([^']*)'", badging, re.MULTILINE)
        if found is None or found[1] != value:
            yield f"{name} is {found[1] if found else 'missing'}, but {value} in build.gradle.kts."
    if "application-debuggable" in badging:
        yield "It is debuggable, so its latencies would mean nothing."


def read_dex_classes(dex: bytes) -> set[str]:
    """Return the names, with dots, of the classes that a dex file defines; see "Dalvik Executable format"."""
    if dex[:4] != b"dex\n":
        raise BadPackage("classes.dex is not a dex file.", why=f"It begins with {dex[:8]!r}.")
    strings, types = read_dex_table(dex, 56, "<I"), read_dex_table(dex, 64, "<I")
    return {to_java_name(read_dex_string(dex, strings[types[row]])) for row in read_dex_table(dex, 96, "<I28x")}


def read_dex_table(dex: bytes, header: int, row: str) -> list[int]:
    """Return the first field of each row of the table whose length and offset are at `header`."""
    count, offset = struct.unpack_from("<II", dex, header)
    size = struct.calcsize(row)
    return [struct.unpack_from(row, dex, offset + size * index)[0] for index in range(count)]


def read_dex_string(dex: bytes, offset: int) -> str:
    """Return a string, which is stored as a varint length, its bytes, and a zero."""
    while dex[offset] & 0x80:
        offset += 1
    return dex[offset + 1 : dex.index(0, offset + 1)].decode(errors="replace")


def to_java_name(descriptor: str) -> str:
    return descriptor[1:-1].replace("/", ".")


def list_compiled_classes(folders: Iterable[Path]) -> set[str]:
    """Return the names, with dots, of the classes in folders."""
    return {
        str(path.relative_to(top).with_suffix("")).replace("/", ".") for top in folders for path in top.rglob("*.class")
    }
