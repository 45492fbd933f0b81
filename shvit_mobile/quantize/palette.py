"""Palettes: a few values that represent all values of a weight, chosen by k-means in one dimension.

In one dimension clusters are intervals, so cumulative sums over sorted values give the next centers. Nothing is random
or depends on the number of threads: the same weight has the same palette everywhere.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAX_ITERATIONS = 200


def palettize(values: NDArray[Any], bits: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Compute a palette of values, and the index of each value in it.

    Args:
        values: Finite floats of any shape.
        bits: The bits of an index; at most 8.

    Returns:
        2**bits entries, ascending, in the dtype of the values; and the index of each value, shape (values.size,). If
        there are fewer distinct values than entries, each value is an entry.
    """
    size = 2**bits
    distinct, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(distinct) <= size:
        centers = np.pad(distinct, (0, size - len(distinct)), mode="edge")
    else:
        centers = _cluster_values(distinct.astype(np.float64), counts.astype(np.float64), size).astype(values.dtype)
    # Rounding to the weight's dtype has moved the entries, so values are assigned again.
    exact = centers.astype(np.float64)
    indices = np.searchsorted((exact[1:] + exact[:-1]) / 2, distinct.astype(np.float64))
    return centers, indices.astype(np.uint8)[inverse.reshape(-1)]


def _cluster_values(values: NDArray[np.float64], counts: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Compute the centers of intervals, each the mean of its values, by Lloyd's iteration (1957).

    Args:
        values: Ascending values, more than `size`.
        counts: How often each value occurs.
        size: The number of centers.
    """
    total = np.concatenate([[0.0], np.cumsum(values * counts)])
    number = np.concatenate([[0.0], np.cumsum(counts)])
    centers, before = _initialize_centers(values, counts, size), None
    for _ in range(_MAX_ITERATIONS):
        cuts = np.searchsorted(values, (centers[1:] + centers[:-1]) / 2)
        if before is not None and np.array_equal(cuts, before):
            break
        starts, ends = np.concatenate([[0], cuts]), np.concatenate([cuts, [len(values)]])
        held = number[ends] - number[starts]
        # The center of an empty interval does not move.
        centers = np.where(held > 0, (total[ends] - total[starts]) / np.maximum(held, 1), centers)
        before = cuts
    return centers


def _initialize_centers(values: NDArray[np.float64], counts: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Compute initial centers, as dense as the cube root of the values' density, which is optimal for many centers.

    (Panter and Dite, 1951, "Quantization distortion in pulse-count modulation with nonuniform spacing of levels".)
    """
    gaps = np.gradient(values)
    share = np.cumsum((counts / gaps) ** (1 / 3) * gaps)
    return np.interp((np.arange(size) + 0.5) / size * share[-1], share, values)
