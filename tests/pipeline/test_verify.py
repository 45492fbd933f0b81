"""A new artifact computes what its recipe says, and a recipe of other ranges than the model's makes none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from shvit_mobile import wrap_module
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import ActivationRange, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import VerificationFailed
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.targets import onnx as target
from shvit_mobile.targets.tolerances import compute_simulation_bound
from tests.builders import build_random_shvit, build_trained_model
from tests.quantize.builders import build_overridden_recipe, build_plain_recipe


def form(seed: int = 0) -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(seed=seed), size=(48, 64)))


@pytest.fixture(scope="module")
def deployed() -> DeployForm:
    return form()


@pytest.fixture(scope="module")
def recipe(deployed: DeployForm) -> Recipe:
    return build_plain_recipe(deployed)


def scale(recipe: Recipe, factor: float, layers: Callable[[str], bool] = lambda _: True) -> Recipe:
    def scaled(seen: ActivationRange) -> ActivationRange:
        return ActivationRange(
            input=(factor * seen.input[0], factor * seen.input[1]),
            output=(factor * seen.output[0], factor * seen.output[1]),
        )

    ranges = {name: scaled(seen) if layers(name) else seen for name, seen in recipe.ranges.items()}
    return recipe.model_copy(update={"ranges": ranges})


def test_a_recipe_of_the_model_makes_an_artifact(deployed: DeployForm, recipe: Recipe, tmp_path: Path) -> None:
    assert lower(deployed, recipe, "onnx", tmp_path).path.exists()


def test_a_recipe_with_overrides_is_simulated_with_them(deployed: DeployForm, tmp_path: Path) -> None:
    recipe, overrides = build_overridden_recipe(deployed)
    assert lower(deployed, recipe, "onnx", tmp_path, overrides=overrides).path.exists()


@pytest.mark.parametrize("factor", [0.01, 0.1, 10.0, 1000.0])
def test_ranges_of_other_units_make_no_artifact(
    factor: float, deployed: DeployForm, recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(VerificationFailed) as refusal:
        lower(deployed, scale(recipe, factor), "onnx", tmp_path)
    assert refusal.value.parameter == "recipe"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("factor", [0.01, 20.0])
def test_one_layer_with_a_range_of_other_units_makes_no_artifact(
    factor: float, deployed: DeployForm, recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(VerificationFailed, match=r"stages\.1\.blocks\.0\.ffn\.m\.pw1"):
        lower(deployed, scale(recipe, factor, lambda name: name == "stages.1.blocks.0.ffn.m.pw1"), "onnx", tmp_path)


class Gated(nn.Module):
    """A gate of large values, of which hard-sigmoid makes 0 or 1."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Linear(8, 4)
        self.gate.weight.data.mul_(1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head((x * nn.functional.hardsigmoid(self.gate(x))).mean((2, 3)))


def test_a_range_may_end_where_the_activation_makes_larger_values_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = wrap_module(Gated().eval(), labels=list("abcd"), preprocessing=Preprocessing(size=(40, 56)), name="gated")
    deployed = to_deploy_form(trained)
    recipe = scale(build_plain_recipe(deployed), 0.01, lambda name: name == "model.gate")
    ends = recipe.ranges["model.gate"]
    recipe.ranges["model.gate"] = ends.model_copy(update={"input": recipe.ranges["model.stem"].output})
    assert lower(deployed, recipe, "onnx", tmp_path).path.exists()


def test_the_ranges_of_a_much_larger_model_make_no_artifact(deployed: DeployForm, tmp_path: Path) -> None:
    other = build_random_shvit(seed=5)
    for name, parameter in other.named_parameters():
        if name.endswith(("bn.weight", "bn.bias")):
            parameter.data.mul_(1.5)
    recipe = build_plain_recipe(to_deploy_form(build_trained_model(other, size=(48, 64))))
    with pytest.raises(VerificationFailed):
        lower(deployed, recipe, "onnx", tmp_path)


def test_a_gate_decides_instead(deployed: DeployForm, recipe: Recipe, tmp_path: Path) -> None:
    artifact = lower(deployed, scale(recipe, 1000.0), "onnx", tmp_path, has_gate=True)
    assert artifact.path.exists()
    assert "SQNR" in artifact.notes[0]


def test_an_artifact_of_a_sound_recipe_has_no_notes(deployed: DeployForm, recipe: Recipe, tmp_path: Path) -> None:
    assert lower(deployed, recipe, "onnx", tmp_path).notes == ()


def test_an_artifact_that_does_not_compute_its_recipe_is_refused_behind_a_gate_too(
    deployed: DeployForm, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = target.build
    monkeypatch.setattr(
        target, "build", lambda form, recipe, path, options: build(form, scale(recipe, 0.2), path, options)
    )
    with pytest.raises(VerificationFailed) as refusal:
        lower(deployed, recipe, "onnx", tmp_path, has_gate=True)
    assert refusal.value.parameter is None
    assert not list(tmp_path.iterdir())


def test_the_bound_is_far_below_the_logits() -> None:
    assert compute_simulation_bound("int8", noise=0.1, signal=1.0) < 0.25
    assert compute_simulation_bound("palette-4", noise=0.1, signal=1.0) < 0.1
