"""The payload of ExecuTorch's Core ML delegate: a package and the names of its inputs and outputs in an archive."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from shvit_mobile.errors import BadArtifact
from shvit_mobile.targets.flat_archive import DamagedArchiveError, read_archive, write_archive

_ROOT, _PACKAGE, _METADATA = "lowered_module", "model.mlpackage", "metadata.json"


def build_payload(package: Path, *, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Return the payload for a package; the same package gives the same bytes.

    Args:
        package: An `.mlpackage`.
        inputs, outputs: Their names in the package, in the order of the arguments of the delegate.
    """
    files = {
        f"{_PACKAGE}/{file.relative_to(package).as_posix()}": file.read_bytes()
        for file in package.rglob("*")
        if file.is_file()
    }
    # A phone caches a compiled package by its identifier, so different ones need different identifiers. ExecuTorch's
    # are random.
    identifier = f"executorch_{sha256(write_archive(_ROOT, files)).hexdigest()}"
    metadata = {"inputNames": list(inputs), "outputNames": list(outputs), "identifier": identifier}
    return write_archive(_ROOT, {**files, _METADATA: json.dumps(metadata).encode()})


def unpack_payload(payload: bytes, folder: Path, program: Path) -> Path:
    """Write the files of a payload into a new folder, and return the package among them.

    Raises:
        BadArtifact: If the payload is damaged or has no package; the error names `program`.
    """
    try:
        files = read_archive(payload)
    except DamagedArchiveError as reason:
        raise BadArtifact(f"The Core ML delegate of {program} is damaged: {reason}.", hint="Export it again.") from None
    if f"{_PACKAGE}/Manifest.json" not in files:
        raise BadArtifact(
            f"The Core ML delegate of {program} contains no {_PACKAGE}.",
            why="Only programs that this project exports can be read.",
            hint="Export it again.",
        )
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder / _PACKAGE
