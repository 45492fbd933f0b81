"""Makes the app's package without Gradle: code as dex, resources, models; aligned, signed, and then looked into.

It proves that all that was compiled fits together in what a phone installs. It is no package to run: lambdas stay as
the compiler wrote them, which d8 would make classes of and dx does not; ExecuTorch's classes in it are older than the
catalog's, its native library is missing, and R8 shrank nothing. The key that signs it is thrown away.
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

# d8 is not to be had; dx came before it.
DX, DX_JAR = "dalvik-exchange", "usr/share/java/com.android.dx.jar"
SIGNER, SIGNER_JAR = "apksigner", "usr/share/java/apksigner.jar"
ALIGNER, ALIGNER_PROGRAM = "zipalign", "usr/lib/android-sdk/build-tools/debian/zipalign"
STORE = "PKCS12"


class BadPackage(ShvitError):
    """A package that a phone would not install, or that lacks something."""


def install_packaging_tools() -> Path:
    """The folder of dx, zipalign and apksigner; downloaded where it is not there."""
    place = get_toolchain_folder() / "packaging"
    if not place.exists():
        print_status("Downloading dx, zipalign and apksigner")
        with write_atomically(place) as (part,):
            part.mkdir()
            unpack_packages([ALIGNER], part, dependencies=True)
            # What these depend on is a Java machine, which is there.
            unpack_packages([SIGNER], part)
            unpack_packages([DX], part, release=FRAMEWORK_RELEASE)
    return place


def package_app(
    tools: Toolchain, resources: LinkedResources, classes: Iterable[Path], jars: Iterable[Path], least: str, into: Path
) -> Path:
    """The signed package of an app.

    Args:
        resources: linked, with the assets.
        classes: folders of compiled classes; jars: what they need on a phone besides Android.
        least: the API level of the oldest phone.
        into: a folder that is not there yet.

    Raises:
        BadPackage: a tool refuses something.
        ToolMissing, InstallFailed: a tool is not to be had.
    """
    place = install_packaging_tools()
    into.mkdir(parents=True)
    code = [*classes, *(strip_metadata(jar, into / jar.name) for jar in jars)]
    dex, loose, aligned, signed = (into / name for name in ("classes.dex", "loose.apk", "aligned.apk", "app.apk"))
    dx = ("-Xmx1g", "-cp", place / DX_JAR, "com.android.dx.command.Main", "--dex", f"--min-sdk-version={least}")
    if tools.java(*dx, f"--output={dex}", *code) != 0:
        raise BadPackage("dx cannot translate the compiled classes.", why="A phone runs dex alone.")
    loose.write_bytes(resources.package.read_bytes())
    with zipfile.ZipFile(loose, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.write(dex, dex.name)
    align(place, "-f", "-p", "4", loose, aligned)
    sign(tools, place, aligned, signed, least)
    return signed


def strip_metadata(jar: Path, into: Path) -> Path:
    """The classes of a jar: what else it holds is no code, or code of other Java machines."""
    with zipfile.ZipFile(jar) as source, zipfile.ZipFile(into, "w") as target:
        for name in source.namelist():
            if name.endswith(".class") and not name.startswith("META-INF/"):
                target.writestr(name, source.read(name))
    return into


def align(place: Path, *arguments: str | Path) -> None:
    found = [str(path) for pattern in LIBRARIES for path in sorted(place.glob(pattern))]
    environment = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(found)}
    command = [place / ALIGNER_PROGRAM, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BadPackage("zipalign refuses the package.", why=done.stderr.strip() or done.stdout.strip())


def sign(tools: Toolchain, place: Path, package: Path, into: Path, least: str) -> None:
    """Signs a package with a key that is made for it alone."""
    with tempfile.TemporaryDirectory(prefix="shvit-key-") as temporary:
        store, password = Path(temporary) / "key.p12", secrets.token_hex()
        about = ("-alias", "once", "-keyalg", "RSA", "-keysize", "2048", "-validity", "1", "-dname", "CN=once")
        tools.keytool("-genkeypair", "-keystore", store, "-storetype", STORE, "-storepass", password, *about)
        key = ("--ks", store, "--ks-type", STORE, "--ks-pass", f"pass:{password}")
        run_apksigner(tools, place, "sign", *key, "--min-sdk-version", least, "--in", package, "--out", into)


def run_apksigner(tools: Toolchain, place: Path, *arguments: str | Path) -> str:
    """What apksigner prints.

    Raises:
        BadPackage: it refuses.
    """
    try:
        return tools.told("-jar", place / SIGNER_JAR, *arguments)
    except subprocess.CalledProcessError as failed:
        raise BadPackage("apksigner refuses the package.", why=str(failed.stdout).strip()) from None


def check_package(
    tools: Toolchain, package: Path, assets: Path, classes: Iterable[str], settings: dict[str, str]
) -> None:
    """Looks into a signed package.

    Args:
        assets: what the app's assets hold.
        classes: names, with dots, that a phone has to find.
        settings: of the Gradle file: applicationId, minSdk, targetSdk, versionCode, versionName.

    Raises:
        BadPackage: it lacks something, is not aligned, or its signature does not hold.
    """
    place = install_packaging_tools()
    align(place, "-c", "-p", "4", package)
    verified = run_apksigner(tools, place, "verify", "--verbose", "--min-sdk-version", settings["minSdk"], package)
    faults = [
        *([] if re.search(r"Verified using v2 scheme.*: true", verified) else ["Its signature is of no use: not v2."]),
        *find_missing(package, assets, classes),
        *find_contradictions(dump_badging(package), settings),
    ]
    if faults:
        raise BadPackage("The package is not what it should be.", why="\n".join(faults))


def find_missing(package: Path, assets: Path, classes: Iterable[str]) -> Iterator[str]:
    """What a package should hold and does not."""
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
        elif path.suffix == ".pte" and member.compress_type != zipfile.ZIP_STORED:
            yield f"{path.relative_to(assets)} is compressed."
    for name in sorted(set(classes) - read_dex_classes(dex)):
        yield f"Its code lacks {name}."


def find_contradictions(told: str, settings: dict[str, str]) -> Iterator[str]:
    """Where what aapt2 reads in a package is not what its Gradle file says."""
    expected = {
        "package: name": settings["applicationId"],
        "versionCode": settings["versionCode"],
        "versionName": settings["versionName"],
        "sdkVersion": settings["minSdk"],
        "targetSdkVersion": settings["targetSdk"],
    }
    for name, value in expected.items():
        found = re.search(rf"(?:^|\s){name}[=:]'([^']*)'", told, re.MULTILINE)
        if found is None or found[1] != value:
            yield f"{name} is {found[1] if found else 'missing'} in it, and {value} in build.gradle.kts."
    if "application-debuggable" in told:
        yield "It can be debugged, and its times would mean nothing."


def read_dex_classes(dex: bytes) -> set[str]:
    """The names, with dots, of the classes that a dex file defines; "Dalvik Executable format" has the layout."""
    if dex[:4] != b"dex\n":
        raise BadPackage("classes.dex is no dex file.", why=f"It begins with {dex[:8]!r}.")
    strings, types = read_dex_table(dex, 56, "<I"), read_dex_table(dex, 64, "<I")
    return {to_java_name(read_dex_string(dex, strings[types[row]])) for row in read_dex_table(dex, 96, "<I28x")}


def read_dex_table(dex: bytes, header: int, row: str) -> list[int]:
    """The first field of each row of a table whose length and place stand in the header."""
    count, offset = struct.unpack_from("<II", dex, header)
    size = struct.calcsize(row)
    return [struct.unpack_from(row, dex, offset + size * index)[0] for index in range(count)]


def read_dex_string(dex: bytes, offset: int) -> str:
    """A string: its length in a varint, then its bytes and a zero."""
    while dex[offset] & 0x80:
        offset += 1
    return dex[offset + 1 : dex.index(0, offset + 1)].decode(errors="replace")


def to_java_name(descriptor: str) -> str:
    return descriptor[1:-1].replace("/", ".")


def list_compiled_classes(folders: Iterable[Path]) -> set[str]:
    """The names, with dots, of the classes in folders."""
    return {
        str(path.relative_to(top).with_suffix("")).replace("/", ".") for top in folders for path in top.rglob("*.class")
    }
