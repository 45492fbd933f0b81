"""The result of a budget search: the recipes it tried, the one it chose, and the confidence in that choice."""

from collections.abc import Iterable
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from shvit_mobile.contracts.document import Contract, Proportion, Sha256
from shvit_mobile.contracts.drift_report import EvaluationImages, GateVerdict
from shvit_mobile.contracts.drift_row import DriftRow

CostName = Literal["bytes", "macs", "latency", "arm64"]
COST_NAMES: tuple[CostName, ...] = get_args(CostName)
# "held": the 95% interval is inside the budget. "unproven": the figure is, but its interval reaches past the budget, so
# only more images can decide.
BudgetStatus = Literal["held", "unproven", "not held"]


class LayerCosts(Contract):
    """The additional cost of each int8 layer if it runs in float.

    Attributes:
        of: "bytes" of the artifact, "macs" (multiply-adds of one image that are no longer int8), "latency" in ms, or
            "arm64": instructions of one image, which are not cycles, in ExecuTorch's program for XNNPACK.
        layers: The cost by layer, at least 0.
        cpu: For "arm64", the name of the emulated CPU.
        engine: For "arm64", the runtime and the emulator.
    """

    of: CostName
    layers: dict[str, Annotated[float, Field(ge=0)]]
    cpu: str | None = Field(default=None, exclude_if=lambda value: value is None)
    engine: str | None = Field(default=None, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if {self.cpu is None, self.engine is None} != {self.of != "arm64"}:
            raise ValueError("cpu: it is given, with the engine, for instructions and for nothing else")
        return self

    def sum_over(self, layers: Iterable[str]) -> float:
        """Return the sum of the costs of some layers; layers without a cost count 0."""
        return sum(self.layers.get(layer, 0.0) for layer in layers)


class Budget(Contract):
    """The allowed drift: at least one of five limits.

    Attributes:
        max_drop: Points of top-1, or of a detector's average precision, 0 to 100; needs labels.
        min_agreement: The share of images for which artifact and float model predict the same class, 0 to 1.
        min_top1: The share of images that the artifact gets right, 0 to 1; needs labels.
        min_sqnr: The SQNR of the logits, or of each map, in dB.
        min_box_agreement: The share of boxes that artifact and float model share, 0 to 1.
    """

    max_drop: Annotated[float, Field(ge=0, le=100)] | None = None
    min_agreement: Proportion | None = None
    min_top1: Proportion | None = None
    min_sqnr: Annotated[float, Field(ge=0)] | None = None
    min_box_agreement: Proportion | None = Field(default=None, exclude_if=lambda value: value is None)


class SearchPoint(Contract):
    """A recipe that was lowered and run.

    Attributes:
        float_layers: The layers that it keeps in float, in the order of the data flow.
        cost: The sum of their costs.
        holds: Whether it holds the budget.
        row: The drift of its artifact.
    """

    float_layers: tuple[str, ...]
    cost: float
    holds: BudgetStatus
    row: DriftRow


class SearchResult(Contract):
    """The result of a budget search.

    Attributes:
        checkpoint_sha256: The SHA-256 of the float model.
        recipe_sha256: The SHA-256 of the JSON of the recipe that the search started from.
        images: The images that every point ran on.
        budget: The budget.
        costs: The costs that the search minimized.
        order: The layers, sorted by the error that each removes for its cost, most first.
        points: All recipes that were tried, cheapest first.
        float_layers: The float layers of the chosen recipe.
        holds: "held" or "unproven".
        verdict: The verdict of the budget on the chosen recipe, worded as by `validate`.
        notes: Notes on the figures.
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

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if (self.float_layers, self.holds) not in [(point.float_layers, point.holds) for point in self.points]:
            raise ValueError("float_layers: the chosen recipe is not among those that were tried")
        return self

    @property
    def chosen(self) -> SearchPoint:
        """The chosen point."""
        return next(point for point in self.points if point.float_layers == self.float_layers)
