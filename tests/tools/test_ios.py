"""Swift on Linux: what is missing is said, and what fails leaves nothing that looks finished."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from ios import swift
from ios.line_coverage import lines_of
from PIL import Image

from shvit_mobile.errors import ToolMissing
from shvit_mobile.images.decode import decoded
from shvit_mobile.runtimes.arm64.install import InstallFailed

TOOLS = Path(swift.__file__).parent
FIXTURES = swift.REPOSITORY / "schemas" / "fixtures"
linux = pytest.mark.skipif(platform.system() != "Linux", reason="elsewhere Swift is the machine's own")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are found; empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the toolchain would be."""
    place = tmp_path / "cache" / "swift"
    monkeypatch.setenv("SHVIT_SWIFT", str(place))
    return place


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_the_folder_is_in_the_cache_unless_one_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHVIT_SWIFT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/cache")
    assert swift.toolchain_folder() == Path("/some/cache/shvit-mobile/swift-6.0.3")
    monkeypatch.setenv("SHVIT_SWIFT", "/chosen")
    assert swift.toolchain_folder() == Path("/chosen")


@pytest.mark.parametrize(
    ("says", "enough"),
    [
        ("Apple Swift version 6.1 (swiftlang-6.1.0.110.21)", True),
        ("Swift version 10.0 (swift-10.0-RELEASE)", True),
        ("Swift version 5.10 (swift-5.10-RELEASE)", False),
        ("python-swiftclient 4.2.0", False),
    ],
)
def test_a_swift_of_the_machine_is_used_where_it_is_new_enough(programs: Path, says: str, enough: bool) -> None:
    program(programs, "swift", f"echo '{says}'")
    assert swift.has_swift() == enough
    if enough:
        assert swift.command(["swift", "test"]) == ["swift", "test"]


def test_without_swift_and_apt_it_is_said_what_to_install(programs: Path, folder: Path) -> None:
    with pytest.raises(ToolMissing, match="no swift on this machine, and no apt-get and no dpkg-deb and no unshare"):
        swift.command(["swift", "test"])
    assert not folder.exists()


def test_a_failed_download_tells_what_apt_said_and_leaves_no_toolchain(programs: Path, folder: Path) -> None:
    program(programs, "apt-get", "echo 'E: Unable to locate package swiftlang' >&2; exit 100")
    program(programs, "dpkg-deb", "exit 1")
    program(programs, "unshare", "exit 0")
    with pytest.raises(InstallFailed, match=r"apt cannot download Swift 6\.0\.3\.\n.*Unable to locate package"):
        swift.command(["swift", "test"])
    assert not folder.exists()
    assert not list(folder.parent.glob(".shvit-*"))


def test_mirrors_are_those_of_the_machine_once_each(programs: Path) -> None:
    lines = [
        "'http://one.example/debian/dists/bookworm/InRelease' a_InRelease 0 ",
        "'http://one.example/debian/dists/bookworm-updates/InRelease' b_InRelease 0 ",
        "'https://two.example/security/dists/x/InRelease' c_InRelease 0 ",
    ]
    program(programs, "apt-get", "\n".join(f'echo "{line}"' for line in ["Reading lists...", *lines]))
    assert swift.mirrors() == ["http://one.example/debian", "https://two.example/security"]


def test_a_machine_without_mounts_of_ones_own_is_told_so(programs: Path, tmp_path: Path) -> None:
    program(programs, "unshare", "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1")
    with pytest.raises(ToolMissing, match=r"mounts of its own\.\n.*Operation not permitted\n.*SYS_ADMIN"):
        swift.entered(tmp_path, ["swift", "test"])


@linux
def test_an_error_has_no_traceback_and_exit_status_2(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(TOOLS / "swift.py"), "--version"],
        env={"PATH": str(tmp_path), "SHVIT_SWIFT": str(tmp_path / "swift"), "PYTHONPATH": str(swift.REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr.startswith("error: There is no swift on this machine")
    assert "Traceback" not in run.stderr


def coverage(tmp_path: Path, least: int) -> subprocess.CompletedProcess[str]:
    """Of two sources, 9 of 10 and 1 of 10 lines covered, and of a test that does not count."""
    sources = tmp_path / "Sources"
    files = [(sources / "Kit/A.swift", 9), (sources / "Kit/B.swift", 1), (tmp_path / "Tests/T.swift", 10)]
    export = {
        "data": [
            {
                "files": [
                    {"filename": str(path), "summary": {"lines": {"covered": covered, "count": 10}}}
                    for path, covered in files
                ]
            }
        ]
    }
    assert lines_of(export, sources) == {"Kit/A.swift": (9, 10), "Kit/B.swift": (1, 10)}
    place = tmp_path / "coverage.json"
    place.write_text(json.dumps(export))
    command = [sys.executable, str(TOOLS / "line_coverage.py"), str(place), str(sources), str(least)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_coverage_is_that_of_the_sources_alone(tmp_path: Path) -> None:
    enough = coverage(tmp_path, 50)
    assert enough.returncode == 0
    assert " 50.0%    20 lines  in all; at least 50% are asked" in enough.stdout


def test_too_little_coverage_fails(tmp_path: Path) -> None:
    too_little = coverage(tmp_path, 51)
    assert too_little.returncode == 1
    assert "50.0% of the lines in Sources are covered, and 51% are asked" in too_little.stderr


def test_pictures_of_goldens_are_decoded_under_the_hash_of_their_jpeg(tmp_path: Path) -> None:
    command = [sys.executable, str(TOOLS / "decode_pictures.py"), str(tmp_path), str(FIXTURES)]
    subprocess.run(command, check=True)
    pictures = sorted(FIXTURES.glob("goldens/*.goldens/*.jpg"))
    assert len(pictures) == len(list(tmp_path.iterdir())) == 2
    for picture in pictures:
        ours = Image.open(tmp_path / f"{sha256(picture.read_bytes()).hexdigest()}.ppm")
        assert np.array_equal(np.array(ours), np.array(decoded(picture)))
