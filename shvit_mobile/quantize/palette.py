"""A palette: the few values that stand for all of a weight's, chosen by k-means in one dimension.

On a line, clusters are intervals, so that sums over sorted values give the next centres at once. Nothing here is drawn
at random, and nothing depends on how many threads there are: the same weight has the same palette everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_ITERATIONS = 200


def palettize(values: NDArray[Any], bits: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """The palette of some values and the place of each in it.

    Args:
        values: finite floats of any shape.
        bits: of a place; at most 8.

    Returns:
        2**bits entries, ascending, in the dtype of the values; and an index for each value, in their order, shape
        (values.size,). Where there are fewer distinct values than entries, every value is its own.
    """
    size = 2**bits
    distinct, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(distinct) <= size:
        centres = np.pad(distinct, (0, size - len(distinct)), mode="edge")
    else:
        centres = cluster_values(distinct.astype(np.float64), counts.astype(np.float64), size).astype(values.dtype)
    # Assigned anew: rounding to the weight's dtype has moved the entries.
    places = assign_to_centers(distinct.astype(np.float64), centres.astype(np.float64))
    return centres, places.astype(np.uint8)[inverse.reshape(-1)]


def cluster_values(values: NDArray[np.float64], counts: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Centres of intervals, each the mean of its values: Lloyd's rounds (1957) until no value changes its interval.

    Args:
        values: ascending, more than `size`.
        counts: how often each occurs.
        size: how many centres.
    """
    total = np.concatenate([[0.0], np.cumsum(values * counts)])
    number = np.concatenate([[0.0], np.cumsum(counts)])
    centres, before = initialize_centers(values, counts, size), None
    for _ in range(MAX_ITERATIONS):
        cuts = np.searchsorted(values, (centres[1:] + centres[:-1]) / 2)
        if before is not None and np.array_equal(cuts, before):
            break
        starts, ends = np.concatenate([[0], cuts]), np.concatenate([cuts, [len(values)]])
        held = number[ends] - number[starts]
        # An interval may be left without values; its centre waits where it is.
        centres = np.where(held > 0, (total[ends] - total[starts]) / np.maximum(held, 1), centres)
        before = cuts
    return centres


def initialize_centers(values: NDArray[np.float64], counts: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Where the rounds begin: as dense as the cube root of the values' density, the best of many centres.

    (Panter and Dite, 1951, "Quantization distortion in pulse-count modulation with nonuniform spacing of levels".)
    """
    gaps = np.gradient(values)
    share = np.cumsum((counts / gaps) ** (1 / 3) * gaps)
    return np.interp((np.arange(size) + 0.5) / size * share[-1], share, values)


def assign_to_centers(values: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.intp]:
    """The nearest of ascending centres to each value."""
    return np.searchsorted((centres[1:] + centres[:-1]) / 2, values)
