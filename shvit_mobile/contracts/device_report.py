"""The device report: latency and memory on one device; the benchmark and the phone apps write it."""

from typing import Annotated, Literal

from pydantic import Field

from shvit_mobile.contracts.document import Contract, Count, Document, JsonFloat, Milliseconds, Proportion, Sha256
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.errors import BadReport

# The processors that an inference may use; Core ML chooses among them.
ComputeUnits = Literal["cpu", "cpu-and-gpu", "cpu-and-neural-engine", "all"]
# Apple's thermal states. Of Android's, NONE is nominal, LIGHT and MODERATE are fair, SEVERE is serious, and all
# above are critical.
ThermalState = Literal["nominal", "fair", "serious", "critical"]


class DeviceInfo(Contract):
    """The device that ran the benchmark.

    Attributes:
        kind: "host" for a computer, "phone" for a report of an app.
        model: The model of the processor, or of the phone.
        system: The operating system and its version.
        cores: The number of available processors.
        memory_bytes: The memory of the device; None if unknown.
        name: The common name of the phone ("iPhone 15 Pro") if `model` is a code ("iPhone16,1").
    """

    kind: Literal["host", "phone"]
    model: str
    system: str
    cores: int
    memory_bytes: Count | None = None
    name: str | None = None


class ThermalSample(Contract):
    """The thermal state of the phone at one moment.

    Attributes:
        seconds: Time since the start of the measurement.
        state: The state that the system reports.
        headroom: Android's thermal headroom (1 is the start of severe throttling); None if unknown.
    """

    seconds: Annotated[float, Field(ge=0)]
    state: ThermalState
    headroom: float | None = None


class DeviceConditions(Contract):
    """The conditions of the phone during the measurement; None if the system does not report them.

    Attributes:
        low_power: Whether a power-saving mode was on.
        battery: The charge, 0 to 1; charging: whether the phone was charging.
        thermal: Samples before, during and after the measurement, in order of time.
    """

    low_power: bool | None = None
    battery: Proportion | None = None
    charging: bool | None = None
    thermal: tuple[ThermalSample, ...] = ()


class BenchmarkSettings(Contract):
    """The settings of the benchmark.

    Attributes:
        threads: The threads of each engine; None if engines choose, as Core ML and ExecuTorch in Swift do.
        batch: Images per inference.
        rounds: How often each contestant ran.
        warm_up: Inferences at the start of each round that are not measured.
        iterations: Measured inferences per round.
        cpus: The processors that were used; empty for any.
        seed: The seed of the order in each round.
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
    """The peak throughput that any installed library reached here in one matrix product.

    Attributes:
        gops: Billions of operations per second; a multiply-add is two.
        reached_by: The matrix product and the library.
    """

    gops: float
    reached_by: str


class SustainedWindow(Contract):
    """A time window of a sustained run.

    Attributes:
        start_s: Its start, in seconds since the start of the run.
        samples: The number of inferences in it.
        p50: Their median, in milliseconds.
        thermal: The thermal state at its end.
    """

    start_s: Annotated[float, Field(ge=0)]
    samples: Annotated[int, Field(ge=1)]
    p50: Milliseconds
    thermal: ThermalState | None = None


class GoldenCheck(Contract):
    """The check of the artifact's goldens on the device; it tests preprocessing and inference separately.

    Attributes:
        images: The number of goldens.
        preprocessing_passed: Whether the pixels of the device are within tolerance of the goldens.
        pixels_difference: Mean absolute difference of the worst image, in steps of 0 to 255.
        inference_passed: Whether the logits for the pixels of the goldens are within tolerance.
        largest_difference: The largest difference of any logit; tolerance: the allowed difference.
        sqnr_db: SQNR of the device's logits against the goldens.
        same_class: The number of images for which both predict the same class.
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
        samples: The number of samples.
        p50, p90, p95, p99: Percentiles, interpolated linearly between samples as in NumPy.
        least: The minimum.
    """

    samples: Annotated[int, Field(ge=1)]
    p50: Milliseconds
    p90: Milliseconds
    p95: Milliseconds
    p99: Milliseconds
    least: Milliseconds


class SpeedRatio(Contract):
    """The speed relative to the first contestant, with a 95% confidence interval of the median ratio.

    Attributes:
        value: The median over rounds of the first contestant's latency divided by this one's; above 1 is faster.
        low, high: The ends of the interval; 0 and infinite if there are too few rounds.
    """

    value: float
    low: float
    high: JsonFloat


class DeviceResult(Contract):
    """The result of one contestant.

    Attributes:
        name, engine, precision: The identity of the contestant.
        artifact_sha256: The SHA-256 of the artifact; None if another program exported the model.
        compute: The processors that it may use.
        threads: Its threads; None for those of the settings, or the engine's choice if these have none.
        compile_ms: Compilation on the first launch, if the system compiles models (Core ML).
        load_ms: Time from the file, or from the compiled model, to a program that is ready to run.
        first_ms: The first inference.
        latency: The latency of one inference, over all rounds.
        samples_ms: Every measured inference, one list per round.
        windows: The windows of a sustained run, in order of time; empty without one.
        ratio: Its speed relative to the first contestant; None for the first.
        peak_memory_bytes: The largest growth of its process while it loaded and ran once.
        running_memory_bytes: The same during an inference after loading.
        size_bytes: Size on disk.
        macs: Multiply-adds for one image.
        roof_share: The share of the roofline of its precision, 0 to 1.
        placement: The number of operators on each processor (Core ML's compute plan).
        golden: The check of its goldens.
        drift: The drift recorded when the export was validated.
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
    """The report of a benchmark on one device.

    Attributes:
        created: The time, in ISO 8601 with the UTC offset.
        app: The program that measured, with its version and build.
        fixture: Whether the report is test data, with invented measurements.
        conditions: None on a computer.
        roofs: The roofline by precision.
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
