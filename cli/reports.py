"""The two reports on the inside of artifacts: drift layer by layer, and every value against fp16's range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .console import print_note, print_table
from .progress import JobProgress
from .tables import create_table, format_cell, format_decibels, format_significant

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.drift_report import GateVerdict, LayerReport, RangeReport, ValueRange
    from shvit_mobile.families.trained_model import TrainedModel
    from shvit_mobile.images.image_set import ImageSet

# Every layer is compared in all its values, so few images tell what many would.
LAYER_IMAGES = 32
# Of the table of ranges.
SHOWN_VALUES = 20


def check_layers_observable(artifacts: Sequence[Artifact]) -> None:
    """Raises `InvalidConfig` where nobody can look into any of the artifacts."""
    from shvit_mobile.runtimes.probes.layers import OPAQUE_TARGETS, check_probe_support

    if all(artifact.manifest.target in OPAQUE_TARGETS for artifact in artifacts):
        check_probe_support(artifacts[0])


def compare_artifact_layers(
    artifacts: Sequence[Artifact], trained: TrainedModel, sets: Sequence[ImageSet], seed: int, steps: JobProgress
) -> list[LayerReport]:
    """The layers of each artifact that can be looked into; a word on stderr on each that cannot."""
    from shvit_mobile.drift.layer_drift import compare_layers
    from shvit_mobile.runtimes.probes.layers import OPAQUE_TARGETS

    reports = []
    for artifact, images in zip(artifacts, sets, strict=True):
        if artifact.manifest.target in OPAQUE_TARGETS:
            print_note(f"note: no layers of {artifact.path.name}. {OPAQUE_TARGETS[artifact.manifest.target]}")
            continue
        some = images.sample(min(LAYER_IMAGES, len(images)), seed)
        with steps.step(f"Comparing the layers of {artifact.path.name}") as tick:
            reports.append(compare_layers(artifact, trained, some, progress=tick))
    return reports


def measure_artifact_ranges(
    artifacts: Sequence[Artifact], trained: TrainedModel, sets: Sequence[ImageSet], steps: JobProgress
) -> list[RangeReport]:
    """The ranges of each artifact."""
    from shvit_mobile.drift.value_ranges import measure_ranges

    reports = []
    for artifact, images in zip(artifacts, sets, strict=True):
        with steps.step(f"Measuring the ranges of {artifact.path.name}") as tick:
            reports.append(measure_ranges(artifact, trained, images, progress=tick))
    return reports


def add_range_violations(verdict: GateVerdict | None, reports: Sequence[RangeReport]) -> GateVerdict | None:
    """The verdict, failed as well where a value overflows or went silent, with a caveat for each note."""
    if not reports:
        return verdict

    from shvit_mobile.contracts.drift_report import GateVerdict

    flags = (f"{report.artifact}: {flag}" for report in reports for flag in report.flags)
    notes = (f"{report.artifact}: {remark}" for report in reports for remark in report.notes)
    return (verdict or GateVerdict.from_findings()).extend(flags, notes)


def print_layers_and_ranges(layers: Sequence[LayerReport], ranges: Sequence[RangeReport]) -> None:
    for layered in layers:
        print_table("", build_layer_table(layered), describe_divergence(layered))
    for ranged in ranges:
        print_table("", build_range_table(ranged), describe_ranges(ranged))


def build_layer_table(report: LayerReport) -> Table:
    """A line for each layer, in the order of the data."""
    table = create_table(f"Layers of {report.artifact}, SQNR in dB, {report.images} images")
    for heading in ("layer", "kind"):
        table.add_column(heading, no_wrap=True)
    for heading in ("free-\nrunning", "teacher-\nforced"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in report.rows:
        below = min(row.free_db, row.forced_db) < report.threshold_db
        mark = "first divergence" if row.layer == report.first else "below" if below else ""
        style = "bold red" if row.layer == report.first else None
        table.add_row(
            format_cell(row.layer),
            row.kind,
            format_decibels(row.free_db),
            format_decibels(row.forced_db),
            mark,
            style=style,
        )
    return table


def describe_divergence(report: LayerReport) -> str:
    """Where drift begins, and which layers make most of it."""
    alone = {row.layer: format_decibels(row.forced_db) for row in report.rows}
    first = f"Run by {report.engine}. First below {report.threshold_db:g} dB: {report.first or 'none'}."
    named = ", ".join(f"{layer} ({alone[layer]})" for layer in report.worst[:5])
    return f"{first} Worst when given the float model's values (teacher-forced): {named}."


def build_range_table(report: RangeReport) -> Table:
    """The values that come nearest to fp16's largest number, or pass it."""
    table = create_table(f"Values of {report.artifact} against fp16's range, {report.images} images", gap=1)
    table.add_column("layer", no_wrap=True)
    table.add_column("value", overflow="fold")
    for heading in ("largest", "headroom,\nbits", "smallest\npeak", "sub-\nnormal %"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("in fp16", no_wrap=True)
    for row in report.values[:SHOWN_VALUES]:
        table.add_row(
            format_cell(row.layer),
            format_cell(f"{row.part} in {row.operator}" if row.part else row.operator),
            format_significant(row.largest, 3),
            f"{row.headroom_bits:.1f}",
            format_significant(row.smallest_peak, 2),
            f"{100 * row.subnormal:.1f}",
            format_range_outcome(row),
            style="bold red" if row.headroom_bits < 0 or row.silent or row.not_finite else None,
        )
    return table


def format_range_outcome(row: ValueRange) -> str:
    """What became of a value in the fp16 run."""
    if row.not_finite:
        return "not finite"
    return "silent" if row.silent else ""


def describe_ranges(report: RangeReport) -> str:
    """What the table leaves out, and what it says as a whole."""
    more = (
        f"{len(report.values) - SHOWN_VALUES} smaller values more; --json has all. "
        if len(report.values) > SHOWN_VALUES
        else ""
    )
    would = "" if report.computes_in_half else "The artifact holds nothing in fp16; this is what would become of it. "
    found = f"{len(report.flags)} faults." if report.flags else "Nothing overflows and no branch is silent."
    return f"{more}Run by {report.engine}. {would}{found}"
