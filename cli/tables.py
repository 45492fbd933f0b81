"""Builds the tables that several commands print; each fits 100 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from shvit_mobile.report.formatting import (
    NO_VALUE,
    abbreviate_sha256,
    format_ap,
    format_ap_drop,
    format_cosine,
    format_decibels,
    format_megabytes,
    format_milliseconds,
    format_number,
    format_percent,
    format_points,
    format_share,
    format_significant,
    pluralize,
)

from .errors import escape_unprintable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.device_report import DeviceReport
    from shvit_mobile.contracts.drift_row import DriftRow
    from shvit_mobile.contracts.instruction_report import InstructionCount, InstructionKind, InstructionReport
    from shvit_mobile.contracts.sensitivity import SensitivityReport


def build_drift_tables(rows: Sequence[DriftRow], sizes: Mapping[str, int]) -> list[Table]:
    """Build a table with a line for each artifact, or for maps one with a line for each map; for detectors one more.

    Args:
        rows: Drift, all measured on the same images.
        sizes: The bytes of each artifact, by its file name.
    """
    if not any(row.maps for row in rows):
        return [build_drift_table(rows, sizes)]
    return [build_map_table(rows, sizes), *([build_box_table(rows)] if any(row.boxes for row in rows) else [])]


def build_drift_table(rows: Sequence[DriftRow], sizes: Mapping[str, int]) -> Table:
    """Build a table with a line for each artifact.

    Args:
        rows: Drift, all measured on the same images.
        sizes: The bytes of each artifact, by its file name.
    """
    table = create_table(f"Drift from the float model, {_format_image_count(rows)}", "artifact", gap=1)
    for heading in ("preci-\nsion", "execution"):
        table.add_column(heading, no_wrap=True)
    for heading in ("MB", "top-1 %", "drop,\npoints", "agree-\nment %", "SQNR\ndB", "max\nerror", "mean\nKL"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            format_cell(break_before_precision(row.artifact, row.precision)),
            format_cell(row.precision.replace("-", "-\n")),
            format_cell(format_execution(row)),
            format_megabytes(sizes[row.artifact]) if row.artifact in sizes else NO_VALUE,
            format_share(row.top1, "{}\n{}"),
            format_points(row.top1_drop),
            format_percent(row.agreement.value if row.agreement else None, 2),
            format_decibels(row.sqnr_db),
            format_significant(row.max_abs_error, 2),
            format_significant(row.mean_kl, 1),
        )
    return table


def build_map_table(rows: Sequence[DriftRow], sizes: Mapping[str, int]) -> Table:
    """Build a table with a line for each map of each artifact; arguments as for `build_drift_table`."""
    table = create_table(f"Drift from the float model, {_format_image_count(rows)}", "artifact", gap=1)
    for heading in ("preci-\nsion", "execution"):
        table.add_column(heading, no_wrap=True)
    table.add_column("MB", justify="right", no_wrap=True)
    table.add_column("map", no_wrap=True)
    for heading in ("SQNR\ndB", "cosine", "worst\nchannel", "its\ndB", "max\nerror"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        for number, drift in enumerate(row.maps):
            first = (
                format_cell(break_before_precision(row.artifact, row.precision)),
                format_cell(row.precision.replace("-", "-\n")),
                format_cell(format_execution(row)),
                format_megabytes(sizes[row.artifact]) if row.artifact in sizes else NO_VALUE,
            )
            table.add_row(
                *(first if number == 0 else ("",) * len(first)),
                format_cell(drift.name),
                format_decibels(drift.sqnr_db),
                format_cosine(drift.cosine),
                str(drift.worst_channel),
                format_decibels(drift.worst_channel_db),
                format_significant(drift.max_abs_error, 2),
            )
    return table


def build_box_table(rows: Sequence[DriftRow]) -> Table:
    """Build a table with a line for each detector: the boxes that it shares with the float model, and its AP."""
    boxes = next(row.boxes for row in rows if row.boxes)
    precision = next((row.average_precision for row in rows if row.average_precision), None)
    title = f"Boxes with a score above {boxes.score_threshold:g}, IoU {boxes.iou_threshold:g} or more"
    if precision:
        true = pluralize(precision.true_boxes, "true box", "true boxes")
        ap, ap50 = format_ap(precision.float_ap), format_ap(precision.float_ap50)
        title += f". {true}; the float model's AP is {ap}%, AP50 {ap50}%"
    table = create_table(title, "artifact", gap=1)
    table.add_column("execution", no_wrap=True)
    for heading in ("float\nboxes", "boxes", "found by\nboth %", "mean\nIoU", "score\nerror"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("AP", "AP50", "drop,\npoints") if precision else ():
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        if row.boxes is None:
            continue
        found = row.average_precision
        table.add_row(
            format_cell(break_before_precision(row.artifact, row.precision)),
            format_cell(format_execution(row)),
            str(row.boxes.float_boxes),
            str(row.boxes.boxes),
            format_share(row.boxes.agreement, "{}\n{}"),
            NO_VALUE if row.boxes.mean_iou is None else format_number(row.boxes.mean_iou, 3),
            format_significant(row.boxes.max_score_difference, 2),
            *((format_ap(found.ap), format_ap(found.ap50), format_ap_drop(found, "{}\n{}")) if found else ()),
        )
    return table


def build_artifact_table(artifacts: Iterable[Artifact], folder: str) -> Table:
    """Build a table of artifacts that were written into a folder."""
    table = create_table(f"Written into {folder}", "artifact", "precision")
    for heading in ("MB", "int8 layers", "SHA-256"):
        table.add_column(heading, justify="right", no_wrap=True)
    for artifact in artifacts:
        manifest = artifact.manifest
        table.add_row(
            format_cell(artifact.path.name),
            format_cell(f"{manifest.precision_name}{' (unproven)' if manifest.is_unproven else ''}"),
            format_megabytes(manifest.artifact.bytes),
            str(manifest.inventory.quantized_layers),
            abbreviate_sha256(manifest.artifact.sha256),
        )
    return table


def build_latency_table(report: DeviceReport) -> Table:
    """Build a table with a line for each contestant, in the order they were given."""
    settings = report.settings
    title = f"Latency in ms on {report.device.model}, {settings.threads_text}, batch {settings.batch}"
    table = create_table(title, "", gap=1)
    headings = ("p50", "p90", "p99", "speed-\nup", "of the\nroofline")
    for heading in (*headings, "load\nms", "first\nms", "load\nMB", "run\nMB", "disk\nMB"):
        table.add_column(heading, justify="right", no_wrap=True)
    drifted = any(result.drift for result in report.results)
    for heading in ("SQNR\ndB", "drop") if drifted else ():
        table.add_column(heading, justify="right", no_wrap=True)
    for result in report.results:
        latency, drift = result.latency, result.drift
        table.add_row(
            format_cell(result.name),
            *map(format_milliseconds, (latency.p50, latency.p90, latency.p99)),
            NO_VALUE
            if result.ratio is None
            else f"{result.ratio.value:.2f}\n{result.ratio.low:.2f}–{result.ratio.high:.2f}",
            NO_VALUE if result.roof_share is None else f"{format_percent(result.roof_share, 0)}%",
            f"{result.load_ms:.0f}",
            f"{result.first_ms:.1f}",
            *map(format_megabytes, (result.peak_memory_bytes, result.running_memory_bytes, result.size_bytes)),
            *((format_decibels(drift.sqnr_db), format_points(drift.top1_drop)) if drift else (NO_VALUE,) * 2 * drifted),
        )
    return table


def build_instruction_table(report: InstructionReport, baseline: InstructionReport | None) -> Table:
    """Build a table with a line for each program and CPU: millions of instructions for one image."""
    table = create_table("Million instructions for one image", "", gap=1)
    table.add_column("CPU", no_wrap=True)
    columns: tuple[tuple[InstructionKind, ...], ...] = (
        ("sdot", "smmla", "widening", "fmla"),
        *(("load",), ("store",), ("branch",)),
        ("simd", "permute"),
        ("other",),
    )
    headings = ("all", "times the\nfirst", *(("change\n%",) if baseline else ()))
    for heading in (*headings, "mul-\ntiply-\nadds", "load", "store", "branch", "SIMD", "other", "mini-\nmum %"):
        table.add_column(heading, justify="right", no_wrap=True)
    first: dict[str, int] = {}
    for one in report.counts:
        first.setdefault(one.cpu.name, one.instructions)
        earlier = baseline and baseline.find(one.program, one.cpu.name)
        change = f"{one.instructions / earlier.instructions - 1:+.2%}".rstrip("%") if earlier else NO_VALUE
        kinds = [sum(one.kinds.get(kind, 0) for kind in column) for column in columns]
        table.add_row(
            format_cell(one.program),
            one.cpu.name,
            f"{one.instructions / 1e6:.2f}",
            f"{one.instructions / first[one.cpu.name]:.3f}",
            *((change,) if baseline else ()),
            *(f"{kind / 1e6:.2f}" for kind in kinds),
            NO_VALUE if one.minimum_share is None else format_percent(one.minimum_share, 0),
        )
    return table


def build_operator_table(count: InstructionCount, most: int = 10) -> Table:
    """Build a table of the `most` operators of a program that execute most instructions, and of all that is left."""
    title = f"{format_cell(count.program)} on {count.cpu.name}: {pluralize(len(count.operators), 'operator')}"
    table = create_table(title, "operator", gap=1)
    table.add_column("output", no_wrap=True)
    for heading in ("number", "million\ninstructions", "share\n%", "mini-\nmum %"):
        table.add_column(heading, justify="right", no_wrap=True)
    ranked = count.rank_operators()
    others = sum(one.instructions for _, one in ranked[most:])
    rows = [
        (one.name, one.describe_output(), str(number), one.instructions, one.minimum) for number, one in ranked[:most]
    ]
    if ranked[most:]:
        rows.append((f"the other {len(ranked) - most}", "", "", others, None))
    rows.append(("outside of operators", "", "", count.outside or 0, None))
    for name, output, number, instructions, minimum in rows:
        table.add_row(
            format_cell(name),
            output,
            number,
            f"{instructions / 1e6:.2f}",
            format_percent(instructions / count.instructions),
            NO_VALUE if minimum is None else format_percent(minimum / instructions, 0),
        )
    return table


def build_sensitivity_table(sensitivity: SensitivityReport, most: int = 10) -> Table:
    """Build a table of the `most` layers that int8 harms most, the worst first."""
    from shvit_mobile.contracts.sensitivity import rank_by_noise

    layers, total = sensitivity.layers, sum(row.macs for row in sensitivity.layers) or 1
    shown = f"the worst {most} of {len(layers)} layers" if most < len(layers) else f"{len(layers)} layers"
    title = f"Sensitivity to int8: {format_decibels(sensitivity.int8_db)} dB, {sensitivity.images} images, {shown}"
    table = create_table(title, "layer")
    for heading in ("noise\n%", "alone in\nint8, dB", "mean\nKL", "alone in\nfloat, dB", "multiply-\nadds %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row, noise in rank_by_noise(layers)[:most]:
        table.add_row(
            format_cell(row.layer),
            format_percent(noise),
            format_decibels(row.quantized_db),
            format_significant(row.quantized_kl, 2),
            format_decibels(row.float_db),
            format_percent(row.macs / total),
        )
    return table


def describe_rooflines(report: DeviceReport) -> list[str]:
    """Describe the peak throughput that shares of the roofline refer to."""
    return [
        f"Roofline for {precision}: {roof.gops:.0f} billion operations per second, the fastest matrix product of the "
        f"installed libraries ({roof.reached_by})."
        for precision, roof in report.roofs.items()
    ]


def build_pairs_table(title: str, values: Mapping[str, object]) -> Table:
    """Build a table of names and values; it leaves out None."""
    table = create_table(title, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in values.items():
        if value is not None:
            table.add_row(format_cell(name), format_cell(str(value)))
    return table


def create_table(title: str, *columns: str, show_header: bool = True, gap: int = 2) -> Table:
    """Create a table with columns of text, `gap` characters apart; "" means no title."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=format_cell(title) if title else None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, gap - 1, 0, 0),
        show_header=show_header,
        show_edge=False,
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def format_cell(text: str) -> Text:
    """Return text for a table without markup or control characters: names come from files that anyone may write."""
    from rich.text import Text

    return Text(escape_unprintable(text))


def format_execution(row: DriftRow) -> str:
    """Return the execution mode, with the emulated CPU below it."""
    return row.how if row.cpu is None else f"{row.how}\n{row.cpu.arch}\n{row.cpu.name}"


def break_before_precision(name: str, precision: str) -> str:
    """Return a file name in two lines, so that ten columns fit beside it."""
    head, found, tail = name.rpartition(f"-{precision}")
    return f"{head}-\n{precision}{tail}" if found else name


def _format_image_count(rows: Sequence[DriftRow]) -> str:
    skipped = rows[0].skipped
    return f"{pluralize(rows[0].images, 'image')}{f', {skipped} skipped' if skipped else ''}"


def format_size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
