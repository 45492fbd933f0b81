"""`shvit-mobile benchmark`: latency on this machine, artifacts and peers side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shvit_mobile.errors import InvalidConfig, parse_choice

from .arguments import check_output_files, load_trained_model
from .console import print_json, print_note, print_table
from .options import MODEL_PANEL, OUTPUT_PANEL, CheckpointOption, JsonOption, OverwriteOption
from .progress import JobProgress
from .results import to_contract_json
from .tables import build_latency_table, create_table, describe_rooflines

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.bench.benchmark import BenchmarkOutcome
    from shvit_mobile.bench.contestant import Engine
    from shvit_mobile.runtimes.apple_profiler import CoreMLTiming

CONTESTANT_PANEL, RACE_PANEL = "Contestants", "Race"


def benchmark(
    artifacts: Annotated[
        list[Path] | None, typer.Argument(metavar="[ARTIFACT]...", help="The first is what others are compared with.")
    ] = None,
    peers: Annotated[
        bool,
        typer.Option(
            "--peers", help="Also stock exports of the checkpoint, and PyTorch.", rich_help_panel=CONTESTANT_PANEL
        ),
    ] = False,
    checkpoint: CheckpointOption = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="224|192x160", help="Of the peers; else the checkpoint's own.", rich_help_panel=MODEL_PANEL
        ),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Also stock exports of timm models of these names.",
            rich_help_panel=CONTESTANT_PANEL,
        ),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(metavar="ENGINE", help="Peers of this engine only; repeatable.", rich_help_panel=CONTESTANT_PANEL),
    ] = None,
    on_device: Annotated[
        str | None,
        typer.Option(
            metavar="mac|iphone",
            help="Instead, what Core ML itself tells of Core ML packages on this Mac or a connected iPhone.",
            rich_help_panel=CONTESTANT_PANEL,
        ),
    ] = None,
    roofs: Annotated[
        bool,
        typer.Option("--roofs/--no-roofs", help="Find the machine's roofs too.", rich_help_panel=CONTESTANT_PANEL),
    ] = True,
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="Of each engine.", rich_help_panel=RACE_PANEL)] = 1,
    batch: Annotated[
        int, typer.Option(min=1, metavar="N", help="Images an inference.", rich_help_panel=RACE_PANEL)
    ] = 1,
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Turns of each.", rich_help_panel=RACE_PANEL)] = 15,
    iterations: Annotated[
        int, typer.Option(min=1, metavar="N", help="Inferences of each turn that count.", rich_help_panel=RACE_PANEL)
    ] = 20,
    warm_up: Annotated[
        int, typer.Option(min=0, metavar="N", help="Inferences before them that do not.", rich_help_panel=RACE_PANEL)
    ] = 5,
    cpus: Annotated[
        str | None,
        typer.Option(metavar="0,1", help="Pin every contestant to these processors.", rich_help_panel=RACE_PANEL),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the order in each round.", rich_help_panel=RACE_PANEL)] = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the device report here (JSON).", rich_help_panel=OUTPUT_PANEL),
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw a chart here (SVG).", rich_help_panel=OUTPUT_PANEL)
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure latency on this machine, artifacts and peers side by side.

    Each runs in a process of its own; they take turns in random order, so that ratios hold on a noisy machine.
    """
    if on_device is not None:
        benchmark_on_apple(artifacts or [], on_device, rounds * iterations, as_json)
        return
    check_output_files(out, chart, overwrite=overwrite)
    processors, wanted, chosen = parse_cpus(cpus), parse_names(models), parse_engines(engine or [])
    if not peers and (checkpoint is not None or size is not None):
        raise InvalidConfig(
            "--checkpoint or --size is given without --peers.", why="They say what the peers are made from."
        )
    if not (artifacts or peers or wanted):
        raise InvalidConfig(
            "There is nothing to benchmark.",
            why="It measures artifacts, the stock exports of a checkpoint, or timm models.",
            hint="Try: shvit-mobile benchmark artifacts/*.pte --peers",
        )
    if chosen and not (peers or wanted):
        raise InvalidConfig("--engine is given without --peers or --models.", why="It chooses among them.")

    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.device_report import BenchmarkSettings

    settings = BenchmarkSettings(
        threads=threads,
        batch=batch,
        rounds=rounds,
        warm_up=warm_up,
        iterations=iterations,
        cpus=processors,
        seed=seed,
    )
    with JobProgress("Benchmark") as steps:
        with steps.step("Reading what is to be measured"):
            opened = [Artifact.open(path) for path in artifacts or []]
            trained = load_trained_model(checkpoint, size=size) if peers else None
            from shvit_mobile.bench.benchmark import run_benchmark as measured
        found = measured(
            opened,
            settings=settings,
            peer_checkpoint=trained,
            models=wanted,
            engines=chosen,
            roofs=roofs,
            progress=steps.follow,
        )
    write_outputs(found, out, chart, overwrite)
    for sentence in found.skipped:
        print_note(f"note: {sentence}")
    if as_json:
        print_json(to_contract_json(found.report))
    else:
        print_table(build_latency_table(found.report), "", *describe_rooflines(found.report))


def benchmark_on_apple(packages: list[Path], device: str, iterations: int, as_json: bool) -> None:
    """Core ML's own times of some packages, or why they cannot be had here."""
    if not packages or any(path.suffix != ".mlpackage" for path in packages):
        raise InvalidConfig(
            "--on-device is given without Core ML packages.", why="It measures .mlpackage artifacts only."
        )

    from dataclasses import asdict

    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.runtimes.apple_profiler import (
        APPLE_DEVICES,
        SkippedMeasurement,
        measure_on_device,
    )

    chosen = parse_choice(device, APPLE_DEVICES, "device")
    opened = [Artifact.open(path).path for path in packages]
    found = {path: measure_on_device(path, chosen, iterations=iterations) for path in opened}
    if as_json:
        print_json(
            [
                {"path": str(path), "skipped" if isinstance(told, SkippedMeasurement) else "timing": asdict(told)}
                for path, told in found.items()
            ]
        )
        return
    for path, told in found.items():
        if isinstance(told, SkippedMeasurement):
            print_note(f"{path.name} on {'an iPhone' if chosen == 'iphone' else 'a Mac'} {told}")
        else:
            print_table(build_timing_table(path.name, told))


def build_timing_table(name: str, told: CoreMLTiming) -> Table:
    """The percentiles of loading and prediction in milliseconds."""
    from shvit_mobile.bench.statistics import summarize_latency

    table = create_table(f"{name} on {told.device}, ms", "", "p50", "p90", "p99", "samples")
    for job, samples in (("load", told.load), ("predict", told.predict)):
        found = summarize_latency(samples)
        table.add_row(job, *(f"{value:.2f}" for value in (found.p50, found.p90, found.p99)), str(found.samples))
    return table


def write_outputs(found: BenchmarkOutcome, out: Path | None, chart: Path | None, overwrite: bool) -> None:
    """Puts report and chart where they are wanted."""
    from shvit_mobile.bench.chart import render_latency_chart
    from shvit_mobile.contracts.outputs import write_atomically

    for file, text in ((out, found.report.to_json()), (chart, render_latency_chart(found.report))):
        if file is not None:
            with write_atomically(file, overwrite=overwrite) as (path,):
                path.write_text(text)


def parse_cpus(text: str | None) -> tuple[int, ...]:
    """The processors in '0,2'."""
    if text is None:
        return ()
    if not all(part.strip().isdecimal() for part in text.split(",")):
        raise InvalidConfig(f"--cpus is '{text}'.", why="It is numbers of processors.", hint="Try: --cpus 0,1")
    return tuple(dict.fromkeys(int(part) for part in text.split(",")))


def parse_names(text: str | None) -> tuple[str, ...]:
    """The names in 'a, b'."""
    return tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def parse_engines(names: list[str]) -> tuple[Engine, ...]:
    """The engines by name."""
    from shvit_mobile.bench.contestant import ENGINES

    return tuple(parse_choice(name, ENGINES, "engine") for name in names)
