"""The device report: what was measured, where, and how; the phone apps write the same."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shvit_mobile.contracts.document import Contract, Count, Document, JsonFloat, Milliseconds, Proportion, Sha256
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.errors import BadReport

# The processors that an inference may use; Core ML chooses among those allowed.
ComputeUnits = Literal["cpu", "cpu-and-gpu", "cpu-and-neural-engine", "all"]
# How hot a phone says it is. Apple's names; of Android's, NONE is nominal, LIGHT and MODERATE fair, SEVERE serious, and
# all above it critical.
ThermalState = Literal["nominal", "fair", "serious", "critical"]


class DeviceInfo(Contract):
    """Where it ran.

    Attributes:
        kind: "host" for a computer, "phone" for what an app measures.
        model: of the processor, or of the phone.
        system: the operating system and its version.
        cores: processors that could be used.
        memory_bytes: of the machine; None where the system does not tell.
        name: what people call the phone ("iPhone 15 Pro"), where `model` is a maker's code ("iPhone16,1").
    """

    kind: Literal["host", "phone"]
    model: str
    system: str
    cores: int
    memory_bytes: Count | None = None
    name: str | None = None


class ThermalSample(Contract):
    """How hot the phone was at a moment.

    Attributes:
        seconds: since the measurement began.
        state: as the system tells it.
        headroom: Android's forecast: 1 is where it begins to throttle severely; None where there is none.
    """

    seconds: Annotated[float, Field(ge=0)]
    state: ThermalState
    headroom: float | None = None


class DeviceConditions(Contract):
    """What the phone was like while it measured; None where the system does not tell.

    Attributes:
        low_power: whether a power-saving mode was on.
        battery: the charge, 0 to 1; charging: whether it was plugged in.
        thermal: before, during and after, in the order of time.
    """

    low_power: bool | None = None
    battery: Proportion | None = None
    charging: bool | None = None
    thermal: tuple[ThermalSample, ...] = ()


class BenchmarkSettings(Contract):
    """How it was measured.

    Attributes:
        threads: of each engine; None where engines decide on their own, as Core ML does, and ExecuTorch in Swift.
        batch: images an inference.
        rounds: how often each contestant had its turn.
        warm_up: inferences at the beginning of each turn that do not count.
        iterations: inferences of each turn that do.
        cpus: the only processors used; any if empty.
        seed: of the order in each round.
    """

    threads: Annotated[int, Field(ge=1)] | None = None
    batch: Annotated[int, Field(ge=1)]
    rounds: Annotated[int, Field(ge=1)]
    warm_up: Count
    iterations: Annotated[int, Field(ge=1)]
    cpus: tuple[int, ...] = ()
    seed: int = 0

    @property
    def threads_text(self) -> str:
        if self.threads is None:
            return "as many threads as engines choose"
        return f"{self.threads} thread{'s' if self.threads > 1 else ''}"


class Roofline(Contract):
    """The most arithmetic that any installed library reached here in one product of matrices.

    Attributes:
        gops: billions of operations a second, two a multiply-add.
        reached_by: which product of which library.
    """

    gops: float
    reached_by: str


class SustainedWindow(Contract):
    """A stretch of a sustained run.

    Attributes:
        start_s: since the run began, in seconds.
        samples: inferences in it.
        p50: their median, in milliseconds.
        thermal: how hot the phone was at its end.
    """

    start_s: Annotated[float, Field(ge=0)]
    samples: Annotated[int, Field(ge=1)]
    p50: Milliseconds
    thermal: ThermalState | None = None


class GoldenCheck(Contract):
    """The artifact's goldens, answered on the device: preprocessing apart from inference.

    Attributes:
        images: how many goldens.
        preprocessing_passed: whether the device's own pixels are near enough to the goldens'.
        pixels_difference: mean absolute difference of the worst image, in steps of 0 to 255.
        inference_passed: whether the artifact, given the goldens' pixels, gives the goldens' logits.
        largest_difference: of any logit; tolerance: what the goldens allow.
        sqnr_db: of the device's logits against the goldens'.
        same_class: images on which both choose the same class.
    """

    images: Annotated[int, Field(ge=1)]
    preprocessing_passed: bool
    pixels_difference: Annotated[float, Field(ge=0)]
    inference_passed: bool
    largest_difference: Annotated[float, Field(ge=0)]
    tolerance: Annotated[float, Field(ge=0)]
    sqnr_db: JsonFloat
    same_class: Count

    @property
    def passed(self) -> bool:
        return self.preprocessing_passed and self.inference_passed


class LatencySummary(Contract):
    """A summary of samples, in milliseconds.

    Attributes:
        samples: how many.
        p50, p90, p95, p99: by linear interpolation between the two samples around each, NumPy's default.
        least: the fastest.
    """

    samples: Annotated[int, Field(ge=1)]
    p50: Milliseconds
    p90: Milliseconds
    p95: Milliseconds
    p99: Milliseconds
    least: Milliseconds


class SpeedRatio(Contract):
    """How many times as fast as the first, and the interval that holds the median ratio with 95% confidence.

    Attributes:
        value: the median over rounds of the first's latency over this one's; above 1 is faster.
        low, high: the interval's ends; infinite or 0 where there are too few rounds for one.
    """

    value: float
    low: float
    high: JsonFloat


class DeviceResult(Contract):
    """One contestant.

    Attributes:
        name, engine, precision: which.
        artifact_sha256: None where it is no artifact of ours.
        compute: the processors that it may use.
        threads: of this contestant; None where they are the settings', or the engine decided if those have none either.
        compile_ms: on the first launch, where the system compiles the model (Core ML).
        load_ms: from the file to a program that is ready; of a compiled model where there is one.
        first_ms: the first inference.
        latency: of one inference, over all rounds.
        samples_ms: every inference that counts, a list a round.
        windows: of a sustained run, in the order of time; empty where there was none.
        ratio: of the first contestant's latency to this one's; None for the first.
        peak_memory_bytes: what its process grew by, at most, while it loaded and ran once.
        running_memory_bytes: the same during an inference once it is loaded.
        size_bytes: on disk.
        macs: multiply-adds of one image.
        roof_share: of the roof of its precision, 0 to 1.
        placement: operators by the processor that runs them (Core ML's compute plan).
        golden: the goldens as the device answered them.
        drift: how far its logits were from the float model's, when its export was validated.
    """

    name: str
    engine: str
    precision: str
    artifact_sha256: Sha256 | None = None
    compute: ComputeUnits = "cpu"
    threads: Annotated[int, Field(ge=1)] | None = None
    compile_ms: Milliseconds | None = None
    load_ms: Milliseconds
    first_ms: Milliseconds
    latency: LatencySummary
    samples_ms: Annotated[tuple[Annotated[tuple[Milliseconds, ...], Field(min_length=1)], ...], Field(min_length=1)]
    windows: tuple[SustainedWindow, ...] = ()
    ratio: SpeedRatio | None = None
    peak_memory_bytes: Count | None = None
    running_memory_bytes: Count | None = None
    size_bytes: Count | None = None
    macs: Count | None = None
    roof_share: Annotated[float, Field(ge=0)] | None = None
    placement: dict[str, Count] | None = None
    golden: GoldenCheck | None = None
    drift: DriftRow | None = None


class DeviceReport(Document):
    """The whole report.

    Attributes:
        created: when, in ISO 8601 with the offset from UTC.
        app: what measured, with its version and build.
        fixture: made up so that readers can be tested: nothing in it was measured.
        conditions: None on a computer.
        roofs: by precision.
    """

    NAME = "device_report"
    ERROR = BadReport
    TITLE = "a device report"

    kind: Literal["device_report"] = "device_report"
    created: str
    app: str
    fixture: bool = False
    versions: dict[str, str]
    device: DeviceInfo
    settings: BenchmarkSettings
    conditions: DeviceConditions | None = None
    roofs: dict[str, Roofline] = Field(default_factory=dict)
    results: Annotated[tuple[DeviceResult, ...], Field(min_length=1)]
