"""The section on changed predictions: which, on how many images, and the pictures with the largest KL."""

from __future__ import annotations

from dataclasses import dataclass

from shvit_mobile.contracts.drift_report import (
    ChangedImage,
    Confusion,
    DriftReport,
    Prediction,
    PredictionChanges,
)
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.report.display_names import format_label
from shvit_mobile.report.formatting import format_percent, format_significant, format_thousands, pluralize
from shvit_mobile.report.sections.section import PageSection
from shvit_mobile.report.sentences import describe_mcnemar, describe_needed_images
from shvit_mobile.report.thumbnails import to_data_url

SHOWN_CONFUSIONS = 8


@dataclass(frozen=True)
class FormattedAnswer:
    """A prediction, and whether it is right; None if the label is unknown."""

    label: str
    probability: str
    right: bool | None


@dataclass(frozen=True)
class ChangedPicture:
    """An image with both predictions."""

    file: str
    label: str | None
    thumbnail: str | None
    before: FormattedAnswer
    after: FormattedAnswer
    changed: bool
    kl: str


@dataclass(frozen=True)
class ArtifactChanges:
    """The changes of one artifact.

    Attributes:
        sentences: How many changed, McNemar's test, and the number of images that a budget needs.
        confusions: The most frequent changes; more: The rest.
        pictures: Those with the largest KL whose prediction changed; unchanged: Those whose prediction did not.
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
    return PageSection("changes", "Changed predictions", "Changes", {"changes": found}) if found else None


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
    found = [f"{format_thousands(changed.images)} of {pluralize(count, 'prediction')} differ from the float model."]
    if row and row.mcnemar:
        found.append(describe_mcnemar(row.mcnemar))
    if changed.needed:
        found.append(describe_needed_images(changed.needed, count))
    return found


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
