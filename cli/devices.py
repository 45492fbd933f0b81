"""`shvit-mobile devices`: what phones measured, device by device, against earlier runs and the drift measured here."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shvit_mobile.errors import InvalidConfig

from .arguments import check_output_files, parse_share
from .console import print_json, print_note, print_table
from .options import GATES_PANEL, OUTPUT_PANEL, JsonOption, OverwriteOption
from .results import print_verdict, to_contract_json
from .tables import NO_VALUE, break_before_precision, create_table, format_cell, format_decibels, format_significant

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.apps.collect import DeviceRun
    from shvit_mobile.apps.devices import DeviceComparison, DeviceRow, DriftPair, RunComparison
    from shvit_mobile.apps.regression import SlowdownGate
    from shvit_mobile.contracts.drift_report import GateVerdict

COMPARISON_PANEL = "What they are held against"
FIXTURE_NOTICE = "FIXTURE, not measured"


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
            rich_help_panel=COMPARISON_PANEL,
        ),
    ] = None,
    baseline: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="REPORT",
            help="Earlier reports; repeatable. Else each run is held against the one before it.",
            rich_help_panel=COMPARISON_PANEL,
        ),
    ] = None,
    max_slowdown: Annotated[
        str | None,
        typer.Option(
            metavar="PERCENT",
            help="How much longer an inference may take than in the earlier run; judged by its 95% interval.",
            rich_help_panel=GATES_PANEL,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the comparison here (JSON).", rich_help_panel=OUTPUT_PANEL),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write a line a row here.", rich_help_panel=OUTPUT_PANEL),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare what devices measured.

    Reports are checked against their schema, their own samples, and the SHA-256 of the artifacts given. Ends with
    status 1 where a golden check failed on a device, or where a run is slower than its earlier one past the limit.
    """
    limit = None if max_slowdown is None else parse_share("--max-slowdown", max_slowdown)
    if out is not None and out == table:
        raise InvalidConfig(f"--out and --csv are both {out}.", why="One is JSON and the other CSV.")

    from shvit_mobile.apps.collect import collect_device_reports
    from shvit_mobile.apps.devices import compare_devices
    from shvit_mobile.apps.known_artifacts import open_manifests
    from shvit_mobile.apps.regression import SlowdownGate

    check_output_files(out, table, overwrite=overwrite)
    gate = None if limit is None else SlowdownGate(limit)
    runs, before = collect_device_reports(reports), collect_device_reports(baseline or [])
    found = compare_devices(runs, manifests=open_manifests(artifacts or []), baseline=before)
    verdict = evaluate_devices(runs, found, gate)
    told = {**to_contract_json(found), "gate": to_contract_json(verdict)}
    write_outputs(told, found, out, table, overwrite)
    warn_about_rows(found, bool(artifacts))
    if as_json:
        print_json(told)
    else:
        print_devices(found, gate)
    print_verdict(verdict)


def evaluate_devices(runs: Sequence[DeviceRun], found: DeviceComparison, gate: SlowdownGate | None) -> GateVerdict:
    """Golden checks that failed, and what the gate makes of the comparisons."""
    from shvit_mobile.apps.findings import (
        check_comparable,
        describe_failed_goldens,
        describe_slowdowns,
        describe_undecided,
    )
    from shvit_mobile.contracts.drift_report import GateVerdict

    failures = tuple(describe_failed_goldens(runs))
    if gate is None:
        return GateVerdict.from_findings(failures)
    check_comparable(found)
    return GateVerdict.from_findings(
        (*failures, *describe_slowdowns(found.comparisons, gate)), describe_undecided(found, gate)
    )


def warn_about_rows(found: DeviceComparison, joined: bool) -> None:
    """Says what is no measurement, and what belongs to no artifact given."""
    for source in dict.fromkeys(row.source for row in found.rows if row.fixture):
        print_note(f"note: {source} is a {FIXTURE_NOTICE}.")
    if joined:
        for name in dict.fromkeys(row.artifact for row in found.rows if not row.known):
            print_note(f"note: {name} is not among the artifacts given; its SHA-256 was not checked.")


def write_outputs(told: Any, found: DeviceComparison, out: Path | None, table: Path | None, overwrite: bool) -> None:
    """Puts JSON and CSV where they are wanted."""
    import json

    from shvit_mobile.contracts.outputs import write_atomically

    for file, text in ((out, json.dumps(told, indent=1) + "\n"), (table, format_csv(found))):
        if file is not None:
            with write_atomically(file, overwrite=overwrite) as (path,):
                path.write_text(text, newline="")


def format_csv(found: DeviceComparison) -> str:
    """A line a row, with what became of it since the earlier run where there is one."""
    from shvit_mobile.apps.devices import DeviceRow

    earlier = {(one.later, one.artifact, one.unit): one for one in found.comparisons}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*DeviceRow.model_fields, "earlier", "slowdown", "slowdown_low", "slowdown_high"])
    for row in found.rows:
        one = earlier.get((row.source, row.artifact, row.unit))
        since = (one.earlier, *vars(one.slowdown).values()) if one else (None,) * 4
        writer.writerow(
            [escape_formula(value) for value in (*(getattr(row, name) for name in DeviceRow.model_fields), *since)]
        )
    return text.getvalue()


def escape_formula(value: object) -> object:
    """A value that no spreadsheet takes for a formula: names come out of files that anyone may have made."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def print_devices(found: DeviceComparison, gate: SlowdownGate | None) -> None:
    """A table of each run, then what stands across them."""
    for _, rows in groupby(found.rows, key=lambda row: row.source):
        run = list(rows)
        print_table(build_run_table(run), *describe_run(run), "")
    if len({row.source for row in found.rows}) > 1:
        print_table(build_fastest_table(found.rows), "")
    if found.comparisons:
        print_table(build_comparison_table(found.comparisons, gate), "")
    if found.drift:
        print_table(build_drift_pair_table(found.drift))


def build_run_table(rows: Sequence[DeviceRow]) -> Table:
    """One run: a line for each artifact on each compute unit."""
    first = rows[0]
    mark = f" · {FIXTURE_NOTICE}" if first.fixture else ""
    model = f" ({first.model})" if first.model != first.device else ""
    table = create_table(f"{first.device}{model}, {first.system}, {first.created[:10]}{mark}", gap=1)
    for heading in ("artifact", "unit"):
        table.add_column(heading, no_wrap=True)
    for heading in ("p50\nms", "its 95%\ninterval", "p90", "p99", "load\nms", "com-\npile ms", "peak\nMB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("golden", ""):
        table.add_column(heading, no_wrap=True)
    for name, group in groupby(rows, key=lambda row: row.artifact):
        for index, row in enumerate(group):
            table.add_row(
                format_cell(break_before_precision(name, row.precision)) if index == 0 else "",
                format_cell(format_unit(row.unit)),
                format_milliseconds(row.p50),
                format_interval(row),
                format_milliseconds(row.p90),
                format_milliseconds(row.p99),
                f"{row.load_ms:.0f}",
                NO_VALUE if row.compile_ms is None else f"{row.compile_ms:.0f}",
                NO_VALUE if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / 1e6:.0f}",
                format_golden_outcome(row.preprocessing_passed, row.inference_passed),
                format_speed_rank(row),
                style="green" if row.fastest else "red" if row.slowest else None,
            )
    return table


def describe_run(rows: Sequence[DeviceRow]) -> list[str]:
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


def build_fastest_table(rows: Sequence[DeviceRow]) -> Table:
    """Each artifact's fastest unit on each device, the fastest device first."""
    table = create_table("Each artifact's fastest unit, device by device", gap=1)
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
        best = sorted(
            ((min(run, key=get_p50), max(run, key=get_p50)) for run in runs), key=lambda pair: get_p50(pair[0])
        )
        for index, (fastest, slowest) in enumerate(best):
            table.add_row(
                format_cell(break_before_precision(name, fastest.precision)) if index == 0 else "",
                format_cell(format_dated_device(fastest)),
                format_cell(format_unit(fastest.unit)),
                format_milliseconds(fastest.p50),
                format_interval(fastest),
                f"{fastest.p50 / best[0][0].p50:.2f}",
                format_cell(f"{format_unit(slowest.unit)}: {format_milliseconds(slowest.p50)}")
                if slowest is not fastest
                else NO_VALUE,
                fastest.worst_thermal or NO_VALUE,
            )
    return table


def build_comparison_table(comparisons: Iterable[RunComparison], gate: SlowdownGate | None) -> Table:
    """Each run beside an earlier one; medians of rounds, in milliseconds."""
    table = create_table("Against earlier runs", "device", gap=1)
    for heading in ("artifact", "unit"):
        table.add_column(heading, no_wrap=True)
    for heading in ("earlier\nms", "now\nms", "time,\n%", "95% interval,\n%"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    colours = {"slower": "red", "open": "yellow", "within": None}
    for one in comparisons:
        slowdown = one.slowdown
        verdict = gate.evaluate(slowdown) if gate else "within"
        table.add_row(
            format_cell(f"{one.device}\nsince {one.earlier_created[:10]}{format_fixture_mark(one.fixture)}"),
            format_cell(break_before_precision(one.artifact, one.precision)),
            format_cell(format_unit(one.unit)),
            format_milliseconds(one.earlier_ms),
            format_milliseconds(one.later_ms),
            f"{100 * (slowdown.value - 1):+.1f}",
            NO_VALUE
            if slowdown.low is None or slowdown.high is None
            else f"{100 * (slowdown.low - 1):+.1f} to {100 * (slowdown.high - 1):+.1f}",
            "" if gate is None else verdict,
            style=colours[verdict],
        )
    return table


def build_drift_pair_table(pairs: Sequence[DriftPair]) -> Table:
    """A line for each artifact on each device: the unit on which its goldens came out worst."""
    table = create_table(
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
                format_cell(f"{break_before_precision(artifact, worst.precision)}\n({worst.how})")
                if index == 0
                else "",
                format_cell(worst.device + format_fixture_mark(worst.fixture)),
                format_cell(format_unit(worst.unit)),
                format_decibels(worst.host_sqnr_db),
                format_decibels(check.sqnr_db),
                format_significant(worst.host_max_abs_error, 2),
                format_significant(check.largest_difference, 2),
                f"{100 * worst.host_agreement:.1f}%",
                f"{check.same_class}/{check.images}",
                format_golden_outcome(check.preprocessing_passed, check.inference_passed),
                style=None if check.passed else "red",
            )
    return table


def get_p50(row: DeviceRow) -> float:
    return row.p50


def format_interval(row: DeviceRow) -> str:
    """Of the median of the rounds' medians."""
    if row.typical_low is None or row.typical_high is None:
        return f"{row.rounds} round{'s' if row.rounds > 1 else ''}: {NO_VALUE}"
    return f"{format_milliseconds(row.typical_low)}–{format_milliseconds(row.typical_high)}"


def format_golden_outcome(preprocessing_passed: bool | None, inference_passed: bool | None) -> str:
    """What the golden check found, and which half of it is off."""
    if preprocessing_passed is None:
        return NO_VALUE
    parts = {"pixels": preprocessing_passed, "logits": inference_passed}
    wrong = [name for name, right in parts.items() if not right]
    return f"{' and '.join(wrong)} off" if wrong else "passed"


def format_speed_rank(row: DeviceRow) -> str:
    return "fastest" if row.fastest else "slowest" if row.slowest else ""


def format_dated_device(row: DeviceRow) -> str:
    return f"{row.device}\n{row.created[:10]}{format_fixture_mark(row.fixture)}"


def format_fixture_mark(fixture: bool) -> str:
    return "\nFIXTURE" if fixture else ""


def format_milliseconds(value: float) -> str:
    """Three digits."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def format_unit(name: str) -> str:
    """Compute units as narrow as they can be told."""
    return name.replace("cpu-and-neural-engine", "cpu + NE").replace("cpu-and-gpu", "cpu + gpu")
