"""What changed: which answers, by how many images, and which pictures moved most."""

from __future__ import annotations

from dataclasses import dataclass

from shvit_mobile.contracts.drift_report import Answer, Changed, ChangedImage, Confusion, DriftReport, NeededImages
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.report import Report
from shvit_mobile.report.display_names import label
from shvit_mobile.report.formatting import number, percent, plural, short, thousands
from shvit_mobile.report.sections.section import Section
from shvit_mobile.report.thumbnails import data_url

# Below it, chance alone is no likely reason.
SIGNIFICANT = 0.05
SHOWN = 8


@dataclass(frozen=True)
class Said:
    """An answer and whether it is right; None where nobody knows."""

    label: str
    probability: str
    right: bool | None


@dataclass(frozen=True)
class Picture:
    """An image with both answers."""

    file: str
    label: str | None
    thumbnail: str | None
    before: Said
    after: Said
    changed: bool
    kl: str


@dataclass(frozen=True)
class Change:
    """An artifact.

    Attributes:
        sentences: how many changed, McNemar's test, and the images that a budget would need.
        confusions: the most frequent; more: the rest.
        pictures: those that moved most and are answered otherwise; unchanged: those with the same answer.
    """

    label: str
    file: str
    sentences: tuple[str, ...]
    confusions: tuple[Confusion, ...]
    more: tuple[Confusion, ...]
    labelled: bool
    pictures: tuple[Picture, ...]
    unchanged: tuple[Picture, ...]


def changes(report: Report) -> Section | None:
    found = [change(one, changed) for one in report.drift for changed in one.changed]
    return Section("changes", "What changed", "Changes", {"changes": found}) if found else None


def change(report: DriftReport, changed: Changed) -> Change:
    row = next((row for row in report.rows if row.artifact == changed.artifact), None)
    pictures = [picture(image) for image in changed.worst]
    return Change(
        label=label(changed.artifact, row.target, row.precision) if row else changed.artifact,
        file=changed.artifact,
        sentences=tuple(sentences(report, changed, row)),
        confusions=changed.confusions[:SHOWN],
        more=changed.confusions[SHOWN:],
        labelled=any(confusion.label is not None for confusion in changed.confusions),
        pictures=tuple(one for one in pictures if one.changed),
        unchanged=tuple(one for one in pictures if not one.changed),
    )


def sentences(report: DriftReport, changed: Changed, row: DriftRow | None) -> list[str]:
    count = row.images if row else report.images.count
    found = [f"It answers {thousands(changed.images)} of {plural(count, 'image')} otherwise than the float model."]
    if row and row.mcnemar:
        found.append(mcnemar(row))
    if changed.needed:
        found.append(needed(changed.needed, count))
    return found


def mcnemar(row: DriftRow) -> str:
    """McNemar's test in words."""
    test = row.mcnemar
    if test is None:
        return ""
    if test.lost + test.gained == 0:
        return "Not one answer went from right to wrong or from wrong to right."
    chance = "more than chance would explain" if test.p_value < SIGNIFICANT else "no more than chance would explain"
    p_value = "p < 0.001" if test.p_value < 0.001 else f"p = {number(test.p_value, 3 if test.p_value < 0.1 else 2)}"
    return (
        f"{plural(test.lost, 'right answer')} became wrong and {plural(test.gained, 'wrong one')} right: {chance} "
        f"(McNemar's exact test, {p_value})."
    )


def needed(told: NeededImages, count: int) -> str:
    budget = f"a drop within {told.max_drop:g} point{'' if told.max_drop == 1 else 's'}"
    if told.supported:
        return f"The {plural(count, 'image')} show {budget}."
    if told.images is None:
        return f"No number of images would show {budget}: what was measured is at it or past it."
    return f"To show {budget}, about {plural(told.images, 'image')} would be needed; there are {thousands(count)}."


def picture(image: ChangedImage) -> Picture:
    return Picture(
        file=image.file,
        label=image.label,
        thumbnail=data_url(image.thumbnail),
        before=said(image.float_answer, image.label),
        after=said(image.answer, image.label),
        changed=image.float_answer.label != image.answer.label,
        kl=short(image.kl),
    )


def said(answer: Answer, truth: str | None) -> Said:
    return Said(answer.label, percent(answer.probability, 0), None if truth is None else answer.label == truth)
