"""The tables: drift, artifacts and pairs of name and value; each fits 100 columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from .errors import escape_unprintable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.device_report import DeviceReport
    from shvit_mobile.contracts.drift_report import CrossRuntimeDivergence
    from shvit_mobile.contracts.drift_row import DriftRow, ProportionEstimate
    from shvit_mobile.contracts.sensitivity import SensitivityReport

NO_VALUE = "–"


def build_drift_table(rows: Sequence[DriftRow], sizes: Mapping[str, int]) -> Table:
    """One line an artifact.

    Args:
        rows: what was measured, all on the same images.
        sizes: bytes of each artifact by its file name.
    """
    table = create_table(f"Drift from the float model, {format_image_count(rows)}", "artifact", gap=1)
    for heading in ("preci-\nsion", "how"):
        table.add_column(heading, no_wrap=True)
    for heading in ("MB", "top-1 %", "drop,\npoints", "agree-\nment %", "SQNR\ndB", "max\nerror", "mean\nKL"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            format_cell(break_before_precision(row.artifact, row.precision)),
            format_cell(row.precision.replace("-", "-\n")),
            format_cell(format_execution(row)),
            format_megabytes(sizes[row.artifact]) if row.artifact in sizes else NO_VALUE,
            format_share(row.top1),
            format_points(row),
            f"{100 * row.agreement.value:.2f}",
            format_decibels(row.sqnr_db),
            format_significant(row.max_abs_error, 2),
            format_significant(row.mean_kl, 1),
        )
    return table


def build_artifact_table(artifacts: Iterable[Artifact], folder: str) -> Table:
    """What was written where."""
    table = create_table(f"Written into {folder}", "artifact", "precision")
    for heading in ("MB", "int8 layers", "SHA-256"):
        table.add_column(heading, justify="right", no_wrap=True)
    for artifact in artifacts:
        manifest = artifact.manifest
        table.add_row(
            format_cell(artifact.path.name),
            format_cell(manifest.precision_name),
            format_megabytes(manifest.artifact.bytes),
            str(manifest.inventory.quantized_layers),
            f"{manifest.artifact.sha256[:12]}…",
        )
    return table


def build_latency_table(report: DeviceReport) -> Table:
    """One line a contestant, in the order they were given."""
    settings = report.settings
    title = f"Latency in ms on {report.device.model}, {settings.threads_text}, batch {settings.batch}"
    table = create_table(title, "", gap=1)
    headings = ("p50", "p90", "p99", "times as\nfast", "of the\nroof")
    for heading in (*headings, "load\nms", "first\nms", "load\nMB", "run\nMB", "disk\nMB"):
        table.add_column(heading, justify="right", no_wrap=True)
    drifted = any(result.drift for result in report.results)
    for heading in ("SQNR\ndB", "drop") if drifted else ():
        table.add_column(heading, justify="right", no_wrap=True)
    for result in report.results:
        latency, drift = result.latency, result.drift
        table.add_row(
            format_cell(result.name),
            *(f"{value:.2f}" for value in (latency.p50, latency.p90, latency.p99)),
            NO_VALUE
            if result.ratio is None
            else f"{result.ratio.value:.2f}\n{result.ratio.low:.2f}–{result.ratio.high:.2f}",
            NO_VALUE if result.roof_share is None else f"{100 * result.roof_share:.0f}%",
            f"{result.load_ms:.0f}",
            f"{result.first_ms:.1f}",
            *(
                NO_VALUE if size is None else format_megabytes(size)
                for size in (result.peak_memory_bytes, result.running_memory_bytes, result.size_bytes)
            ),
            *((f"{drift.sqnr_db:.1f}" if drift else NO_VALUE, format_points(drift)) if drifted else ()),
        )
    return table


def build_sensitivity_table(sensitivity: SensitivityReport, most: int = 10) -> Table:
    """What single layers cost in int8, `most` of them, the worst first."""
    from shvit_mobile.contracts.sensitivity import rank_by_noise

    layers, total = sensitivity.layers, sum(row.macs for row in sensitivity.layers) or 1
    shown = f"the worst {most} of {len(layers)} layers" if most < len(layers) else f"{len(layers)} layers"
    title = f"What int8 costs: {format_decibels(sensitivity.int8_db)} dB in all, {sensitivity.images} images, {shown}"
    table = create_table(title, "layer")
    for heading in ("noise\n%", "alone in\nint8, dB", "mean\nKL", "alone in\nfloat, dB", "multiply-\nadds %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row, noise in rank_by_noise(layers)[:most]:
        table.add_row(
            format_cell(row.layer),
            f"{100 * noise:.1f}",
            format_decibels(row.quantized_db),
            format_significant(row.quantized_kl, 2),
            format_decibels(row.float_db),
            f"{100 * row.macs / total:.1f}",
        )
    return table


def format_points(drift: DriftRow | None) -> str:
    """Points of top-1 lost, where there were labels."""
    return NO_VALUE if drift is None or drift.top1_drop is None else f"{drift.top1_drop:.2f}"


def describe_rooflines(report: DeviceReport) -> list[str]:
    """What the shares of the roof are shares of."""
    return [
        f"The roof for {precision}: {roof.gops:.0f} billion operations a second, the best of the installed libraries "
        f"in a product of matrices ({roof.reached_by})."
        for precision, roof in report.roofs.items()
    ]


def build_pairs_table(title: str, values: Mapping[str, object]) -> Table:
    """Names and values; None is left out."""
    table = create_table(title, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in values.items():
        if value is not None:
            table.add_row(format_cell(name), format_cell(str(value)))
    return table


def create_table(title: str, *columns: str, show_header: bool = True, gap: int = 2) -> Table:
    """A table with some columns of text, `gap` characters apart; "" for no title."""
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
    """Text from outside, in which brackets mean brackets and nothing steers the terminal."""
    from rich.text import Text

    return Text(escape_unprintable(text))


def describe_cross_runtime_divergence(apart: CrossRuntimeDivergence) -> str:
    """How far one program's answers on two CPUs are from each other, in words."""
    return (
        f"{apart.artifact}: {apart.second} chooses the class that {apart.first} chooses here on "
        f"{100 * apart.agreement.value:.2f}% of {apart.images} images; no logit differs by more than "
        f"{format_significant(apart.max_abs_error, 2)} (SQNR {format_decibels(apart.sqnr_db)} dB)."
    )


def format_execution(row: DriftRow) -> str:
    """What ran, with the CPU below where it was emulated."""
    return row.how if row.cpu is None else f"{row.how}\n{row.cpu.arch}\n{row.cpu.name}"


def break_before_precision(name: str, precision: str) -> str:
    """A file name in two lines, broken before its precision, so that ten columns fit beside it."""
    head, found, tail = name.rpartition(f"-{precision}")
    return f"{head}-\n{precision}{tail}" if found else name


def format_share(share: ProportionEstimate | None) -> str:
    """A share in percent, and its 95% interval below."""
    if share is None:
        return NO_VALUE
    return f"{100 * share.value:.2f}\n{100 * share.low:.1f}–{100 * share.high:.1f}"


def format_decibels(value: float) -> str:
    """Whole ones from 100 on, where the next digit says nothing."""
    return "∞" if value == float("inf") else f"{value:.{0 if value >= 100 else 1}f}"


def format_significant(value: float, digits: int) -> str:
    """A few significant digits, and no zeros in the exponent."""
    return re.sub(r"e([+-])0", r"e\1", f"{value:.{digits}g}")


def format_image_count(rows: Sequence[DriftRow]) -> str:
    seen, skipped = rows[0].images, rows[0].skipped
    return f"{seen} images{f', {skipped} skipped' if skipped else ''}"


def format_megabytes(count: int) -> str:
    return f"{count / 1e6:.2f}" if count < 1e7 else f"{count / 1e6:.1f}"


def format_size(size: tuple[int, int]) -> str:
    """Height x width."""
    return f"{size[0]}x{size[1]}"
