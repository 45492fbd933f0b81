"""What changed between the float model and each artifact, in tables and words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .console import show
from .tables import NONE, cell, titled

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from shvit_mobile.contracts.drift_report import Changed, NeededImages
    from shvit_mobile.contracts.drift_row import DriftRow, McNemar

# Of each table.
ROWS = 5
SIGNIFICANT = 0.05


def show_changes(changes: Sequence[Changed], rows: Sequence[DriftRow]) -> None:
    """Prints what changed, artifact by artifact.

    Args:
        changes: of each artifact.
        rows: of the same artifacts, in the same order.
    """
    for changed, row in zip(changes, rows, strict=True):
        show("", heading(changed, row))
        if changed.images:
            show(confusion_table(changed))
        told = [more(changed), row.mcnemar and verdict(row.mcnemar), changed.needed and budget(changed.needed, row)]
        show(*(cell(sentence) for sentence in told if sentence))


def heading(changed: Changed, row: DriftRow) -> Text:
    """How many answers changed; above the table and not its title, which would be broken to the table's width."""
    text = cell(f"{changed.artifact}: {changed.images or 'none'} of {row.images} answers changed")
    text.stylize("bold")
    return text


def confusion_table(changed: Changed) -> Table:
    """The most frequent changes of answer."""
    table = titled("", "class", "float model", "artifact")
    table.add_column("images", justify="right", no_wrap=True)
    for confusion in changed.confusions[:ROWS]:
        label, before, after = confusion.label or NONE, confusion.before, confusion.after
        table.add_row(cell(label), cell(before), cell(after), str(confusion.images))
    return table


def more(changed: Changed) -> str:
    """What the table leaves out."""
    left = len(changed.confusions) - ROWS
    return f"{left} rarer change{'s' if left > 1 else ''} more; --json has all." if left > 0 else ""


def verdict(test: McNemar) -> str:
    """McNemar's test in words."""
    if not test.lost + test.gained:
        return "Both models are right on the same images."
    counts = f"Images that only one of them gets right: the float model {test.lost}, the artifact {test.gained}"
    if test.p_value > SIGNIFICANT:
        meaning = "no evidence of a difference in top-1"
    else:
        meaning = f"evidence that the artifact is {'worse' if test.lost > test.gained else 'better'} in top-1"
    return f"{counts}. McNemar's exact test, p = {test.p_value:.2g}: {meaning}."


def budget(needed: NeededImages, row: DriftRow) -> str:
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
