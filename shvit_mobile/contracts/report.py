"""The report: all documents that were read, and the artifacts that they speak of, joined by SHA-256."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shvit_mobile.contracts.device_report import DeviceReport, DeviceResult
from shvit_mobile.contracts.document import Contract, Count, Document, Sha256
from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.contracts.sensitivity import SensitivityReport
from shvit_mobile.errors import BadReport

DocumentKind = Literal["manifest", "drift_report", "device_report", "sensitivity"]
# How far an artifact is from its float model: points of top-1 lost, changed answers, or the noise of the logits.
DriftMetric = Literal["drop", "agreement", "sqnr_db"]
VerdictStatus = Literal["passed", "failed", "measured", "unproven"]


class SourceFile(Contract):
    """A file that was read.

    Attributes:
        file: its name, without its path.
        kind: of the document in it.
        sha256: of its bytes.
    """

    file: str
    kind: DocumentKind
    sha256: Sha256


class EntryReference(Contract):
    """Where a figure stands: the number of a report in its list, and of a row or result in that report, from 0."""

    report: Count
    entry: Count


class ArtifactVerdict(Contract):
    """What can be said of an artifact.

    Attributes:
        status: "failed" where a gate or a golden check says so, "passed" where a gate was held against it, "measured"
            where it was compared with its float model and no gate was set, "unproven" where it was not compared.
        sentence: the same in words, with the figures.
    """

    status: VerdictStatus
    sentence: str


class ReportArtifact(Contract):
    """One artifact, known by its SHA-256, and where it is spoken of.

    Attributes:
        name: its file name.
        target, precision, size_bytes: None where only a device report names it and does not tell.
        manifest: its place in the report's manifests; None where none was given.
        rows: of drift reports; results: of device reports.
        drift: the row that counts: of the drift report with the most images, else what its manifest or a device report
            recorded; None where it was never compared.
        recorded: whether `drift` comes from no drift report, so that nobody can tell which images were seen.
    """

    name: str
    sha256: Sha256
    target: str | None
    precision: str | None
    size_bytes: Count | None
    manifest: Count | None
    rows: tuple[EntryReference, ...] = ()
    results: tuple[EntryReference, ...] = ()
    drift: DriftRow | None = None
    recorded: bool = False
    verdict: ArtifactVerdict


class DominatedArtifact(Contract):
    """An artifact that another makes pointless: nowhere worse, and better in drift or in cost.

    Attributes:
        sha256: of the artifact.
        by: the SHA-256 of the cheapest on the front that beats it.
    """

    sha256: Sha256
    by: Sha256


class ParetoFront(Contract):
    """The artifacts that are nearer to the float model than all that are cheaper.

    Attributes:
        drift: by which they are near.
        cost: "bytes" on disk, or "latency": the median of the fastest setting on a device.
        device: the number of its report; None for bytes.
        best: the front's artifacts by SHA-256, the cheapest first.
        beaten: all others of which drift and cost are known.
    """

    drift: DriftMetric
    cost: Literal["bytes", "latency"]
    device: Count | None = None
    best: Annotated[tuple[Sha256, ...], Field(min_length=1)]
    beaten: tuple[DominatedArtifact, ...] = ()


class Remark(Contract):
    """Something that a reader must know before the figures; `grave` where figures do not belong together."""

    grave: bool
    sentence: str


class ModelReport(Document):
    """All of it.

    Attributes:
        title: of the page.
        sources: of the manifests, then of the drift reports, the device reports and the sensitivity reports, in their
            order.
        artifacts: by target, precision and name.
        remarks: what does not fit together, in words.
        fronts: which artifacts are worth having, for each figure of drift and each cost.
    """

    NAME = "report"
    ERROR = BadReport
    TITLE = "a report"

    kind: Literal["report"] = "report"
    title: str
    sources: Annotated[tuple[SourceFile, ...], Field(min_length=1)]
    artifacts: tuple[ReportArtifact, ...]
    remarks: tuple[Remark, ...] = ()
    manifests: tuple[Manifest, ...] = ()
    drift: tuple[DriftReport, ...] = ()
    devices: tuple[DeviceReport, ...] = ()
    sensitivity: tuple[SensitivityReport, ...] = ()
    fronts: tuple[ParetoFront, ...] = ()

    def manifest(self, artifact: ReportArtifact) -> Manifest | None:
        return None if artifact.manifest is None else self.manifests[artifact.manifest]

    def row(self, place: EntryReference) -> DriftRow:
        return self.drift[place.report].rows[place.entry]

    def result(self, place: EntryReference) -> DeviceResult:
        return self.devices[place.report].results[place.entry]

    def artifact(self, sha256: str | None) -> ReportArtifact | None:
        """The artifact of this SHA-256."""
        return next((one for one in self.artifacts if one.sha256 == sha256), None)

    def source(self, kind: DocumentKind, place: int) -> SourceFile:
        """Where the document of this kind and number was read."""
        return [source for source in self.sources if source.kind == kind][place]
