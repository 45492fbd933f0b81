"""Pareto dominance of pairs of values; in both, less is better."""

from collections.abc import Sequence

Objectives = tuple[float, float]


def dominates(one: Objectives, other: Objectives) -> bool:
    """Whether `one` is nowhere worse than `other`, and better somewhere."""
    return one != other and one[0] <= other[0] and one[1] <= other[1]


def find_dominators(values: Sequence[Objectives]) -> list[int | None]:
    """Return, for each pair, the position of the smallest pair that dominates it; None if it is on the Pareto front.

    The smallest dominator is on the front itself.
    """
    return [
        min(
            (place for place, other in enumerate(values) if dominates(other, one)),
            key=lambda place: values[place],
            default=None,
        )
        for one in values
    ]


def find_pareto_front(values: Sequence[Objectives]) -> list[int]:
    """Return the positions of the pairs that no other dominates, the smallest first."""
    front = [place for place, dominator in enumerate(find_dominators(values)) if dominator is None]
    return sorted(front, key=lambda place: values[place])
