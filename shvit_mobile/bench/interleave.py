"""Times contestants in turns, in random order in each round, each in its own process.

A machine is faster in one minute than in the next. What slows a round slows all contestants in it, so that it cancels
in the ratios within rounds.
"""

import random
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from shvit_mobile.bench.contestant import BenchmarkSubject
from shvit_mobile.bench.statistics import compute_speed_ratio, summarize_latency
from shvit_mobile.bench.worker import BenchmarkWorker, LoadMetrics
from shvit_mobile.contracts.device_report import BenchmarkSettings, DeviceResult, Roofline
from shvit_mobile.contracts.fingerprints import compute_size_bytes
from shvit_mobile.contracts.recipe import INT8_ARITHMETIC
from shvit_mobile.errors import BenchmarkFailed, InvalidValue, MissingParameter, ToolMissing
from shvit_mobile.progress import ProgressCallback


@dataclass(frozen=True)
class TimedRun:
    """One contestant's load metrics, and its samples in milliseconds by round."""

    subject: BenchmarkSubject
    load_metrics: LoadMetrics
    rounds: tuple[tuple[float, ...], ...]

    @property
    def round_medians(self) -> list[float]:
        """Median of each round."""
        return [median(samples) for samples in self.rounds]

    @property
    def samples(self) -> list[float]:
        return [sample for samples in self.rounds for sample in samples]


@dataclass(frozen=True)
class _InterleavedRuns:
    """The contestants that ran, and those that could not, each with the reason."""

    runs: tuple[TimedRun, ...]
    skipped: tuple[tuple[BenchmarkSubject, str], ...]


def run_interleaved(
    subjects: Sequence[BenchmarkSubject],
    settings: BenchmarkSettings,
    *,
    optional: frozenset[str] = frozenset(),
    progress: ProgressCallback | None = None,
) -> _InterleavedRuns:
    """Load all contestants and time them in turns.

    Args:
        subjects: Contestants with unique names; the others are compared with the first.
        settings: Threads, rounds and so on.
        optional: Names of contestants that may be absent, if their engine is not installed or rejects them.
        progress: Called with the rounds done and all rounds.

    Raises:
        ToolMissing: If the engine of a required contestant is not installed.
        BenchmarkFailed: If a required contestant does not load, or a contestant fails later.
        InvalidValue: If two contestants have the same name.
        MissingParameter: If there is no contestant, or no number of threads.
    """
    names = [subject.name for subject in subjects]
    if not names:
        raise MissingParameter("There is nothing to benchmark.", parameter="subjects")
    if duplicate := next((name for name in names if names.count(name) > 1), None):
        raise InvalidValue(f"{duplicate} is given twice.", parameter="subjects")
    if settings.threads is None:
        raise MissingParameter(
            "`threads` is missing.", why="Each engine would choose another number.", parameter="threads"
        )
    absent: list[tuple[BenchmarkSubject, str]] = []
    with ExitStack() as stack:
        workers = []
        for subject in subjects:
            try:
                worker = BenchmarkWorker(subject, threads=settings.threads, cpus=settings.cpus)
                workers.append(stack.enter_context(closing(worker)))
            except (ToolMissing, BenchmarkFailed) as reason:
                if subject.name not in optional:
                    raise
                absent.append((subject, reason.what))
        rounds = _time_rounds(workers, settings, progress)
        runs = [TimedRun(worker.subject, worker.load_metrics, tuple(rounds[worker.subject.name])) for worker in workers]
    return _InterleavedRuns(tuple(runs), tuple(absent))


def _time_rounds(
    workers: Sequence[BenchmarkWorker], settings: BenchmarkSettings, progress: ProgressCallback | None
) -> dict[str, list[tuple[float, ...]]]:
    """Return the samples of each round by name."""
    generator = random.Random(settings.seed)
    samples: dict[str, list[tuple[float, ...]]] = {worker.subject.name: [] for worker in workers}
    for done in range(settings.rounds):
        for worker in generator.sample(list(workers), len(workers)):
            # The previous contestant has filled the caches with its own weights.
            worker.run(settings.warm_up)
            samples[worker.subject.name].append(tuple(worker.run(settings.iterations)))
        if progress:
            progress(done + 1, settings.rounds)
    return samples


def find_rooflines(runs: Sequence[TimedRun]) -> dict[str, Roofline]:
    """Return the fastest matrix product of each precision."""
    best: dict[str, Roofline] = {}
    for run in runs:
        gops = compute_gops(run.subject.macs or 0, summarize_latency(run.samples).p50)
        roofline = Roofline(gops=gops, reached_by=run.subject.name)
        best[run.subject.precision] = max(best.get(run.subject.precision, roofline), roofline, key=lambda one: one.gops)
    return best


def build_results(
    runs: Sequence[TimedRun], settings: BenchmarkSettings, roofs: dict[str, Roofline]
) -> tuple[DeviceResult, ...]:
    """Return the results for the report, each compared with the first."""
    return tuple(_build_result(run, runs[0], settings, roofs) for run in runs)


def _build_result(
    run: TimedRun, first: TimedRun, settings: BenchmarkSettings, roofs: dict[str, Roofline]
) -> DeviceResult:
    subject, latency, source = run.subject, summarize_latency(run.samples), Path(run.subject.source)
    roof = roofs.get(select_roofline_precision(subject.precision))
    gops = compute_gops(settings.batch * (subject.macs or 0), latency.p50)
    return DeviceResult(
        name=subject.name,
        engine=subject.engine,
        precision=subject.precision,
        artifact_sha256=subject.sha256,
        load_ms=run.load_metrics.load_ms,
        first_ms=run.load_metrics.first_ms,
        latency=latency,
        samples_ms=run.rounds,
        ratio=None if run is first else compute_speed_ratio(first.round_medians, run.round_medians),
        peak_memory_bytes=run.load_metrics.peak_bytes,
        running_memory_bytes=run.load_metrics.running_bytes,
        size_bytes=compute_size_bytes(source) if source.exists() else None,
        macs=subject.macs,
        roof_share=gops / roof.gops if roof and subject.macs else None,
        drift=subject.drift,
    )


def select_roofline_precision(precision: str) -> str:
    """Return the precision of the roofline: int8 if activations are int8, else fp32."""
    return "int8" if precision in INT8_ARITHMETIC else "fp32"


def compute_gops(macs: int, milliseconds: float) -> float:
    """Return billions of operations per second, two per multiply-add."""
    return 2 * macs / milliseconds / 1e6
