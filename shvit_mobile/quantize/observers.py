"""Observers: they see the values of an activation and compute the range that int8 represents.

Each sees every value once and stores a fixed amount of data, so that memory does not limit a calibration.
"""

from collections.abc import Callable
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from shvit_mobile.contracts.recipe import ActivationScheme, ObserverName
from shvit_mobile.quantize.affine import ACTIVATION_MAX, ACTIVATION_MIN, choose_affine_parameters

ObservedRange = tuple[float, float]
# Bins on each side of zero. At least half of them are below the largest magnitude: four or more per int8 step.
BINS = 4096
_MIN_REACH = 2.0**-32
# The share of all values that may be cut off at each end.
PERCENTILE_TAIL = 5e-5
# The smallest share of the full range that is tried for each end, and how many shares are tried.
MIN_RANGE_SHARE, RANGE_CANDIDATES = 0.2, 81


class _Observer(Protocol):
    """An observer of an activation."""

    def update(self, values: Tensor) -> None:
        """Observe finite floats of any shape, at least one."""

    def compute_range(self) -> ObservedRange:
        """Return (low, high) of all observed values."""


def create_observer(
    name: ObserverName, activations: ActivationScheme = "affine", function: Callable[[Tensor], Tensor] | None = None
) -> _Observer:
    """Create an observer by name, whose range is used with `activations`.

    Args:
        name: One of `OBSERVERS`.
        activations: How int8 divides a range into integers.
        function: What is computed of the rounded values: the error counts after it (default: before).
    """
    factories: dict[ObserverName, Callable[[], _Observer]] = {
        "min-max": _MinMaxObserver,
        "percentile": _PercentileObserver,
        "mse": lambda: _MSEObserver(activations, function),
    }
    return factories[name]()


class _MinMaxObserver:
    """The range from the smallest to the largest value."""

    def __init__(self) -> None:
        self.low, self.high = float("inf"), float("-inf")

    def update(self, values: Tensor) -> None:
        low, high = torch.aminmax(values)
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))

    def compute_range(self) -> ObservedRange:
        return self.low, self.high


class Histogram:
    """A histogram of all values; its reach doubles when a value lies outside, and no count is lost.

    Attributes:
        counts: float64, shape (2 * BINS,), over [-reach, reach).
        reach: A power of two.
        extent: The smallest and the largest value.
    """

    def __init__(self) -> None:
        self.counts = torch.zeros(2 * BINS, dtype=torch.float64)
        self.reach = _MIN_REACH
        self.extent = _MinMaxObserver()

    def update(self, values: Tensor) -> None:
        self.extent.update(values)
        while self.reach <= max(map(abs, self.extent.compute_range())):
            self.widen()
        scale = BINS / self.reach
        # A power of two: in float32, too, a product is exact unless it gets so small that digits are lost.
        flat = values.flatten() if scale >= 1 else values.flatten().double()
        bins = (flat * scale).floor_().int().add_(BINS)
        self.counts += torch.bincount(bins.clamp_(0, 2 * BINS - 1), minlength=2 * BINS)

    def widen(self) -> None:
        """Double the reach: merge pairs of bins, and move both halves towards zero."""
        pairs = self.counts.reshape(BINS, 2).sum(1)
        self.counts = torch.zeros_like(self.counts)
        self.counts[BINS // 2 : BINS // 2 + BINS] = pairs
        self.reach *= 2

    @property
    def edges(self) -> Tensor:
        """The edges of the bins, float64, shape (2 * BINS + 1,)."""
        return torch.arange(-BINS, BINS + 1, dtype=torch.float64) * (self.reach / BINS)


class _PercentileObserver(Histogram):
    """The range without a share of `PERCENTILE_TAIL` of the values at each end, to the precision of a bin."""

    def compute_range(self) -> ObservedRange:
        below, edges = self.counts.cumsum(0), self.edges
        total, (smallest, largest) = float(below[-1]), self.extent.compute_range()
        first = int(torch.searchsorted(below, total * PERCENTILE_TAIL, right=True))
        last = int(torch.searchsorted(below, total * (1 - PERCENTILE_TAIL)))
        return max(smallest, float(edges[first])), min(largest, float(edges[last + 1]))


class _MSEObserver(Histogram):
    """The range at which int8 has the least mean squared error, searched one end at a time.

    Behind SiLU, for example, all large negative values are nearly zero, and no step is spent on them.
    """

    def __init__(self, activations: ActivationScheme, function: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.activations, self.function = activations, function or (lambda values: values)

    def compute_range(self) -> ObservedRange:
        low, high = self.extent.compute_range()
        occupied = self.counts > 0
        counts, edges = self.counts[occupied], self.edges
        centers = ((edges[:-1] + edges[1:]) / 2)[occupied].clamp(low, high)
        exact = self.function(centers)

        @cache
        def compute_error(ends: ObservedRange) -> float:
            parameters = choose_affine_parameters(*ends, self.activations)
            steps = (centers / parameters.scale).round() + parameters.zero_point
            rounded = (steps.clamp(ACTIVATION_MIN, ACTIVATION_MAX) - parameters.zero_point) * parameters.scale
            return float((counts * (self.function(rounded) - exact).square()).sum())

        shares = torch.linspace(1, MIN_RANGE_SHARE, RANGE_CANDIDATES).tolist()
        best = (low, high)
        if self.activations == "symmetric":
            return min(((low * share, high * share) for share in shares), key=compute_error)
        for _ in range(2):
            best = min(((best[0], high * share) for share in shares), key=compute_error)
            best = min(((low * share, best[1]) for share in shares), key=compute_error)
        return best
