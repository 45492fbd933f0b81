"""Which of some things is worse than another in one figure and better in none; in both, less is better."""

from __future__ import annotations

from collections.abc import Sequence

Figures = tuple[float, float]


def beats(one: Figures, other: Figures) -> bool:
    """Whether `one` is nowhere worse than `other`, and better somewhere."""
    return one != other and one[0] <= other[0] and one[1] <= other[1]


def beaten_by(figures: Sequence[Figures]) -> list[int | None]:
    """For each, the place of the least, by the first figure, of those that beat it; None where nothing does.

    The least is beaten by nothing: what beats it would be less and beat all that it beats.
    """
    return [
        min(
            (place for place, other in enumerate(figures) if beats(other, one)),
            key=lambda place: figures[place],
            default=None,
        )
        for one in figures
    ]
