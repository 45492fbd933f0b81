"""Compares device reports with each other, with earlier runs, and with the drift of their artifacts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Literal

from shvit_mobile.apps.collect import DeviceRun
from shvit_mobile.apps.known_artifacts import check_artifacts
from shvit_mobile.apps.regression import Slowdown, estimate_slowdown
from shvit_mobile.bench.statistics import estimate_median
from shvit_mobile.contracts.device_report import (
    BenchmarkSettings,
    ComputeUnits,
    DeviceConditions,
    DeviceReport,
    DeviceResult,
    FailedContestant,
    GoldenCheck,
    InferenceTiming,
    ThermalState,
)
from shvit_mobile.contracts.document import Contract, JsonFloat
from shvit_mobile.contracts.drift_row import DriftRow, Execution
from shvit_mobile.contracts.manifest import TARGET_SUFFIXES, Manifest

# What a sample covers, as a noun.
TIMING_PHRASES: dict[InferenceTiming, str] = {
    "runtime-call": "the runtime's call alone",
    "tensor-and-runtime-call": "the call with input and output",
}
_THERMAL_STATES: tuple[ThermalState, ...] = ("nominal", "fair", "serious", "critical")


class DeviceRow(Contract):
    """One artifact on one compute unit of one device, in one run.

    Attributes:
        source: The file of the report.
        fixture: Whether the values are invented, for tests.
        device, model: The device's usual name, and its maker's code.
        precision: "mixed" for an int8 artifact that is known to keep layers in float.
        unit: The allowed compute units, or the number of threads, as text.
        threads: None if the engine decides.
        known: Whether its artifact is among those given.
        timed: What a sample covers.
        p50, p90, p95, p99, least, mean: Of all samples, in milliseconds; None if the samples do not support it, or the
            report does not state it.
        typical, typical_low, typical_high: The median of the rounds' medians with its 95% interval.
        preprocessing_p50, tensor_p50, inference_p50, decoding_p50, frame_p50: The median of each stage of whole frames,
            and of all of it; None if the report has no stages.
        fastest, slowest: Within this run, among the units of this artifact.
        worst_thermal: The worst thermal state of the run.
        sustained: Latency at the end of a sustained run relative to its beginning.
        preprocessing_passed, inference_passed: The two parts of the golden check.
        placement: Operators by processor, as text.
    """

    source: str
    created: str
    fixture: bool
    device: str
    kind: Literal["host", "phone"]
    model: str
    system: str
    artifact: str
    precision: str
    engine: str
    unit: str
    compute: ComputeUnits
    threads: int | None
    batch: int
    artifact_sha256: str | None
    known: bool
    samples: int
    rounds: int
    timed: InferenceTiming
    p50: float
    p90: float | None
    p95: float | None
    p99: float | None
    least: float
    mean: float | None
    preprocessing_p50: float | None
    tensor_p50: float | None
    inference_p50: float | None
    decoding_p50: float | None
    frame_p50: float | None
    typical: float
    typical_low: float | None
    typical_high: float | None
    fastest: bool
    slowest: bool
    load_ms: float
    compile_ms: float | None
    first_ms: float
    peak_memory_bytes: int | None
    running_memory_bytes: int | None
    size_bytes: int | None
    worst_thermal: ThermalState | None
    low_power: bool | None
    sustained: float | None
    preprocessing_passed: bool | None
    inference_passed: bool | None
    placement: str | None


class RunComparison(Contract):
    """A run beside an earlier one of the same device, artifact name, compute units, threads and batch.

    Attributes:
        earlier_ms, later_ms: The median round of each.
        slowdown: The slowdown of the later one, with its interval.
        same_artifact: Whether both measured the same bytes.
        earlier_timed, later_timed: What a sample of each covers; unless it is the same, the ratio means nothing.
        differences: Other differences, as text.
    """

    device: str
    artifact: str
    precision: str
    unit: str
    fixture: bool
    earlier: str
    later: str
    earlier_created: str
    later_created: str
    earlier_ms: float
    later_ms: float
    slowdown: Slowdown
    same_artifact: bool
    earlier_timed: InferenceTiming
    later_timed: InferenceTiming
    differences: tuple[str, ...]

    @property
    def same_timing(self) -> bool:
        return self.earlier_timed == self.later_timed


class DriftPair(Contract):
    """Drift of the artifact here from the float model, and of the device from the artifact here.

    Attributes:
        source: The file of the device report.
        how, engine: The execution mode and the runtime here.
        host_sqnr_db, host_max_abs_error, host_agreement, host_images: Drift here from the float model, on many images;
            maps have no agreement.
        golden: The golden check on the device, against the artifact's logits here.
    """

    source: str
    device: str
    artifact: str
    precision: str
    unit: str
    fixture: bool
    how: Execution
    engine: str
    host_sqnr_db: JsonFloat
    host_max_abs_error: float
    host_agreement: float | None
    host_images: int
    golden: GoldenCheck


class Failure(Contract):
    """A contestant that a device could not measure.

    Attributes:
        source: The file of the device report.
        error: What the app said.
    """

    source: str
    device: str
    artifact: str
    unit: str
    error: str


class DeviceComparison(Contract):
    """All of it, in the order the reports were given.

    Attributes:
        missing: devices, in words, some of whose rows have no earlier run although a baseline was given.
    """

    rows: tuple[DeviceRow, ...]
    comparisons: tuple[RunComparison, ...] = ()
    drift: tuple[DriftPair, ...] = ()
    missing: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()


def compare_devices(
    runs: Sequence[DeviceRun], *, manifests: Sequence[Manifest] = (), baseline: Sequence[DeviceRun] = ()
) -> DeviceComparison:
    """Compare runs with earlier runs and with the drift of their artifacts.

    Args:
        manifests: Manifests of the measured artifacts, with their drift here.
        baseline: Earlier runs, whatever their clocks say (default: the previous run of the same kind in `runs`).

    Raises:
        BadReport: As `check_artifacts`.
    """
    check_artifacts((*runs, *baseline), manifests)
    known = {manifest.artifact.sha256: manifest for manifest in manifests}
    pairs, missing = _pair_with_earlier(runs, baseline)
    return DeviceComparison(
        rows=tuple(row for run in runs for row in _build_device_rows(run, known)),
        comparisons=tuple(_compare_runs(*pair, known) for pair in pairs),
        drift=tuple(pair for run in runs for pair in _build_drift_pairs(run, known)),
        missing=tuple(missing) if baseline else (),
        failures=tuple(failure for run in runs for failure in _list_failures(run)),
    )


def _list_failures(run: DeviceRun) -> Iterator[Failure]:
    for failed in run.report.failures:
        yield Failure(
            source=run.source,
            device=get_device_name(run.report),
            artifact=failed.name,
            unit=format_compute_unit(run.report, failed),
            error=failed.error,
        )


def _build_device_rows(run: DeviceRun, known: Mapping[str, Manifest]) -> Iterator[DeviceRow]:
    report, conditions = run.report, run.report.conditions or DeviceConditions()
    medians = {(result.name, format_compute_unit(report, result)): result.latency.p50 for result in report.results}
    for result in report.results:
        rivals = [p50 for (name, _), p50 in medians.items() if name == result.name]
        typical = estimate_median(result.samples_ms)
        latency, stages, golden = result.latency, result.stages, result.golden
        yield DeviceRow(
            source=run.source,
            created=report.created,
            fixture=report.fixture,
            device=get_device_name(report),
            kind=report.device.kind,
            model=report.device.model,
            system=report.device.system,
            artifact=result.name,
            precision=_get_precision_name(result, known),
            engine=result.engine,
            unit=format_compute_unit(report, result),
            compute=result.compute,
            threads=get_threads(report, result),
            batch=report.settings.batch,
            artifact_sha256=result.artifact_sha256,
            known=result.artifact_sha256 in known,
            rounds=typical.rounds,
            timed=report.timed,
            **vars(latency),
            preprocessing_p50=stages.preprocessing.p50 if stages else None,
            tensor_p50=stages.tensor.p50 if stages else None,
            inference_p50=stages.inference.p50 if stages else None,
            decoding_p50=stages.decoding.p50 if stages else None,
            frame_p50=stages.total.p50 if stages else None,
            typical=typical.value,
            typical_low=typical.low,
            typical_high=typical.high,
            fastest=len(rivals) > 1 and latency.p50 == min(rivals),
            slowest=len(rivals) > 1 and latency.p50 == max(rivals),
            load_ms=result.load_ms,
            compile_ms=result.compile_ms,
            first_ms=result.first_ms,
            peak_memory_bytes=result.peak_memory_bytes,
            running_memory_bytes=result.running_memory_bytes,
            size_bytes=result.size_bytes,
            worst_thermal=_find_worst_thermal(conditions),
            low_power=conditions.low_power,
            sustained=_compute_sustained_slowdown(result),
            preprocessing_passed=golden.preprocessing_passed if golden else None,
            inference_passed=golden.inference_passed if golden else None,
            placement=", ".join(f"{unit} {count}" for unit, count in (result.placement or {}).items()) or None,
        )


@dataclass(frozen=True)
class _RunResult:
    """A result and the run that it belongs to."""

    run: DeviceRun
    result: DeviceResult


def _pair_with_earlier(
    runs: Sequence[DeviceRun], baseline: Sequence[DeviceRun]
) -> tuple[list[tuple[_RunResult, _RunResult]], list[str]]:
    """Pair each latest result with an earlier one of the same identity; also describe those without an earlier one."""
    now, before = _group_by_identity(runs), _group_by_identity(baseline)
    pairs: list[tuple[_RunResult, _RunResult]] = []
    missing: dict[str, int] = {}
    for identity, entries in now.items():
        later = entries[-1]
        others = before.get(identity, []) if baseline else [one for one in entries if one.run is not later.run]
        if others:
            pairs.append((others[-1], later))
        else:
            device = get_device_name(later.run.report)
            missing[device] = missing.get(device, 0) + 1
    return pairs, [f"{device}, {count} row{'s' if count > 1 else ''}" for device, count in missing.items()]


def _group_by_identity(runs: Sequence[DeviceRun]) -> dict[tuple[object, ...], list[_RunResult]]:
    """Group results that can be compared, in the order of time.

    A report names the model of a phone, so that two phones of one model count as the same device. Fixtures are never
    compared with measurements.
    """
    groups: dict[tuple[object, ...], list[_RunResult]] = {}
    for run in sorted(runs, key=lambda run: datetime.fromisoformat(run.report.created)):
        device, batch = (run.report.fixture, run.report.device.kind, run.report.device.model), run.report.settings.batch
        for result in run.report.results:
            identity = (*device, result.name, result.compute, get_threads(run.report, result), batch)
            groups.setdefault(identity, []).append(_RunResult(run, result))
    return groups


def _compare_runs(before: _RunResult, after: _RunResult, known: Mapping[str, Manifest]) -> RunComparison:
    earlier, later = before.run.report, after.run.report
    return RunComparison(
        device=get_device_name(later),
        artifact=after.result.name,
        precision=_get_precision_name(after.result, known),
        unit=format_compute_unit(later, after.result),
        fixture=later.fixture,
        earlier=before.run.source,
        later=after.run.source,
        earlier_created=earlier.created,
        later_created=later.created,
        earlier_ms=estimate_median(before.result.samples_ms).value,
        later_ms=estimate_median(after.result.samples_ms).value,
        slowdown=estimate_slowdown(before.result.samples_ms, after.result.samples_ms),
        same_artifact=before.result.artifact_sha256 == after.result.artifact_sha256,
        earlier_timed=earlier.timed,
        later_timed=later.timed,
        differences=tuple(_describe_differences(before, after)),
    )


def _describe_differences(before: _RunResult, after: _RunResult) -> Iterator[str]:
    """Describe how the conditions of two runs differ."""
    earlier, later = before.run.report, after.run.report
    was, is_now = (report.conditions or DeviceConditions() for report in (earlier, later))
    facts: dict[str, tuple[str | bool | None, str | bool | None]] = {
        "system": (earlier.device.system, later.device.system),
        "engine": (before.result.engine, after.result.engine),
        "app": (earlier.app, later.app),
        "low-power mode": (was.low_power, is_now.low_power),
        "worst thermal state": (_find_worst_thermal(was), _find_worst_thermal(is_now)),
        "sustained performance mode": (was.sustained_performance, is_now.sustained_performance),
        "turn": (_describe_turn(earlier.settings), _describe_turn(later.settings)),
    }
    for name, (first, second) in facts.items():
        if first != second:
            yield f"{name} {_format_fact(first)} before, {_format_fact(second)} now"


def _build_drift_pairs(run: DeviceRun, known: Mapping[str, Manifest]) -> Iterator[DriftPair]:
    """Yield the results with a golden check and known drift, from the manifest or else from the report."""
    for result in run.report.results:
        manifest = known.get(result.artifact_sha256 or "")
        drift: DriftRow | None = (manifest and manifest.drift) or result.drift
        if result.golden is None or drift is None:
            continue
        yield DriftPair(
            source=run.source,
            device=get_device_name(run.report),
            artifact=result.name,
            precision=_get_precision_name(result, known),
            unit=format_compute_unit(run.report, result),
            fixture=run.report.fixture,
            how=drift.how,
            engine=drift.engine,
            host_sqnr_db=drift.sqnr_db,
            host_max_abs_error=drift.max_abs_error,
            host_agreement=drift.agreement.value if drift.agreement else None,
            host_images=drift.images,
            golden=result.golden,
        )


def _get_precision_name(result: DeviceResult, known: Mapping[str, Manifest]) -> str:
    """Return the precision of a result; "mixed" if its manifest or drift row says that int8 has exceptions."""
    if manifest := known.get(result.artifact_sha256 or ""):
        return manifest.precision_name
    return result.drift.precision if result.drift else result.precision


def get_device_name(report: DeviceReport) -> str:
    return report.device.name or report.device.model


def get_threads(report: DeviceReport, result: DeviceResult | FailedContestant) -> int | None:
    """Return the chosen number of threads; None if the engine decides."""
    return result.threads or report.settings.threads


def format_compute_unit(report: DeviceReport, result: DeviceResult | FailedContestant) -> str:
    """Return the compute units that Core ML or Core AI may use, or the number of threads of another engine."""
    threads = get_threads(report, result)
    chooses = result.name.endswith((TARGET_SUFFIXES["coreml"], TARGET_SUFFIXES["coreai"]))
    if threads is None or result.compute != "cpu" or chooses:
        return result.compute
    return f"{threads} thread{'s' if threads > 1 else ''}"


def _find_worst_thermal(conditions: DeviceConditions) -> ThermalState | None:
    return max((sample.state for sample in conditions.thermal), key=_THERMAL_STATES.index, default=None)


def _compute_sustained_slowdown(result: DeviceResult) -> float | None:
    """Divide the latency in the last quarter of a sustained run by that in the first; None without such a run."""
    quarter = (len(result.windows) + 3) // 4
    if len(result.windows) < 2:
        return None
    first, last = (
        median(window.p50 for window in part) for part in (result.windows[:quarter], result.windows[-quarter:])
    )
    return last / first if first else None


def _describe_turn(settings: BenchmarkSettings) -> str:
    return f"{settings.turn_text} after {settings.warm_up_text} of warm-up"


def _format_fact(value: str | bool | None) -> str:
    """Return a fact as text."""
    words: dict[object, str] = {True: "on", False: "off", None: "unknown"}
    return words.get(value, str(value))
