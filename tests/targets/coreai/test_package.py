"""Damaged Core AI packages are rejected before Apple's library, which they would crash, sees them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from shvit_mobile.errors import BadArtifact
from shvit_mobile.targets.coreai.package import check_package, read_facts, write_metadata

PROGRAM = b"ML\xefR" + bytes(range(256))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package whose files fit together, although no library would accept its program."""
    path = tmp_path / "m.aimodel"
    path.mkdir()
    (path / "main.mlirb").write_bytes(PROGRAM)
    (path / "main.hash").write_bytes(sha256(PROGRAM).digest())
    metadata = {"creationDate": "20260101T000000Z", "assetVersion": "2.0", "producer": "coreai-core 1.0.0b3"}
    (path / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    return path


def test_a_complete_package_is_accepted(package: Path) -> None:
    check_package(package)
    assert read_facts(package) == {}


def test_metadata_has_no_time_and_comes_back(package: Path) -> None:
    write_metadata(package, "A model.", {"labels": ["ä", "b"]})
    written = (package / "metadata.json").read_bytes()
    assert read_facts(package) == {"labels": ["ä", "b"]}
    assert json.loads(written)["description"] == "A model."
    assert "creationDate" not in json.loads(written)
    write_metadata(package, "A model.", {"labels": ["ä", "b"]})
    assert (package / "metadata.json").read_bytes() == written


def _flip_a_bit(path: Path) -> None:
    (path / "main.mlirb").write_bytes(PROGRAM[:-1] + bytes([PROGRAM[-1] ^ 1]))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit": (_flip_a_bit, "is damaged"),
    "half a program": (lambda path: (path / "main.mlirb").write_bytes(PROGRAM[:100]), "is damaged"),
    "another file": (lambda path: (path / "main.mlirb").write_bytes(b"PK" + PROGRAM), "is not a Core AI package"),
    "no program": (lambda path: (path / "main.mlirb").unlink(), "does not exist"),
    "no hash": (lambda path: (path / "main.hash").unlink(), "does not exist"),
    "no metadata": (lambda path: (path / "metadata.json").unlink(), "does not exist"),
    "a list as metadata": (lambda path: (path / "metadata.json").write_bytes(b"[]"), "is not the metadata"),
    "no JSON": (lambda path: (path / "metadata.json").write_bytes(b"{"), "is not the metadata"),
    "a pipe": (lambda path: ((path / "main.mlirb").unlink(), os.mkfifo(path / "main.mlirb")), "is a named pipe"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(damage: str, package: Path) -> None:
    change, said = DAMAGES[damage]
    change(package)
    with pytest.raises(BadArtifact, match=said):
        check_package(package)


def test_a_file_is_no_package(tmp_path: Path) -> None:
    path = tmp_path / "m.aimodel"
    path.write_bytes(PROGRAM)
    with pytest.raises(BadArtifact, match=r"main\.mlirb cannot be read"):
        check_package(path)
