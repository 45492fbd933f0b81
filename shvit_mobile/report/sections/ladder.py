"""The drift ladder: from the float model down to what a phone runs, on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.contracts.drift_report import DriftReport, GateVerdict
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.report.charts.svg import AxisScale, fit_scale
from shvit_mobile.report.charts.whisker import draw_axis, draw_whisker
from shvit_mobile.report.display_names import format_label
from shvit_mobile.report.formatting import (
    NO_VALUE,
    PRECISION_ORDER,
    TARGET_ORDER,
    abbreviate_sha256,
    find_rank,
    format_decibels,
    format_drop_interval,
    format_interval,
    format_percent,
    format_points,
    format_significant,
    pluralize,
)
from shvit_mobile.report.sections.section import PageSection
from shvit_mobile.report.verdict import capitalize_sentence


@dataclass(frozen=True)
class LadderRow:
    """One row; graphics are None where there is no figure."""

    label: str
    file: str
    how: str
    engine: str
    top1: str
    top1_interval: str
    drop: str
    drop_interval: str
    drop_graphic: Markup | None
    agreement: str
    agreement_interval: str
    agreement_graphic: Markup | None
    sqnr: str
    error: str
    kl: str


@dataclass(frozen=True)
class Ladder:
    """Rows that saw the same images.

    Attributes:
        caption: which images, in words.
        assurance: why the rows may be compared, or why nobody can tell.
        drop_axis, agreement_axis: for the heads of the columns; None where no row has the figure.
        gates: of each drift report that held one against its rows.
        apart: sentences on one program's answers on two CPUs.
    """

    caption: str
    assurance: str
    rungs: tuple[LadderRow, ...]
    drop_axis: Markup | None
    agreement_axis: Markup
    gates: tuple[GateVerdict, ...] = ()
    apart: tuple[str, ...] = ()


def build_ladder_section(report: ModelReport) -> PageSection | None:
    found = [
        *(build_measured_ladder(reports) for reports in group_by_images(report.drift)),
        *build_recorded_ladders(report),
    ]
    used = list(dict.fromkeys(rung.how for one in found for rung in one.rungs if rung.how in EXECUTION_DESCRIPTIONS))
    data = {
        "ladders": found,
        "hows": [(how, EXECUTION_DESCRIPTIONS[how]) for how in EXECUTION_DESCRIPTIONS if how in used],
    }
    return PageSection("ladder", "The drift ladder", "Drift", data) if found else None


EXECUTION_DESCRIPTIONS = {
    "native": "the target's own runtime ran the artifact",
    "reference": "this project's executor of the specification ran it, not the phone's kernels",
    "emulated": "the target's own runtime ran it on an emulated CPU",
    "simulated": "PyTorch computed what an artifact is to compute; no artifact ran",
}


def group_by_images(drift: Sequence[DriftReport]) -> list[list[DriftReport]]:
    """The reports that saw the same images with the same float model."""
    groups: dict[tuple[str, str], list[DriftReport]] = {}
    for one in drift:
        groups.setdefault((one.images.sha256, one.checkpoint.sha256), []).append(one)
    return list(groups.values())


def build_measured_ladder(reports: Sequence[DriftReport]) -> Ladder:
    """The ladder of drift reports that saw the same images."""
    images, checkpoint = reports[0].images, reports[0].checkpoint
    rows: list[DriftRow] = []
    for report in reports:
        rows += [row for row in report.rows if row not in rows]
    together = f" in all {len(reports)} drift reports" if len(reports) > 1 else ""
    chosen = f", chosen with seed {images.seed}" if images.seed is not None else ""
    return build_ladder(
        rows,
        source=checkpoint.source,
        caption=f"{pluralize(images.count, 'image')} of “{images.source}”{chosen}"
        f"{'' if images.labelled else ', without labels'}",
        assurance=f"The same images in every row{together} (SHA-256 over their bytes: {abbreviate_sha256(images.sha256)}).",
        gates=tuple(dict.fromkeys(report.gate for report in reports if report.gate)),
        apart=tuple(
            f"{format_label(one.artifact, *find_target_and_precision(rows, one.artifact))}: {one.second} chooses the same class as {one.first} on "
            f"{format_percent(one.agreement.value)}% of {pluralize(one.images, 'image')}; no logit differs by more than "
            f"{format_significant(one.max_abs_error)} (SQNR {format_decibels(one.sqnr_db)} dB)."
            for report in reports
            for one in report.apart
        ),
    )


def find_target_and_precision(rows: Sequence[DriftRow], artifact: str) -> tuple[str | None, str | None]:
    return next(((row.target, row.precision) for row in rows if row.artifact == artifact), (None, None))


def build_recorded_ladders(report: ModelReport) -> list[Ladder]:
    """A ladder of what manifests and benchmarks recorded of artifacts that no drift report has measured."""
    rows = [one.drift for one in report.artifacts if one.drift and one.recorded]
    if not rows:
        return []
    sources = {one.model.source for one in report.manifests}
    return [
        build_ladder(
            rows,
            source=next(iter(sources)) if len(sources) == 1 else "each its own",
            caption="As recorded at export",
            assurance="Read from manifests, which do not say which images were seen: rows are comparable only if "
            "the artifacts were validated on the same folder. A drift report would tell.",
        )
    ]


def build_ladder(
    rows: Sequence[DriftRow],
    *,
    source: str,
    caption: str,
    assurance: str,
    gates: tuple[GateVerdict, ...] = (),
    apart: tuple[str, ...] = (),
) -> Ladder:
    """Rows in the order of the data, below the float model."""
    drops = [value for row in rows if row.top1_drop_interval for value in (*row.top1_drop_interval, 0.0)]
    drop_scale = fit_scale(drops, least=0.1) if drops else None
    agreement_scale = AxisScale(min([0.99, *(row.agreement.low for row in rows)]) * 100 - 0.1, 100.1)
    ordered = sorted(rows, key=rank_drift_row)
    return Ladder(
        caption=caption,
        assurance=assurance,
        rungs=(build_float_row(rows, source), *(build_ladder_row(row, drop_scale, agreement_scale) for row in ordered)),
        drop_axis=draw_axis(drop_scale, 3) if drop_scale else None,
        agreement_axis=draw_axis(agreement_scale, 3),
        gates=gates,
        apart=apart,
    )


def rank_drift_row(row: DriftRow) -> tuple[bool, float, float, str, bool]:
    """What is simulated first, in the order it was given; then target by target."""
    simulated = row.how == "simulated"
    return (
        not simulated,
        0 if simulated else find_rank(row.target, TARGET_ORDER),
        0 if simulated else find_rank(row.precision, PRECISION_ORDER),
        "" if simulated else row.artifact,
        row.how == "emulated",
    )


def build_float_row(rows: Sequence[DriftRow], source: str) -> LadderRow:
    """The uppermost row, which all others are compared with."""
    top1 = next((row.float_top1 for row in rows if row.float_top1), None)
    return LadderRow(
        label="Float model",
        file=source,
        how="float",
        engine="as it was trained",
        top1=format_percent(top1.value) if top1 else NO_VALUE,
        top1_interval=format_interval(top1) if top1 else "",
        drop="",
        drop_interval="",
        drop_graphic=None,
        agreement="",
        agreement_interval="",
        agreement_graphic=None,
        sqnr="",
        error="",
        kl="",
    )


def build_ladder_row(row: DriftRow, drops: AxisScale | None, agreements: AxisScale) -> LadderRow:
    name, graphic = format_label(row.artifact, row.target, row.precision), None
    if drops and row.top1_drop is not None and row.top1_drop_interval:
        graphic = draw_whisker(row.top1_drop, *row.top1_drop_interval, drops, zero=0.0)
    share = row.agreement
    return LadderRow(
        label=capitalize_sentence(name) if row.how == "simulated" else name,
        file=row.artifact if name != row.artifact else row.precision,
        how=row.how,
        engine=row.engine if row.cpu is None else f"{row.engine}, {row.cpu.arch} {row.cpu.name}",
        top1=format_percent(row.top1.value) if row.top1 else NO_VALUE,
        top1_interval=format_interval(row.top1) if row.top1 else "",
        drop=format_points(row.top1_drop),
        drop_interval=format_drop_interval(row),
        drop_graphic=graphic,
        agreement=format_percent(share.value),
        agreement_interval=format_interval(share),
        agreement_graphic=draw_whisker(100 * share.value, 100 * share.low, 100 * share.high, agreements),
        sqnr=format_decibels(row.sqnr_db),
        error=format_significant(row.max_abs_error),
        kl=format_significant(row.mean_kl, 1),
    )
