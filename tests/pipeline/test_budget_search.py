"""The search chooses the cheapest recipe that ran and held the budget, and claims no more than its images show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from shvit_mobile.contracts.budget_search import LayerCosts, SearchPoint, SearchResult
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.preprocessing import Preprocessing, convert_to_raw_input
from shvit_mobile.contracts.recipe import ActivationRange, Recipe
from shvit_mobile.contracts.sensitivity import SensitivityReport
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.drift.compare import FloatReference, compare, compute_float_reference
from shvit_mobile.drift.gates import Gate
from shvit_mobile.drift.intervals import compute_wilson_interval
from shvit_mobile.errors import BudgetMissed, ConflictingParameters, MissingParameter
from shvit_mobile.families.shvit import SHViT
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import ImageSet, open_images
from shvit_mobile.pipeline import layer_latency
from shvit_mobile.pipeline.budget_search import (
    SearchTrials,
    build_notes,
    compute_costs,
    drop_unneeded_layers,
    evaluate_budget,
    find_shortest_prefix,
    rank_by_gain,
    search_recipe,
    select_point,
)
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quantize.sensitivity import measure_sensitivity
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder

SIZE = (48, 64)
# Two layers whose ranges are so wide that int8 keeps almost nothing of their values.
RUINED = ("stages.0.blocks.0.ffn.m.pw2", "stages.1.downsample.2.conv3")
IMAGES = 24
ALL = Gate(min_agreement=1.0)


@dataclass(frozen=True)
class World:
    """A small model, a recipe with two ruined layers, and images whose labels are the float model's predictions.

    The budget is the loss of the recipe without its ruined layers, plus one image.
    """

    deployed: DeployForm
    plain: Recipe
    ruined: Recipe
    sensitivity: SensitivityReport
    images: ImageSet
    reference: FloatReference
    budget: Gate

    def search(self, budget: Gate, **changes: object) -> SearchResult:
        arguments: dict[str, object] = {"reference": self.reference, **changes}
        recipe, report = arguments.pop("recipe", self.ruined), arguments.pop("sensitivity", self.sensitivity)
        return search_recipe(self.deployed, recipe, report, self.images, budget, "bytes", **arguments)  # type: ignore[arg-type]


def widen_ranges(recipe: Recipe, layers: Sequence[str]) -> Recipe:
    ranges = {layer: ActivationRange(input=(-3e3, 3e3), output=(-3e3, 3e3)) for layer in layers}
    return recipe.model_copy(update={"ranges": recipe.ranges | ranges})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    pictures = open_images(write_picture_folder(tmp_path_factory.mktemp("pictures"), count=IMAGES))
    model = build_trained_model(center_logits(build_random_shvit(seed=2), pictures), size=SIZE)
    deployed, reference = to_deploy_form(model), compute_float_reference(model, pictures)
    labels = tuple(map(int, reference.logits.argmax(1)))
    images = replace(pictures, labels=labels, classes=deployed.trained.labels)
    plain = calibrate_recipe(deployed, images)[0]
    ruined = widen_ranges(plain, RUINED)
    sensitive = measure_sensitivity(deployed, ruined, read_pixels(images))
    unruined = lower(deployed, plain, "onnx", tmp_path_factory.mktemp("plain"))
    lost = compare(unruined, model, images, reference=reference).top1_drop or 0.0
    budget = Gate(max_drop=lost + 100 / IMAGES)
    return World(deployed, plain, ruined, sensitive, images, reference, budget)


def center_logits(model: SHViT, pictures: ImageSet) -> SHViT:
    """Remove the model's bias for some classes, so that small errors change its predictions."""
    logits = compute_float_reference(build_trained_model(model, size=SIZE), pictures).logits
    with torch.no_grad():
        model.head.l.bias -= torch.from_numpy(logits.mean(0))  # type: ignore[union-attr, operator]
    return model


def read_pixels(images: ImageSet) -> list[Tensor]:
    return [
        torch.from_numpy(convert_to_raw_input(batch.pixels))
        for batch in iterate_batches(images, Preprocessing(size=SIZE))
    ]


@pytest.fixture(scope="module")
def repaired(world: World) -> SearchResult:
    return world.search(world.budget)


def test_the_ruined_layers_move_to_float_and_at_most_one_other_does(world: World, repaired: SearchResult) -> None:
    assert repaired.points[0].float_layers == ()
    assert repaired.points[0].holds == "not held"
    assert set(repaired.float_layers) & set(RUINED)
    assert len(repaired.float_layers) <= len(RUINED) + 1
    assert (repaired.chosen.row.top1_drop or 0.0) <= (world.budget.max_drop or 0.0)


def test_the_chosen_point_is_the_drift_of_an_artifact_of_the_recipe(
    world: World, repaired: SearchResult, tmp_path: Path
) -> None:
    recipe = world.ruined.model_copy(update={"float_layers": repaired.float_layers})
    artifact = lower(world.deployed, recipe, "onnx", tmp_path, has_gate=True)
    assert compare(artifact, world.deployed.trained, world.images) == repaired.chosen.row
    assert SearchResult.model_validate_json(repaired.to_json()) == repaired


def test_every_layer_in_float_is_needed(world: World, repaired: SearchResult) -> None:
    tried = {frozenset(point.float_layers): point.holds for point in repaired.points}
    chosen = frozenset(repaired.float_layers)
    assert [tried[chosen - {layer}] for layer in chosen] == ["not held"] * len(chosen)


def test_a_recipe_that_holds_is_chosen_without_a_search(world: World, repaired: SearchResult) -> None:
    result = world.search(Gate(max_drop=100))
    assert (result.float_layers, len(result.points), result.holds, result.notes) == ((), 1, "held", ())
    assert result.verdict.passed
    assert not result.verdict.caveats
    # Points of another budget do not flatter a recipe that was not chosen from them.
    again = world.search(Gate(max_drop=100), known_points=repaired.points)
    assert (again.float_layers, again.notes) == ((), ())
    assert len(again.points) == len(repaired.points)


def test_24_images_do_not_prove_that_the_budget_holds(repaired: SearchResult) -> None:
    assert repaired.holds == "unproven"
    (caveat,) = repaired.verdict.caveats
    assert "24 images are too few to be sure" in caveat
    assert "flatters" in repaired.notes[0]


def test_known_points_are_not_run_again(world: World, repaired: SearchResult) -> None:
    run: list[SearchPoint] = []
    again = world.search(world.budget, known_points=repaired.points, progress=run.append, reference=None)
    assert again == repaired
    assert run == []
    looser = world.search(
        Gate(max_drop=2 * (world.budget.max_drop or 0)), known_points=repaired.points, progress=run.append
    )
    known = {point.float_layers for point in repaired.points}
    assert not known & {point.float_layers for point in run}
    assert looser.chosen.cost <= repaired.chosen.cost


def test_layers_that_the_recipe_keeps_in_float_stay_in_float_and_cost_nothing(world: World) -> None:
    recipe = world.ruined.model_copy(update={"float_layers": RUINED})
    sensitive = measure_sensitivity(world.deployed, recipe, read_pixels(world.images))
    result = world.search(Gate(max_drop=0.0), recipe=recipe, sensitivity=sensitive, max_artifacts=1)
    assert all(set(RUINED) <= set(point.float_layers) for point in result.points)
    assert (result.points[0].float_layers, result.points[0].cost) == (RUINED, 0)
    assert result.points[1].cost == result.costs.layers[result.order[0]]
    assert "ended after" in result.notes[1]


def test_a_budget_that_even_float_misses_is_an_error(world: World) -> None:
    negated = replace(world.reference, logits=-world.reference.logits)
    with pytest.raises(BudgetMissed) as missed:
        world.search(Gate(min_agreement=0.9), reference=negated)
    assert missed.value.why
    assert missed.value.hint


@pytest.mark.parametrize(
    ("budget", "labelled", "parameter"),
    [(Gate(), True, "max_drop"), (Gate(max_drop=1), False, "labels_csv")],
)
def test_a_budget_that_cannot_be_evaluated_is_refused(
    world: World, budget: Gate, labelled: bool, parameter: str
) -> None:
    images = world.images if labelled else replace(world.images, labels=None, classes=())
    with pytest.raises(MissingParameter) as error:
        replace(world, images=images).search(budget)
    assert error.value.parameter == parameter


def test_the_sensitivity_of_another_recipe_is_refused(world: World) -> None:
    with pytest.raises(ConflictingParameters) as error:
        world.search(ALL, recipe=world.plain)
    assert error.value.parameter == "sensitivity"


def test_a_layer_costs_its_multiply_adds_or_three_bytes_for_each_weight(world: World) -> None:
    inputs, rows = (world.sensitivity, world.deployed, world.ruined), world.sensitivity.layers
    assert compute_costs("bytes", *inputs).layers == {row.layer: 3 * row.weights for row in rows}
    assert compute_costs("macs", *inputs).layers == {row.layer: row.macs for row in rows}


def test_a_layer_that_is_faster_in_float_costs_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_latency, "measure_layer_latencies", lambda *_: {"a": (3.0, 1.0), "b": (1.0, 3.0)})
    costs = compute_costs("latency", world.sensitivity, world.deployed, world.ruined)
    assert (costs.of, costs.layers) == ("latency", {"a": 2.0, "b": 0.0})


def test_layers_are_ranked_by_the_error_they_remove_for_their_cost(world: World) -> None:
    free = world.sensitivity.layers[-1].layer
    for cost in ("bytes", "macs"):
        costs = compute_costs(cost, world.sensitivity, world.deployed, world.ruined)
        given_away = costs.model_copy(update={"layers": costs.layers | {free: 0.0}})
        order = rank_by_gain(world.sensitivity.layers, given_away)
        powers = {row.layer: 10 ** (-row.quantized_db / 10) for row in world.sensitivity.layers}
        gains = [powers[layer] / costs.layers[layer] for layer in order[1:]]
        assert order[0] == free
        assert gains == sorted(gains, reverse=True)
        assert sorted(order) == sorted(powers)


def test_known_costs_are_those_of_the_result_and_their_cpu_is_named_in_a_note(world: World) -> None:
    layers = {row.layer: 7.0 * row.macs for row in world.sensitivity.layers}
    costs = LayerCosts(of="arm64", layers=layers, cpu="dotprod", engine="ExecuTorch 1 (XNNPACK), emulated by qemu 7")
    result = search_recipe(
        world.deployed, world.ruined, world.sensitivity, world.images, Gate(max_drop=100), costs,
        reference=world.reference,
    )  # fmt: skip
    assert result.costs == costs
    assert result.order == rank_by_gain(world.sensitivity.layers, costs)
    (note,) = result.notes
    assert "on the CPU dotprod" in note
    assert "emulated by qemu 7. Instructions are not cycles." in note
    assert SearchResult.model_validate_json(result.to_json()) == result
    assert "cpu" not in LayerCosts(of="macs", layers=layers).model_dump()


@pytest.mark.parametrize(
    "fields", [{"of": "arm64"}, {"of": "arm64", "cpu": "neon"}, {"of": "bytes", "cpu": "neon", "engine": "E"}]
)
def test_instructions_and_nothing_else_name_a_cpu_and_an_engine(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="cpu: it is given, with the engine, for instructions and for nothing else"):
        LayerCosts.model_validate(fields | {"layers": {}})


LAYERS = tuple("abcdefgh")
errors = st.tuples(*[st.integers(0, 60)] * len(LAYERS))
# If the errors of layers cancel, more float is not always better.
mixed_errors = st.tuples(*[st.integers(-40, 60)] * len(LAYERS))
prices = st.tuples(*[st.integers(0, 9)] * len(LAYERS))


def run_with_errors(noise: Sequence[int]) -> Callable[[tuple[str, ...]], DriftRow]:
    """Return a run in which the number of changed images, of 1,000, is the sum of the errors of the layers in int8."""

    def run(float_layers: tuple[str, ...]) -> DriftRow:
        changed = max(0, sum(error for layer, error in zip(LAYERS, noise, strict=True) if layer not in float_layers))
        return DriftRow(
            artifact="a",
            target="onnx",
            precision="mixed",
            how="native",
            engine="none",
            images=1000,
            agreement=compute_wilson_interval(1000 - changed, 1000),
            sqnr_db=0,
            max_abs_error=0,
            mean_kl=0,
        )

    return run


def build_trials(
    noise: Sequence[int], price: Sequence[int], limit: float, known: Sequence[SearchPoint] = ()
) -> SearchTrials:
    costs = LayerCosts(of="macs", layers=dict(zip(LAYERS, map(float, price), strict=True)))
    return SearchTrials(run_with_errors(noise), LAYERS, Gate(min_agreement=limit), costs, known_points=known)


@settings(max_examples=300)
@given(mixed_errors, prices, st.floats(0.6, 1), st.permutations(LAYERS))
def test_the_chosen_recipe_ran_and_holds_and_nothing_tried_is_cheaper(
    noise: Sequence[int], price: Sequence[int], limit: float, order: Sequence[str]
) -> None:
    trials = build_trials(noise, price, limit)
    chosen = select_point(order, trials)
    assert chosen in trials.points.values()
    assert chosen.holds != "not held"
    assert chosen.cost == min(point.cost for point in trials.points.values() if point.holds != "not held")
    assert trials.costs.sum_over(trials.find_cheapest()) == chosen.cost
    for layer in chosen.float_layers:
        assert not trials.is_within_budget(frozenset(chosen.float_layers) - {layer})


@given(errors, prices, st.floats(0.6, 1), st.floats(0.6, 1), st.permutations(LAYERS))
def test_a_tighter_budget_is_never_cheaper(
    noise: Sequence[int], price: Sequence[int], one: float, other: float, order: Sequence[str]
) -> None:
    loose, tight = sorted((one, other))
    trials = build_trials(noise, price, tight)
    strict = select_point(order, trials)
    knowing = build_trials(noise, price, loose, known=tuple(trials.points.values()))
    assert select_point(order, knowing).cost <= strict.cost


@given(errors, prices, st.floats(0.6, 1), st.permutations(LAYERS), st.integers(1, 12))
def test_a_search_that_ends_early_still_chooses_a_recipe_that_holds_and_says_so(
    noise: Sequence[int], price: Sequence[int], limit: float, order: Sequence[str], most: int
) -> None:
    free, ended = build_trials(noise, price, limit), build_trials(noise, price, limit)
    ended.max_artifacts = most
    cheapest, chosen = select_point(order, free), select_point(order, ended)
    assert chosen.holds != "not held"
    assert chosen.cost == min(point.cost for point in ended.points.values() if point.holds != "not held")
    # The limit counts only once a recipe holds; until then it tries 0, 1, 2, 4 and 8 layers.
    assert ended.ran <= max(most, 5)
    assert ended.ended or chosen == cheapest
    assert any("ended after" in note for note in build_notes(ended, chosen)) == ended.ended


@given(errors, st.floats(0.6, 1), st.permutations(LAYERS))
def test_no_shorter_prefix_holds_if_errors_add_up(noise: Sequence[int], limit: float, order: Sequence[str]) -> None:
    trials = build_trials(noise, [1] * len(LAYERS), limit)
    holding = [n for n in range(len(LAYERS) + 1) if trials.is_within_budget(frozenset(order[:n]))]
    assert find_shortest_prefix(order, trials.is_within_budget, trials.is_within_budget) == frozenset(
        order[: max(1, holding[0])]
    )


@settings(max_examples=300)
@given(mixed_errors, st.integers(0, 200), st.permutations(LAYERS))
def test_every_layer_left_is_needed_however_errors_cancel(
    noise: Sequence[int], limit: int, order: Sequence[str]
) -> None:
    def within(layers: frozenset[str]) -> bool:
        return sum(error for layer, error in zip(LAYERS, noise, strict=True) if layer not in layers) <= limit

    chosen = drop_unneeded_layers(frozenset(LAYERS), order, within)
    assert within(chosen)
    assert not any(within(chosen - {layer}) for layer in chosen)


@pytest.mark.parametrize(("hits", "status"), [(997, "held"), (991, "unproven"), (989, "not held")])
def test_a_budget_is_held_only_if_the_interval_is_within_it(hits: int, status: str) -> None:
    row = run_with_errors([0] * len(LAYERS))(()).model_copy(update={"agreement": compute_wilson_interval(hits, 1000)})
    assert evaluate_budget(row, Gate(min_agreement=0.99)) == status
    assert np.isclose(row.agreement.value, hits / 1000)
