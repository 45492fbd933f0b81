"""Which of some things is worse than another in one figure and better in none; in both, less is better."""

from __future__ import annotations

from collections.abc import Sequence

Objectives = tuple[float, float]


def dominates(one: Objectives, other: Objectives) -> bool:
    """Whether `one` is nowhere worse than `other`, and better somewhere."""
    return one != other and one[0] <= other[0] and one[1] <= other[1]


def find_dominators(figures: Sequence[Objectives]) -> list[int | None]:
    """For each, the place of the least, by the first figure, of those that beat it; None where nothing does.

    The least is beaten by nothing: what beats it would be less and beat all that it beats.
    """
    return [
        min(
            (place for place, other in enumerate(figures) if dominates(other, one)),
            key=lambda place: figures[place],
            default=None,
        )
        for one in figures
    ]
