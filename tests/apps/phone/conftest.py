"""An app of each system, fake tools on the PATH, and one small artifact."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from shvit_mobile.apps.phone import request as request_module
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.goldens import Goldens
from shvit_mobile.contracts.manifest import ArtifactFile, GoldensFolder, Manifest
from tests.apps.phone.fakes import TOOLS, FakeWorld, build_world, write_tool
from tests.fixtures import FIXTURES

STEM, GOLDENS_FILE = "shvit_s1-64-executorch-fp32", "goldens.json"
# Sets what goes wrong, and which of the tools there are.
SetFault = Callable[..., None]


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Return the artifact of the fixtures' goldens; no phone will run its program."""
    folder = tmp_path_factory.mktemp("artifact")
    goldens, program = folder / f"{STEM}.goldens", folder / f"{STEM}.pte"
    program.write_bytes(b"a program")
    manifest = Manifest.load(FIXTURES / "goldens" / f"{STEM}.manifest.json")
    identity = ArtifactFile(name=program.name, bytes=program.stat().st_size, sha256=compute_sha256(program))
    shutil.copytree(FIXTURES / "goldens" / goldens.name, goldens)
    listed = Goldens.load(goldens / GOLDENS_FILE)
    changed = listed.model_copy(update={"artifact_sha256": identity.sha256})
    changed.save(goldens / GOLDENS_FILE, overwrite=True)
    folder_of_goldens = GoldensFolder(name=goldens.name, sha256=compute_sha256(goldens))
    updates = {"artifact": identity, "goldens": folder_of_goldens}
    manifest.model_copy(update=updates).save(folder / f"{STEM}.manifest.json")
    return Artifact.open(program)


@pytest.fixture
def world(artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeWorld:
    """Return the fakes, without any tool on the PATH yet; the current folder is empty."""
    world = build_world(tmp_path, artifact.path.name, artifact.manifest.artifact.sha256)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setattr(request_module, "POLL_SECONDS", 0.05)
    monkeypatch.setenv("PATH", str(world.bin))
    monkeypatch.setenv("FAKE_PHONE", str(world.home))
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return world


@pytest.fixture
def set_fault(world: FakeWorld, monkeypatch: pytest.MonkeyPatch) -> SetFault:
    def apply(fault: str, *tools: str) -> None:
        monkeypatch.setenv("FAKE_FAULT", fault)
        for tool in tools:
            write_tool(world.bin / tool, TOOLS[tool])

    return apply
