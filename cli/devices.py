"""`shvit-mobile devices`: compares what phones measured with earlier runs and with the drift measured here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from shvit_mobile.errors import ConflictingParameters
from shvit_mobile.report.formatting import (
    NO_VALUE,
    format_decibels,
    format_milliseconds,
    format_number,
    format_percent,
    format_significant,
    pluralize,
)

from . import options as opt
from .arguments import check_output_files, parse_share
from .console import print_json, print_note, print_table
from .results import print_verdict, to_contract_json, write_outputs
from .tables import break_before_precision, create_table, format_cell

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.apps.collect import DeviceRun
    from shvit_mobile.apps.devices import DeviceComparison, DeviceRow, DriftPair, RunComparison
    from shvit_mobile.contracts.manifest import Manifest

_FIXTURE_NOTICE = "FIXTURE, not measured"


def devices(
    reports: opt.ReportsArgument,
    artifacts: opt.KnownArtifacts = None,
    baseline: opt.Baseline = None,
    max_slowdown: opt.MaxSlowdown = None,
    out: opt.OutFile = None,
    table: opt.Csv = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Compare what devices measured.

    Reports are checked against their schema, their own samples, and the SHA-256 of the artifacts. Exit status 1 if a
    golden check failed on a device, or if a run is slower than its earlier run by more than the limit.
    """
    limit = None if max_slowdown is None else parse_share("--max-slowdown", max_slowdown)
    if out is not None and out == table:
        raise ConflictingParameters(f"`out` and `table` are both {out}.", why="One is JSON, the other is CSV.")

    from shvit_mobile.apps.collect import collect_device_reports
    from shvit_mobile.apps.known_artifacts import open_manifests

    check_output_files(out, table, overwrite=overwrite)
    runs, earlier = collect_device_reports(reports), collect_device_reports(baseline or [])
    files = (out, table) if out or table else None
    manifests = open_manifests(artifacts or [])
    print_comparison(runs, manifests, earlier, limit, files=files, overwrite=overwrite, as_json=as_json)


def print_comparison(
    runs: Sequence[DeviceRun],
    manifests: Sequence[Manifest],
    earlier: Sequence[DeviceRun],
    limit: float | None,
    *,
    files: tuple[Path | None, Path | None] | None = None,
    overwrite: bool = False,
    as_json: bool = False,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Compare runs with earlier ones and with their artifacts, print and write that, and exit with the verdict.

    Args:
        limit: The largest slowdown, as a share; None for any.
        files: Where to write JSON and CSV.
        more: Other values of the JSON.
    """
    from shvit_mobile.apps.comparison_csv import format_csv
    from shvit_mobile.apps.devices import compare_devices
    from shvit_mobile.apps.findings import evaluate_devices

    comparison = compare_devices(runs, manifests=manifests, baseline=earlier)
    verdict = evaluate_devices(runs, comparison, limit)
    values = {**to_contract_json(comparison), "gate": to_contract_json(verdict), **more}
    if files is not None:
        out, table = files
        write_outputs((out, json.dumps(values, indent=1) + "\n"), (table, format_csv(comparison)), overwrite=overwrite)
    _print_row_notes(comparison, bool(manifests))
    if as_json:
        print_json(values)
    else:
        _print_devices(comparison, limit)
    print_verdict(verdict)


def _print_row_notes(found: DeviceComparison, joined: bool) -> None:
    """Print which rows are fixtures, and which belong to none of the artifacts that were given."""
    for source in dict.fromkeys(row.source for row in found.rows if row.fixture):
        print_note(f"note: {source} is a {_FIXTURE_NOTICE}.")
    for sentence in _describe_timings(found.rows):
        print_note(f"note: {sentence}")
    for one in found.failures:
        print_note(f"note: {one.device} could not measure {one.artifact} ({_format_unit(one.unit)}): {one.error}")
    if joined:
        for name in dict.fromkeys(row.artifact for row in found.rows if not row.known):
            print_note(f"note: {name} is not one of the artifacts you gave; its SHA-256 was not checked.")


def _describe_timings(rows: Iterable[DeviceRow]) -> Iterator[str]:
    """Describe each report whose samples cover more than the call of the runtime."""
    from shvit_mobile.apps.devices import TIMING_PHRASES

    for source, timed in dict.fromkeys((row.source, row.timed) for row in rows):
        if timed != "runtime-call":
            yield (
                f"{source} is of an app that timed {TIMING_PHRASES[timed]}: its latencies are longer than those of "
                "other reports."
            )


def _print_devices(found: DeviceComparison, limit: float | None) -> None:
    """Print a table of each run, then tables across runs."""
    for _, rows in groupby(found.rows, key=lambda row: row.source):
        run = list(rows)
        stages = [_build_stage_table(run)] if any(row.frame_p50 is not None for row in run) else []
        print_table(_build_run_table(run), *stages, *_describe_run(run), "")
    if len({row.source for row in found.rows}) > 1:
        print_table(_build_fastest_table(found.rows), "")
    if found.comparisons:
        print_table(_build_comparison_table(found.comparisons, limit), "")
    if found.drift:
        print_table(_build_drift_pair_table(found.drift))


def _build_run_table(rows: Sequence[DeviceRow]) -> Table:
    """Build the table of one run, with a line for each artifact on each compute unit."""
    first = rows[0]
    mark = f" · {_FIXTURE_NOTICE}" if first.fixture else ""
    model = f" ({first.model})" if first.model != first.device else ""
    table = create_table(f"{first.device}{model}, {first.system}, {first.created[:10]}{mark}", gap=1)
    for heading in ("artifact", "unit"):
        table.add_column(heading, no_wrap=True)
    for heading in ("p50\nms", "95%\ninterval", "p90", "p99", "load\nms", "com-\npile ms", "peak\nMB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("golden", ""):
        table.add_column(heading, no_wrap=True)
    for name, group in groupby(rows, key=lambda row: row.artifact):
        for index, row in enumerate(group):
            table.add_row(
                format_cell(break_before_precision(name, row.precision)) if index == 0 else "",
                format_cell(_format_unit(row.unit)),
                format_milliseconds(row.p50),
                _format_interval(row),
                format_milliseconds(row.p90),
                format_milliseconds(row.p99),
                format_number(row.load_ms, 0),
                NO_VALUE if row.compile_ms is None else format_number(row.compile_ms, 0),
                NO_VALUE if row.peak_memory_bytes is None else format_number(row.peak_memory_bytes / 1e6, 0),
                _format_golden_outcome(row.preprocessing_passed, row.inference_passed),
                _format_speed_rank(row),
                style="green" if row.fastest else "red" if row.slowest else None,
            )
    return table


def _build_stage_table(rows: Sequence[DeviceRow]) -> Table:
    """Build the table of the stages of whole frames: medians, in milliseconds."""
    table = create_table("Whole frames: median of each stage, ms", gap=1)
    for heading in ("artifact", "unit"):
        table.add_column(heading, no_wrap=True)
    for heading in ("prepro-\ncessing", "tensor", "infer-\nence", "decoding", "whole\nframe", "frames\nper s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, group in groupby(rows, key=lambda row: row.artifact):
        for index, row in enumerate(group):
            stages = (row.preprocessing_p50, row.tensor_p50, row.inference_p50, row.decoding_p50, row.frame_p50)
            table.add_row(
                format_cell(break_before_precision(name, row.precision)) if index == 0 else "",
                format_cell(_format_unit(row.unit)),
                *map(format_milliseconds, stages),
                format_number(1000 / row.frame_p50, 0) if row.frame_p50 else NO_VALUE,
            )
    return table


def _describe_run(rows: Sequence[DeviceRow]) -> list[str]:
    """Describe the state of the phone and its sustained run, in one line or none."""
    first = rows[0]
    sentences = [
        *([f"Worst thermal state: {first.worst_thermal}."] if first.worst_thermal else []),
        *(["Low-power mode was on."] if first.low_power else []),
        *(
            f"At the end of a sustained run, {row.artifact} ({row.unit}) took {row.sustained:.2f} times as long."
            for row in rows
            if row.sustained is not None
        ),
    ]
    return [" ".join(sentences)] if sentences else []


def _build_fastest_table(rows: Sequence[DeviceRow]) -> Table:
    """Build a table of each artifact's fastest compute unit on each device, the fastest device first."""
    table = create_table("Fastest compute unit of each artifact on each device", gap=1)
    table.add_column("artifact", no_wrap=True)
    table.add_column("device", overflow="fold")
    table.add_column("unit", no_wrap=True)
    for heading in ("p50\nms", "95%\ninterval", "times as\nlong"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("slowest unit", "thermal"):
        table.add_column(heading, no_wrap=True)
    for name in dict.fromkeys(row.artifact for row in rows):
        of_artifact = [row for row in rows if row.artifact == name]
        runs = [
            [row for row in of_artifact if row.source == source]
            for source in dict.fromkeys(row.source for row in of_artifact)
        ]
        best = sorted(
            ((min(run, key=_get_p50), max(run, key=_get_p50)) for run in runs), key=lambda pair: _get_p50(pair[0])
        )
        for index, (fastest, slowest) in enumerate(best):
            table.add_row(
                format_cell(break_before_precision(name, fastest.precision)) if index == 0 else "",
                format_cell(_format_dated_device(fastest)),
                format_cell(_format_unit(fastest.unit)),
                format_milliseconds(fastest.p50),
                _format_interval(fastest),
                f"{fastest.p50 / best[0][0].p50:.2f}" if fastest.timed == best[0][0].timed else NO_VALUE,
                format_cell(f"{_format_unit(slowest.unit)}: {format_milliseconds(slowest.p50)}")
                if slowest is not fastest
                else NO_VALUE,
                fastest.worst_thermal or NO_VALUE,
            )
    return table


def _build_comparison_table(comparisons: Iterable[RunComparison], limit: float | None) -> Table:
    """Build a table of runs and their earlier runs; medians of rounds, in milliseconds."""
    from shvit_mobile.apps.regression import evaluate_slowdown

    table = create_table("Comparison with earlier runs", "device", gap=1)
    for heading in ("artifact", "unit"):
        table.add_column(heading, no_wrap=True)
    for heading in ("earlier\nms", "now\nms", "time,\n%", "95% interval,\n%"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    colors = {"slower": "red", "open": "yellow", "within": None, "other timing": "yellow"}
    verdict: str
    for one in comparisons:
        slowdown = one.slowdown
        verdict = "within" if limit is None else evaluate_slowdown(slowdown, limit)
        if not one.same_timing:
            verdict = "other timing"
        table.add_row(
            format_cell(f"{one.device}\nsince {one.earlier_created[:10]}{_format_fixture_mark(one.fixture)}"),
            format_cell(break_before_precision(one.artifact, one.precision)),
            format_cell(_format_unit(one.unit)),
            format_milliseconds(one.earlier_ms),
            format_milliseconds(one.later_ms),
            f"{100 * (slowdown.value - 1):+.1f}" if one.same_timing else NO_VALUE,
            NO_VALUE
            if slowdown.low is None or slowdown.high is None or not one.same_timing
            else f"{100 * (slowdown.low - 1):+.1f} to {100 * (slowdown.high - 1):+.1f}",
            "" if limit is None and one.same_timing else verdict,
            style=colors[verdict],
        )
    return table


def _build_drift_pair_table(pairs: Sequence[DriftPair]) -> Table:
    """Build a table with a line for each artifact on each device: the compute unit with the worst goldens."""
    table = create_table(
        "Drift here (artifact and float model) and on the device (its worst unit and the artifact here)",
        gap=1,
    )
    table.add_column("artifact", no_wrap=True)
    table.add_column("device", overflow="fold")
    table.add_column("unit", no_wrap=True)
    for heading in ("dB\nhere", "dB on\ndevice", "error\nhere", "error on\ndevice", "class\nhere", "class on\ndevice"):
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
                format_cell(worst.device + _format_fixture_mark(worst.fixture)),
                format_cell(_format_unit(worst.unit)),
                format_decibels(worst.host_sqnr_db),
                format_decibels(check.sqnr_db),
                format_significant(worst.host_max_abs_error, 2),
                format_significant(check.largest_difference, 2),
                NO_VALUE if worst.host_agreement is None else f"{format_percent(worst.host_agreement)}%",
                NO_VALUE if check.same_class is None else f"{check.same_class}/{check.images}",
                _format_golden_outcome(check.preprocessing_passed, check.inference_passed),
                style=None if check.passed else "red",
            )
    return table


def _get_p50(row: DeviceRow) -> float:
    return row.p50


def _format_interval(row: DeviceRow) -> str:
    """Return the interval of the median of the rounds' medians."""
    if row.typical_low is None or row.typical_high is None:
        return f"{pluralize(row.rounds, 'round')}: {NO_VALUE}"
    return f"{format_milliseconds(row.typical_low)}–{format_milliseconds(row.typical_high)}"


def _format_golden_outcome(preprocessing_passed: bool | None, inference_passed: bool | None) -> str:
    """Return the outcome of the golden check: which part of it failed."""
    if preprocessing_passed is None:
        return NO_VALUE
    parts = {"pixels": preprocessing_passed, "logits": inference_passed}
    wrong = [name for name, right in parts.items() if not right]
    return f"{' and '.join(wrong)} wrong" if wrong else "passed"


def _format_speed_rank(row: DeviceRow) -> str:
    return "fastest" if row.fastest else "slowest" if row.slowest else ""


def _format_dated_device(row: DeviceRow) -> str:
    return f"{row.device}\n{row.created[:10]}{_format_fixture_mark(row.fixture)}"


def _format_fixture_mark(fixture: bool) -> str:
    return "\nFIXTURE" if fixture else ""


def _format_unit(name: str) -> str:
    """Return a short name of compute units."""
    return name.replace("cpu-and-neural-engine", "cpu + NE").replace("cpu-and-gpu", "cpu + gpu")
