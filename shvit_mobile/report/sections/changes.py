"""What changed: which answers, by how many images, and which pictures moved most."""

from __future__ import annotations

from dataclasses import dataclass

from shvit_mobile.contracts.drift_report import (
    ChangedImage,
    Confusion,
    DriftReport,
    NeededImages,
    Prediction,
    PredictionChanges,
)
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.report.display_names import format_label
from shvit_mobile.report.formatting import (
    format_number,
    format_percent,
    format_significant,
    format_thousands,
    pluralize,
)
from shvit_mobile.report.sections.section import PageSection
from shvit_mobile.report.thumbnails import to_data_url

# Below it, chance alone is no likely reason.
SIGNIFICANCE_LEVEL = 0.05
SHOWN_CONFUSIONS = 8


@dataclass(frozen=True)
class FormattedAnswer:
    """An answer and whether it is right; None where nobody knows."""

    label: str
    probability: str
    right: bool | None


@dataclass(frozen=True)
class ChangedPicture:
    """An image with both answers."""

    file: str
    label: str | None
    thumbnail: str | None
    before: FormattedAnswer
    after: FormattedAnswer
    changed: bool
    kl: str


@dataclass(frozen=True)
class ArtifactChanges:
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
    pictures: tuple[ChangedPicture, ...]
    unchanged: tuple[ChangedPicture, ...]


def build_changes_section(report: ModelReport) -> PageSection | None:
    found = [build_artifact_changes(one, changed) for one in report.drift for changed in one.changed]
    return PageSection("changes", "What changed", "Changes", {"changes": found}) if found else None


def build_artifact_changes(report: DriftReport, changed: PredictionChanges) -> ArtifactChanges:
    row = next((row for row in report.rows if row.artifact == changed.artifact), None)
    pictures = [build_changed_picture(image) for image in changed.worst]
    return ArtifactChanges(
        label=format_label(changed.artifact, row.target, row.precision) if row else changed.artifact,
        file=changed.artifact,
        sentences=tuple(describe_changes(report, changed, row)),
        confusions=changed.confusions[:SHOWN_CONFUSIONS],
        more=changed.confusions[SHOWN_CONFUSIONS:],
        labelled=any(confusion.label is not None for confusion in changed.confusions),
        pictures=tuple(one for one in pictures if one.changed),
        unchanged=tuple(one for one in pictures if not one.changed),
    )


def describe_changes(report: DriftReport, changed: PredictionChanges, row: DriftRow | None) -> list[str]:
    count = row.images if row else report.images.count
    found = [
        f"It answers {format_thousands(changed.images)} of {pluralize(count, 'image')} otherwise than the float model."
    ]
    if row and row.mcnemar:
        found.append(describe_mcnemar(row))
    if changed.needed:
        found.append(describe_needed_images(changed.needed, count))
    return found


def describe_mcnemar(row: DriftRow) -> str:
    """McNemar's test in words."""
    test = row.mcnemar
    if test is None:
        return ""
    if test.lost + test.gained == 0:
        return "Not one answer went from right to wrong or from wrong to right."
    chance = (
        "more than chance would explain" if test.p_value < SIGNIFICANCE_LEVEL else "no more than chance would explain"
    )
    p_value = (
        "p < 0.001" if test.p_value < 0.001 else f"p = {format_number(test.p_value, 3 if test.p_value < 0.1 else 2)}"
    )
    return (
        f"{pluralize(test.lost, 'right answer')} became wrong and {pluralize(test.gained, 'wrong one')} right: {chance} "
        f"(McNemar's exact test, {p_value})."
    )


def describe_needed_images(told: NeededImages, count: int) -> str:
    budget = f"a drop within {told.max_drop:g} point{'' if told.max_drop == 1 else 's'}"
    if told.supported:
        return f"The {pluralize(count, 'image')} show {budget}."
    if told.images is None:
        return f"No number of images would show {budget}: what was measured is at it or past it."
    return f"To show {budget}, about {pluralize(told.images, 'image')} would be needed; there are {format_thousands(count)}."


def build_changed_picture(image: ChangedImage) -> ChangedPicture:
    return ChangedPicture(
        file=image.file,
        label=image.label,
        thumbnail=to_data_url(image.thumbnail),
        before=format_answer(image.float_answer, image.label),
        after=format_answer(image.answer, image.label),
        changed=image.float_answer.label != image.answer.label,
        kl=format_significant(image.kl),
    )


def format_answer(answer: Prediction, truth: str | None) -> FormattedAnswer:
    return FormattedAnswer(
        answer.label, format_percent(answer.probability, 0), None if truth is None else answer.label == truth
    )
