"""Fixtures of phones: device reports that look like what the two apps write. Nothing in them was measured.

The draws are of Python's own generator, the same everywhere for a seed: a latency is the phone's own for an artifact,
times what the round was like, times a long tail.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from random import Random

from fixture_models import EXPORTS, FixtureExport

from shvit_mobile.bench.statistics import summarize_latency
from shvit_mobile.contracts.device_report import (
    BenchmarkSettings,
    ComputeUnits,
    DeviceConditions,
    DeviceInfo,
    DeviceReport,
    DeviceResult,
    FailedContestant,
    FramePicture,
    GoldenCheck,
    LatencySummary,
    StageLatencies,
    SustainedWindow,
    ThermalSample,
    ThermalState,
    compute_percentile,
)

ROUNDS, ITERATIONS, WARM_UP, FRAMES = 12, 10, 5, 10
OPERATORS = 224
SUSTAINED_WINDOWS, WINDOW_SECONDS = 12, 15
HEATING: tuple[ThermalState, ...] = ("nominal",) * 3 + ("fair",) * 4 + ("serious",) * 5


@dataclass(frozen=True)
class FixturePhone:
    """A phone, and how it is to behave.

    Attributes:
        milliseconds: of one inference, by compute unit or by threads, in fp16 or fp32.
        speedups: of the other precisions, by name; `(precision, compute or threads)` goes before the precision alone.
        sustained: (precision, compute or threads) that also ran until the phone was hot.
        golden_fails: its decoder of JPEG is not the goldens'.
        preprocessing_ms: of one frame.
        version: of the report; 1.0 has no stages, and its iOS app timed the input's tensor within an inference.
        failed: (precision, threads, error) that the app could not measure.
    """

    file: str
    device: DeviceInfo
    app: str
    created: str
    seed: int
    milliseconds: Mapping[ComputeUnits | int, float]
    conditions: DeviceConditions
    speedups: Mapping[object, float] = field(default_factory=dict)
    sustained: tuple[str, ComputeUnits | int] | None = None
    golden_fails: bool = False
    preprocessing_ms: float = 1.6
    version: str = "1.1"
    failed: tuple[str, int, str] | None = None


def build_device(name: str, model: str, system: str, memory: float, cores: int) -> DeviceInfo:
    return DeviceInfo(
        kind="phone", model=model, system=system, cores=cores, memory_bytes=int(memory * 1024**3), name=name
    )


def build_thermal_trace(
    *states: ThermalState, every: float, headroom: tuple[float, ...] = ()
) -> tuple[ThermalSample, ...]:
    """A state each `every` seconds."""
    return tuple(
        ThermalSample(seconds=index * every, state=state, headroom=headroom[index] if headroom else None)
        for index, state in enumerate(states)
    )


IOS, ANDROID = "SHViTDemo 0.1.0 (1) for iOS", "SHViTDemo 0.1.0 (1) for Android"
PIXEL = FixturePhone(
    file="pixel-8",
    device=build_device("Pixel 8", "Google Pixel 8 (shiba)", "Android 15", 8, 9),
    app=ANDROID,
    created="2025-02-14T10:05:00+01:00",
    seed=4,
    preprocessing_ms=3.2,
    milliseconds={1: 21.4, 2: 12.1, 4: 8.3},
    # Against its earlier run: slower past any doubt with four threads, perhaps with two.
    speedups={"int8": 2.45, ("int8", 4): 2.45 / 1.14, ("int8", 2): 2.45 / 1.05},
    conditions=DeviceConditions(
        low_power=False,
        battery=0.64,
        charging=False,
        thermal=build_thermal_trace("nominal", "nominal", "fair", every=20, headroom=(0.41, 0.52, 0.68)),
        waited_s=14.0,
        sustained_performance=True,
    ),
)
PHONES = (
    FixturePhone(
        file="iphone-15-pro",
        device=build_device("iPhone 15 Pro", "iPhone16,1", "iOS 18.3", 8, 6),
        app=IOS,
        created="2025-02-14T09:41:00+01:00",
        seed=1,
        milliseconds={"cpu": 6.9, "cpu-and-gpu": 3.4, "cpu-and-neural-engine": 1.18, "all": 1.2},
        speedups={"int8": 1.24, "int8-weights": 1.02, ("int8", "cpu"): 0.71, ("int8", "cpu-and-gpu"): 0.83},
        conditions=DeviceConditions(
            low_power=False, battery=0.87, charging=False, thermal=build_thermal_trace("nominal", "nominal", every=60)
        ),
    ),
    FixturePhone(
        file="iphone-13",
        device=build_device("iPhone 13", "iPhone14,5", "iOS 17.6.1", 4, 6),
        app=IOS,
        created="2025-02-14T11:20:00+01:00",
        seed=2,
        milliseconds={"cpu": 9.8, "cpu-and-gpu": 5.1, "cpu-and-neural-engine": 1.9, "all": 1.95},
        speedups={"int8": 0.98, "int8-weights": 1.03, ("int8", "cpu"): 0.66, ("int8", "cpu-and-gpu"): 0.8},
        version="1.0",
        conditions=DeviceConditions(
            low_power=False, battery=0.52, charging=True, thermal=build_thermal_trace(*HEATING, every=30)
        ),
        sustained=("fp16", "all"),
    ),
    FixturePhone(
        file="iphone-se-3-low-power",
        device=build_device("iPhone SE (3rd generation)", "iPhone14,6", "iOS 18.0", 4, 6),
        app=IOS,
        created="2025-02-13T17:02:00+01:00",
        seed=3,
        milliseconds={"cpu": 15.2, "cpu-and-gpu": 9.1, "cpu-and-neural-engine": 2.6, "all": 2.7},
        speedups={"int8": 0.97, "int8-weights": 1.01, ("int8", "cpu"): 0.64},
        conditions=DeviceConditions(
            low_power=True, battery=0.18, charging=False, thermal=build_thermal_trace("nominal", "fair", every=60)
        ),
    ),
    PIXEL,
    FixturePhone(
        file="galaxy-s23",
        device=build_device("Galaxy S23", "samsung SM-S911B", "Android 14", 8, 8),
        app=ANDROID,
        created="2025-02-14T12:31:00+01:00",
        seed=5,
        milliseconds={1: 16.2, 2: 9.0, 4: 5.9},
        speedups={"int8": 2.8},
        preprocessing_ms=2.9,
        failed=("fp32", 8, "shvit_s1-224-executorch-fp32.pte failed: ExecuTorch's error 33."),
        conditions=DeviceConditions(
            low_power=False,
            battery=0.91,
            charging=True,
            thermal=build_thermal_trace(
                *HEATING, every=30, headroom=tuple(round(0.4 + 0.055 * step, 3) for step in range(12))
            ),
        ),
        sustained=("int8", 4),
    ),
    FixturePhone(
        file="galaxy-a14",
        device=build_device("Galaxy A14", "samsung SM-A145R", "Android 13", 4, 8),
        app=ANDROID,
        created="2025-02-12T08:15:00+01:00",
        seed=6,
        milliseconds={1: 96.0, 2: 55.5, 4: 48.2},
        speedups={"int8": 1.9},
        conditions=DeviceConditions(
            battery=0.33, charging=False, thermal=build_thermal_trace("nominal", "fair", "fair", every=45)
        ),
        golden_fails=True,
        version="1.0",
    ),
)
# The same phone a month before: what a regression is held against. Its app timed the call of the runtime, too.
EARLIER = replace(PIXEL, created="2025-01-14T10:00:00+01:00", seed=14, speedups={"int8": 2.45}, version="1.0")
# A phone whose app timed more than the call a month before: no comparison of the two means anything.
OTHER_TIMING = replace(PHONES[0], created="2025-01-14T10:20:00+01:00", seed=11, version="1.0")


def build_device_report(one: FixturePhone) -> DeviceReport:
    """The report of a phone: each artifact for its system on each compute unit, or with each number of threads."""
    draws = Random(one.seed)
    timed = one.version != "1.0"
    # Core ML decides on its threads.
    target, threads = ("coreml", None) if one.app == IOS else ("executorch", 1)
    chosen = [export for export in EXPORTS if export.target == target]
    system = {"ios": one.device.system} if one.app == IOS else {"executorch": "1.4.1"}
    settings = BenchmarkSettings(threads=threads, batch=1, rounds=ROUNDS, warm_up=WARM_UP, iterations=ITERATIONS)
    conditions = one.conditions
    if timed:
        settings = settings.model_copy(update=build_timing(one))
    else:
        conditions = conditions.model_copy(update={"waited_s": None, "sustained_performance": None})
    return DeviceReport(
        schema_version=one.version,
        created=one.created,
        app=one.app,
        fixture=True,
        versions={"shvit-mobile": "0.1.0", **system},
        device=one.device,
        settings=settings,
        conditions=conditions,
        results=tuple(build_result(one, export, unit, draws) for export, unit in product(chosen, one.milliseconds)),
        failures=tuple(build_failures(one, chosen)),
    )


def build_timing(one: FixturePhone) -> dict[str, object]:
    """What the settings of a report say about its timing, since version 1.1."""
    picture = (
        FramePicture(width=640, height=480, format="bgra")
        if one.app == IOS
        else FramePicture(width=640, height=480, format="yuv-420", quarter_turns=1)
    )
    overrides = ("low-power",) if one.conditions.low_power else ()
    return {"timed": "runtime-call", "frames_s": 0.25, "picture": picture, "overrides": overrides}


def build_failures(one: FixturePhone, exports: list[FixtureExport]) -> Iterator[FailedContestant]:
    if one.failed is None:
        return
    precision, threads, error = one.failed
    (name,) = (export.name for export in exports if export.precision == precision)
    yield FailedContestant(name=name, engine="ExecuTorch 1.4.1 (XNNPACK)", threads=threads, error=error)


def build_result(one: FixturePhone, export: FixtureExport, unit: ComputeUnits | int, draws: Random) -> DeviceResult:
    speedup = one.speedups.get((export.precision, unit), one.speedups.get(export.precision, 1.0))
    typical = one.milliseconds[unit] / speedup
    rounds = tuple(simulate_round(typical, draws) for _ in range(ROUNDS))
    first, samples = rounds[0][0], [sample for turn in rounds for sample in turn]
    coreml = not isinstance(unit, int)
    return DeviceResult(
        name=export.name,
        engine="Core ML" if coreml else "ExecuTorch 1.4.1 (XNNPACK)",
        precision=export.precision,
        artifact_sha256=export.sha256,
        compute=unit if coreml else "cpu",
        threads=None if coreml else unit,
        compile_ms=round(export.bytes / 4e4 * draws.uniform(0.9, 1.1), 3) if coreml else None,
        load_ms=round(export.bytes / 3e5 * draws.uniform(0.9, 1.1), 3),
        first_ms=round(first * draws.uniform(2, 4), 4),
        latency=summarize_latency(samples) if one.version != "1.0" else summarize_all_percentiles(samples),
        samples_ms=rounds,
        stages=None if one.version == "1.0" else simulate_stages(one, typical, len(samples)),
        windows=simulate_windows(typical, draws) if one.sustained == (export.precision, unit) else (),
        peak_memory_bytes=int(export.bytes * draws.uniform(1.6, 2.0)),
        running_memory_bytes=int(export.bytes * draws.uniform(1.1, 1.3)),
        size_bytes=export.bytes,
        placement=build_placement(unit) if coreml else None,
        golden=build_golden_check(one, export, draws),
    )


def simulate_round(typical: float, draws: Random) -> tuple[float, ...]:
    """One round in milliseconds: a factor of its own, a skewed spread, and now and then an interruption."""
    condition = draws.lognormvariate(0, 0.012)
    return tuple(
        round(
            typical
            * condition
            * (1 + 0.02 * draws.gammavariate(1.5, 1.0))
            * (draws.uniform(1.4, 2.6) if draws.random() < 0.02 else 1.0),
            4,
        )
        for _ in range(ITERATIONS)
    )


def summarize_all_percentiles(samples: list[float]) -> LatencySummary:
    """A summary as version 1.0 wrote it."""
    return LatencySummary(
        samples=len(samples),
        p50=compute_percentile(samples, 50),
        p90=compute_percentile(samples, 90),
        p95=compute_percentile(samples, 95),
        p99=compute_percentile(samples, 99),
        least=min(samples),
    )


def simulate_stages(one: FixturePhone, typical: float, seed: int) -> StageLatencies:
    """Whole frames: between two calls the caches are cold and the clocks fall, so that a call takes longer."""
    draws = Random(f"{one.seed} {typical} {seed}")
    typicals = {"preprocessing": one.preprocessing_ms, "tensor": 0.12, "inference": 1.15 * typical, "decoding": 0.07}
    frames = [
        {name: round(value * (1 + 0.02 * draws.gammavariate(1.5, 1.0)), 4) for name, value in typicals.items()}
        for _ in range(ROUNDS * FRAMES)
    ]
    totals = [round(sum(frame.values()) + 0.0003, 4) for frame in frames]
    stages = {name: summarize_latency([frame[name] for frame in frames]) for name in typicals}
    return StageLatencies(**stages, total=summarize_latency(totals))


def simulate_windows(typical: float, draws: Random) -> tuple[SustainedWindow, ...]:
    """A sustained run: as quick as ever while the phone is cool, then ever slower."""
    slower = {"nominal": 1.03, "fair": 1.12, "serious": 1.55}
    return tuple(
        SustainedWindow(
            start_s=index * WINDOW_SECONDS,
            samples=int(1000 * WINDOW_SECONDS / (typical * slower[state])),
            p50=round(typical * slower[state] * draws.uniform(0.98, 1.02), 4),
            thermal=state,
        )
        for index, state in enumerate(HEATING)
    )


def build_placement(unit: ComputeUnits | int) -> dict[str, int]:
    """The operators by processor: on "all", Core ML prefers the Neural Engine for all but two."""
    if unit == "cpu":
        return {"cpu": OPERATORS}
    return {"cpu": 2, "gpu" if unit == "cpu-and-gpu" else "neural-engine": OPERATORS - 2}


def build_golden_check(one: FixturePhone, export: FixtureExport, draws: Random) -> GoldenCheck:
    tolerance = 2.368528 if export.quantized_layers else 0.236853
    return GoldenCheck(
        images=4,
        preprocessing_passed=not one.golden_fails,
        pixels_difference=round(6.1 if one.golden_fails else draws.uniform(0.1, 0.6), 3),
        inference_passed=True,
        largest_difference=round(tolerance * draws.uniform(0.02, 0.15), 6),
        tolerance=tolerance,
        sqnr_db=round(draws.uniform(33, 38) if export.quantized_layers else draws.uniform(52, 60), 2),
        same_class=4,
    )
