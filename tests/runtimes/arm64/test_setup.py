"""Setting the ARM64 emulation up: what is missing is said, and what fails leaves nothing that looks finished."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from shvit_mobile.errors import OutputExists, ToolMissing, UnknownChoice
from shvit_mobile.runtimes.arm64.cpus import CPUS, DEFAULT_CPU, find_cpu
from shvit_mobile.runtimes.arm64.install import InstallFailed, install, read_member
from shvit_mobile.runtimes.arm64.process import EmulatedProcess, EmulatorFailed
from shvit_mobile.runtimes.arm64.sysroot import Sysroot, SysrootVersions, find_sysroot_folder, open_sysroot

linux = pytest.mark.skipif(platform.system() != "Linux", reason="user-mode emulation needs Linux")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the sysroot would be."""
    place = tmp_path / "cache" / "arm64"
    monkeypatch.setenv("SHVIT_ARM64", str(place))
    return place


def write_program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def build_sysroot(does: str, folder: Path) -> Sysroot:
    """A sysroot with another program in the emulator's place."""
    made = Sysroot(folder)
    write_program(made.qemu, does)
    return made


def test_the_error_for_an_unknown_cpu_lists_the_cpus() -> None:
    with pytest.raises(UnknownChoice, match=r"'i8m' is not a CPU\.\nCPUs: neon, dotprod, i8mm\.\nDid you mean i8mm\?"):
        find_cpu("i8m")


def test_the_folder_is_in_the_cache_unless_one_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHVIT_ARM64", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/cache")
    assert find_sysroot_folder() == Path("/some/cache/shvit-mobile/arm64-executorch-1.3.1-torch-2.10.0")
    monkeypatch.setenv("SHVIT_ARM64", "/chosen")
    assert find_sysroot_folder() == Path("/chosen")


@linux
def test_without_a_sysroot_the_command_that_makes_it_is_named(folder: Path) -> None:
    with pytest.raises(ToolMissing, match="not set up") as refused:
        open_sysroot()
    assert "shvit-mobile doctor --install arm64" in refused.value.hint
    assert str(folder) in refused.value.why


@linux
def test_a_sysroot_whose_emulator_has_gone_counts_as_none(folder: Path) -> None:
    made = Sysroot(folder)
    folder.mkdir(parents=True)
    made.versions_file.write_text(
        SysrootVersions(emulator="7.2", python="3.11", executorch="1", torch="2", packages=()).to_json(),
        encoding="utf-8",
    )
    made.qemu.symlink_to(folder / "uninstalled")
    with pytest.raises(ToolMissing, match="not set up"):
        open_sysroot()
    made.qemu.unlink()
    write_program(made.qemu, "true")
    assert open_sysroot() == made


@linux
def test_missing_debian_tools_are_listed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="apt-get, dpkg, dpkg-deb cannot be found"):
        install()
    assert not folder.parent.exists()


@pytest.mark.skipif(not shutil.which("apt-get"), reason="needs apt")
def test_a_failed_download_quotes_apt_and_leaves_no_sysroot(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's own apt and dpkg, in a world where no source is configured."""
    nowhere = tmp_path / "bin"
    sources = f"-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts={tmp_path}/none"
    write_program(nowhere / "apt-get", f'exec {shutil.which("apt-get")} {sources} "$@"')
    monkeypatch.setenv("PATH", f"{nowhere}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(InstallFailed, match="apt cannot download the ARM64 packages") as failed:
        install()
    assert "apt-get said: E: " in failed.value.why
    assert not folder.exists()
    assert [path.name for path in folder.parent.iterdir()] == ["arm64.downloads"]


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg")
def test_a_chosen_folder_that_is_no_sysroot_is_not_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shvit_mobile.runtimes.arm64.install.check_tools", lambda: None)
    monkeypatch.setattr("shvit_mobile.runtimes.arm64.install.download_debian_packages", pytest.fail)
    folder.mkdir(parents=True)
    (folder / "precious").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputExists, match=r"versions\.json"):
        install()
    assert (folder / "precious").read_text(encoding="utf-8") == "mine"


def test_one_file_comes_out_of_a_debian_package(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: some\nVersion: 1\nArchitecture: all\nMaintainer: none <none@example.org>\nDescription: some\n",
        encoding="utf-8",
    )
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/emulator").write_bytes(b"\x7fELF" * 50_000)
    (tree / "usr/bin/link").symlink_to("emulator")
    package = tmp_path / "some.deb"
    subprocess.run(["dpkg-deb", "--build", "-Znone", tree, package], check=True, capture_output=True)
    assert read_member(package, "./usr/bin/emulator") == b"\x7fELF" * 50_000
    assert read_member(package, "./usr/bin/link") is None
    assert read_member(package, "./usr/bin/other") is None


@linux
def test_an_emulator_that_dies_is_quoted(tmp_path: Path) -> None:
    dying = build_sysroot("echo before >&2; echo 'uncaught target signal 4' >&2; exit 132", tmp_path)
    with (
        closing(EmulatedProcess(dying, CPUS[DEFAULT_CPU])) as process,
        pytest.raises(EmulatorFailed, match="died with status 132") as failed,
    ):
        _ = process.handshake
    assert failed.value.why == "It said: uncaught target signal 4"
    assert str(tmp_path) in failed.value.hint


@linux
def test_an_emulator_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmulatorFailed, match="qemu-aarch64 cannot be started: No such file"):
        EmulatedProcess(Sysroot(tmp_path), CPUS[DEFAULT_CPU])


@linux
def test_a_closed_process_is_gone_even_while_it_works(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    process = EmulatedProcess(build_sysroot(f"echo $$ > {pid}; echo said; exec sleep 600", tmp_path), CPUS["neon"])
    assert process._stdout.read(5) == b"said\n"
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text(encoding="utf-8")), 0)
