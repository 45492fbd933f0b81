"""`shvit-mobile benchmark`: measures latency on this machine, artifacts and peers side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shvit_mobile.errors import ConflictingParameters, InvalidValue, MissingParameter
from shvit_mobile.report.formatting import format_milliseconds

from . import options as opt
from .arguments import check_output_files, load_trained_model, parse_share
from .console import print_json, print_note, print_table
from .progress import JobProgress
from .results import print_verdict, to_contract_json, write_outputs
from .tables import (
    build_instruction_table,
    build_latency_table,
    build_operator_table,
    create_table,
    describe_rooflines,
    format_size,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.device_report import DeviceReport
    from shvit_mobile.runtimes.apple_profiler import AppleDevice, CoreMLTiming


def benchmark(
    artifacts: opt.ContestantsArgument = None,
    peers: opt.Peers = False,
    checkpoint: opt.Checkpoint = None,
    weights: opt.Weights = None,
    sha256: opt.Sha256 = None,
    model: opt.Model = None,
    size: opt.PeerSize = None,
    models: opt.TimmModels = None,
    engine: opt.Engine = None,
    on_device: opt.OnDevice = None,
    roofline: opt.Roofline = True,
    threads: opt.Threads = 1,
    batch: opt.Batch = 1,
    rounds: opt.Rounds = 15,
    iterations: opt.Iterations = 20,
    warm_up: opt.WarmUp = 5,
    cpus: opt.Pin = None,
    seed: opt.OrderSeed = 0,
    arch: opt.CountArch = None,
    cpu: opt.Cpu = None,
    by_operator: opt.ByOperator = False,
    baseline: opt.CountBaseline = None,
    max_more_instructions: opt.MaxMoreInstructions = None,
    out: opt.OutFile = None,
    chart: opt.Chart = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Measure latency on this machine, or count the instructions of phones.

    Artifacts and peers are measured side by side, each in its own process. They take turns in random order, so that
    ratios hold on a noisy machine. With --arch arm64, the instructions of each program are counted on emulated CPUs:
    the same number in every run. Instructions are not cycles.
    """
    if on_device is not None:
        _benchmark_on_apple(artifacts or [], on_device, rounds * iterations, as_json)
        return
    names = _parse_names(models)
    _check_contestants(bool(artifacts), peers, bool(names), (checkpoint, model, size), engine)
    described = {"checkpoint": checkpoint, "weights": weights, "sha256": sha256, "model": model, "size": size}
    if arch is not None:
        _check_counting(models=names, engine=engine, chart=chart)
        gate, files = (baseline, max_more_instructions), (out, overwrite)
        shown = (by_operator, as_json)
        _count_instructions(artifacts or [], cpu or (), described if peers else None, gate, files, shown)
        return
    _check_latency_options(
        cpu=cpu, by_operator=by_operator, baseline=baseline, max_more_instructions=max_more_instructions
    )

    from shvit_mobile.contracts.device_report import BenchmarkSettings

    check_output_files(out, chart, overwrite=overwrite)
    settings = BenchmarkSettings(
        threads=threads,
        batch=batch,
        rounds=rounds,
        warm_up=warm_up,
        iterations=iterations,
        cpus=_parse_cpus(cpus),
        seed=seed,
    )
    with JobProgress("Benchmark") as steps:
        with steps.step("Loading the contestants"):
            opened = _open_artifacts(artifacts or [])
            trained = load_trained_model(**described) if peers else None
            from shvit_mobile.bench.benchmark import run_benchmark
            from shvit_mobile.bench.chart import render_latency_chart
            from shvit_mobile.bench.contestant import ENGINES
            from shvit_mobile.pipeline.defaults import CALIBRATION_IMAGES
        result = run_benchmark(
            opened,
            settings=settings,
            peer_checkpoint=trained,
            models=names,
            engines=[name for name in ENGINES if name in (engine or [])],
            calibration=CALIBRATION_IMAGES,
            roofs=roofline,
            progress=steps.follow,
        )
    write_outputs((out, result.report.to_json()), (chart, render_latency_chart(result.report)), overwrite=overwrite)
    _print_latency(result.report, result.skipped, as_json)


def _print_latency(report: DeviceReport, skipped: Sequence[str], as_json: bool) -> None:
    """Print what was measured, and which contestants did not take part."""
    for sentence in skipped:
        print_note(f"note: {sentence}")
    if as_json:
        print_json(to_contract_json(report))
    else:
        print_table(build_latency_table(report), "", *describe_rooflines(report))


def _open_artifacts(paths: Sequence[Path]) -> list[Artifact]:
    """Open artifacts; print a note about those that take several image sizes, of which the first is measured."""
    from shvit_mobile.targets.stored_facts import open_artifact

    opened = [open_artifact(path) for path in paths]
    for artifact in opened:
        if sizes := [format_size(one.size) for one in artifact.manifest.sizes]:
            print_note(
                f"note: {artifact.path.name} takes images of {', '.join(sizes)}; it is measured at {sizes[0]} only. "
                "To measure another size, export it alone."
            )
    return opened


def _check_contestants(
    artifacts: bool, peers: bool, models: bool, peer_options: tuple[str | None, ...], engine: object
) -> None:
    """Raise where there is nothing to measure, or where options say something about peers that are not measured."""
    if not peers and any(peer_options):
        raise MissingParameter(
            "`checkpoint`, `variant` or `size` is given without `peers`.",
            why="Peers are exported from them.",
            parameter="peers",
        )
    if not (artifacts or peers or models):
        raise MissingParameter(
            "There is nothing to benchmark.",
            why="This command measures artifacts, stock exports of a checkpoint, and timm models.",
            hint="Try: shvit-mobile benchmark artifacts/*.pte --peers",
        )
    if engine and not (peers or models):
        raise MissingParameter(
            "`engine` is given without `peers` or `models`.", why="It selects among them.", parameter="peers"
        )


def _check_counting(**given: object) -> None:
    """Raise where an option says something about latency, and instructions are counted."""
    for name, value in given.items():
        if value:
            raise ConflictingParameters(
                f"`arch` is given with `{name}`.",
                why="Instructions are counted of artifacts, and with `peers` of a checkpoint's stock exports.",
                parameter=name,
            )


def _check_latency_options(**given: object) -> None:
    """Raise where an option says something about instructions, and latency is measured."""
    for name, value in given.items():
        if value:
            raise MissingParameter(
                f"`{name}` is given without `arch`.", why="It is about instructions.", parameter="arch"
            )


def _count_instructions(
    artifacts: Sequence[Path],
    cpus: Sequence[str],
    peers: dict[str, Any] | None,
    gate: tuple[Path | None, str | None],
    files: tuple[Path | None, bool],
    shown: tuple[bool, bool],
) -> None:
    """Count instructions, print them, write the report, and exit with the verdict.

    Args:
        cpus: The names of CPUs (default: the newest).
        peers: What describes the checkpoint whose stock exports are counted too.
        gate: An earlier report, and the largest increase in percent.
        files: The report to write, and whether it may exist.
        shown: Whether to print operators too, and whether to print the report instead, as JSON.
    """
    (earlier, percent), (out, overwrite), (by_operator, as_json) = gate, files, shown
    limit = None if percent is None else parse_share("--max-more-instructions", percent)
    if limit is not None and earlier is None:
        raise MissingParameter(
            "`max_more_instructions` is given without `baseline`.",
            why="It is the largest increase over an earlier report.",
            parameter="baseline",
        )

    from shvit_mobile.contracts.instruction_report import InstructionReport

    check_output_files(out, overwrite=overwrite)
    baseline = None if earlier is None else InstructionReport.load(earlier)
    with JobProgress("Benchmark") as steps:
        with steps.step("Loading the contestants"):
            opened = _open_artifacts(artifacts)
            trained = None if peers is None else load_trained_model(**peers)
            from shvit_mobile.bench.instructions import count_artifacts, judge_instructions
            from shvit_mobile.pipeline.defaults import CALIBRATION_IMAGES
            from shvit_mobile.runtimes.arm64.cpus import DEFAULT_CPU, find_cpu
        report = count_artifacts(
            opened,
            cpus=[find_cpu(name) for name in dict.fromkeys(cpus or (DEFAULT_CPU,))],
            peer_checkpoint=trained,
            calibration=CALIBRATION_IMAGES,
            progress=steps.follow,
        )
    for count in report.counts:
        if count.unknown:
            print_note(
                f"note: {count.program} on {count.cpu.name}: its operators cannot be told apart ({count.unknown})."
            )
    verdict = None if baseline is None else judge_instructions(report, baseline, 1 if limit is None else limit)
    write_outputs((out, report.to_json()), overwrite=overwrite)
    if as_json:
        print_json(to_contract_json(report))
    else:
        print_table(
            build_instruction_table(report, baseline), "", "Instructions are not cycles. " + report.engine + "."
        )
        for count in report.counts if by_operator else ():
            if count.operators:
                print_table(build_operator_table(count))
    print_verdict(verdict)


def _benchmark_on_apple(packages: list[Path], device: AppleDevice, iterations: int, as_json: bool) -> None:
    """Print Core ML's own times of some packages, or why this machine cannot measure them."""
    if not packages or any(path.suffix != ".mlpackage" for path in packages):
        raise ConflictingParameters(
            "`on_device` is given without Core ML packages.",
            why="It measures .mlpackage artifacts only.",
            parameter="on_device",
        )

    from dataclasses import asdict

    from shvit_mobile.runtimes.apple_profiler import SkippedMeasurement, measure_on_device

    opened = [artifact.path for artifact in _open_artifacts(packages)]
    timings = {path: measure_on_device(path, device, iterations=iterations) for path in opened}
    if as_json:
        print_json(
            [
                {"path": str(path), "skipped" if isinstance(timing, SkippedMeasurement) else "timing": asdict(timing)}
                for path, timing in timings.items()
            ]
        )
        return
    for path, timing in timings.items():
        if isinstance(timing, SkippedMeasurement):
            print_note(f"{path.name} on {'an iPhone' if device == 'iphone' else 'a Mac'} {timing}")
        else:
            print_table(_build_timing_table(path.name, timing))


def _build_timing_table(name: str, timing: CoreMLTiming) -> Table:
    """Build a table of the percentiles of loading and prediction in milliseconds."""
    from shvit_mobile.bench.statistics import summarize_latency

    table = create_table(f"{name} on {timing.device}, ms", "", "p50", "p90", "p99", "samples")
    for job, samples in (("load", timing.load), ("predict", timing.predict)):
        latency = summarize_latency(samples)
        table.add_row(job, *map(format_milliseconds, (latency.p50, latency.p90, latency.p99)), str(latency.samples))
    return table


def _parse_cpus(text: str | None) -> tuple[int, ...]:
    """Return the processors in '0,2'."""
    if text is None:
        return ()
    if not all(part.strip().isdecimal() for part in text.split(",")):
        raise InvalidValue(
            f"`cpus` is '{text}'.",
            why="It lists processors by number.",
            hint="Set `cpus='0,1'`, for example.",
            parameter="cpus",
        )
    return tuple(dict.fromkeys(int(part) for part in text.split(",")))


def _parse_names(text: str | None) -> tuple[str, ...]:
    """Return the names in 'a, b'."""
    return tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))
