"""From files, folders and artifacts to documents, each of the kind that it says it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shvit_mobile.contracts.artifact import Artifact, get_manifest_path
from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.contracts.manifest import TARGET_SUFFIXES, Manifest
from shvit_mobile.contracts.report import DocumentKind, SourceFile
from shvit_mobile.contracts.sensitivity import SensitivityReport
from shvit_mobile.errors import BadReport

ReadableDocument = Manifest | DriftReport | DeviceReport | SensitivityReport
DOCUMENT_KINDS: dict[DocumentKind, type[ReadableDocument]] = {
    "manifest": Manifest,
    "drift_report": DriftReport,
    "device_report": DeviceReport,
    "sensitivity": SensitivityReport,
}
EXPECTED_INPUTS = (
    "It takes manifests, drift reports (validate --out), device reports (benchmark --out, or a phone's) and "
    "sensitivity reports (calibrate)."
)
MANIFEST_SUFFIX = ".manifest.json"
# Folders that belong to an artifact and hold JSON of their own.
ARTIFACT_FOLDER_SUFFIXES = (".mlpackage", ".goldens")


@dataclass(frozen=True)
class LoadedDocument:
    """A document and where it was found."""

    source: SourceFile
    document: ReadableDocument


def read_all(inputs: Sequence[Path]) -> list[LoadedDocument]:
    """Every document that the inputs hold, each once, whatever their order.

    Args:
        inputs: JSON files, artifacts (whose manifests lie beside them), and folders, which are searched for both.

    Raises:
        BadReport: an input is missing, a folder holds nothing of use, or a file is of no kind that is known here.
        ShvitError: a document is not what its kind says, or an artifact not what its manifest says.
    """
    found = {read.source.sha256: read for path in inputs for read in read_input(path)}
    return sorted(found.values(), key=lambda read: (list(DOCUMENT_KINDS).index(read.source.kind), read.source.file))


def read_input(path: Path) -> Iterator[LoadedDocument]:
    """The documents in a file, a folder, or beside an artifact."""
    if not path.exists():
        raise BadReport(f"{path} does not exist.", why=EXPECTED_INPUTS)
    if path.suffix in TARGET_SUFFIXES.values():
        yield read_file(get_manifest_path(path))
    elif path.is_dir():
        yield from read_folder(path)
    else:
        yield read_file(path)


def read_folder(folder: Path) -> Iterator[LoadedDocument]:
    """What is of use in a folder and those inside it; other JSON is passed over."""
    empty = True
    for path in sorted(folder.rglob("*.json")):
        outside = not any(part.endswith(ARTIFACT_FOLDER_SUFFIXES) for part in path.relative_to(folder).parts[:-1])
        if outside and path.is_file() and detect_kind(path) in DOCUMENT_KINDS:
            empty = False
            yield read_file(path)
    if empty:
        raise BadReport(f"{folder} holds no manifest and no report.", why=EXPECTED_INPUTS)


def read_file(path: Path) -> LoadedDocument:
    """The document in a file."""
    kind = detect_kind(path)
    known = next((known for known in DOCUMENT_KINDS if known == kind), None)
    if known is None:
        said = "says of no kind what it is" if kind is None else f"is of the kind '{kind[:40]}'"
        again = " It was joined already: give what it was made from." if kind == "report" else ""
        raise BadReport(f"{path} {said}.", why=f"{EXPECTED_INPUTS}{again}")
    read = DOCUMENT_KINDS[known].load(path)
    if isinstance(read, Manifest):
        check_artifact(path, read)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return LoadedDocument(SourceFile(file=path.name, kind=known, sha256=digest), read)


def detect_kind(path: Path) -> str | None:
    """What a JSON file says of its kind, or its name does; None where neither tells."""
    if path.name.endswith(MANIFEST_SUFFIX):
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
    if artifact.exists() and get_manifest_path(artifact) == path:
        Artifact.open(artifact)
