"""The section on changed predictions: which, on how many images, and the pictures with the largest KL."""

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

_SHOWN_CONFUSIONS = 8


@dataclass(frozen=True)
class _FormattedAnswer:
    """A prediction, and whether it is right; None if the label is unknown."""

    label: str
    probability: str
    right: bool | None


@dataclass(frozen=True)
class _ChangedPicture:
    """An image with both predictions."""

    file: str
    label: str | None
    thumbnail: str | None
    before: _FormattedAnswer
    after: _FormattedAnswer
    changed: bool
    kl: str


@dataclass(frozen=True)
class _ArtifactChanges:
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
    pictures: tuple[_ChangedPicture, ...]
    unchanged: tuple[_ChangedPicture, ...]


def build_changes_section(report: ModelReport) -> PageSection | None:
    found = [_build_artifact_changes(one, changed) for one in report.drift for changed in one.changed]
    return PageSection("changes", "Changed predictions", "Changes", {"changes": found}) if found else None


def _build_artifact_changes(report: DriftReport, changed: PredictionChanges) -> _ArtifactChanges:
    row = next((row for row in report.rows if row.artifact == changed.artifact), None)
    pictures = [_build_changed_picture(image) for image in changed.worst]
    return _ArtifactChanges(
        label=format_label(changed.artifact, row.target, row.precision) if row else changed.artifact,
        file=changed.artifact,
        sentences=tuple(_describe_changes(report, changed, row)),
        confusions=changed.confusions[:_SHOWN_CONFUSIONS],
        more=changed.confusions[_SHOWN_CONFUSIONS:],
        labelled=any(confusion.label is not None for confusion in changed.confusions),
        pictures=tuple(one for one in pictures if one.changed),
        unchanged=tuple(one for one in pictures if not one.changed),
    )


def _describe_changes(report: DriftReport, changed: PredictionChanges, row: DriftRow | None) -> list[str]:
    count = row.images if row else report.images.count
    found = [f"{format_thousands(changed.images)} of {pluralize(count, 'prediction')} differ from the float model."]
    if row and row.mcnemar:
        found.append(describe_mcnemar(row.mcnemar))
    if changed.needed:
        found.append(describe_needed_images(changed.needed, count))
    return found


def _build_changed_picture(image: ChangedImage) -> _ChangedPicture:
    return _ChangedPicture(
        file=image.file,
        label=image.label,
        thumbnail=to_data_url(image.thumbnail),
        before=_format_answer(image.float_answer, image.label),
        after=_format_answer(image.answer, image.label),
        changed=image.float_answer.label != image.answer.label,
        kl=format_significant(image.kl),
    )


def _format_answer(answer: Prediction, truth: str | None) -> _FormattedAnswer:
    return _FormattedAnswer(
        answer.label, format_percent(answer.probability, 0), None if truth is None else answer.label == truth
    )
