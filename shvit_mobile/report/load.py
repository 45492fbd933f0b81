"""Loads documents from files, folders and artifacts."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shvit_mobile.contracts.artifact import MANIFEST_SUFFIX, find_artifact, get_manifest_path
from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.contracts.files import MAX_TEXT_BYTES, check_file, list_visible_files, read_bytes, read_json
from shvit_mobile.contracts.instruction_report import InstructionReport
from shvit_mobile.contracts.manifest import TARGET_SUFFIXES, Manifest
from shvit_mobile.contracts.report import SourceFile
from shvit_mobile.contracts.sensitivity import SensitivityReport
from shvit_mobile.errors import BadReport
from shvit_mobile.targets.stored_facts import open_artifact

ReadableDocument = Manifest | DriftReport | DeviceReport | SensitivityReport | InstructionReport
DOCUMENT_KINDS: dict[str, type[ReadableDocument]] = {
    "manifest": Manifest,
    "drift_report": DriftReport,
    "device_report": DeviceReport,
    "sensitivity": SensitivityReport,
    "instruction_report": InstructionReport,
}
_EXPECTED_INPUTS = (
    "Inputs are manifests, drift reports (validate --out), device reports (benchmark --out, or a phone's), sensitivity "
    "reports (calibrate) and counts of instructions (benchmark --arch arm64 --out)."
)


@dataclass(frozen=True)
class LoadedDocument:
    """A document, and the file that it comes from."""

    source: SourceFile
    document: ReadableDocument


def read_all(inputs: Sequence[Path]) -> list[LoadedDocument]:
    """Load every document in the inputs once, whatever their order.

    Args:
        inputs: JSON files, artifacts (with their manifests beside them), and folders of both.

    Raises:
        BadReport: If an input is missing, a folder contains no document, or a file has an unknown kind.
        ShvitError: If a document is invalid, or an artifact is not what its manifest describes.
    """
    found = {read.source.sha256: read for path in inputs for read in _read_input(path)}
    return sorted(found.values(), key=lambda read: (list(DOCUMENT_KINDS).index(read.source.kind), read.source.file))


def _read_input(path: Path) -> Iterator[LoadedDocument]:
    """Load the documents in a file or a folder, or beside an artifact."""
    if not path.exists():
        raise BadReport(f"{path} does not exist.", why=_EXPECTED_INPUTS)
    if path.suffix in TARGET_SUFFIXES.values():
        yield read_file(get_manifest_path(path))
    elif path.is_dir():
        yield from _read_folder(path)
    else:
        yield read_file(path)


def _read_folder(folder: Path) -> Iterator[LoadedDocument]:
    """Load the documents in a folder and its subfolders; skip other JSON."""
    empty = True
    for path in list_visible_files(folder):
        if path.suffix == ".json" and _detect_kind(path) in DOCUMENT_KINDS:
            empty = False
            yield read_file(path)
    if empty:
        raise BadReport(f"{folder} contains no manifest and no report.", why=_EXPECTED_INPUTS)


def read_file(path: Path) -> LoadedDocument:
    """Load the document in a file."""
    check_file(path, limit=MAX_TEXT_BYTES, error=BadReport, what="a report")
    kind = _detect_kind(path)
    document_type = DOCUMENT_KINDS.get(kind or "")
    if document_type is None:
        fault = "does not state its kind" if kind is None else f"is of the kind '{kind[:40]}'"
        again = " This is a finished report: give the documents that it was made from." if kind == "report" else ""
        raise BadReport(f"{path} {fault}.", why=f"{_EXPECTED_INPUTS}{again}")
    read = document_type.load(path)
    if isinstance(read, Manifest) and (artifact := find_artifact(path, read.target)):
        open_artifact(artifact)
    content = read_bytes(path, limit=MAX_TEXT_BYTES, error=BadReport, what="a report")
    digest = hashlib.sha256(content).hexdigest()
    return LoadedDocument(SourceFile(file=path.name, kind=read.kind, sha256=digest), read)


def _detect_kind(path: Path) -> str | None:
    """Return the kind that a JSON file states, or that its name implies; None if unknown."""
    if path.name.endswith(MANIFEST_SUFFIX):
        return "manifest"
    try:
        kind = read_json(path, error=BadReport, what="a report")["kind"]
    except (BadReport, LookupError, TypeError):
        return None
    return kind if isinstance(kind, str) else None
