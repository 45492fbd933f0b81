"""The report: documents about artifacts, joined by the SHA-256 of the artifacts."""

from typing import Annotated, Literal

from pydantic import Field

from shvit_mobile.contracts.device_report import DeviceReport, DeviceResult
from shvit_mobile.contracts.document import Contract, Count, Document, SchemaVersion, Sha256
from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.instruction_report import InstructionReport
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.contracts.sensitivity import SensitivityReport
from shvit_mobile.errors import BadReport

DocumentKind = Literal["manifest", "drift_report", "device_report", "sensitivity", "instruction_report"]
# The drift of an artifact: points of top-1 lost, agreement of the predictions, or SQNR of the logits.
DriftMetric = Literal["drop", "agreement", "sqnr_db"]
VerdictStatus = Literal["passed", "failed", "measured", "unproven"]


class SourceFile(Contract):
    """A file that the report was built from.

    Attributes:
        file: The file name without its path.
        kind: The kind of document in it.
        sha256: The SHA-256 of the file.
    """

    file: str
    kind: DocumentKind
    sha256: Sha256


class EntryReference(Contract):
    """The position of a row or result: the index of its report, and its index in that report."""

    report: Count
    entry: Count


class ArtifactVerdict(Contract):
    """The verdict on an artifact.

    Attributes:
        status: "failed" if a gate or a golden check failed, "passed" if a gate passed, "measured" if it was compared
            with its float model without a gate, "unproven" if it was not compared.
        sentence: The same in words, with the figures.
    """

    status: VerdictStatus
    sentence: str


class ReportArtifact(Contract):
    """One artifact, identified by its SHA-256, and the places where documents mention it.

    Attributes:
        name: Its file name.
        target, precision, size_bytes: None if only a device report names the artifact and does not contain them.
        manifest: The index of its manifest; None if there is none.
        rows: The positions of its rows in drift reports; results: of its results in device reports.
        drift: The row of the drift report with the most images or, without one, of the manifest or a device report;
            None if the artifact was never compared.
        recorded: Whether `drift` comes from a manifest or device report, so that its images are unknown.
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
    """An artifact that another dominates: the other is no worse in drift and cost, and better in one of them.

    Attributes:
        sha256: The SHA-256 of the artifact.
        by: The SHA-256 of the cheapest artifact on the front that dominates it.
    """

    sha256: Sha256
    by: Sha256


class ParetoFront(Contract):
    """The artifacts with less drift than every cheaper artifact.

    Attributes:
        drift: The measure of drift.
        cost: "bytes" on disk, or "latency": the median of the fastest setting on a device.
        device: The index of the device report; None for bytes.
        best: The SHA-256 of the artifacts on the front, cheapest first.
        beaten: The dominated artifacts, as far as drift and cost are known.
    """

    drift: DriftMetric
    cost: Literal["bytes", "latency"]
    device: Count | None = None
    best: Annotated[tuple[Sha256, ...], Field(min_length=1)]
    beaten: tuple[DominatedArtifact, ...] = ()


class Remark(Contract):
    """A note on the figures; `grave` if some of them must not be compared."""

    grave: bool
    sentence: str


class ModelReport(Document):
    """Manifests, drift reports, device reports, sensitivity reports and counts of instructions in one document.

    Attributes:
        title: The title of the page.
        sources: The files of the manifests, drift reports, device reports, sensitivity reports and counts of
            instructions, in this order.
        artifacts: The artifacts, sorted by target, precision and name.
        remarks: Contradictions between the documents, in words.
        fronts: The Pareto fronts, one for each measure of drift and each cost.
    """

    NAME = "report"
    ERROR = BadReport
    TITLE = "a report"

    # The device reports in it are of version 1.1. Earlier versions have no counts of instructions, or none by operator.
    schema_version: SchemaVersion = "1.4"
    kind: Literal["report"] = "report"
    title: str
    sources: Annotated[tuple[SourceFile, ...], Field(min_length=1)]
    artifacts: tuple[ReportArtifact, ...]
    remarks: tuple[Remark, ...] = ()
    manifests: tuple[Manifest, ...] = ()
    drift: tuple[DriftReport, ...] = ()
    devices: tuple[DeviceReport, ...] = ()
    sensitivity: tuple[SensitivityReport, ...] = ()
    instructions: tuple[InstructionReport, ...] = ()
    fronts: tuple[ParetoFront, ...] = ()

    def get_manifest(self, artifact: ReportArtifact) -> Manifest | None:
        return None if artifact.manifest is None else self.manifests[artifact.manifest]

    def get_result(self, reference: EntryReference) -> DeviceResult:
        return self.devices[reference.report].results[reference.entry]

    def find_artifact(self, sha256: str | None) -> ReportArtifact | None:
        """Return the artifact with this SHA-256, if there is one."""
        return next((one for one in self.artifacts if one.sha256 == sha256), None)
