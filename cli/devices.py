"""`shvit-mobile devices`: what phones measured, device by device, against earlier runs and the drift measured here."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shvit_mobile.errors import WrongConfig

from .arguments import check_files, share_of
from .console import data, note, show
from .options import GATES, OUTPUT, Json, Overwrite
from .results import conclude, contract_json
from .tables import NONE, cell, decibels, in_two, short, titled

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.apps.collect import Run
    from shvit_mobile.apps.devices import Comparison, DeviceComparison, DeviceRow, DriftPair
    from shvit_mobile.apps.regression import SlowdownGate
    from shvit_mobile.contracts.drift_report import GateVerdict

JOIN = "What they are held against"
FIXTURE = "FIXTURE, not measured"


def devices(
    reports: Annotated[
        list[Path],
        typer.Argument(metavar="REPORT...", help="Device reports: files, folders, or a .zip from a share sheet."),
    ],
    artifacts: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="The artifacts measured, their manifests, or a folder of them; repeatable.",
            rich_help_panel=JOIN,
        ),
    ] = None,
    baseline: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="REPORT",
            help="Earlier reports; repeatable. Else each run is held against the one before it.",
            rich_help_panel=JOIN,
        ),
    ] = None,
    max_slowdown: Annotated[
        str | None,
        typer.Option(
            metavar="PERCENT",
            help="How much longer an inference may take than in the earlier run; judged by its 95% interval.",
            rich_help_panel=GATES,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the comparison here (JSON).", rich_help_panel=OUTPUT)
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a line a row here.", rich_help_panel=OUTPUT)
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compare what devices measured.

    Reports are checked against their schema, their own samples, and the SHA-256 of the artifacts given. Ends with
    status 1 where a golden check failed on a device, or where a run is slower than its earlier one past the limit.
    """
    limit = None if max_slowdown is None else share_of("--max-slowdown", max_slowdown)
    if out is not None and out == table:
        raise WrongConfig(f"--out and --csv are both {out}.", why="One is JSON and the other CSV.")

    from shvit_mobile.apps.collect import collect
    from shvit_mobile.apps.devices import compare_devices
    from shvit_mobile.apps.known_artifacts import open_manifests
    from shvit_mobile.apps.regression import SlowdownGate

    check_files(out, table, overwrite=overwrite)
    gate = None if limit is None else SlowdownGate(limit)
    runs, before = collect(reports), collect(baseline or [])
    found = compare_devices(runs, manifests=open_manifests(artifacts or []), baseline=before)
    verdict = judged_devices(runs, found, gate)
    told = {**contract_json(found), "gate": contract_json(verdict)}
    written(told, found, out, table, overwrite)
    warn(found, bool(artifacts))
    if as_json:
        data(told)
    else:
        show_devices(found, gate)
    conclude(verdict)


def judged_devices(runs: Sequence[Run], found: DeviceComparison, gate: SlowdownGate | None) -> GateVerdict:
    """Golden checks that failed, and what the gate makes of the comparisons."""
    from shvit_mobile.apps.findings import check_comparable, failed_goldens, slower, undecided
    from shvit_mobile.contracts.drift_report import GateVerdict

    failures = tuple(failed_goldens(runs))
    if gate is None:
        return GateVerdict.of(failures)
    check_comparable(found)
    return GateVerdict.of((*failures, *slower(found.comparisons, gate)), undecided(found, gate))


def warn(found: DeviceComparison, joined: bool) -> None:
    """Says what is no measurement, and what belongs to no artifact given."""
    for source in dict.fromkeys(row.source for row in found.rows if row.fixture):
        note(f"note: {source} is a {FIXTURE}.")
    if joined:
        for name in dict.fromkeys(row.artifact for row in found.rows if not row.known):
            note(f"note: {name} is not among the artifacts given; its SHA-256 was not checked.")


def written(told: Any, found: DeviceComparison, out: Path | None, table: Path | None, overwrite: bool) -> None:
    """Puts JSON and CSV where they are wanted."""
    import json

    from shvit_mobile.contracts.outputs import whole

    for file, text in ((out, json.dumps(told, indent=1) + "\n"), (table, csv_text(found))):
        if file is not None:
            with whole(file, overwrite=overwrite) as (path,):
                path.write_text(text, newline="")


def csv_text(found: DeviceComparison) -> str:
    """A line a row, with what became of it since the earlier run where there is one."""
    from shvit_mobile.apps.devices import DeviceRow

    earlier = {(one.later, one.artifact, one.unit): one for one in found.comparisons}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*DeviceRow.model_fields, "earlier", "slowdown", "slowdown_low", "slowdown_high"])
    for row in found.rows:
        one = earlier.get((row.source, row.artifact, row.unit))
        since = (one.earlier, *vars(one.slowdown).values()) if one else (None,) * 4
        writer.writerow([plain(value) for value in (*(getattr(row, name) for name in DeviceRow.model_fields), *since)])
    return text.getvalue()


def plain(value: object) -> object:
    """A value that no spreadsheet takes for a formula: names come out of files that anyone may have made."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def show_devices(found: DeviceComparison, gate: SlowdownGate | None) -> None:
    """A table of each run, then what stands across them."""
    for _, rows in groupby(found.rows, key=lambda row: row.source):
        run = list(rows)
        show(run_table(run), *remarks(run), "")
    if len({row.source for row in found.rows}) > 1:
        show(fastest_table(found.rows), "")
    if found.comparisons:
        show(comparison_table(found.comparisons, gate), "")
    if found.drift:
        show(drift_pair_table(found.drift))


def run_table(rows: Sequence[DeviceRow]) -> Table:
    """One run: a line for each artifact on each compute unit."""
    first = rows[0]
    mark = f" · {FIXTURE}" if first.fixture else ""
    model = f" ({first.model})" if first.model != first.device else ""
    table = titled(f"{first.device}{model}, {first.system}, {first.created[:10]}{mark}", gap=1)
    for heading in ("artifact", "unit"):
        table.add_column(heading, no_wrap=True)
    for heading in ("p50\nms", "its 95%\ninterval", "p90", "p99", "load\nms", "com-\npile ms", "peak\nMB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("golden", ""):
        table.add_column(heading, no_wrap=True)
    for name, group in groupby(rows, key=lambda row: row.artifact):
        for index, row in enumerate(group):
            table.add_row(
                cell(in_two(name, row.precision)) if index == 0 else "",
                cell(unit(row.unit)),
                milliseconds(row.p50),
                interval(row),
                milliseconds(row.p90),
                milliseconds(row.p99),
                f"{row.load_ms:.0f}",
                NONE if row.compile_ms is None else f"{row.compile_ms:.0f}",
                NONE if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / 1e6:.0f}",
                outcome(row.preprocessing_passed, row.inference_passed),
                standing(row),
                style="green" if row.fastest else "red" if row.slowest else None,
            )
    return table


def remarks(rows: Sequence[DeviceRow]) -> list[str]:
    """What the phone was like, and what became of it in a sustained run; a line, or none."""
    first = rows[0]
    told = [
        *([f"Hottest: {first.worst_thermal}."] if first.worst_thermal else []),
        *(["It saved power (low-power mode)."] if first.low_power else []),
        *(
            f"Sustained, {row.artifact} ({row.unit}) took {row.sustained:.2f} times as long in the end."
            for row in rows
            if row.sustained is not None
        ),
    ]
    return [" ".join(told)] if told else []


def fastest_table(rows: Sequence[DeviceRow]) -> Table:
    """Each artifact's fastest unit on each device, the fastest device first."""
    table = titled("Each artifact's fastest unit, device by device", gap=1)
    table.add_column("artifact", no_wrap=True)
    table.add_column("device", overflow="fold")
    table.add_column("unit", no_wrap=True)
    for heading in ("p50\nms", "its 95%\ninterval", "times as\nlong"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("slowest unit", "hottest"):
        table.add_column(heading, no_wrap=True)
    for name in dict.fromkeys(row.artifact for row in rows):
        of_artifact = [row for row in rows if row.artifact == name]
        runs = [
            [row for row in of_artifact if row.source == source]
            for source in dict.fromkeys(row.source for row in of_artifact)
        ]
        best = sorted(((min(run, key=speed), max(run, key=speed)) for run in runs), key=lambda pair: speed(pair[0]))
        for index, (fastest, slowest) in enumerate(best):
            table.add_row(
                cell(in_two(name, fastest.precision)) if index == 0 else "",
                cell(dated(fastest)),
                cell(unit(fastest.unit)),
                milliseconds(fastest.p50),
                interval(fastest),
                f"{fastest.p50 / best[0][0].p50:.2f}",
                cell(f"{unit(slowest.unit)}: {milliseconds(slowest.p50)}") if slowest is not fastest else NONE,
                fastest.worst_thermal or NONE,
            )
    return table


def comparison_table(comparisons: Iterable[Comparison], gate: SlowdownGate | None) -> Table:
    """Each run beside an earlier one; medians of rounds, in milliseconds."""
    table = titled("Against earlier runs", "device", gap=1)
    for heading in ("artifact", "unit"):
        table.add_column(heading, no_wrap=True)
    for heading in ("earlier\nms", "now\nms", "time,\n%", "95% interval,\n%"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    colours = {"slower": "red", "open": "yellow", "within": None}
    for one in comparisons:
        slowdown = one.slowdown
        verdict = gate.verdict(slowdown) if gate else "within"
        table.add_row(
            cell(f"{one.device}\nsince {one.earlier_created[:10]}{marked(one.fixture)}"),
            cell(in_two(one.artifact, one.precision)),
            cell(unit(one.unit)),
            milliseconds(one.earlier_ms),
            milliseconds(one.later_ms),
            f"{100 * (slowdown.value - 1):+.1f}",
            NONE
            if slowdown.low is None or slowdown.high is None
            else f"{100 * (slowdown.low - 1):+.1f} to {100 * (slowdown.high - 1):+.1f}",
            "" if gate is None else verdict,
            style=colours[verdict],
        )
    return table


def drift_pair_table(pairs: Sequence[DriftPair]) -> Table:
    """A line for each artifact on each device: the unit on which its goldens came out worst."""
    table = titled(
        "Drift here, of the artifact from the float model, and there, of the device's worst unit from the artifact",
        gap=1,
    )
    table.add_column("artifact", no_wrap=True)
    table.add_column("device", overflow="fold")
    table.add_column("unit", no_wrap=True)
    for heading in ("dB\nhere", "dB\nthere", "error\nhere", "error\nthere", "class\nhere", "class\nthere"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("golden", no_wrap=True)
    for artifact in dict.fromkeys(pair.artifact for pair in pairs):
        of_artifact = [pair for pair in pairs if pair.artifact == artifact]
        for index, device in enumerate(dict.fromkeys((pair.source, pair.device) for pair in of_artifact)):
            worst = min(
                (pair for pair in of_artifact if (pair.source, pair.device) == device),
                key=lambda pair: (pair.golden.passed, pair.golden.sqnr_db),
            )
            check = worst.golden
            table.add_row(
                cell(f"{in_two(artifact, worst.precision)}\n({worst.how})") if index == 0 else "",
                cell(worst.device + marked(worst.fixture)),
                cell(unit(worst.unit)),
                decibels(worst.host_sqnr_db),
                decibels(check.sqnr_db),
                short(worst.host_max_abs_error, 2),
                short(check.largest_difference, 2),
                f"{100 * worst.host_agreement:.1f}%",
                f"{check.same_class}/{check.images}",
                outcome(check.preprocessing_passed, check.inference_passed),
                style=None if check.passed else "red",
            )
    return table


def speed(row: DeviceRow) -> float:
    return row.p50


def interval(row: DeviceRow) -> str:
    """Of the median of the rounds' medians."""
    if row.typical_low is None or row.typical_high is None:
        return f"{row.rounds} round{'s' if row.rounds > 1 else ''}: {NONE}"
    return f"{milliseconds(row.typical_low)}–{milliseconds(row.typical_high)}"


def outcome(preprocessing_passed: bool | None, inference_passed: bool | None) -> str:
    """What the golden check found, and which half of it is off."""
    if preprocessing_passed is None:
        return NONE
    parts = {"pixels": preprocessing_passed, "logits": inference_passed}
    wrong = [name for name, right in parts.items() if not right]
    return f"{' and '.join(wrong)} off" if wrong else "passed"


def standing(row: DeviceRow) -> str:
    return "fastest" if row.fastest else "slowest" if row.slowest else ""


def dated(row: DeviceRow) -> str:
    return f"{row.device}\n{row.created[:10]}{marked(row.fixture)}"


def marked(fixture: bool) -> str:
    return "\nFIXTURE" if fixture else ""


def milliseconds(value: float) -> str:
    """Three digits."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def unit(name: str) -> str:
    """Compute units as narrow as they can be told."""
    return name.replace("cpu-and-neural-engine", "cpu + NE").replace("cpu-and-gpu", "cpu + gpu")
