"""`shvit-mobile benchmark`: latency on this machine, artifacts and peers side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shvit_mobile.errors import UnknownEngine, WrongConfig

from .arguments import check_files, trained_model
from .console import data, note, show
from .options import MODEL, OUTPUT, Checkpoint, Json, Overwrite
from .progress import Steps
from .results import contract_json
from .tables import latency_table, roof_lines, titled

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.bench.benchmark import Benchmarked
    from shvit_mobile.bench.contestant import Engine
    from shvit_mobile.runtimes.apple_profiler import Timing

CONTESTANTS, RACE = "Contestants", "Race"


def benchmark(
    artifacts: Annotated[
        list[Path] | None, typer.Argument(metavar="[ARTIFACT]...", help="The first is what others are compared with.")
    ] = None,
    peers: Annotated[
        bool,
        typer.Option("--peers", help="Also stock exports of the checkpoint, and PyTorch.", rich_help_panel=CONTESTANTS),
    ] = False,
    checkpoint: Checkpoint = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="224|192x160", help="Of the peers; else the checkpoint's own.", rich_help_panel=MODEL),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...", help="Also stock exports of timm models of these names.", rich_help_panel=CONTESTANTS
        ),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(metavar="ENGINE", help="Peers of this engine only; repeatable.", rich_help_panel=CONTESTANTS),
    ] = None,
    on_device: Annotated[
        str | None,
        typer.Option(
            metavar="mac|iphone",
            help="Instead, what Core ML itself tells of Core ML packages on this Mac or a connected iPhone.",
            rich_help_panel=CONTESTANTS,
        ),
    ] = None,
    roofs: Annotated[
        bool,
        typer.Option("--roofs/--no-roofs", help="Find the machine's roofs too.", rich_help_panel=CONTESTANTS),
    ] = True,
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="Of each engine.", rich_help_panel=RACE)] = 1,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Images an inference.", rich_help_panel=RACE)] = 1,
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Turns of each.", rich_help_panel=RACE)] = 15,
    iterations: Annotated[
        int, typer.Option(min=1, metavar="N", help="Inferences of each turn that count.", rich_help_panel=RACE)
    ] = 20,
    warm_up: Annotated[
        int, typer.Option(min=0, metavar="N", help="Inferences before them that do not.", rich_help_panel=RACE)
    ] = 5,
    cpus: Annotated[
        str | None,
        typer.Option(metavar="0,1", help="Pin every contestant to these processors.", rich_help_panel=RACE),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the order in each round.", rich_help_panel=RACE)] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the device report here (JSON).", rich_help_panel=OUTPUT)
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw a chart here (SVG).", rich_help_panel=OUTPUT)
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure latency on this machine, artifacts and peers side by side.

    Each runs in a process of its own; they take turns in random order, so that ratios hold on a noisy machine.
    """
    if on_device is not None:
        on_apple(artifacts or [], on_device, rounds * iterations, as_json)
        return
    check_files(out, chart, overwrite=overwrite)
    processors, wanted, chosen = cpus_of(cpus), names_of(models), engines_of(engine or [])
    if not peers and (checkpoint is not None or size is not None):
        raise WrongConfig(
            "--checkpoint or --size is given without --peers.", why="They say what the peers are made from."
        )
    if not (artifacts or peers or wanted):
        raise WrongConfig(
            "There is nothing to benchmark.",
            why="It measures artifacts, the stock exports of a checkpoint, or timm models.",
            hint="Try: shvit-mobile benchmark artifacts/*.pte --peers",
        )
    if chosen and not (peers or wanted):
        raise WrongConfig("--engine is given without --peers or --models.", why="It chooses among them.")

    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.device_report import Settings

    settings = Settings(
        threads=threads,
        batch=batch,
        rounds=rounds,
        warm_up=warm_up,
        iterations=iterations,
        cpus=processors,
        seed=seed,
    )
    with Steps("Benchmark") as steps:
        with steps.step("Reading what is to be measured"):
            opened = [Artifact.open(path) for path in artifacts or []]
            trained = trained_model(checkpoint, size=size) if peers else None
            from shvit_mobile.bench.benchmark import benchmark as measured
        found = measured(
            opened,
            settings=settings,
            peers_of=trained,
            models=wanted,
            engines=chosen,
            roofs=roofs,
            told=steps.follow,
        )
    written(found, out, chart, overwrite)
    for sentence in found.absent:
        note(f"note: {sentence}")
    if as_json:
        data(contract_json(found.report))
    else:
        show(latency_table(found.report), "", *roof_lines(found.report))


def on_apple(packages: list[Path], device: str, iterations: int, as_json: bool) -> None:
    """Core ML's own times of some packages, or why they cannot be had here."""
    if not packages or any(path.suffix != ".mlpackage" for path in packages):
        raise WrongConfig(
            "--on-device is given without Core ML packages.", why="It measures .mlpackage artifacts only."
        )

    from dataclasses import asdict

    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.runtimes.apple_profiler import APPLE_DEVICES, Skipped, UnknownAppleDevice, timing

    chosen = UnknownAppleDevice.chosen(device, APPLE_DEVICES)
    opened = [Artifact.open(path).path for path in packages]
    found = {path: timing(path, chosen, iterations=iterations) for path in opened}
    if as_json:
        data(
            [
                {"path": str(path), "skipped" if isinstance(told, Skipped) else "timing": asdict(told)}
                for path, told in found.items()
            ]
        )
        return
    for path, told in found.items():
        if isinstance(told, Skipped):
            note(f"{path.name} on {'an iPhone' if chosen == 'iphone' else 'a Mac'} {told}")
        else:
            show(timing_table(path.name, told))


def timing_table(name: str, told: Timing) -> Table:
    """The percentiles of loading and prediction in milliseconds."""
    from shvit_mobile.bench.statistics import summarize_latency

    table = titled(f"{name} on {told.device}, ms", "", "p50", "p90", "p99", "samples")
    for job, samples in (("load", told.load), ("predict", told.predict)):
        found = summarize_latency(samples)
        table.add_row(job, *(f"{value:.2f}" for value in (found.p50, found.p90, found.p99)), str(found.samples))
    return table


def written(found: Benchmarked, out: Path | None, chart: Path | None, overwrite: bool) -> None:
    """Puts report and chart where they are wanted."""
    from shvit_mobile.bench.chart import svg
    from shvit_mobile.contracts.outputs import whole

    for file, text in ((out, found.report.json_text()), (chart, svg(found.report))):
        if file is not None:
            with whole(file, overwrite=overwrite) as (path,):
                path.write_text(text)


def cpus_of(text: str | None) -> tuple[int, ...]:
    """The processors in '0,2'."""
    if text is None:
        return ()
    if not all(part.strip().isdecimal() for part in text.split(",")):
        raise WrongConfig(f"--cpus is '{text}'.", why="It is numbers of processors.", hint="Try: --cpus 0,1")
    return tuple(dict.fromkeys(int(part) for part in text.split(",")))


def names_of(text: str | None) -> tuple[str, ...]:
    """The names in 'a, b'."""
    return tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def engines_of(names: list[str]) -> tuple[Engine, ...]:
    """The engines by name."""
    from shvit_mobile.bench.contestant import ENGINES

    return tuple(UnknownEngine.chosen(name, ENGINES) for name in names)
