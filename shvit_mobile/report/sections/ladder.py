"""The drift ladder: from the float model down to what a phone runs, on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.contracts.drift_report import DriftReport, GateVerdict
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.report import Report
from shvit_mobile.report.charts.svg import Scale, around
from shvit_mobile.report.charts.whisker import axis, whisker
from shvit_mobile.report.display_names import label
from shvit_mobile.report.formatting import (
    NONE,
    PRECISIONS,
    TARGETS,
    brief,
    decibels,
    drop_interval,
    interval,
    percent,
    place,
    plural,
    points,
    short,
)
from shvit_mobile.report.sections.section import Section
from shvit_mobile.report.verdict import capitalised


@dataclass(frozen=True)
class Rung:
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
    rungs: tuple[Rung, ...]
    drop_axis: Markup | None
    agreement_axis: Markup
    gates: tuple[GateVerdict, ...] = ()
    apart: tuple[str, ...] = ()


def ladder(report: Report) -> Section | None:
    found = [*(measured(reports) for reports in by_images(report.drift)), *recorded(report)]
    used = list(dict.fromkeys(rung.how for one in found for rung in one.rungs if rung.how in HOW))
    data = {"ladders": found, "hows": [(how, HOW[how]) for how in HOW if how in used]}
    return Section("ladder", "The drift ladder", "Drift", data) if found else None


HOW = {
    "native": "the target's own runtime ran the artifact",
    "reference": "this project's executor of the specification ran it, not the phone's kernels",
    "emulated": "the target's own runtime ran it on an emulated CPU",
    "simulated": "PyTorch computed what an artifact is to compute; no artifact ran",
}


def by_images(drift: Sequence[DriftReport]) -> list[list[DriftReport]]:
    """The reports that saw the same images with the same float model."""
    groups: dict[tuple[str, str], list[DriftReport]] = {}
    for one in drift:
        groups.setdefault((one.images.sha256, one.checkpoint.sha256), []).append(one)
    return list(groups.values())


def measured(reports: Sequence[DriftReport]) -> Ladder:
    """The ladder of drift reports that saw the same images."""
    images, checkpoint = reports[0].images, reports[0].checkpoint
    rows: list[DriftRow] = []
    for report in reports:
        rows += [row for row in report.rows if row not in rows]
    together = f" in all {len(reports)} drift reports" if len(reports) > 1 else ""
    chosen = f", chosen with seed {images.seed}" if images.seed is not None else ""
    return drawn(
        rows,
        source=checkpoint.source,
        caption=f"{plural(images.count, 'image')} of “{images.source}”{chosen}"
        f"{'' if images.labelled else ', without labels'}",
        assurance=f"The same images in every row{together} (SHA-256 over their bytes: {brief(images.sha256)}).",
        gates=tuple(dict.fromkeys(report.gate for report in reports if report.gate)),
        apart=tuple(
            f"{label(one.artifact, *kinds(rows, one.artifact))}: {one.second} chooses the same class as {one.first} on "
            f"{percent(one.agreement.value)}% of {plural(one.images, 'image')}; no logit differs by more than "
            f"{short(one.max_abs_error)} (SQNR {decibels(one.sqnr_db)} dB)."
            for report in reports
            for one in report.apart
        ),
    )


def kinds(rows: Sequence[DriftRow], artifact: str) -> tuple[str | None, str | None]:
    return next(((row.target, row.precision) for row in rows if row.artifact == artifact), (None, None))


def recorded(report: Report) -> list[Ladder]:
    """A ladder of what manifests and benchmarks recorded of artifacts that no drift report has measured."""
    rows = [one.drift for one in report.artifacts if one.drift and one.recorded]
    if not rows:
        return []
    sources = {one.model.source for one in report.manifests}
    return [
        drawn(
            rows,
            source=next(iter(sources)) if len(sources) == 1 else "each its own",
            caption="As recorded at export",
            assurance="Read from manifests, which do not say which images were seen: rows are comparable only if "
            "the artifacts were validated on the same folder. A drift report would tell.",
        )
    ]


def drawn(
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
    drop_scale = around(drops, least=0.1) if drops else None
    agreement_scale = Scale(min([0.99, *(row.agreement.low for row in rows)]) * 100 - 0.1, 100.1)
    ordered = sorted(rows, key=order)
    return Ladder(
        caption=caption,
        assurance=assurance,
        rungs=(float_model(rows, source), *(rung(row, drop_scale, agreement_scale) for row in ordered)),
        drop_axis=axis(drop_scale, 3) if drop_scale else None,
        agreement_axis=axis(agreement_scale, 3),
        gates=gates,
        apart=apart,
    )


def order(row: DriftRow) -> tuple[bool, float, float, str, bool]:
    """What is simulated first, in the order it was given; then target by target."""
    simulated = row.how == "simulated"
    return (
        not simulated,
        0 if simulated else place(row.target, TARGETS),
        0 if simulated else place(row.precision, PRECISIONS),
        "" if simulated else row.artifact,
        row.how == "emulated",
    )


def float_model(rows: Sequence[DriftRow], source: str) -> Rung:
    """The uppermost row, which all others are compared with."""
    top1 = next((row.float_top1 for row in rows if row.float_top1), None)
    return Rung(
        label="Float model",
        file=source,
        how="float",
        engine="as it was trained",
        top1=percent(top1.value) if top1 else NONE,
        top1_interval=interval(top1) if top1 else "",
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


def rung(row: DriftRow, drops: Scale | None, agreements: Scale) -> Rung:
    name, graphic = label(row.artifact, row.target, row.precision), None
    if drops and row.top1_drop is not None and row.top1_drop_interval:
        graphic = whisker(row.top1_drop, *row.top1_drop_interval, drops, zero=0.0)
    share = row.agreement
    return Rung(
        label=capitalised(name) if row.how == "simulated" else name,
        file=row.artifact if name != row.artifact else row.precision,
        how=row.how,
        engine=row.engine if row.cpu is None else f"{row.engine}, {row.cpu.arch} {row.cpu.name}",
        top1=percent(row.top1.value) if row.top1 else NONE,
        top1_interval=interval(row.top1) if row.top1 else "",
        drop=points(row.top1_drop),
        drop_interval=drop_interval(row),
        drop_graphic=graphic,
        agreement=percent(share.value),
        agreement_interval=interval(share),
        agreement_graphic=whisker(100 * share.value, 100 * share.low, 100 * share.high, agreements),
        sqnr=decibels(row.sqnr_db),
        error=short(row.max_abs_error),
        kl=short(row.mean_kl, 1),
    )
