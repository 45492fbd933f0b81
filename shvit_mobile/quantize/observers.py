"""Observers: values go by, and a range comes out that int8 is then spread over.

Each looks at every value once and keeps next to nothing of them, so that a calibration may be as long as one likes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from shvit_mobile.contracts.recipe import ActivationScheme, ObserverName
from shvit_mobile.quantize.affine import ACTIVATION_MAX, ACTIVATION_MIN, choose_affine_parameters

ObservedRange = tuple[float, float]
# Bins on either side of zero. At least half of them lie below the largest magnitude: four or more in a step of int8.
BINS = 4096
MIN_REACH = 2.0**-32
# Of all values, so many that lie furthest out at each end may be cut off.
PERCENTILE_TAIL = 5e-5
# How much of its reach an end may lose for the sake of all other values, and in how many steps it is tried.
MIN_RANGE_SHARE, RANGE_CANDIDATES = 0.2, 81


class Observer(Protocol):
    """Sees values, and says what range is to hold them."""

    def update(self, values: Tensor) -> None:
        """Takes finite floats of any shape into account, at least one."""

    def compute_range(self) -> ObservedRange:
        """(low, high), once something has been seen."""


def create_observer(name: ObserverName, activations: ActivationScheme = "affine") -> Observer:
    """A new observer by its name; `activations` are what its range will be used for."""
    makers: dict[ObserverName, Callable[[], Observer]] = {
        "min-max": MinMaxObserver,
        "percentile": PercentileObserver,
        "mse": lambda: MSEObserver(activations),
    }
    return makers[name]()


class MinMaxObserver:
    """The smallest and the largest value."""

    def __init__(self) -> None:
        self.low, self.high = float("inf"), float("-inf")

    def update(self, values: Tensor) -> None:
        low, high = torch.aminmax(values)
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))

    def compute_range(self) -> ObservedRange:
        return self.low, self.high


class Histogram:
    """How often values of each size were seen; its reach doubles when a value lies outside, and no count is lost.

    Attributes:
        counts: float64, shape (2 * BINS,), over [-reach, reach).
        reach: a power of two.
        extent: the smallest and the largest value.
    """

    def __init__(self) -> None:
        self.counts = torch.zeros(2 * BINS, dtype=torch.float64)
        self.reach = MIN_REACH
        self.extent = MinMaxObserver()

    def update(self, values: Tensor) -> None:
        self.extent.update(values)
        while self.reach <= max(map(abs, self.extent.compute_range())):
            self.widen()
        bins = (values.flatten().double() * (BINS / self.reach)).floor_().long() + BINS
        self.counts += torch.bincount(bins.clamp_(0, 2 * BINS - 1), minlength=2 * BINS)

    def widen(self) -> None:
        """Doubles the reach: two bins become one, and both halves move towards zero."""
        pairs = self.counts.reshape(BINS, 2).sum(1)
        self.counts = torch.zeros_like(self.counts)
        self.counts[BINS // 2 : BINS // 2 + BINS] = pairs
        self.reach *= 2

    @property
    def edges(self) -> Tensor:
        """float64, shape (2 * BINS + 1,)."""
        return torch.arange(-BINS, BINS + 1, dtype=torch.float64) * (self.reach / BINS)


class PercentileObserver:
    """All values but the few that lie furthest out: a share of `PERCENTILE_TAIL` at each end, to the width of a bin."""

    def __init__(self) -> None:
        self.histogram = Histogram()

    def update(self, values: Tensor) -> None:
        self.histogram.update(values)

    def compute_range(self) -> ObservedRange:
        below, edges = self.histogram.counts.cumsum(0), self.histogram.edges
        total, (smallest, largest) = float(below[-1]), self.histogram.extent.compute_range()
        first = int(torch.searchsorted(below, total * PERCENTILE_TAIL, right=True))
        last = int(torch.searchsorted(below, total * (1 - PERCENTILE_TAIL)))
        return max(smallest, float(edges[first])), min(largest, float(edges[last + 1]))


class MSEObserver:
    """The range in which int8 holds all values with the least mean squared error, found end by end."""

    def __init__(self, activations: ActivationScheme) -> None:
        self.histogram, self.activations = Histogram(), activations

    def update(self, values: Tensor) -> None:
        self.histogram.update(values)

    def compute_range(self) -> ObservedRange:
        low, high = self.histogram.extent.compute_range()
        seen = self.histogram.counts > 0
        counts, edges = self.histogram.counts[seen], self.histogram.edges
        centres = ((edges[:-1] + edges[1:]) / 2)[seen].clamp(low, high)

        def error(ends: ObservedRange) -> float:
            kept = choose_affine_parameters(*ends, self.activations)
            steps = (centres / kept.scale).round() + kept.zero_point
            held = (steps.clamp(ACTIVATION_MIN, ACTIVATION_MAX) - kept.zero_point) * kept.scale
            return float((counts * (held - centres).square()).sum())

        shares = torch.linspace(1, MIN_RANGE_SHARE, RANGE_CANDIDATES).tolist()
        best = (low, high)
        if self.activations == "symmetric":
            return min(((low * share, high * share) for share in shares), key=error)
        for _ in range(2):
            best = min(((best[0], high * share) for share in shares), key=error)
            best = min(((low * share, best[1]) for share in shares), key=error)
        return best
