"""The check of the app's package: the classes in its code, missing parts, and values that differ from Gradle's."""

import struct
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tools" / "android"))

from apk import (  # noqa: E402
    MODEL_SUFFIXES,
    BadPackage,
    find_contradictions,
    find_missing,
    list_compiled_classes,
    read_dex_classes,
    strip_metadata,
)

SETTINGS = {
    "applicationId": "dev.shvit.demo",
    "versionCode": "1",
    "versionName": "0.1.0",
    "minSdk": "26",
    "targetSdk": "36",
}
BADGING = """\
package: name='dev.shvit.demo' versionCode='1' versionName='0.1.0' platformBuildVersionName='10'
sdkVersion:'26'
targetSdkVersion:'36'
uses-permission: name='android.permission.CAMERA'
"""


def encode_dex(defined: list[str], named: list[str]) -> bytes:
    """Encode the tables of a dex file that name and define classes; see "Dalvik Executable format"."""
    descriptors = [f"L{name.replace('.', '/')};".encode() for name in (*named, *defined)]
    count, header = len(descriptors), 112
    types = header + 4 * count
    classes = types + 4 * count
    data = classes + 32 * len(defined)
    places = [data + sum(len(text) + 2 for text in descriptors[:index]) for index in range(count)]
    strings = struct.pack(f"<{count}I", *places)
    rows = b"".join(struct.pack("<I28x", len(named) + index) for index in range(len(defined)))
    head = bytearray(header)
    head[:8] = b"dex\n038\0"
    for place, numbers in ((56, (count, header)), (64, (count, types)), (96, (len(defined), classes))):
        struct.pack_into("<II", head, place, *numbers)
    texts = b"".join(bytes([len(text)]) + text + b"\0" for text in descriptors)
    return bytes(head) + strings + struct.pack(f"<{count}I", *range(count)) + rows + texts


def write_package(path: Path, members: dict[str, bytes], stored: str = ".pte") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content, zipfile.ZIP_STORED if name.endswith(stored) else None)
    return path


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    model = tmp_path / "assets/models/m/m.pte"
    model.parent.mkdir(parents=True)
    model.write_bytes(bytes(64))
    (tmp_path / "assets/models/.gitkeep").touch()
    return tmp_path / "assets"


WHOLE = {
    "AndroidManifest.xml": b"",
    "resources.arsc": b"",
    "classes.dex": encode_dex(["a.B", "a.C$D"], ["java.lang.Object"]),
    "assets/models/m/m.pte": bytes(64),
}


def test_classes_that_a_dex_file_only_names_are_not_listed() -> None:
    assert read_dex_classes(encode_dex(["a.B", "a.C$D"], ["java.lang.Object"])) == {"a.B", "a.C$D"}
    with pytest.raises(BadPackage, match="not a dex file"):
        read_dex_classes(b"\xca\xfe\xba\xbe" + bytes(200))


def test_a_complete_package_has_no_faults(tmp_path: Path, assets: Path) -> None:
    assert list(find_missing(write_package(tmp_path / "a.apk", WHOLE), assets, ["a.B", "a.C$D"])) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"resources.arsc": None}, "It has no resources.arsc."),
        ({"assets/models/m/m.pte": None}, "It lacks the asset models/m/m.pte."),
        ({"assets/models/m/m.pte": bytes(63)}, "It lacks the asset models/m/m.pte."),
        ({"classes.dex": encode_dex(["a.B"], ["a.C$D"])}, "Its code lacks the class a.C$D."),
    ],
)
def test_a_missing_part_is_a_fault(tmp_path: Path, assets: Path, change: dict[str, bytes | None], fault: str) -> None:
    members = {name: content for name, content in (WHOLE | change).items() if content is not None}
    assert list(find_missing(write_package(tmp_path / "a.apk", members), assets, ["a.B", "a.C$D"])) == [fault]


@pytest.mark.parametrize("suffix", MODEL_SUFFIXES)
def test_a_compressed_model_is_a_fault(tmp_path: Path, assets: Path, suffix: str) -> None:
    (assets / "models/m/m.pte").rename(assets / f"models/m/m{suffix}")
    members = {name.replace(".pte", suffix): content for name, content in WHOLE.items()}
    package = write_package(tmp_path / "a.apk", members, stored=".nothing")
    assert list(find_missing(package, assets, [])) == [f"models/m/m{suffix} is compressed."]
    assert list(find_missing(write_package(tmp_path / "b.apk", members, stored=suffix), assets, [])) == []


def test_a_value_that_differs_from_the_gradle_file_is_a_fault() -> None:
    assert list(find_contradictions(BADGING, SETTINGS)) == []
    (fault,) = find_contradictions(BADGING.replace("sdkVersion:'26'", "sdkVersion:'24'"), SETTINGS)
    assert fault == "sdkVersion is 24, but 26 in build.gradle.kts."
    (fault,) = find_contradictions(BADGING + "application-debuggable\n", SETTINGS)
    assert "debuggable" in fault


def test_only_the_classes_of_a_jar_are_packaged(tmp_path: Path) -> None:
    jar = write_package(tmp_path / "a.jar", {"a/B.class": b"b", "META-INF/versions/9/a/B.class": b"", "a/b.txt": b""})
    with zipfile.ZipFile(strip_metadata(jar, tmp_path / "b.jar")) as archive:
        assert archive.namelist() == ["a/B.class"]


def test_class_names_have_dots_and_no_suffix(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/B$C.class").touch()
    assert list_compiled_classes([tmp_path]) == {"a.B$C"}
