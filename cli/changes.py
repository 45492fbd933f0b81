"""Prints which predictions changed between the float model and each artifact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shvit_mobile.report.formatting import NO_VALUE, pluralize
from shvit_mobile.report.sentences import describe_mcnemar, describe_needed_images

from .console import print_table
from .tables import create_table, format_cell

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from shvit_mobile.contracts.drift_report import PredictionChanges
    from shvit_mobile.contracts.drift_row import DriftRow

_SHOWN_ROWS = 5


def print_changes(changes: Sequence[PredictionChanges], rows: Sequence[DriftRow]) -> None:
    """Print the changed predictions of each artifact.

    Args:
        changes: The changes of each artifact.
        rows: The drift of the same artifacts, in the same order.
    """
    for changed, row in zip(changes, rows, strict=True):
        print_table("", _format_heading(changed, row))
        if changed.images:
            print_table(_build_confusion_table(changed))
        sentences = [
            _format_remainder(changed),
            row.mcnemar and describe_mcnemar(row.mcnemar),
            changed.needed and describe_needed_images(changed.needed, row.images),
        ]
        print_table(*(format_cell(sentence) for sentence in sentences if sentence))


def _format_heading(changed: PredictionChanges, row: DriftRow) -> Text:
    # A title of the table would be wrapped to the table's width.
    text = format_cell(f"{changed.artifact}: {changed.images} of {pluralize(row.images, 'prediction')} changed")
    text.stylize("bold")
    return text


def _build_confusion_table(changed: PredictionChanges) -> Table:
    """Build a table of the most frequent changes."""
    table = create_table("", "class", "float model", "artifact")
    table.add_column("images", justify="right", no_wrap=True)
    for confusion in changed.confusions[:_SHOWN_ROWS]:
        label, before, after = confusion.label or NO_VALUE, confusion.before, confusion.after
        table.add_row(format_cell(label), format_cell(before), format_cell(after), str(confusion.images))
    return table


def _format_remainder(changed: PredictionChanges) -> str:
    """Describe what the table leaves out."""
    left = len(changed.confusions) - _SHOWN_ROWS
    return f"{pluralize(left, 'rarer change')} not shown; --json prints all." if left > 0 else ""
