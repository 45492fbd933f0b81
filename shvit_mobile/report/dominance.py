"""Which of some things is worse than another in one figure and better in none; in both, less is better."""

from __future__ import annotations

from collections.abc import Sequence

Figures = tuple[float, float]


def beats(one: Figures, other: Figures) -> bool:
    """Whether `one` is nowhere worse than `other`, and better somewhere."""
    return one != other and one[0] <= other[0] and one[1] <= other[1]


def beaten_by(figures: Sequence[Figures]) -> list[int | None]:
    """For each, the place of one that beats it and that nothing beats, the least in the first figure; None for none."""
    best = [place for place, one in enumerate(figures) if not any(beats(other, one) for other in figures)]
    return [
        min((place for place in best if beats(figures[place], one)), key=lambda place: figures[place], default=None)
        for one in figures
    ]
