"""Swift on Linux: missing tools are errors, and a failure leaves no incomplete toolchain."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import mistakes
import numpy as np
import pytest
import run_platform
import stub_modules
import swift
import typecheck
from line_coverage import count_lines
from PIL import Image

from shvit_mobile.errors import ToolMissing
from shvit_mobile.images.decode import decode_image
from shvit_mobile.processes import InstallFailed

TOOLS = Path(swift.__file__).parent
STUBS = sorted((TOOLS / "stubs").glob("*.swift*"))
FIXTURES = swift.REPOSITORY / "schemas" / "fixtures"
linux = pytest.mark.skipif(platform.system() != "Linux", reason="elsewhere Swift is the machine's own")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the only one in $PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toolchain's folder, which does not exist."""
    place = tmp_path / "cache" / "swift"
    monkeypatch.setenv("SHVIT_SWIFT", str(place))
    return place


def write_program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_the_folder_is_in_the_cache_unless_one_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHVIT_SWIFT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/cache")
    assert swift.get_toolchain_folder() == Path("/some/cache/shvit-mobile/swift-6.0.3")
    monkeypatch.setenv("SHVIT_SWIFT", "/chosen")
    assert swift.get_toolchain_folder() == Path("/chosen")


@pytest.mark.parametrize(
    ("version", "is_new_enough"),
    [
        ("Apple Swift version 6.1 (swiftlang-6.1.0.110.21)", True),
        ("Swift version 10.0 (swift-10.0-RELEASE)", True),
        ("Swift version 5.10 (swift-5.10-RELEASE)", False),
        ("python-swiftclient 4.2.0", False),
    ],
)
def test_an_installed_swift_is_used_if_it_is_new_enough(programs: Path, version: str, is_new_enough: bool) -> None:
    write_program(programs, "swift", f"echo '{version}'")
    assert swift.has_swift() == is_new_enough
    if is_new_enough:
        assert swift.build_command(["swift", "test"]) == ["swift", "test"]


def test_without_swift_and_apt_the_error_names_the_missing_tools(programs: Path, folder: Path) -> None:
    with pytest.raises(ToolMissing, match="no swift on this machine, and no apt-get and no dpkg-deb and no unshare"):
        swift.build_command(["swift", "test"])
    assert not folder.exists()


def test_a_failed_download_shows_apts_error_and_leaves_no_toolchain(programs: Path, folder: Path) -> None:
    write_program(programs, "apt-get", "echo 'E: Unable to locate package swiftlang' >&2; exit 100")
    write_program(programs, "dpkg-deb", "exit 1")
    write_program(programs, "unshare", "exit 0")
    with pytest.raises(InstallFailed, match=r"apt cannot download Swift 6\.0\.3\.\n.*Unable to locate package"):
        swift.build_command(["swift", "test"])
    assert not folder.exists()
    assert not list(folder.parent.glob(".shvit-*"))


def test_each_mirror_of_the_machine_is_listed_once(programs: Path) -> None:
    lines = [
        "'http://one.example/debian/dists/bookworm/InRelease' a_InRelease 0 ",
        "'http://one.example/debian/dists/bookworm-updates/InRelease' b_InRelease 0 ",
        "'https://two.example/security/dists/x/InRelease' c_InRelease 0 ",
    ]
    write_program(programs, "apt-get", "\n".join(f'echo "{line}"' for line in ["Reading lists...", *lines]))
    assert swift.list_mirrors() == ["http://one.example/debian", "https://two.example/security"]


def test_a_machine_without_mount_namespaces_is_an_error(programs: Path, tmp_path: Path) -> None:
    write_program(programs, "unshare", "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1")
    with pytest.raises(ToolMissing, match=r"mount namespaces\.\n.*Operation not permitted\n.*SYS_ADMIN"):
        swift.build_enter_command(tmp_path, ["swift", "test"])


@linux
def test_an_error_has_no_traceback_and_exit_status_2(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(TOOLS / "swift.py"), "--version"],
        env={"PATH": str(tmp_path), "SHVIT_SWIFT": str(tmp_path / "swift"), "PYTHONPATH": str(swift.REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert run.returncode == 2
    assert run.stderr.startswith("error: There is no swift on this machine")
    assert "Traceback" not in run.stderr


def run_coverage(tmp_path: Path, least: int) -> subprocess.CompletedProcess[str]:
    """Run the tool on two sources with 9 and 1 of 10 covered lines, and on a test, which does not count."""
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
    assert count_lines(export, sources) == {"Kit/A.swift": (9, 10), "Kit/B.swift": (1, 10)}
    place = tmp_path / "coverage.json"
    place.write_text(json.dumps(export), encoding="utf-8")
    command = [sys.executable, str(TOOLS / "line_coverage.py"), str(place), str(sources), str(least)]
    return subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")


def test_coverage_counts_only_the_sources(tmp_path: Path) -> None:
    enough = run_coverage(tmp_path, 50)
    assert enough.returncode == 0
    assert " 50.0%    20 lines  in total, at least 50% required" in enough.stdout


def test_too_little_coverage_fails(tmp_path: Path) -> None:
    too_little = run_coverage(tmp_path, 51)
    assert too_little.returncode == 1
    assert "50.0% of the lines in Sources are covered, but 51% are required" in too_little.stderr


def test_decoded_pictures_are_named_after_the_jpegs_hash(tmp_path: Path) -> None:
    command = [sys.executable, str(TOOLS / "decode_pictures.py"), str(tmp_path), str(FIXTURES)]
    subprocess.run(command, check=True)
    # The fixtures' models share their pictures.
    pictures = {
        sha256(path.read_bytes()).hexdigest(): path for path in sorted(FIXTURES.glob("goldens/*.goldens/*.jpg"))
    }
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.ppm" for name in pictures}
    assert len(pictures) == 3
    for name, picture in pictures.items():
        ours = Image.open(tmp_path / f"{name}.ppm")
        assert np.array_equal(np.array(ours), np.array(decode_image(picture)))


@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.stem)
def test_a_stub_names_its_module_and_its_documentation(stub: Path) -> None:
    lines = stub.read_text(encoding="utf-8").splitlines()
    if stub.suffix == ".swiftinterface":
        assert lines[0] == "// swift-interface-format-version: 1.0"
        assert lines[2].startswith(f"// swift-module-flags: -module-name {stub.stem} ")
    else:
        assert stub.stem in stub_modules.NAMES
    page = r"^// https://(developer\.apple\.com|docs\.pytorch\.org)/\S"
    assert any(re.match(page, line) for line in lines)


def write_compiler(programs: Path, script: str) -> None:
    """Install a fake Swift whose compiler is a shell script."""
    write_program(programs, "swift", "echo 'Swift version 6.1 (swift-6.1-RELEASE)'")
    write_program(programs, "swiftc", f"PATH=/usr/bin:/bin; {script}")


@pytest.fixture
def module(tmp_path: Path) -> typecheck.SwiftModule:
    (tmp_path / "Kit/Deep").mkdir(parents=True)
    (tmp_path / "Kit/Deep/A.swift").write_text("let answer = 42\n", encoding="utf-8")
    return typecheck.SwiftModule("Kit", tmp_path / "Kit", ("-parse-as-library",))


def test_every_source_is_checked_as_in_a_build(programs: Path, module: typecheck.SwiftModule, tmp_path: Path) -> None:
    write_compiler(programs, 'echo "$@"')
    options = typecheck.check_module(module, tmp_path / "build").stdout.split()
    assert {"-warnings-as-errors", "-emit-sil", "-parse-as-library", str(typecheck.STUBS)} <= set(options)
    assert options[options.index("-swift-version") + 1] == "6"
    assert options[-1] == str(tmp_path / "Kit/Deep/A.swift")
    # A failing compiler deletes its output file, even a device.
    assert Path(options[options.index("-o") + 1]).is_relative_to(tmp_path / "build")


def test_a_failing_module_ends_the_check_with_the_compilers_errors(
    programs: Path, module: typecheck.SwiftModule, capsys: pytest.CaptureFixture[str]
) -> None:
    write_compiler(programs, "echo 'A.swift:1:1: error: wrong' >&2; exit 1")
    with pytest.raises(SystemExit, match=r"A\.swift:1:1: error: wrong\n.*Kit fails the type check"):
        typecheck.check_all([module, module])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("for place; do :; done; grep -q 43 $place || exit 0; echo $place:1:5: error: wrong >&2; exit 1", True),
        ("exit 0", False),
        ("echo 'error: no such compiler' >&2; exit 1", False),
    ],
    ids=["in its source", "not at all", "by another failure"],
)
def test_a_planted_mistake_counts_if_its_source_has_an_error(
    programs: Path, module: typecheck.SwiftModule, tmp_path: Path, script: str, found: bool
) -> None:
    write_compiler(programs, script)
    (module.folder / "Deep/weights.bin").write_text("no source", encoding="utf-8")
    mistake = mistakes.Mistake("a wrong number", "Deep/A.swift", "42", "43", module)
    report = mistakes.check_types(mistake, tmp_path / "planted")
    assert report == ("wrong" if found else None)
    assert [path.name for path in (tmp_path / "planted").rglob("*") if path.is_file()] == ["A.swift"]
    assert (module.folder / "Deep/A.swift").read_text(encoding="utf-8") == "let answer = 42\n"


def test_a_mistake_that_cannot_be_planted_is_an_error(module: typecheck.SwiftModule, tmp_path: Path) -> None:
    mistake = mistakes.Mistake("a wrong number", "Deep/A.swift", "41", "43", module)
    with pytest.raises(ValueError, match="0 times, not once: 41"):
        mistakes.check_types(mistake, tmp_path / "planted")


@pytest.mark.parametrize(
    ("script", "complaints"),
    [
        ("echo 'check: a frame'; echo 'complaint: It stays locked.'; echo finished", ["a frame: It stays locked."]),
        ("echo 'check: a frame'; echo finished", []),
        ("echo 'check: a frame'; exit 4", ["a frame: The program ends early, with 4. []"]),
        ("echo 'check: a frame'", ["a frame: The program ends early, with 0. []"]),
    ],
    ids=["a complaint", "none", "a crash", "an early end"],
)
def test_what_goes_wrong_in_a_run_is_reported_with_its_check(
    programs: Path, tmp_path: Path, script: str, complaints: list[str]
) -> None:
    program = tmp_path / "checks"
    write_compiler(programs, f"printf '#!/bin/sh\\n%s\\n' \"{script}\" > {program}; chmod +x {program}")
    assert run_platform.run_checks([], program) == complaints
