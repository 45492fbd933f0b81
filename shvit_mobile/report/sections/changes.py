"""The section on changed predictions: which, on how many images, and the pictures with the largest KL."""

from dataclasses import dataclass

from shvit_mobile.contracts.drift_report import ChangedImage, Confusion, DriftReport, PredictionChanges
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.report.display_names import format_label
from shvit_mobile.report.formatting import format_thousands, pluralize
from shvit_mobile.report.sentences import describe_mcnemar, describe_needed_images

_SHOWN_CONFUSIONS = 8


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
    pictures: tuple[ChangedImage, ...]
    unchanged: tuple[ChangedImage, ...]


def build_variables(report: ModelReport) -> dict[str, object] | None:
    found = [_build_artifact_changes(one, changed) for one in report.drift for changed in one.changed]
    return {"changes": found} if found else None


def _build_artifact_changes(report: DriftReport, changed: PredictionChanges) -> _ArtifactChanges:
    row = next((row for row in report.rows if row.artifact == changed.artifact), None)
    return _ArtifactChanges(
        label=format_label(changed.artifact, row.target, row.precision) if row else changed.artifact,
        file=changed.artifact,
        sentences=tuple(_describe_changes(report, changed, row)),
        confusions=changed.confusions[:_SHOWN_CONFUSIONS],
        more=changed.confusions[_SHOWN_CONFUSIONS:],
        labelled=any(confusion.label is not None for confusion in changed.confusions),
        pictures=tuple(one for one in changed.worst if one.float_answer.label != one.answer.label),
        unchanged=tuple(one for one in changed.worst if one.float_answer.label == one.answer.label),
    )


def _describe_changes(report: DriftReport, changed: PredictionChanges, row: DriftRow | None) -> list[str]:
    count = row.images if row else report.images.count
    found = [f"{format_thousands(changed.images)} of {pluralize(count, 'prediction')} differ from the float model."]
    if row and row.mcnemar:
        found.append(describe_mcnemar(row.mcnemar))
    if changed.needed:
        found.append(describe_needed_images(changed.needed, count))
    return found
