"""What changed between the float model and each artifact, in tables and words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .console import print_table
from .tables import NO_VALUE, create_table, format_cell

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from shvit_mobile.contracts.drift_report import NeededImages, PredictionChanges
    from shvit_mobile.contracts.drift_row import DriftRow, McNemar

# Of each table.
SHOWN_ROWS = 5
SIGNIFICANCE_LEVEL = 0.05


def print_changes(changes: Sequence[PredictionChanges], rows: Sequence[DriftRow]) -> None:
    """Prints what changed, artifact by artifact.

    Args:
        changes: of each artifact.
        rows: of the same artifacts, in the same order.
    """
    for changed, row in zip(changes, rows, strict=True):
        print_table("", format_heading(changed, row))
        if changed.images:
            print_table(build_confusion_table(changed))
        told = [
            format_remainder(changed),
            row.mcnemar and describe_mcnemar(row.mcnemar),
            changed.needed and describe_needed_images(changed.needed, row),
        ]
        print_table(*(format_cell(sentence) for sentence in told if sentence))


def format_heading(changed: PredictionChanges, row: DriftRow) -> Text:
    """How many answers changed; above the table and not its title, which would be broken to the table's width."""
    text = format_cell(f"{changed.artifact}: {changed.images or 'none'} of {row.images} answers changed")
    text.stylize("bold")
    return text


def build_confusion_table(changed: PredictionChanges) -> Table:
    """The most frequent changes of answer."""
    table = create_table("", "class", "float model", "artifact")
    table.add_column("images", justify="right", no_wrap=True)
    for confusion in changed.confusions[:SHOWN_ROWS]:
        label, before, after = confusion.label or NO_VALUE, confusion.before, confusion.after
        table.add_row(format_cell(label), format_cell(before), format_cell(after), str(confusion.images))
    return table


def format_remainder(changed: PredictionChanges) -> str:
    """What the table leaves out."""
    left = len(changed.confusions) - SHOWN_ROWS
    return f"{left} rarer change{'s' if left > 1 else ''} more; --json has all." if left > 0 else ""


def describe_mcnemar(test: McNemar) -> str:
    """McNemar's test in words."""
    if not test.lost + test.gained:
        return "Both models are right on the same images."
    counts = f"Images that only one of them gets right: the float model {test.lost}, the artifact {test.gained}"
    if test.p_value > SIGNIFICANCE_LEVEL:
        meaning = "no evidence of a difference in top-1"
    else:
        meaning = f"evidence that the artifact is {'worse' if test.lost > test.gained else 'better'} in top-1"
    return f"{counts}. McNemar's exact test, p = {test.p_value:.2g}: {meaning}."


def describe_needed_images(needed: NeededImages, row: DriftRow) -> str:
    """How many images a budget of the drop takes, in words."""
    within = f"that top-1 drops by at most {needed.max_drop:g} points"
    if needed.images is None:
        return f"No number of such images would show {within}: the drop seen is not below that."
    if needed.supported:
        return f"{row.images:,} images are enough to show {within}; {needed.images:,} would have been."
    return (
        f"It takes {needed.images:,} images to show {within}, if the models go on differing as often; "
        f"these are {row.images:,}."
    )
