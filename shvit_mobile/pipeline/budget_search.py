"""Searches for the fewest layers in float that hold an accuracy budget; every recipe it tries is lowered and run."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import InitVar, asdict, dataclass, field
from functools import cache
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

from shvit_mobile.contracts.budget_search import Budget, BudgetStatus, CostName, LayerCosts, SearchPoint, SearchResult
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.contracts.sensitivity import LayerSensitivity, SensitivityReport
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.drift.build_report import describe_images
from shvit_mobile.drift.compare import FloatReference, compare, compute_float_reference
from shvit_mobile.drift.gates import Gate, evaluate_gate, find_caveats, find_violations
from shvit_mobile.errors import BudgetMissed, ConflictingParameters, MissingParameter
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.pipeline.goldens import load_default_golden_images
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.progress import ProgressCallback
from shvit_mobile.quantize.layers import find_dense_layers
from shvit_mobile.quantize.overrides import ParameterOverrides

LayerSet = frozenset[str]
BudgetCheck = Callable[[LayerSet], bool]


def search_recipe(
    deployed: DeployForm,
    recipe: Recipe,
    sensitivity: SensitivityReport,
    images: ImageSet,
    gate: Gate,
    cost: CostName | LayerCosts = "bytes",
    *,
    overrides: ParameterOverrides | None = None,
    known_points: Iterable[SearchPoint] = (),
    max_artifacts: int | None = None,
    reference: FloatReference | None = None,
    progress: Callable[[SearchPoint], None] | None = None,
) -> SearchResult:
    """Search for the cheapest recipe within a budget: `recipe` with the `float_layers` of the result.

    The recipe itself is tried first; if it holds the budget, the search ends. Otherwise layers move to float in the
    order of the error that each removes for its cost: their number doubles until the budget holds, then a bisection
    finds the shortest prefix that holds it. Then each layer that the budget does not need returns to int8. A recipe is
    measured by its ONNX artifact.

    Args:
        recipe: A static int8 recipe. Layers that it keeps in float stay in float.
        sensitivity: The sensitivity of this recipe.
        images: The images to verify the budget on; with labels or boxes if it limits a drop.
        gate: The budget: one or more limits. A value equal to its limit holds it.
        cost: What a layer in float costs, see `compute_costs`, or these costs, where they are known.
        known_points: Points of the same model, recipe and images, which are not run again.
        max_artifacts: Stop looking for a cheaper recipe after this many artifacts, once one holds (default: no limit).
        reference: The logits of the float model for `images`, if you have them.
        progress: Called with each point that ran.

    Raises:
        MissingParameter: If the budget has no limit, or limits a drop and the images have no labels.
        ConflictingParameters: If `sensitivity` belongs to another model or recipe.
        BudgetMissed: If the budget does not hold even with all layers in float.
        BadImages, BadRecipe: As `compare` and `lower`.
    """
    _check_search_inputs(gate, images, recipe, sensitivity, deployed)
    costs = cost if isinstance(cost, LayerCosts) else compute_costs(cost, sensitivity, deployed, recipe, overrides)

    @cache  # once, and only if a recipe runs
    def compute_reference() -> FloatReference | None:
        if deployed.trained.task != "classify":
            return None
        return reference or compute_float_reference(deployed.trained, images)

    def run(float_layers: tuple[str, ...]) -> DriftRow:
        tried = recipe.model_copy(update={"float_layers": float_layers})
        return _measure_drift(deployed, tried, images, overrides, compute_reference())

    trials = SearchTrials(
        run,
        tuple(name for name, _ in find_dense_layers(deployed.module)),
        gate,
        costs,
        kept=frozenset(recipe.float_layers),
        max_artifacts=max_artifacts,
        progress=progress,
        known_points=known_points,
    )
    order = rank_by_gain(sensitivity.layers, costs)
    chosen = select_point(order, trials)
    if chosen.holds == "not held":
        reason = find_violations(chosen.row, gate)[0].removeprefix(f"{chosen.row.artifact}: ")
        raise BudgetMissed(
            f"The budget does not hold even with all {len(order)} layers in float: {reason}",
            why="Then int8 is not what costs the accuracy.",
            hint="Export the model in fp32 and compare that artifact first.",
        )
    return SearchResult(
        checkpoint_sha256=deployed.trained.sha256,
        recipe_sha256=recipe.sha256,
        images=describe_images(images, chosen.row.images),
        budget=Budget(**asdict(gate)),
        costs=costs,
        order=order,
        points=tuple(sorted(trials.points.values(), key=lambda point: (point.cost, len(point.float_layers)))),
        float_layers=chosen.float_layers,
        holds=chosen.holds,
        verdict=evaluate_gate([chosen.row], gate),
        notes=tuple(build_notes(trials, chosen)),
    )


def compute_costs(
    of: CostName,
    sensitivity: SensitivityReport,
    deployed: DeployForm,
    recipe: Recipe,
    overrides: ParameterOverrides | None = None,
    *,
    cpu: str | None = None,
    cache_folder: Path | None = None,
    progress: ProgressCallback | None = None,
) -> LayerCosts:
    """Return what each int8 layer costs in float.

    Latency is measured on this machine, and instructions are counted on an emulated CPU. A layer that is not slower in
    float costs nothing.

    Args:
        of: What is counted.
        sensitivity, deployed, recipe, overrides: As for `search_recipe`.
        cpu: For "arm64", the name of the CPU (default: as `benchmark`).
        cache_folder, progress: For "arm64", as `count_layer_instructions`.

    Raises:
        UnknownChoice: If there is no such CPU.
        ToolMissing: If the emulator or the counter is not set up.
        EmulatorFailed: If a layer does not run on the CPU.
    """
    if of == "arm64":
        from shvit_mobile.pipeline import layer_instructions  # needs ExecuTorch

        emulation = layer_instructions.open_emulation(cpu)
        counts = layer_instructions.count_layer_instructions(
            deployed, recipe, overrides, emulation, cache_folder=cache_folder, progress=progress
        )
        more = {row.layer: float(max(0, counts.get(row.layer, 0))) for row in sensitivity.layers}
        return LayerCosts(of=of, layers=more, cpu=emulation.cpu.name, engine=emulation.engine)
    if of == "latency":
        from shvit_mobile.pipeline.layer_latency import measure_layer_latencies  # needs ONNX

        times = measure_layer_latencies(deployed, recipe, overrides)
        layers = {layer: max(0.0, float_ms - int8_ms) for layer, (float_ms, int8_ms) in times.items()}
    elif of == "macs":
        layers = {row.layer: float(row.macs) for row in sensitivity.layers}
    else:
        # A weight takes four bytes in float, and one in int8.
        layers = {row.layer: 3.0 * row.weights for row in sensitivity.layers}
    return LayerCosts(of=of, layers=layers)


def evaluate_recipe(
    deployed: DeployForm,
    recipe: Recipe,
    images: ImageSet,
    gate: Gate,
    overrides: ParameterOverrides | None = None,
    reference: FloatReference | None = None,
) -> SearchPoint:
    """Hold the recipe itself against the budget; `search_recipe` takes the point as a known one.

    Raises:
        InvalidConfig: If the budget limits a drop and the images have no labels.
        BadImages, BadRecipe: As `compare` and `lower`.
    """
    row = _measure_drift(deployed, recipe, images, overrides, reference)
    return SearchPoint(float_layers=recipe.float_layers, cost=0.0, holds=evaluate_budget(row, gate), row=row)


def _measure_drift(
    deployed: DeployForm,
    recipe: Recipe,
    images: ImageSet,
    overrides: ParameterOverrides | None,
    reference: FloatReference | None = None,
) -> DriftRow:
    """Lower a recipe and run its artifact, which is not kept."""
    goldens = load_default_golden_images()[:1]
    with TemporaryDirectory() as folder:
        artifact = lower(deployed, recipe, "onnx", folder, overrides=overrides, goldens=goldens, has_gate=True)
        return compare(artifact, deployed.trained, images, reference=reference)


@dataclass
class SearchTrials:
    """The recipes that a search has tried, each once.

    Attributes:
        run: Measures the drift of the recipe with these layers in float.
        names: All layers, in the order of the data flow.
        kept: The layers that every recipe keeps in float; they cost nothing.
        max_artifacts: The number of artifacts after which `is_worth_trying` runs no more; None is no limit.
        progress: Called with each point that ran.
        known_points: Points that were tried before.
        points: All points, by their layers in float.
        ran: How many of them ran in this search.
        ended: Whether `max_artifacts` kept a recipe from being tried.
    """

    run: Callable[[tuple[str, ...]], DriftRow]
    names: Sequence[str]
    gate: Gate
    costs: LayerCosts
    kept: LayerSet = frozenset()
    max_artifacts: int | None = None
    progress: Callable[[SearchPoint], None] | None = None
    known_points: InitVar[Iterable[SearchPoint]] = ()
    points: dict[LayerSet, SearchPoint] = field(init=False)
    ran: int = field(default=0, init=False)
    ended: bool = field(default=False, init=False)

    def __post_init__(self, known_points: Iterable[SearchPoint]) -> None:
        self.points = {
            frozenset(point.float_layers): self.build_point(point.float_layers, point.row) for point in known_points
        }

    def evaluate(self, layers: LayerSet) -> SearchPoint:
        """Return the point with `layers` in float besides those that are always in float; run it if it is new."""
        in_float = layers | self.kept
        if in_float not in self.points:
            float_layers = tuple(name for name in self.names if name in in_float)
            self.points[in_float] = self.build_point(float_layers, self.run(float_layers))
            self.ran += 1
            if self.progress is not None:
                self.progress(self.points[in_float])
        return self.points[in_float]

    def is_within_budget(self, layers: LayerSet) -> bool:
        """Whether the budget holds with `layers` in float."""
        return self.evaluate(layers).holds != "not held"

    def is_worth_trying(self, layers: LayerSet) -> bool:
        """Whether the budget holds with `layers` in float; False for a new recipe after `max_artifacts` artifacts."""
        if layers | self.kept in self.points or self.max_artifacts is None or self.ran < self.max_artifacts:
            return self.is_within_budget(layers)
        self.ended = True
        return False

    def find_cheapest(self) -> LayerSet:
        """Return the layers of the cheapest point that holds the budget; on a tie, the fewest layers."""
        holding = [layers - self.kept for layers, point in self.points.items() if point.holds != "not held"]
        return min(holding, key=lambda layers: (self.costs.sum_over(layers), len(layers)))

    def build_point(self, float_layers: tuple[str, ...], row: DriftRow) -> SearchPoint:
        """Return the point of a recipe with these layers in float."""
        cost = self.costs.sum_over(set(float_layers) - self.kept)
        return SearchPoint(float_layers=float_layers, cost=cost, holds=evaluate_budget(row, self.gate), row=row)


def select_point(order: Sequence[str], trials: SearchTrials) -> SearchPoint:
    """Return the chosen point, or the one with all layers in float if none holds the budget."""
    if trials.is_within_budget(frozenset()):
        return trials.evaluate(frozenset())
    if not trials.is_within_budget(find_shortest_prefix(order, trials.is_within_budget, trials.is_worth_trying)):
        return trials.evaluate(frozenset(order))
    cheapest = trials.find_cheapest()
    costliest_first = sorted(cheapest, key=lambda layer: -trials.costs.layers[layer])
    return trials.evaluate(drop_unneeded_layers(cheapest, costliest_first, trials.is_worth_trying))


def find_shortest_prefix(order: Sequence[str], is_within: BudgetCheck, is_worth_trying: BudgetCheck) -> LayerSet:
    """Return the shortest prefix of `order` that is within the budget if longer ones are too; all of it if none is.

    Its length doubles until it `is_within`; then a bisection asks `is_worth_trying`.
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
    """Return `layers` without those that the budget does not need, tried in `order` until none can be dropped."""
    candidates, refused = deque(order), 0
    while refused < len(candidates):
        layer = candidates.popleft()
        if is_within(layers - {layer}):
            layers, refused = layers - {layer}, 0
        else:
            candidates.append(layer)
            refused += 1
    return layers


def rank_by_gain(layers: Sequence[LayerSensitivity], costs: LayerCosts) -> tuple[str, ...]:
    """Sort layers by the error that each removes for its cost, most first; layers that cost nothing come first.

    The errors of layers are nearly independent, so their powers add up: a layer in float removes the power of the
    error that it makes alone.
    """

    def compute_gain(row: LayerSensitivity) -> tuple[float, float]:
        power, cost = 10 ** (-row.quantized_db / 10), costs.layers[row.layer]
        return (power / cost if cost else inf), power

    return tuple(row.layer for row in sorted(layers, key=compute_gain, reverse=True))


def build_notes(trials: SearchTrials, chosen: SearchPoint) -> Iterator[str]:
    """Yield the notes on the result of a search."""
    # The recipe itself is tried first, so it was not chosen for its luck on these images.
    if frozenset(chosen.float_layers) != trials.kept:
        yield (
            f"The recipe was chosen from {len(trials.points)} that were tried on these images, "
            "which flatters it: validate it on others."
        )
    if trials.costs.of == "arm64":
        yield (
            f"A layer in float costs the instructions that it adds for one image on the CPU {trials.costs.cpu}, counted"
            f" with {trials.costs.engine}. Instructions are not cycles."
        )
    if trials.ended:
        yield f"The search ended after {trials.ran} artifacts: a cheaper recipe may hold the budget too."


def _check_search_inputs(
    gate: Gate, images: ImageSet, recipe: Recipe, sensitivity: SensitivityReport, deployed: DeployForm
) -> None:
    """Raise if the arguments of `search_recipe` do not fit together."""
    if not any(limit is not None for limit in asdict(gate).values()):
        raise MissingParameter(
            "The budget has no limit.", why="A search needs one.", hint="Set `max_drop=0.5`.", parameter="max_drop"
        )
    classifies = deployed.trained.task == "classify"
    if gate.label_limit and (images.labels if classifies else images.true_boxes) is None:
        raise MissingParameter(
            f"`{gate.label_limit}` is given, but the {len(images)} images in {images.root} have no labels.",
            why="Without labels the right answers are unknown.",
            hint=f"Give labelled images, or set `{'min_agreement=0.985' if classifies else 'min_box_agreement=0.9'}`.",
            parameter="labels_csv" if classifies else "labels_coco",
        )
    if (sensitivity.checkpoint_sha256, sensitivity.recipe_sha256) != (deployed.trained.sha256, recipe.sha256):
        raise ConflictingParameters(
            "The sensitivity belongs to another model or recipe.",
            why="It decides which layers move to float first.",
            hint="Measure it again with this recipe.",
            parameter="sensitivity",
        )


def evaluate_budget(row: DriftRow, gate: Gate) -> BudgetStatus:
    """Return whether a row holds the budget, and whether its images are enough to be sure.

    Raises:
        InvalidConfig: If the budget limits a drop and the images have no labels.
    """
    if find_violations(row, gate):
        return "not held"
    return "unproven" if find_caveats(row, gate) else "held"
