"""The tables: drift, artifacts and pairs of name and value; each fits 100 columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from .errors import printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.device_report import DeviceReport
    from shvit_mobile.contracts.drift_report import Apart
    from shvit_mobile.contracts.drift_row import DriftRow, Share
    from shvit_mobile.contracts.sensitivity import Sensitivity

NONE = "–"


def drift_table(rows: Sequence[DriftRow], sizes: Mapping[str, int]) -> Table:
    """One line an artifact.

    Args:
        rows: what was measured, all on the same images.
        sizes: bytes of each artifact by its file name.
    """
    table = titled(f"Drift from the float model, {images_seen(rows)}", "artifact", gap=1)
    for heading in ("preci-\nsion", "how"):
        table.add_column(heading, no_wrap=True)
    for heading in ("MB", "top-1 %", "drop,\npoints", "agree-\nment %", "SQNR\ndB", "max\nerror", "mean\nKL"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            cell(in_two(row.artifact, row.precision)),
            cell(row.precision.replace("-", "-\n")),
            cell(how(row)),
            megabytes(sizes[row.artifact]) if row.artifact in sizes else NONE,
            with_interval(row.top1),
            points(row),
            f"{100 * row.agreement.value:.2f}",
            decibels(row.sqnr_db),
            short(row.max_abs_error, 2),
            short(row.mean_kl, 1),
        )
    return table


def artifact_table(artifacts: Iterable[Artifact], folder: str) -> Table:
    """What was written where."""
    table = titled(f"Written into {folder}", "artifact", "precision")
    for heading in ("MB", "int8 layers", "SHA-256"):
        table.add_column(heading, justify="right", no_wrap=True)
    for artifact in artifacts:
        manifest = artifact.manifest
        table.add_row(
            cell(artifact.path.name),
            cell(manifest.precision_name),
            megabytes(manifest.artifact.bytes),
            str(manifest.inventory.quantized_layers),
            f"{manifest.artifact.sha256[:12]}…",
        )
    return table


def latency_table(report: DeviceReport) -> Table:
    """One line a contestant, in the order they were given."""
    settings = report.settings
    title = f"Latency in ms on {report.device.model}, {settings.threads_in_words}, batch {settings.batch}"
    table = titled(title, "", gap=1)
    headings = ("p50", "p90", "p99", "times as\nfast", "of the\nroof")
    for heading in (*headings, "load\nms", "first\nms", "load\nMB", "run\nMB", "disk\nMB"):
        table.add_column(heading, justify="right", no_wrap=True)
    drifted = any(result.drift for result in report.results)
    for heading in ("SQNR\ndB", "drop") if drifted else ():
        table.add_column(heading, justify="right", no_wrap=True)
    for result in report.results:
        latency, drift = result.latency, result.drift
        table.add_row(
            cell(result.name),
            *(f"{value:.2f}" for value in (latency.p50, latency.p90, latency.p99)),
            NONE
            if result.ratio is None
            else f"{result.ratio.value:.2f}\n{result.ratio.low:.2f}–{result.ratio.high:.2f}",
            NONE if result.roof_share is None else f"{100 * result.roof_share:.0f}%",
            f"{result.load_ms:.0f}",
            f"{result.first_ms:.1f}",
            *(
                NONE if size is None else megabytes(size)
                for size in (result.peak_memory_bytes, result.running_memory_bytes, result.size_bytes)
            ),
            *((f"{drift.sqnr_db:.1f}" if drift else NONE, points(drift)) if drifted else ()),
        )
    return table


def sensitivity_table(sensitivity: Sensitivity, most: int = 10) -> Table:
    """What single layers cost in int8, `most` of them, the worst first."""
    from shvit_mobile.contracts.sensitivity import worst_first

    layers, total = sensitivity.layers, sum(row.macs for row in sensitivity.layers) or 1
    shown = f"the worst {most} of {len(layers)} layers" if most < len(layers) else f"{len(layers)} layers"
    title = f"What int8 costs: {decibels(sensitivity.int8_db)} dB in all, {sensitivity.images} images, {shown}"
    table = titled(title, "layer")
    for heading in ("noise\n%", "alone in\nint8, dB", "mean\nKL", "alone in\nfloat, dB", "multiply-\nadds %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row, noise in worst_first(layers)[:most]:
        table.add_row(
            cell(row.layer),
            f"{100 * noise:.1f}",
            decibels(row.quantized_db),
            short(row.quantized_kl, 2),
            decibels(row.float_db),
            f"{100 * row.macs / total:.1f}",
        )
    return table


def points(drift: DriftRow | None) -> str:
    """Points of top-1 lost, where there were labels."""
    return NONE if drift is None or drift.top1_drop is None else f"{drift.top1_drop:.2f}"


def roof_lines(report: DeviceReport) -> list[str]:
    """What the shares of the roof are shares of."""
    return [
        f"The roof for {precision}: {roof.gops:.0f} billion operations a second, the best of the installed libraries "
        f"in a product of matrices ({roof.reached_by})."
        for precision, roof in report.roofs.items()
    ]


def pairs(title: str, values: Mapping[str, object]) -> Table:
    """Names and values; None is left out."""
    table = titled(title, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in values.items():
        if value is not None:
            table.add_row(cell(name), cell(str(value)))
    return table


def titled(title: str, *columns: str, show_header: bool = True, gap: int = 2) -> Table:
    """A table with some columns of text, `gap` characters apart; "" for no title."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=cell(title) if title else None,
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


def cell(text: str) -> Text:
    """Text from outside, in which brackets mean brackets and nothing steers the terminal."""
    from rich.text import Text

    return Text(printable(text))


def distance_line(apart: Apart) -> str:
    """How far one program's answers on two CPUs are from each other, in words."""
    return (
        f"{apart.artifact}: {apart.second} chooses the class that {apart.first} chooses here on "
        f"{100 * apart.agreement.value:.2f}% of {apart.images} images; no logit differs by more than "
        f"{short(apart.max_abs_error, 2)} (SQNR {decibels(apart.sqnr_db)} dB)."
    )


def how(row: DriftRow) -> str:
    """What ran, with the CPU below where it was emulated."""
    return row.how if row.cpu is None else f"{row.how}\n{row.cpu.arch}\n{row.cpu.name}"


def in_two(name: str, precision: str) -> str:
    """A file name in two lines, broken before its precision, so that ten columns fit beside it."""
    head, found, tail = name.rpartition(f"-{precision}")
    return f"{head}-\n{precision}{tail}" if found else name


def with_interval(share: Share | None) -> str:
    """A share in percent, and its 95% interval below."""
    if share is None:
        return NONE
    return f"{100 * share.value:.2f}\n{100 * share.low:.1f}–{100 * share.high:.1f}"


def decibels(value: float) -> str:
    """Whole ones from 100 on, where the next digit says nothing."""
    return "∞" if value == float("inf") else f"{value:.{0 if value >= 100 else 1}f}"


def short(value: float, digits: int) -> str:
    """A few significant digits, and no zeros in the exponent."""
    return re.sub(r"e([+-])0", r"e\1", f"{value:.{digits}g}")


def images_seen(rows: Sequence[DriftRow]) -> str:
    seen, skipped = rows[0].images, rows[0].skipped
    return f"{seen} images{f', {skipped} skipped' if skipped else ''}"


def megabytes(count: int) -> str:
    return f"{count / 1e6:.2f}" if count < 1e7 else f"{count / 1e6:.1f}"


def by(size: tuple[int, int]) -> str:
    """Height x width."""
    return f"{size[0]}x{size[1]}"
