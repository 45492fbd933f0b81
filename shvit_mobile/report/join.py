"""Joins documents into one report; the SHA-256 identifies an artifact, whatever its file is called."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from shvit_mobile.apps.known_artifacts import check_sizes
from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.contracts.instruction_report import InstructionReport
from shvit_mobile.contracts.manifest import TARGET_ORDER, Manifest
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.report import EntryReference, ModelReport, ReportArtifact
from shvit_mobile.contracts.sensitivity import SensitivityReport
from shvit_mobile.report.formatting import PRECISION_ORDER, find_rank, format_model_name
from shvit_mobile.report.load import read_all
from shvit_mobile.report.pareto_fronts import build_pareto_fronts
from shvit_mobile.report.remarks import collect_remarks
from shvit_mobile.report.verdict import build_verdict

FirstValue = TypeVar("FirstValue")


@dataclass(frozen=True)
class _ReportDocuments:
    """The input documents by kind, in the order of their files."""

    manifests: tuple[Manifest, ...]
    drift: tuple[DriftReport, ...]
    devices: tuple[DeviceReport, ...]


def build_report(inputs: Sequence[AnyPath], *, title: str | None = None) -> ModelReport:
    """Join everything in the inputs into a report.

    Args:
        inputs: Documents of the kinds in `load.DOCUMENT_KINDS`, artifacts, and folders of them.
        title: The title of the page (default: the name of the model).

    Raises:
        ShvitError: As `read_all` and `check_sizes`.
    """
    reads = read_all([Path(path) for path in inputs])
    named = [(read.source.file, read.document) for read in reads]
    manifests = [document for _, document in named if isinstance(document, Manifest)]
    drift = [(file, document) for file, document in named if isinstance(document, DriftReport)]
    devices = [(file, document) for file, document in named if isinstance(document, DeviceReport)]
    check_sizes(devices, manifests)
    documents = _ReportDocuments(tuple(manifests), tuple(one for _, one in drift), tuple(one for _, one in devices))
    artifacts = tuple(
        sorted((_join_artifact(sha256, documents) for sha256 in _collect_hashes(documents)), key=_rank_artifact)
    )
    return ModelReport(
        title=title or _format_default_title(documents),
        sources=tuple(read.source for read in reads),
        artifacts=artifacts,
        remarks=collect_remarks(manifests, drift, devices),
        manifests=documents.manifests,
        drift=documents.drift,
        devices=documents.devices,
        sensitivity=tuple(document for _, document in named if isinstance(document, SensitivityReport)),
        instructions=tuple(document for _, document in named if isinstance(document, InstructionReport)),
        fronts=build_pareto_fronts(artifacts, documents.devices),
    )


def _collect_hashes(documents: _ReportDocuments) -> list[str]:
    """Return the SHA-256 of every artifact in the documents."""
    found = [manifest.artifact.sha256 for manifest in documents.manifests]
    found += [row.artifact_sha256 for report in documents.drift for row in report.rows if row.artifact_sha256]
    found += [one.artifact_sha256 for device in documents.devices for one in device.results if one.artifact_sha256]
    return list(dict.fromkeys(found))


def _join_artifact(sha256: str, documents: _ReportDocuments) -> ReportArtifact:
    """Join everything about the artifact with this SHA-256."""
    known = _find_manifest(sha256, documents.manifests)
    manifest = None if known is None else documents.manifests[known]
    rows = [
        (EntryReference(report=number, entry=entry), row)
        for number, report in enumerate(documents.drift)
        for entry, row in enumerate(report.rows)
        if row.artifact_sha256 == sha256
    ]
    results = [
        (EntryReference(report=number, entry=entry), device, result)
        for number, device in enumerate(documents.devices)
        for entry, result in enumerate(device.results)
        if result.artifact_sha256 == sha256
    ]
    measured = [one for *_, one in results]
    compared = max((row for _, row in rows), key=lambda row: (row.images, row.how != "emulated"), default=None)
    recorded = _find_first([manifest.drift if manifest else None, *(one.drift for one in measured)])
    drift = compared or recorded
    name, target, precision = (
        (manifest.artifact.name, manifest.target, manifest.precision_name)
        if manifest
        else (drift.artifact, drift.target, drift.precision)
        if drift
        else (measured[0].name, None, measured[0].precision)
    )
    return ReportArtifact(
        name=name,
        sha256=sha256,
        target=target,
        precision=precision,
        size_bytes=manifest.artifact.bytes if manifest else _find_first([one.size_bytes for one in measured]),
        manifest=known,
        rows=tuple(place for place, _ in rows),
        results=tuple(place for place, *_ in results),
        drift=drift,
        recorded=compared is None and recorded is not None,
        verdict=build_verdict(
            drift,
            [documents.drift[number] for number in dict.fromkeys(place.report for place, _ in rows)],
            [(device, result) for _, device, result in results],
        ),
    )


def _find_manifest(sha256: str, manifests: Sequence[Manifest]) -> int | None:
    """Return the position of an artifact's manifest; of several, the first with drift."""
    places = [number for number, manifest in enumerate(manifests) if manifest.artifact.sha256 == sha256]
    return min(places, key=lambda number: manifests[number].drift is None, default=None)


def _find_first(values: Sequence[FirstValue | None]) -> FirstValue | None:
    return next((value for value in values if value is not None), None)


def _rank_artifact(one: ReportArtifact) -> tuple[float, float, str, str]:
    """Rank by target and precision, then by name."""
    return find_rank(one.target, TARGET_ORDER), find_rank(one.precision, PRECISION_ORDER), one.name, one.sha256


def _format_default_title(documents: _ReportDocuments) -> str:
    """Return a title that names the models."""
    variants = [manifest.model.variant for manifest in documents.manifests]
    variants += [report.checkpoint.variant for report in documents.drift]
    names = list(dict.fromkeys(map(format_model_name, variants)))
    return f"{', '.join(names) or 'Measurements'} on mobile devices"
