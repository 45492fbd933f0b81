"""The search itself: the fewest layers in float that hold a budget, each step verified on an artifact that ran."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

from shvit_mobile.contracts.budget_search import Budget, BudgetStatus, CostName, LayerCosts, SearchPoint, SearchResult
from shvit_mobile.contracts.drift_report import EvaluationImages
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.contracts.sensitivity import LayerSensitivity, SensitivityReport
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.drift.compare import FloatReference, compare, compute_float_reference
from shvit_mobile.drift.gates import Gate, evaluate_gate, find_caveats, find_violations
from shvit_mobile.errors import BudgetMissed, InvalidConfig
from shvit_mobile.images.image_set import ImageSet, replace_invalid_utf8
from shvit_mobile.pipeline.golden_images import load_default_golden_images
from shvit_mobile.pipeline.layer_costs import compute_byte_costs, compute_latency_costs, compute_mac_costs
from shvit_mobile.pipeline.layer_latency import measure_layer_latencies
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.quantize.layers import find_dense_convolutions
from shvit_mobile.quantize.overrides import ParameterOverrides

LayerSet = frozenset[str]
BudgetCheck = Callable[[LayerSet], bool]


def search_recipe(
    deployed: DeployForm,
    recipe: Recipe,
    sensitivity: SensitivityReport,
    images: ImageSet,
    budget: Budget,
    costs: LayerCosts,
    *,
    overrides: ParameterOverrides | None = None,
    known_points: Iterable[SearchPoint] = (),
    max_artifacts: int | None = None,
    reference: FloatReference | None = None,
    progress: Callable[[SearchPoint], None] | None = None,
) -> SearchResult:
    """The cheapest recipe within a budget that was found: `recipe` with the `float_layers` of the result.

    The recipe as it is comes first; where it holds, nothing is searched. Else layers go to float in the order of the
    error that each takes away for what it costs, until the budget holds: by doubling, then by halving. Then each is
    taken back without which it holds as well. A recipe counts by what its ONNX artifact answers.

    Args:
        deployed: the model.
        recipe: static int8. Layers that it keeps in float stay so.
        sensitivity: of this recipe.
        images: to verify on; with labels where the budget is of top-1.
        budget: what must hold. A figure inside counts; whether its interval is inside too, the result says.
        costs: of the layers in float.
        overrides: the recipe's overrides, if it has any.
        known: points of the same model, recipe and images, which are not run again.
        most: artifacts after which nothing cheaper is looked for, once something holds; as many as it takes if None.
        reference: the float model's answers to `images`; saves running it.
        progress: told each point that was run.

    Raises:
        InvalidConfig: the budget is empty, or of top-1 where there are no labels; or sensitivity and recipe do not
            belong together.
        BudgetMissed: the budget does not hold even with all layers in float.
        BadImages, BadRecipe: as `compare` and `lower`.
    """
    check_arguments(budget, images, recipe, sensitivity, deployed)
    trials = SearchTrials(
        ArtifactEvaluator(deployed, recipe, overrides, images, reference).measure_drift,
        tuple(name for name, _ in find_dense_convolutions(deployed.module)),
        gate_on(budget),
        costs,
        kept=recipe.float_layers,
        known=known_points,
        most=max_artifacts,
        progress=progress,
    )
    order = rank_by_gain(sensitivity.layers, costs)
    chosen = select_point(order, trials)
    if chosen.holds == "not held":
        reason = find_violations(chosen.row, gate_on(budget))[0].removeprefix(f"{chosen.row.artifact}: ")
        raise BudgetMissed(
            f"With all {len(order)} layers in float the budget does not hold either: {reason}",
            why="Then it is not int8 that costs the answers.",
            hint="Compare the float artifact first: shvit-mobile export --target onnx --quantize fp32 --validate DIR",
        )
    return SearchResult(
        checkpoint_sha256=deployed.trained.sha256,
        recipe_sha256=recipe.sha256,
        images=describe_images(images, chosen.row),
        budget=budget,
        costs=costs,
        order=order,
        points=tuple(sorted(trials.points.values(), key=lambda point: (point.cost, len(point.float_layers)))),
        float_layers=chosen.float_layers,
        holds=chosen.holds,
        verdict=evaluate_gate([chosen.row], gate_on(budget)),
        notes=tuple(build_notes(trials, chosen)),
    )


def compute_costs(
    name: CostName,
    sensitivity: SensitivityReport,
    deployed: DeployForm,
    recipe: Recipe,
    overrides: ParameterOverrides | None = None,
) -> LayerCosts:
    """What each int8 layer costs in float, by the name of the cost; latency is measured here and now."""
    if name == "macs":
        return compute_mac_costs(sensitivity)
    if name == "bytes":
        return compute_byte_costs(sensitivity, "onnx")
    return compute_latency_costs(sensitivity, measure_layer_latencies(deployed, recipe, overrides))


def evaluate_recipe(
    deployed: DeployForm,
    recipe: Recipe,
    images: ImageSet,
    budget: Budget,
    *,
    overrides: ParameterOverrides | None = None,
    reference: FloatReference | None = None,
) -> SearchPoint:
    """What the budget makes of the recipe without any search: a point that `search_recipe` knows then.

    Raises:
        InvalidConfig: the budget is of top-1, and there are no labels.
        BadImages, BadRecipe: as `compare` and `lower`.
    """
    row = ArtifactEvaluator(deployed, recipe, overrides, images, reference).measure_drift(recipe.float_layers)
    return SearchPoint(float_layers=recipe.float_layers, cost=0.0, holds=evaluate_budget(row, gate_on(budget)), row=row)


class ArtifactEvaluator:
    """Makes artifacts of one model and recipe, runs each once on the same images and keeps none."""

    def __init__(
        self,
        deployed: DeployForm,
        recipe: Recipe,
        overrides: ParameterOverrides | None,
        images: ImageSet,
        reference: FloatReference | None,
    ) -> None:
        self._deployed, self._recipe, self._overrides = deployed, recipe, overrides
        self._images, self._reference = images, reference

    def measure_drift(self, float_layers: tuple[str, ...]) -> DriftRow:
        """The drift of the recipe with other layers in float."""
        recipe = self._recipe.model_copy(update={"float_layers": float_layers})
        pictures = load_default_golden_images()[:1]
        with TemporaryDirectory() as folder:
            artifact = lower(self._deployed, recipe, "onnx", Path(folder), overrides=self._overrides, pictures=pictures)
            return compare(artifact, self._deployed.trained, self._images, reference=self.reference)

    @cached_property
    def reference(self) -> FloatReference:
        """The float model's answers, which nobody needs where every point is known."""
        return self._reference or compute_float_reference(self._deployed.trained, self._images)


class SearchTrials:
    """Recipes that were tried, each once.

    Args:
        run: the drift of the recipe with these layers in float.
        names: of all layers, in the order of the data.
        kept: the layers that every recipe keeps in float.
        gate: the budget.
        costs: of the others.
        known: what was tried before.
        most: artifacts to run before `worth_it` says no; any number if None.
        progress: told each point that was run.

    Attributes:
        points: by all layers in float.
        ran: how many of them were not known before.
        ended: whether something was not tried because of `most`.
    """

    def __init__(
        self,
        run: Callable[[tuple[str, ...]], DriftRow],
        names: Sequence[str],
        gate: Gate,
        costs: LayerCosts,
        *,
        kept: Iterable[str] = (),
        known: Iterable[SearchPoint] = (),
        most: int | None = None,
        progress: Callable[[SearchPoint], None] | None = None,
    ) -> None:
        self.run, self.names, self.gate, self.costs, self.progress = run, names, gate, costs, progress
        self.kept, self.most, self.ran, self.ended = frozenset(kept), most, 0, False
        self.points = {
            frozenset(point.float_layers): self.build_point(point.float_layers, point.row) for point in known
        }

    def evaluate(self, layers: LayerSet) -> SearchPoint:
        """The point with `layers` in float besides those that always are."""
        every = layers | self.kept
        if every not in self.points:
            float_layers = tuple(name for name in self.names if name in every)
            self.points[every] = self.build_point(float_layers, self.run(float_layers))
            self.ran += 1
            if self.progress is not None:
                self.progress(self.points[every])
        return self.points[every]

    def is_within_budget(self, layers: LayerSet) -> bool:
        return self.evaluate(layers).holds != "not held"

    def is_worth_trying(self, layers: LayerSet) -> bool:
        """Whether `layers` are within; no longer asked of what is not known once `most` artifacts have run."""
        if layers | self.kept in self.points or self.most is None or self.ran < self.most:
            return self.is_within_budget(layers)
        self.ended = True
        return False

    def find_cheapest(self) -> LayerSet:
        """Of all that were found within the budget; of equal ones, that with the fewest layers."""
        holding = [layers - self.kept for layers, point in self.points.items() if point.holds != "not held"]
        return min(holding, key=lambda layers: (self.costs.sum_over(layers), len(layers)))

    def build_point(self, float_layers: tuple[str, ...], row: DriftRow) -> SearchPoint:
        cost = self.costs.sum_over(set(float_layers) - self.kept)
        return SearchPoint(float_layers=float_layers, cost=cost, holds=evaluate_budget(row, self.gate), row=row)


def select_point(order: Sequence[str], trials: SearchTrials) -> SearchPoint:
    """The point to take; with all layers in float where none holds."""
    if trials.is_within_budget(frozenset()):
        return trials.evaluate(frozenset())
    if not trials.is_within_budget(find_shortest_prefix(order, trials.is_within_budget, trials.is_worth_trying)):
        return trials.evaluate(frozenset(order))
    start = trials.find_cheapest()
    costliest_first = sorted(start, key=lambda layer: -trials.costs.layers[layer])
    return trials.evaluate(drop_unneeded_layers(start, costliest_first, trials.is_worth_trying))


def find_shortest_prefix(order: Sequence[str], is_within: BudgetCheck, is_worth_trying: BudgetCheck) -> LayerSet:
    """The shortest beginning of `order` that is within, if longer ones are too; all of it where none is.

    Doubled until it is `within`, then halved as long as that is `worth_it`.
    """
    too_short, enough = 0, min(1, len(order))
    while not is_within(frozenset(order[:enough])):
        if enough == len(order):
            return frozenset(order)
        too_short, enough = enough, min(2 * enough, len(order))
    while enough - too_short > 1:
        middle = (too_short + enough) // 2
        if is_worth_trying(frozenset(order[:middle])):
            enough = middle
        else:
            too_short = middle
    return frozenset(order[:enough])


def drop_unneeded_layers(layers: LayerSet, order: Sequence[str], is_within: BudgetCheck) -> LayerSet:
    """`layers` without those, tried in `order`, that are not needed; none that is left can go."""
    left, refused = deque(order), 0
    while refused < len(left):
        layer = left.popleft()
        if is_within(layers - {layer}):
            layers, refused = layers - {layer}, 0
        else:
            left.append(layer)
            refused += 1
    return layers


def rank_by_gain(layers: Sequence[LayerSensitivity], costs: LayerCosts) -> tuple[str, ...]:
    """Layers by the error that each takes away for what it costs, the most first; those that cost nothing lead.

    The errors of layers are nearly independent, so that their powers add up: what a layer takes away is the power of
    the error that it makes alone.
    """

    def gain(row: LayerSensitivity) -> tuple[float, float]:
        power, cost = 10 ** (-row.quantized_db / 10), costs.layers[row.layer]
        return (power / cost if cost else inf), power

    return tuple(row.layer for row in sorted(layers, key=gain, reverse=True))


def build_notes(trials: SearchTrials, chosen: SearchPoint) -> Iterator[str]:
    # The recipe as it is was tried first and chosen from nothing.
    if frozenset(chosen.float_layers) != trials.kept:
        yield (
            f"{len(trials.points)} recipes were tried on these images and one taken that is within the budget on them, "
            "which flatters it: validate it on others."
        )
    if trials.ended:
        yield f"The search was ended after {trials.ran} artifacts: a cheaper recipe may hold too."


def describe_images(images: ImageSet, row: DriftRow) -> EvaluationImages:
    """What the points were run on."""
    return EvaluationImages(
        source=replace_invalid_utf8(images.root.absolute().name),
        count=row.images,
        labelled=images.labels is not None,
        sha256=images.compute_sha256(),
        seed=images.seed,
    )


def check_arguments(
    budget: Budget, images: ImageSet, recipe: Recipe, sensitivity: SensitivityReport, deployed: DeployForm
) -> None:
    """Raises what `search_recipe` says where its arguments do not go together."""
    if budget.max_drop is None and budget.min_agreement is None:
        raise InvalidConfig("The budget sets no limit.", why="A search needs one.", hint="Try: --max-drop 0.5")
    if budget.max_drop is not None and images.labels is None:
        raise InvalidConfig(
            f"There is no top-1 to hold against a drop of {budget.max_drop:g} points.",
            why=f"The {len(images)} images in {images.root} have no labels.",
            hint="Give labelled images, or a budget of agreement with the float model: --min-agreement 98.5",
        )
    if (sensitivity.checkpoint_sha256, sensitivity.recipe_sha256) != (deployed.trained.sha256, recipe.sha256):
        raise InvalidConfig(
            "The sensitivity is of another model or recipe.",
            why="It says which layer to give up first.",
            hint="Measure it again, with this recipe.",
        )


def evaluate_budget(row: DriftRow, gate: Gate) -> BudgetStatus:
    """What a row makes of a budget.

    Raises:
        InvalidConfig: the budget is of top-1 and the images have no labels.
    """
    if find_violations(row, gate):
        return "not held"
    return "unproven" if find_caveats(row, gate) else "held"


def budget_of(gate: Gate) -> Budget:
    """The budget that a gate on drift sets."""
    return Budget(max_drop=gate.max_drop, min_agreement=gate.min_agreement)


def gate_on(budget: Budget) -> Gate:
    """The gate that a budget is."""
    return Gate(max_drop=budget.max_drop, min_agreement=budget.min_agreement)
