"""Corrections survive their file, fit the model they were made for alone, and leave float layers float."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from shvit_mobile.contracts.recipe import Recipe, get_overrides_path
from shvit_mobile.deploy.equalization_groups import scale_channels
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadRecipe, OutputExists
from shvit_mobile.quantize.affine import WEIGHT_SCALE
from shvit_mobile.quantize.overrides import (
    ParameterOverrides,
    apply_equalization,
    apply_overrides,
    load_recipe,
    save_recipe,
)
from tests.builders import TINY, build_random_shvit, build_trained_model, draw_smooth_pixels
from tests.quantize.builders import (
    build_overridden_recipe,
    build_plain_recipe,
    draw_overrides,
    link_overrides,
    list_layers,
)

SIZE = (64, 48)
KINDS = ("exponents", "integers", "scales", "biases")


@pytest.fixture(scope="module")
def deployed() -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(), size=SIZE))


@pytest.fixture(scope="module")
def calibrated(deployed: DeployForm) -> tuple[Recipe, ParameterOverrides]:
    return build_overridden_recipe(deployed)


@pytest.fixture(scope="module")
def recipe(calibrated: tuple[Recipe, ParameterOverrides]) -> Recipe:
    return calibrated[0]


@pytest.fixture(scope="module")
def overrides(calibrated: tuple[Recipe, ParameterOverrides]) -> ParameterOverrides:
    return calibrated[1]


@pytest.fixture
def recipe_file(recipe: Recipe, overrides: ParameterOverrides, tmp_path: Path) -> Path:
    path = tmp_path / "a.recipe.json"
    save_recipe(path, recipe, overrides)
    return path


def assert_same(first: ParameterOverrides, second: ParameterOverrides) -> None:
    for kind in KINDS:
        named, others = getattr(first, kind), getattr(second, kind)
        assert named.keys() == others.keys()
        for name, tensor in named.items():
            assert tensor.dtype == others[name].dtype
            assert torch.equal(tensor, others[name]), (kind, name)
    assert (first.mean is None) == (second.mean is None)
    assert first.mean is None or torch.equal(first.mean, second.mean)


def without(kind: str) -> Callable[[ParameterOverrides], ParameterOverrides]:
    return lambda whole: replace(whole, **{kind: {}})


@pytest.mark.parametrize("change", [lambda whole: whole, *map(without, [*KINDS, "means"])])
def test_corrections_survive_their_file(
    change: Callable[[ParameterOverrides], ParameterOverrides], deployed: DeployForm, tmp_path: Path
) -> None:
    corrections = change(draw_overrides(deployed))
    path = tmp_path / "a.safetensors"
    path.write_bytes(corrections.file_bytes)
    read = ParameterOverrides.read(path, corrections.sha256)
    assert_same(read, corrections)
    assert read.file_bytes == corrections.file_bytes
    assert sha256(path.read_bytes()).hexdigest() == corrections.sha256 != draw_overrides(deployed, seed=6).sha256


def test_the_file_is_the_same_in_whatever_order_it_was_filled(deployed: DeployForm) -> None:
    first = draw_overrides(deployed)
    turned = replace(first, **{kind: dict(reversed(getattr(first, kind).items())) for kind in KINDS})
    assert turned.file_bytes == first.file_bytes


def test_a_recipe_is_loaded_with_its_overrides(
    recipe: Recipe, overrides: ParameterOverrides, recipe_file: Path
) -> None:
    loaded, beside = load_recipe(recipe_file)
    assert loaded == recipe
    assert beside is not None
    assert_same(beside, overrides)


def test_a_recipe_without_overrides_needs_none(deployed: DeployForm, tmp_path: Path) -> None:
    recipe = build_plain_recipe(deployed)
    assert apply_overrides(deployed, recipe) is deployed
    assert apply_equalization(deployed, recipe) is deployed
    save_recipe(tmp_path / "a.recipe.json", recipe)
    assert [path.name for path in tmp_path.iterdir()] == ["a.recipe.json"]
    assert load_recipe(tmp_path / "a.recipe.json") == (recipe, None)


def test_a_recipe_is_saved_whole_or_not_at_all(
    recipe: Recipe, overrides: ParameterOverrides, deployed: DeployForm, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    save_recipe(path, recipe, overrides, (tmp_path / "a.txt", "text"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.json", "a.safetensors", "a.txt"]
    with pytest.raises(OutputExists):
        save_recipe(path, recipe, overrides)
    save_recipe(path, build_plain_recipe(deployed), overwrite=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.json", "a.txt"], "no overrides are left"


def test_overrides_of_another_recipe_are_not_removed_without_overwrite(deployed: DeployForm, tmp_path: Path) -> None:
    stray = tmp_path / "a.safetensors"
    stray.write_bytes(b"somebody's weights")
    with pytest.raises(OutputExists):
        save_recipe(tmp_path / "a.json", build_plain_recipe(deployed))
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"somebody's weights"]


def test_a_damaged_overrides_file_is_refused(recipe_file: Path) -> None:
    beside = get_overrides_path(recipe_file)
    data = bytearray(beside.read_bytes())
    data[-1] ^= 1
    beside.write_bytes(data)
    with pytest.raises(BadRecipe, match="is not the file that its recipe describes") as refused:
        load_recipe(recipe_file)
    assert str(beside) in refused.value.what


def test_a_missing_overrides_file_is_named(recipe_file: Path) -> None:
    beside = get_overrides_path(recipe_file)
    beside.unlink()
    with pytest.raises(BadRecipe, match="Copy that file here") as refused:
        load_recipe(recipe_file)
    assert str(beside) in refused.value.what


@pytest.mark.parametrize(
    "data",
    [save({"colours:patch_embed.0": torch.zeros(2)}), save({"weight": torch.zeros(2)}), b"", b"no safetensors"],
)
def test_a_file_of_something_else_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(BadRecipe, match="holds no parameter overrides"):
        ParameterOverrides.read(path, sha256(data).hexdigest())


@pytest.mark.parametrize("use", [apply_overrides, apply_equalization])
def test_a_recipe_and_the_overrides_of_another_are_refused(
    use: Callable[..., DeployForm], recipe: Recipe, overrides: ParameterOverrides, deployed: DeployForm, tmp_path: Path
) -> None:
    plain, others = recipe.model_copy(update={"corrections": None}), draw_overrides(deployed, seed=6)
    for pair in ((recipe, None), (recipe, others), (plain, overrides)):
        with pytest.raises(BadRecipe, match="load_recipe"):
            use(deployed, *pair)
        with pytest.raises(BadRecipe, match="load_recipe"):
            save_recipe(tmp_path / "a.json", *pair)
    assert not list(tmp_path.iterdir())


OTHERS = {
    "wider": replace(TINY, dims=(16, 32, 32)),
    "more queries": replace(TINY, qk_dims=(8, 12, 8)),
    "shallower": replace(TINY, depths=(1, 1, 1)),
    "deeper": replace(TINY, depths=(1, 2, 2)),
}


@pytest.mark.parametrize("config", OTHERS.values(), ids=OTHERS)
def test_overrides_of_another_model_are_refused(config: object, recipe: Recipe, overrides: ParameterOverrides) -> None:
    other = to_deploy_form(build_trained_model(build_random_shvit(config), size=SIZE))
    with pytest.raises(BadRecipe):
        apply_overrides(other, recipe, overrides)


@pytest.mark.parametrize("config", list(OTHERS.values())[:-1], ids=list(OTHERS)[:-1])
@pytest.mark.parametrize("change", [lambda whole: whole, without("exponents")], ids=["all", "no exponents"])
def test_they_are_refused_even_beside_the_models_own_ranges(
    config: object, change: Callable[[ParameterOverrides], ParameterOverrides], overrides: ParameterOverrides
) -> None:
    other = to_deploy_form(build_trained_model(build_random_shvit(config), size=SIZE))
    changed = change(overrides)
    own = link_overrides(build_plain_recipe(other), changed)
    with pytest.raises(BadRecipe, match="do not fit the model"):
        apply_overrides(other, own, changed)


def test_scales_without_their_integers_or_the_other_way_round_are_refused(
    recipe: Recipe, overrides: ParameterOverrides, deployed: DeployForm
) -> None:
    changed = replace(overrides, scales={})
    with pytest.raises(BadRecipe, match="do not fit the model"):
        apply_overrides(deployed, link_overrides(recipe, changed), changed)


def test_int8_layers_lie_on_the_chosen_integers(
    recipe: Recipe, overrides: ParameterOverrides, deployed: DeployForm
) -> None:
    module = apply_overrides(deployed, recipe, overrides).module
    for name in list_layers(module):
        layer = module.get_submodule(name)
        assert torch.equal(layer.get_buffer(WEIGHT_SCALE), overrides.scales[name])
        steps = layer.weight / overrides.scales[name].reshape(-1, 1, 1, 1)
        assert torch.equal(steps.round(), overrides.integers[name].float())
        assert float((steps - steps.round()).abs().max()) < 1e-4
        assert torch.equal(layer.bias, overrides.biases[name])
    assert module.get_buffer("patch_embed.centre.mean").flatten().tolist() == overrides.mean.tolist()
    assert not hasattr(deployed.module.get_submodule("patch_embed.0"), WEIGHT_SCALE), "the model stays as it is"


@pytest.mark.parametrize("kept", ["patch_embed.0", "stages.1.blocks.0.mixer.m.qkv", "stages.2.blocks.0.ffn.m.pw1"])
def test_a_layer_that_stays_float_has_its_float_weights(
    kept: str, recipe: Recipe, overrides: ParameterOverrides, deployed: DeployForm
) -> None:
    module = apply_overrides(deployed, recipe.model_copy(update={"float_layers": (kept,)}), overrides).module
    layer = module.get_submodule(kept)
    expected = scale_channels(deployed.module, deployed.wiring.groups, overrides.exponents).get_submodule(kept)
    assert torch.equal(layer.weight, expected.weight)
    assert torch.equal(layer.bias, expected.bias)
    carrying = {name for name in list_layers(module) if hasattr(module.get_submodule(name), WEIGHT_SCALE)}
    assert carrying == set(list_layers(module)) - {kept}
    mean = (
        deployed.module.get_buffer("patch_embed.centre.mean").flatten() if kept == "patch_embed.0" else overrides.mean
    )
    assert torch.equal(module.get_buffer("patch_embed.centre.mean").flatten(), mean)


def test_the_equalized_form_has_the_logits_of_the_deploy_form_bit_for_bit(
    recipe: Recipe, overrides: ParameterOverrides, deployed: DeployForm
) -> None:
    twin, pixels = apply_equalization(deployed, recipe, overrides).module, draw_smooth_pixels(3, SIZE)
    rounded = apply_overrides(deployed, recipe, overrides).module
    with torch.no_grad():
        assert torch.equal(twin(pixels), deployed.module(pixels))
    for name in list_layers(twin):
        difference = twin.get_submodule(name).weight - rounded.get_submodule(name).weight
        step = overrides.scales[name].reshape(-1, 1, 1, 1)
        # Rounded up or down by lot, and clipped at 0.95 of the largest.
        assert float((difference / step).abs().max()) < 10
    assert not torch.equal(
        twin.get_submodule("patch_embed.0").weight, deployed.module.get_submodule("patch_embed.0").weight
    )
