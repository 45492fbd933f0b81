"""What a search found: the recipes that were tried, the one that was taken, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, get_args

from pydantic import Field

from shvit_mobile.contracts.document import Contract, Milliseconds, Proportion, Sha256
from shvit_mobile.contracts.drift_report import EvaluationImages, GateVerdict
from shvit_mobile.contracts.drift_row import DriftRow

CostName = Literal["bytes", "macs", "latency"]
COST_NAMES: tuple[CostName, ...] = get_args(CostName)
# "held" where the 95% interval lies inside the budget; "unproven" where the figure does and its interval reaches past
# it, so that more images are needed to tell.
BudgetStatus = Literal["held", "unproven", "not held"]


class LayerLatency(Contract):
    """Median time that a layer takes of one image, with what rounds its values and turns them about, in ms."""

    layer: str
    float_ms: Milliseconds
    int8_ms: Milliseconds


class LayerCosts(Contract):
    """What each int8 layer would cost more in float.

    Attributes:
        of: "bytes" of the artifact; "macs", multiply-adds of an image that leave int8; "latency" in ms.
        layers: by layer, at least 0.
    """

    of: CostName
    layers: dict[str, float]

    def sum_over(self, layers: Iterable[str]) -> float:
        """What some layers cost together; what is not in `layers` costs nothing."""
        return sum(self.layers.get(layer, 0.0) for layer in layers)


class Budget(Contract):
    """How much drift is allowed: at least one of the two.

    Attributes:
        max_drop: points of top-1, 0 to 100; needs labels.
        min_agreement: the share of images on which artifact and float model choose the same class, 0 to 1.
    """

    max_drop: Annotated[float, Field(ge=0, le=100)] | None = None
    min_agreement: Proportion | None = None


class SearchPoint(Contract):
    """A recipe that was lowered and run.

    Attributes:
        float_layers: that it keeps in float, in the order of the data.
        cost: what they cost together.
        holds: whether it holds the budget.
        row: its artifact's drift: top-1 drop with its interval, McNemar's test, agreement, SQNR.
    """

    float_layers: tuple[str, ...]
    cost: float
    holds: BudgetStatus
    row: DriftRow


class SearchResult(Contract):
    """The outcome of a search.

    Attributes:
        checkpoint_sha256: of the float model.
        recipe_sha256: of the recipe that was searched from, as text.
        images: what every point was run on.
        budget: that was to be held.
        costs: by which the search chose.
        order: the layers, that first which takes the most error away for what it costs.
        points: all recipes that were tried, the cheapest first.
        float_layers: of the one that was taken.
        holds: "held" or "unproven".
        verdict: of the budget on it, in the words of `validate`.
        notes: what a reader must know of the figures.
    """

    checkpoint_sha256: Sha256
    recipe_sha256: Sha256
    images: EvaluationImages
    budget: Budget
    costs: LayerCosts
    order: tuple[str, ...]
    points: tuple[SearchPoint, ...]
    float_layers: tuple[str, ...]
    holds: BudgetStatus
    verdict: GateVerdict
    notes: tuple[str, ...] = ()

    @property
    def chosen(self) -> SearchPoint:
        """The point that was taken."""
        return next(point for point in self.points if point.float_layers == self.float_layers)
