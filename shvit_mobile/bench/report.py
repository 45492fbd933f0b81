"""The device report: what was measured, where, and how; the phone apps write the same."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from shvit_mobile.bench.statistics import Latency, Ratio
from shvit_mobile.contract import Contract
from shvit_mobile.drift.row import DriftRow
from shvit_mobile.errors import BadReport

SCHEMA_VERSION = "1.0"


class Device(Contract):
    """Where it ran.

    Attributes:
        kind: "host" for a computer, "phone" for what an app measures.
        model: of the processor, or of the phone.
        system: the operating system and its version.
        cores: processors that could be used.
        memory_bytes: of the machine; None where the system does not tell.
    """

    kind: Literal["host", "phone"]
    model: str
    system: str
    cores: int
    memory_bytes: int | None = None


class Settings(Contract):
    """How it was measured.

    Attributes:
        threads: of each engine.
        batch: images an inference.
        rounds: how often each contestant had its turn.
        warm_up: inferences at the beginning of each turn that do not count.
        iterations: inferences of each turn that do.
        cpus: the only processors used; any if empty.
        seed: of the order in each round.
    """

    threads: int
    batch: int
    rounds: int
    warm_up: int
    iterations: int
    cpus: tuple[int, ...] = ()
    seed: int = 0


class Roof(Contract):
    """The most arithmetic that any installed library reached here in one product of matrices.

    Attributes:
        gops: billions of operations a second, two a multiply-add.
        reached_by: which product of which library.
    """

    gops: float
    reached_by: str


class Result(Contract):
    """One contestant.

    Attributes:
        name, engine, precision: which.
        artifact_sha256: None where it is no artifact of ours.
        compute: "cpu", or the compute units on a phone.
        load_ms: from the file to a program that is ready.
        first_ms: the first inference.
        latency: of one inference, over all rounds.
        samples_ms: every inference that counts, a list a round.
        ratio: of the first contestant's latency to this one's; None for the first.
        peak_memory_bytes: what its process grew by, at most, while it loaded and ran once.
        running_memory_bytes: the same during an inference once it is loaded.
        size_bytes: on disk.
        macs: multiply-adds of one image.
        roof_share: of the roof of its precision, 0 to 1.
        drift: how far its logits were from the float model's, when its export was validated.
    """

    name: str
    engine: str
    precision: str
    artifact_sha256: str | None = None
    compute: str = "cpu"
    load_ms: float
    first_ms: float
    latency: Latency
    samples_ms: tuple[tuple[float, ...], ...]
    ratio: Ratio | None = None
    peak_memory_bytes: int | None = None
    running_memory_bytes: int | None = None
    size_bytes: int | None = None
    macs: int | None = None
    roof_share: float | None = None
    drift: DriftRow | None = None


class DeviceReport(Contract):
    """The whole report."""

    schema_version: str = SCHEMA_VERSION
    kind: Literal["device_report"] = "device_report"
    created: str
    app: str
    versions: dict[str, str]
    device: Device
    settings: Settings
    roofs: dict[str, Roof] = Field(default_factory=dict)
    results: tuple[Result, ...]

    @classmethod
    def read(cls, path: Path) -> DeviceReport:
        """The report in a JSON file.

        Raises:
            BadReport: it cannot be read, or is not a report.
        """
        return cls.parse(path, BadReport, "a device report")
