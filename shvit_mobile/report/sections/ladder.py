"""The section on the drift ladder: every form of the model, from the float model to what a phone runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.contracts.drift_report import DriftReport, GateVerdict
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.manifest import TARGET_ORDER
from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.report.charts.cells import draw_axis, draw_whisker
from shvit_mobile.report.charts.svg import AxisScale
from shvit_mobile.report.display_names import format_label
from shvit_mobile.report.formatting import (
    EXECUTION_DESCRIPTIONS,
    NO_VALUE,
    PRECISION_ORDER,
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
from shvit_mobile.report.sentences import describe_cross_runtime_divergence, describe_row_details
from shvit_mobile.report.verdict import capitalize_sentence


@dataclass(frozen=True)
class _LadderRow:
    """One row; the float model has only top-1, and a graphic is None if there is no value."""

    label: str
    file: str
    how: str
    engine: str
    top1: str
    top1_interval: str
    drop: str = ""
    drop_interval: str = ""
    drop_graphic: Markup | None = None
    agreement: str = ""
    agreement_interval: str = ""
    agreement_graphic: Markup | None = None
    sqnr: str = ""
    error: str = ""
    kl: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Ladder:
    """Rows that were measured on the same images.

    Attributes:
        caption: Describes the images.
        assurance: Why the rows can be compared, or why it is not known.
        drop_axis, agreement_axis: For the heads of the columns; None if no row has the value.
        gates: The gate of each drift report that has one.
        divergences: Sentences on the predictions of one program on two CPUs.
    """

    caption: str
    assurance: str
    rungs: tuple[_LadderRow, ...]
    drop_axis: Markup | None
    agreement_axis: Markup | None
    gates: tuple[GateVerdict, ...] = ()
    divergences: tuple[str, ...] = ()


def build_variables(report: ModelReport) -> dict[str, object] | None:
    found = [
        *(_build_measured_ladder(reports) for reports in _group_by_images(report.drift)),
        *_build_recorded_ladders(report),
    ]
    if not found:
        return None
    used = {rung.how for one in found for rung in one.rungs}
    return {
        "ladders": found,
        "hows": [(how, description) for how, description in EXECUTION_DESCRIPTIONS.items() if how in used],
    }


def _group_by_images(drift: Sequence[DriftReport]) -> list[list[DriftReport]]:
    """Group reports that measured the same images with the same float model."""
    groups: dict[tuple[str, str], list[DriftReport]] = {}
    for one in drift:
        groups.setdefault((one.images.sha256, one.checkpoint.sha256), []).append(one)
    return list(groups.values())


def _build_measured_ladder(reports: Sequence[DriftReport]) -> _Ladder:
    """Build the ladder of drift reports that measured the same images."""
    images, checkpoint = reports[0].images, reports[0].checkpoint
    rows: list[DriftRow] = []
    for report in reports:
        rows += [row for row in report.rows if row not in rows]
    together = f" in all {len(reports)} drift reports" if len(reports) > 1 else ""
    sampled = f", sampled with seed {images.seed}" if images.seed is not None else ""
    return _build_ladder(
        rows,
        source=checkpoint.source,
        caption=f"{pluralize(images.count, 'image')} of “{images.source}”{sampled}"
        f"{'' if images.labelled else ', without labels'}",
        assurance=" ".join(
            (
                f"Every row{together} was measured on the same images "
                f"(SHA-256 of their bytes: {abbreviate_sha256(images.sha256)}).",
                *images.list_notes(),
            )
        ),
        gates=tuple(dict.fromkeys(report.gate for report in reports if report.gate)),
        divergences=tuple(
            describe_cross_runtime_divergence(
                one, format_label(one.artifact, *_find_target_and_precision(rows, one.artifact))
            )
            for report in reports
            for one in report.apart
        ),
    )


def _find_target_and_precision(rows: Sequence[DriftRow], artifact: str) -> tuple[str | None, str | None]:
    return next(((row.target, row.precision) for row in rows if row.artifact == artifact), (None, None))


def _build_recorded_ladders(report: ModelReport) -> list[_Ladder]:
    """Build a ladder of the recorded drift of artifacts that are in no drift report."""
    rows = [one.drift for one in report.artifacts if one.drift and one.recorded]
    if not rows:
        return []
    sources = {one.model.source for one in report.manifests}
    return [
        _build_ladder(
            rows,
            source=next(iter(sources)) if len(sources) == 1 else "one for each artifact",
            caption="As recorded at export",
            assurance="These rows come from manifests, which do not record the images. Rows are comparable only if "
            "the artifacts were validated on the same images; a drift report records them.",
        )
    ]


def _build_ladder(
    rows: Sequence[DriftRow],
    *,
    source: str,
    caption: str,
    assurance: str,
    gates: tuple[GateVerdict, ...] = (),
    divergences: tuple[str, ...] = (),
) -> _Ladder:
    """Build a ladder with the float model above the other rows."""
    drops = [value for row in rows if row.top1_drop_interval for value in (*row.top1_drop_interval, 0.0)]
    drop_scale = _fit_drop_scale(drops) if drops else None
    shares = [row.agreement.low for row in rows if row.agreement]
    agreement_scale = AxisScale(min([0.99, *shares]) * 100 - 0.1, 100.1) if shares else None
    ordered = sorted(rows, key=_rank_drift_row)
    return _Ladder(
        caption=caption,
        assurance=assurance,
        rungs=(
            _build_float_row(rows, source),
            *(_build_ladder_row(row, drop_scale, agreement_scale) for row in ordered),
        ),
        drop_axis=draw_axis(drop_scale, 3) if drop_scale else None,
        agreement_axis=draw_axis(agreement_scale, 3) if agreement_scale else None,
        gates=gates,
        divergences=divergences,
    )


def _fit_drop_scale(drops: Sequence[float]) -> AxisScale:
    """Fit a scale with some room on both sides."""
    low, high = min(drops), max(drops)
    room = 0.05 * max(high - low, 0.1)
    return AxisScale(low - room, high + room)


def _rank_drift_row(row: DriftRow) -> tuple[bool, float, float, str, bool]:
    """Rank simulated rows first, in their given order; then by target."""
    simulated = row.how == "simulated"
    return (
        not simulated,
        0 if simulated else find_rank(row.target, TARGET_ORDER),
        0 if simulated else find_rank(row.precision, PRECISION_ORDER),
        "" if simulated else row.artifact,
        row.how == "emulated",
    )


def _build_float_row(rows: Sequence[DriftRow], source: str) -> _LadderRow:
    """Build the first row, with which all others are compared."""
    top1 = next((row.float_top1 for row in rows if row.float_top1), None)
    return _LadderRow(
        label="Float model",
        file=source,
        how="float",
        engine="PyTorch",
        top1=format_percent(top1.value) if top1 else NO_VALUE,
        top1_interval=format_interval(top1) if top1 else "",
    )


def _build_ladder_row(row: DriftRow, drops: AxisScale | None, agreements: AxisScale | None) -> _LadderRow:
    name, graphic = format_label(row.artifact, row.target, row.precision), None
    if drops and row.top1_drop is not None and row.top1_drop_interval:
        graphic = draw_whisker(row.top1_drop, *row.top1_drop_interval, drops, zero=0.0)
    share = row.agreement
    return _LadderRow(
        label=capitalize_sentence(name) if row.how == "simulated" else name,
        file=row.artifact if name != row.artifact else row.precision,
        how=row.how,
        engine=row.engine if row.cpu is None else f"{row.engine}, {row.cpu.arch} {row.cpu.name}",
        top1=format_percent(row.top1.value) if row.top1 else NO_VALUE,
        top1_interval=format_interval(row.top1) if row.top1 else "",
        drop=format_points(row.top1_drop),
        drop_interval=format_drop_interval(row),
        drop_graphic=graphic,
        agreement=format_percent(share.value if share else None),
        agreement_interval=format_interval(share),
        agreement_graphic=draw_whisker(100 * share.value, 100 * share.low, 100 * share.high, agreements)
        if share and agreements
        else None,
        sqnr=format_decibels(row.sqnr_db),
        error=format_significant(row.max_abs_error),
        kl=format_significant(row.mean_kl, 1),
        details=describe_row_details(row),
    )
