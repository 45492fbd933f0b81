"""The device report: latency and memory on one device; the benchmark and the phone apps write it.

What is timed, since version 1.1:

- A sample of `samples_ms` is the call of the runtime alone: the input is the runtime's own tensor, and the output is
  not read yet. Between two calls of a turn, at most the input is made and the output read.
- `stages` are whole frames, measured after each turn: preprocessing (from the picture in memory to the values of the
  tensor, or to the pixels for a model that takes a picture), tensor (from these to the runtime's own input), inference
  (the call of the runtime), decoding (from the runtime's outputs to the five most likely labels, or to boxes), and all
  of it.
- A percentile is stated if at least ten samples lie above it: p90 from 100 samples on, p95 from 200, p99 from 1,000.

Version 1.0 states every percentile and has no stages. Its samples from iOS cover tensor and decoding too.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from math import fsum, isclose
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from shvit_mobile.contracts.document import (
    Contract,
    Count,
    Document,
    JsonFloat,
    Milliseconds,
    Proportion,
    SchemaVersion,
    Sha256,
    parse_version,
)
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.errors import BadReport

# A phone may compute other last digits, or round to a nanosecond.
_RELATIVE_TOLERANCE, _ABSOLUTE_TOLERANCE_MS = 1e-6, 1e-6
Sample = Annotated[float, Field(gt=0)]
# It is the name of the report's file on the phone, too.
_RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
# The processors that an inference may use; Core ML chooses among them.
ComputeUnits = Literal["cpu", "cpu-and-gpu", "cpu-and-neural-engine", "all"]
# Apple's thermal states. Of Android's, NONE is nominal, LIGHT and MODERATE are fair, SEVERE is serious, and all
# above are critical.
ThermalState = Literal["nominal", "fair", "serious", "critical"]
# What a sample covers: the call of the runtime, or also what is before and after it.
InferenceTiming = Literal["runtime-call", "tensor-and-runtime-call"]
# What a run was told to accept: a power-saving mode, or a phone that is warm before it starts.
Override = Literal["low-power", "heat"]
_TIMED_SINCE = (1, 1)
_TAIL_SAMPLES = 10
TAIL_PERCENTILES = (90, 95, 99)


def _is_none(value: object) -> bool:
    return value is None


def _is_empty(value: tuple[object, ...]) -> bool:
    return not value


def _check_time(created: str) -> str:
    try:
        known = datetime.fromisoformat(created).tzinfo is not None
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"'{created[:40]}' is no time with its offset from UTC, such as 2025-02-14T09:30:00+01:00")
    return created


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
    cores: Annotated[int, Field(ge=1)]
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
        waited_s: How long the run waited for the phone to cool before it started, in seconds.
        sustained_performance: Whether Android's mode of that name was on, which holds clocks at a level that lasts.
    """

    low_power: bool | None = None
    battery: Proportion | None = None
    charging: bool | None = None
    thermal: tuple[ThermalSample, ...] = ()
    waited_s: Annotated[float, Field(ge=0)] | None = Field(default=None, exclude_if=_is_none)
    sustained_performance: bool | None = Field(default=None, exclude_if=_is_none)


class FramePicture(Contract):
    """The picture that the preprocessing of `stages` starts from.

    Attributes:
        width, height: Its size in memory, in pixels.
        format: Its format in memory: "bgra", "rgba", "rgb" or "yuv-420".
        quarter_turns: How often it is turned clockwise by 90 degrees to be upright.
    """

    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    format: Literal["bgra", "rgba", "rgb", "yuv-420"]
    quarter_turns: Annotated[int, Field(ge=0, le=3)] = 0


class BenchmarkSettings(Contract):
    """The settings of the benchmark.

    Attributes:
        threads: The threads of each engine; None if engines choose, as Core ML and ExecuTorch in Swift do.
        batch: Images per inference.
        rounds: How often each contestant ran.
        warm_up: Inferences at the start of each round that are not measured; of the shortest warm-up if that is a time.
        iterations: Measured inferences per round; of the shortest turn if turns are a time.
        cpus: The processors that were used; empty for any.
        seed: The seed of the order in each round.
        timed: What a sample covers; None before version 1.1.
        warm_up_s, turn_s: Length of warm-up and turn in seconds; None if they are a number of inferences.
        frames_s: Length of the whole frames after each turn, in seconds.
        picture: The picture of these frames.
        overrides: What the run was told to accept.
    """

    threads: Annotated[int, Field(ge=1)] | None = None
    batch: Annotated[int, Field(ge=1)]
    rounds: Annotated[int, Field(ge=1)]
    warm_up: Count
    iterations: Annotated[int, Field(ge=1)]
    cpus: tuple[int, ...] = ()
    seed: int = 0
    timed: InferenceTiming | None = Field(default=None, exclude_if=_is_none)
    warm_up_s: Annotated[float, Field(gt=0)] | None = Field(default=None, exclude_if=_is_none)
    turn_s: Annotated[float, Field(gt=0)] | None = Field(default=None, exclude_if=_is_none)
    frames_s: Annotated[float, Field(gt=0)] | None = Field(default=None, exclude_if=_is_none)
    picture: FramePicture | None = Field(default=None, exclude_if=_is_none)
    overrides: tuple[Override, ...] = Field(default=(), exclude_if=_is_empty)

    @property
    def threads_text(self) -> str:
        if self.threads is None:
            return "as many threads as engines choose"
        return f"{self.threads} thread{'s' if self.threads > 1 else ''}"

    @property
    def warm_up_text(self) -> str:
        return f"{self.warm_up}" if self.warm_up_s is None else f"{self.warm_up_s:g} s"

    @property
    def turn_text(self) -> str:
        return f"{self.iterations} inferences" if self.turn_s is None else f"{self.turn_s:g} s"


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
        inference_passed: Whether the logits, or the values of maps, for the pixels of the goldens are within tolerance.
        largest_difference: The largest difference of any of them; tolerance: the allowed difference. Of several maps,
            those of the map that is furthest beyond its tolerance.
        sqnr_db: SQNR of the device's logits against the goldens; of several maps, the lowest.
        same_class: The number of images for which both predict the same class; None for maps.
    """

    images: Annotated[int, Field(ge=1)]
    preprocessing_passed: bool
    pixels_difference: Annotated[float, Field(ge=0)]
    inference_passed: bool
    largest_difference: Annotated[float, Field(ge=0)]
    tolerance: Annotated[float, Field(ge=0)]
    sqnr_db: JsonFloat
    same_class: Count | None = None

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.inference_passed != (self.largest_difference <= self.tolerance):
            outcome = "passed" if self.inference_passed else "failed"
            raise ValueError(
                f"its inference {outcome}, with a largest difference of {self.largest_difference:g} and a tolerance of "
                f"{self.tolerance:g}"
            )
        if self.same_class is not None and self.same_class > self.images:
            raise ValueError(f"the class is the same on {self.same_class} of {self.images} goldens")
        return self

    @property
    def passed(self) -> bool:
        return self.preprocessing_passed and self.inference_passed


class LatencySummary(Contract):
    """A summary of samples, in milliseconds.

    Attributes:
        samples: The number of samples.
        p50: The median.
        p90, p95, p99: Percentiles, interpolated linearly between samples as in NumPy; None if the samples do not
            support them (`count_needed_samples`). Version 1.0 states all of them.
        least: The minimum.
        mean: The mean; None in version 1.0.
    """

    samples: Annotated[int, Field(ge=1)]
    p50: Milliseconds
    p90: Milliseconds | None = Field(default=None, exclude_if=_is_none)
    p95: Milliseconds | None = Field(default=None, exclude_if=_is_none)
    p99: Milliseconds | None = Field(default=None, exclude_if=_is_none)
    least: Milliseconds
    mean: Milliseconds | None = Field(default=None, exclude_if=_is_none)

    @classmethod
    def from_samples(cls, samples: Sequence[float]) -> Self:
        """Summarize at least one sample, in milliseconds."""
        supported = [share for share in TAIL_PERCENTILES if len(samples) >= count_needed_samples(share)]
        return cls(
            samples=len(samples),
            p50=compute_percentile(samples, 50),
            **{f"p{share}": compute_percentile(samples, share) for share in supported},
            least=min(samples),
            mean=fsum(samples) / len(samples),
        )

    @property
    def tail(self) -> float:
        """The highest percentile that is stated."""
        return float(getattr(self, self.tail_name))

    @property
    def tail_name(self) -> str:
        return next(name for name in ("p99", "p95", "p90", "p50") if getattr(self, name) is not None)

    def find_contradiction(self) -> str | None:
        """Return why the summary cannot be one of version 1.1, with the name of the field; None if it can."""
        for share in TAIL_PERCENTILES:
            is_stated, needed = getattr(self, f"p{share}") is not None, count_needed_samples(share)
            if is_stated != (self.samples >= needed):
                reason = "stated" if is_stated else "missing"
                return f"p{share}: it is {reason}, with {self.samples} samples; it is stated from {needed} samples on"
        if self.mean is None:
            return "mean: Field required"
        ordered = [(name, getattr(self, name)) for name in ("least", "p50", "p90", "p95", "p99")]
        for (lower, low), (upper, high) in pairwise((name, value) for name, value in ordered if value is not None):
            if _exceeds(low, high):
                return f"{upper}: it is {high:g}, less than {lower} with {low:g}"
        return f"mean: it is {self.mean:g}, below the least" if _exceeds(self.least, self.mean) else None


def count_needed_samples(share: int) -> int:
    """Return how many samples a percentile above the median needs, so that ten of them lie above it."""
    return _TAIL_SAMPLES * 100 // (100 - share)


def _exceeds(value: float, limit: float) -> bool:
    """Return whether a value is above a limit by more than the last digits."""
    return value > limit * (1 + _RELATIVE_TOLERANCE) + _ABSOLUTE_TOLERANCE_MS


class StageLatencies(Contract):
    """The stages of whole frames, from a picture in memory to the five most likely labels, or to boxes.

    Attributes:
        preprocessing: From the picture to the values of the tensor, or to the pixels of a model that takes a picture.
        tensor: From these to the runtime's own input.
        inference: The call of the runtime.
        decoding: From the runtime's outputs to the labels with their probabilities, or to boxes.
        total: All of it.
    """

    preprocessing: LatencySummary
    tensor: LatencySummary
    inference: LatencySummary
    decoding: LatencySummary
    total: LatencySummary

    @property
    def parts(self) -> dict[str, LatencySummary]:
        """The stages without their total, in the order of time."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "total"}

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        for name, stage in {**self.parts, "total": self.total}.items():
            if contradiction := stage.find_contradiction():
                raise ValueError(f"{name}.{contradiction}")
            if stage.samples != self.total.samples:
                raise ValueError(
                    f"{name}.samples: it has {stage.samples} samples, the frames have {self.total.samples}"
                )
        for share in ("least", "p50", "p90", "p95", "p99", "mean"):
            values = [getattr(stage, share) for stage in self.parts.values()]
            whole = getattr(self.total, share)
            if whole is None:
                continue
            # Of minima and means, the sum is a bound; of percentiles, each stage.
            bound = fsum(values) if share in ("least", "mean") else max(values)
            if _exceeds(bound, whole):
                raise ValueError(f"total.{share}: it is {whole:g}, less than its stages with {bound:g}")
        return self


def compute_percentile(samples: Sequence[float], share: float) -> float:
    """Compute a percentile by linear interpolation between two samples, as NumPy does by default (R's type 7).

    The phone apps compute the same: `schemas/vectors/percentiles.json` has cases for every language.

    Raises:
        ValueError: If there are no samples, or `share` is not in 0 to 100.
    """
    if not samples or not 0 <= share <= 100:
        raise ValueError(f"no {share}th percentile of {len(samples)} samples")
    ordered = sorted(samples)
    place = share / 100 * (len(ordered) - 1)
    below = min(int(place), len(ordered) - 1)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


class SpeedRatio(Contract):
    """The speed relative to the first contestant, with a 95% confidence interval of the median ratio.

    Attributes:
        value: The median over rounds of the first contestant's latency divided by this one's; above 1 is faster.
        low, high: The ends of the interval; 0 and infinite if there are too few rounds.
    """

    value: Annotated[float, Field(gt=0)]
    low: Annotated[float, Field(ge=0)]
    high: JsonFloat

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.value:g} is not in its interval, {self.low:g} to {self.high:g}")
        return self


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
        samples_ms: Every measured inference, one list per round; `BenchmarkSettings.timed` says what a sample covers.
        stages: The stages of whole frames; None on a computer, and before version 1.1.
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
    samples_ms: Annotated[tuple[Annotated[tuple[Sample, ...], Field(min_length=1)], ...], Field(min_length=1)]
    stages: StageLatencies | None = Field(default=None, exclude_if=_is_none)
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

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        samples = [sample for turn in self.samples_ms for sample in turn]
        computed_by_name = {
            "samples": len(samples),
            **{f"p{share}": compute_percentile(samples, share) for share in (50, *TAIL_PERCENTILES)},
            "least": min(samples),
            "mean": fsum(samples) / len(samples),
        }
        for name, computed in computed_by_name.items():
            stated = getattr(self.latency, name)
            if stated is None:
                continue
            if not isclose(stated, computed, rel_tol=_RELATIVE_TOLERANCE, abs_tol=_ABSOLUTE_TOLERANCE_MS):
                raise ValueError(f"latency.{name}: {self.name} states {stated:g}, and its samples give {computed:g}")
        starts = [window.start_s for window in self.windows]
        if starts != sorted(starts):
            raise ValueError("windows: they are not in the order of time")
        if self.drift and self.drift.artifact_sha256 not in (None, self.artifact_sha256):
            raise ValueError("drift.artifact_sha256: it was measured on another artifact")
        return self


class FailedContestant(Contract):
    """A contestant that could not be measured.

    Attributes:
        name, engine, compute, threads: As in `DeviceResult`.
        error: What the app says, as text.
    """

    name: str
    engine: str
    compute: ComputeUnits = "cpu"
    threads: Annotated[int, Field(ge=1)] | None = None
    error: Annotated[str, Field(min_length=1)]


class DeviceReport(Document):
    """The report of a benchmark on one device.

    Attributes:
        created: The time, in ISO 8601 with the UTC offset.
        app: The program that measured, with its version and build.
        run_id: The identity that the computer which started the run gave it; None for a run started by hand.
        fixture: Whether the report is test data, with invented measurements.
        conditions: None on a computer.
        roofs: The roofline by precision.
        failures: Contestants that could not be measured.
    """

    NAME = "device_report"
    ERROR = BadReport
    TITLE = "a device report"
    HAS_CHECKSUM = False  # the apps write such reports too

    schema_version: SchemaVersion = "1.1"
    kind: Literal["device_report"] = "device_report"
    created: Annotated[str, AfterValidator(_check_time)]
    app: str
    run_id: Annotated[str, Field(pattern=_RUN_ID)] | None = Field(default=None, exclude_if=_is_none)
    fixture: bool = False
    versions: dict[str, str]
    device: DeviceInfo
    settings: BenchmarkSettings
    conditions: DeviceConditions | None = None
    roofs: dict[str, Roofline] = Field(default_factory=dict)
    results: Annotated[tuple[DeviceResult, ...], Field(min_length=1)]
    failures: tuple[FailedContestant, ...] = Field(default=(), exclude_if=_is_empty)

    @property
    def timed(self) -> InferenceTiming:
        """What a sample covers. Version 1.0 does not state it: the iOS app timed more than the others."""
        if self.settings.timed is not None:
            return self.settings.timed
        apple = self.device.kind == "phone" and self.device.system.startswith(("iOS", "iPadOS"))
        return "tensor-and-runtime-call" if apple else "runtime-call"

    @model_validator(mode="after")
    def _check_version(self) -> Self:
        known = parse_version(self.schema_version) >= _TIMED_SINCE
        for sentence in self._find_contradictions() if known else self._find_later_fields():
            raise ValueError(sentence)
        return self

    def _find_contradictions(self) -> Iterator[str]:
        """Yield what cannot be, since version 1.1."""
        if self.settings.timed is None:
            yield "settings.timed: Field required"
        for index, result in enumerate(self.results):
            if contradiction := result.latency.find_contradiction():
                yield f"results.{index}.latency.{contradiction}"
        conditions = self.conditions or DeviceConditions()
        if conditions.low_power and "low-power" not in self.settings.overrides:
            yield "conditions.low_power: it is on, and settings.overrides does not allow it"
        before = conditions.thermal[0].state if conditions.thermal else "nominal"
        if before != "nominal" and "heat" not in self.settings.overrides:
            yield f"conditions.thermal.0.state: it is {before}, and settings.overrides does not allow it"

    def _find_later_fields(self) -> Iterator[str]:
        """Yield what a report of version 1.0 cannot have, and what it has to state."""
        if self.settings.timed is not None:
            yield "settings.timed: Extra inputs are not permitted"
        if self.failures:
            yield "failures: Extra inputs are not permitted"
        for index, result in enumerate(self.results):
            if result.stages is not None:
                yield f"results.{index}.stages: Extra inputs are not permitted"
            for share in TAIL_PERCENTILES:
                if getattr(result.latency, f"p{share}") is None:
                    yield f"results.{index}.latency.p{share}: Field required"
