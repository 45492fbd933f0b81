"""The files of an `.aimodel` package: read and checked without Apple's library, written with equal bytes.

A package is a folder: `main.mlirb` is the program in MLIR's bytecode, `main.hash` the program's SHA-256, and
`metadata.json` says who wrote it, and holds the facts that shvit-mobile adds.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from shvit_mobile.contracts.artifact import EXPORT_AGAIN_HINT, MAX_ARTIFACT_BYTES
from shvit_mobile.contracts.files import read_bytes, read_json
from shvit_mobile.errors import BadArtifact

PROGRAM = "main.mlirb"
_HASH, _METADATA = "main.hash", "metadata.json"
_MAGIC = b"ML\xefR"
# Apple's name for the metadata of whoever made the package.
_CUSTOM, _OWN = "creatorDefinedMetadata", "shvit-mobile"
_CREATION_DATE = "creationDate"


def check_package(path: Path) -> None:
    """Check that a package is complete, and its program the one that was written.

    Apple's library does not compare the program with its SHA-256, and aborts the process on many damaged ones.

    Raises:
        BadArtifact: If it is no `.aimodel` package, or is damaged.
    """
    program = _read_file(path, PROGRAM)
    if not program.startswith(_MAGIC):
        raise BadArtifact(
            f"{path} is not a Core AI package.",
            why=f"Its {PROGRAM} should start with {_MAGIC!r}; it starts with {program[:4]!r}.",
            hint="Export one with `target='coreai'`.",
        )
    if sha256(program).digest() != _read_file(path, _HASH):
        raise BadArtifact(
            f"{path} is damaged.",
            why=f"The SHA-256 of its {PROGRAM} is not the one in its {_HASH}.",
            hint=EXPORT_AGAIN_HINT,
        )
    _read_metadata(path)


def read_facts(path: Path) -> dict[str, Any]:
    """Return what shvit-mobile stored in a package; empty if another program wrote it.

    Raises:
        BadArtifact: If the package or its metadata cannot be read.
    """
    custom = _read_metadata(path).get(_CUSTOM)
    facts = custom.get(_OWN) if isinstance(custom, dict) else None
    return facts if isinstance(facts, dict) else {}


def write_metadata(path: Path, description: str, facts: Mapping[str, Any]) -> None:
    """Replace the metadata of a package that Apple's library wrote, without the time and in one order.

    Args:
        path: The package.
        description: A sentence for people.
        facts: Values for `read_facts`, as plain JSON.
    """
    metadata = _read_metadata(path) | {"description": description, _CUSTOM: {_OWN: dict(facts)}}
    metadata.pop(_CREATION_DATE, None)
    text = json.dumps(metadata, indent=2, sort_keys=True, ensure_ascii=False)
    (path / _METADATA).write_text(text + "\n", encoding="utf-8")


def _read_metadata(path: Path) -> dict[str, Any]:
    file = path / _METADATA
    metadata = read_json(file, error=BadArtifact, what="the metadata of a Core AI package")
    if not isinstance(metadata, dict):
        raise BadArtifact(f"{file} is not the metadata of a Core AI package.", hint=EXPORT_AGAIN_HINT)
    return metadata


def _read_file(path: Path, name: str) -> bytes:
    return read_bytes(path / name, limit=MAX_ARTIFACT_BYTES, error=BadArtifact, what="a part of a Core AI package")
