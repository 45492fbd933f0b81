"""From files, folders and artifacts to documents, each of the kind that it says it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shvit_mobile.contracts.artifact import Artifact, manifest_path
from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.contracts.manifest import TARGETS, Manifest
from shvit_mobile.contracts.report import Kind, Source
from shvit_mobile.contracts.sensitivity import Sensitivity
from shvit_mobile.errors import BadArtifact, BadReport, ShvitError

Readable = Manifest | DriftReport | DeviceReport | Sensitivity
# By kind: the document, the error that refuses it, and what to call it.
READ: dict[Kind, tuple[type[Readable], type[ShvitError], str]] = {
    "manifest": (Manifest, BadArtifact, "a manifest"),
    "drift_report": (DriftReport, BadReport, "a drift report"),
    "device_report": (DeviceReport, BadReport, "a device report"),
    "sensitivity": (Sensitivity, BadReport, "a sensitivity report"),
}
WANTED = (
    "It takes manifests, drift reports (validate --out), device reports (benchmark --out, or a phone's) and "
    "sensitivity reports (calibrate)."
)
SUFFIX = ".manifest.json"
# Folders that belong to an artifact and hold JSON of their own.
INSIDE_ARTIFACTS = (".mlpackage", ".goldens")


@dataclass(frozen=True)
class Read:
    """A document and where it was found."""

    source: Source
    document: Readable


def read_all(inputs: Sequence[Path]) -> list[Read]:
    """Every document that the inputs hold, each once, whatever their order.

    Args:
        inputs: JSON files, artifacts (whose manifests lie beside them), and folders, which are searched for both.

    Raises:
        BadReport: an input is missing, a folder holds nothing of use, or a file is of no kind that is known here.
        ShvitError: a document is not what its kind says, or an artifact not what its manifest says.
    """
    found = {read.source.sha256: read for path in inputs for read in read_input(path)}
    return sorted(found.values(), key=lambda read: (list(READ).index(read.source.kind), read.source.file))


def read_input(path: Path) -> Iterator[Read]:
    """The documents in a file, a folder, or beside an artifact."""
    if not path.exists():
        raise BadReport(f"{path} does not exist.", why=WANTED)
    if path.suffix in TARGETS.values():
        yield read_file(manifest_path(path))
    elif path.is_dir():
        yield from read_folder(path)
    else:
        yield read_file(path)


def read_folder(folder: Path) -> Iterator[Read]:
    """What is of use in a folder and those inside it; other JSON is passed over."""
    empty = True
    for path in sorted(folder.rglob("*.json")):
        outside = not any(part.endswith(INSIDE_ARTIFACTS) for part in path.relative_to(folder).parts[:-1])
        if outside and path.is_file() and kind_of(path) in READ:
            empty = False
            yield read_file(path)
    if empty:
        raise BadReport(f"{folder} holds no manifest and no report.", why=WANTED)


def read_file(path: Path) -> Read:
    """The document in a file."""
    kind = kind_of(path)
    known = next((known for known in READ if known == kind), None)
    if known is None:
        said = "says of no kind what it is" if kind is None else f"is of the kind '{kind[:40]}'"
        again = " It was joined already: give what it was made from." if kind == "report" else ""
        raise BadReport(f"{path} {said}.", why=f"{WANTED}{again}")
    document, error, name = READ[known]
    read = document.parse(path, error, name)
    if isinstance(read, Manifest):
        check_artifact(path, read)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Read(Source(file=path.name, kind=known, sha256=digest), read)


def kind_of(path: Path) -> str | None:
    """What a JSON file says of its kind, or its name does; None where neither tells."""
    if path.name.endswith(SUFFIX):
        return "manifest"
    try:
        kind = json.loads(path.read_text())["kind"]
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return None
    return kind if isinstance(kind, str) else None


def check_artifact(path: Path, manifest: Manifest) -> None:
    """Raises `BadArtifact` where the artifact lies beside its manifest and is another than that describes."""
    name = manifest.artifact.name
    artifact = path.with_name(name) if Path(name).name == name else path
    if artifact.exists() and manifest_path(artifact) == path:
        Artifact.open(artifact)
