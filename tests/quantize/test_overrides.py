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
from shvit_mobile.deploy.fold import DeployForm, to_deploy_form
from shvit_mobile.errors import BadRecipe
from shvit_mobile.quantize.affine import WEIGHT_SCALE
from shvit_mobile.quantize.calibration_cache import write_recipe
from shvit_mobile.quantize.layers import PIXEL_MEAN_BUFFER
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_equalization, apply_overrides, load_overrides
from tests.builders import TINY, build_random_shvit, build_trained_model, draw_smooth_pixels
from tests.quantize.builders import build_overridden_recipe, build_plain_recipe, draw_overrides, list_layers

SIZE = (64, 48)
KINDS = ("exponents", "integers", "scales", "biases")


@pytest.fixture(scope="module")
def deployed() -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(), size=SIZE))


@pytest.fixture(scope="module")
def recipe(deployed: DeployForm) -> Recipe:
    return build_overridden_recipe(deployed)


@pytest.fixture
def written(recipe: Recipe, tmp_path: Path) -> Path:
    path = tmp_path / "a.recipe.json"
    write_recipe(path, recipe)
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
    return lambda whole: replace(whole, **{kind: None if kind == "mean" else {}})


@pytest.mark.parametrize("change", [lambda whole: whole, *map(without, [*KINDS, "mean"])])
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


def test_a_recipe_read_from_its_file_finds_its_corrections(recipe: Recipe, written: Path) -> None:
    read = Recipe.read(written)
    assert read == recipe
    assert read.overrides_in_memory is None
    found, made = load_overrides(read), load_overrides(recipe)
    assert found is not None
    assert made is not None
    assert_same(found, made)


def test_a_recipe_without_corrections_needs_none(deployed: DeployForm, tmp_path: Path) -> None:
    recipe = build_plain_recipe(deployed)
    assert load_overrides(recipe) is None
    assert apply_overrides(deployed, recipe) is deployed
    assert apply_equalization(deployed, recipe) is deployed
    write_recipe(tmp_path / "a.recipe.json", recipe)
    assert [path.name for path in tmp_path.iterdir()] == ["a.recipe.json"]


def test_another_file_is_refused(recipe: Recipe, written: Path, deployed: DeployForm) -> None:
    beside = get_overrides_path(written)
    data = bytearray(beside.read_bytes())
    data[-1] ^= 1
    beside.write_bytes(data)
    with pytest.raises(BadRecipe, match="is not the file that its recipe describes") as refused:
        apply_overrides(deployed, Recipe.read(written))
    assert str(beside) in refused.value.what
    assert "SHA-256" in refused.value.why
    assert "shvit-mobile calibrate" in refused.value.hint


def test_a_missing_file_is_named(written: Path, deployed: DeployForm) -> None:
    beside = get_overrides_path(written)
    beside.unlink()
    for use in (apply_overrides, apply_equalization):
        with pytest.raises(BadRecipe, match="corrections are missing") as refused:
            use(deployed, Recipe.read(written))
        assert str(beside) in refused.value.what
        assert refused.value.why
        assert "Copy that file here" in refused.value.hint


@pytest.mark.parametrize(
    "data",
    [save({"colours:patch_embed.0": torch.zeros(2)}), save({"weight": torch.zeros(2)}), b"", b"no safetensors"],
)
def test_a_file_of_something_else_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(BadRecipe, match="holds no corrections"):
        ParameterOverrides.read(path, sha256(data).hexdigest())


def test_a_recipe_copied_out_of_a_manifest_says_what_it_lacks(recipe: Recipe, deployed: DeployForm) -> None:
    copied = Recipe.model_validate_json(recipe.to_json())
    for use in (apply_overrides, apply_equalization):
        with pytest.raises(BadRecipe, match="not at hand") as refused:
            use(deployed, copied)
        assert "copied out of a manifest" in refused.value.why
        assert "Recipe.read" in refused.value.hint


OTHERS = {
    "wider": replace(TINY, dims=(16, 32, 32)),
    "more queries": replace(TINY, qk_dims=(8, 12, 8)),
    "shallower": replace(TINY, depths=(1, 1, 1)),
    "deeper": replace(TINY, depths=(1, 2, 2)),
}


@pytest.mark.parametrize("config", OTHERS.values(), ids=OTHERS)
def test_corrections_of_another_model_are_refused(config: object, recipe: Recipe, deployed: DeployForm) -> None:
    other = to_deploy_form(build_trained_model(build_random_shvit(config), size=SIZE))
    with pytest.raises(BadRecipe):
        apply_overrides(other, recipe)


@pytest.mark.parametrize("config", list(OTHERS.values())[:-1], ids=list(OTHERS)[:-1])
@pytest.mark.parametrize("change", [lambda whole: whole, without("exponents")], ids=["all", "no exponents"])
def test_they_are_refused_even_beside_the_models_own_ranges(
    config: object, change: Callable[[ParameterOverrides], ParameterOverrides], recipe: Recipe
) -> None:
    other = to_deploy_form(build_trained_model(build_random_shvit(config), size=SIZE))
    own = build_plain_recipe(other).attach_overrides(change(recipe.overrides_in_memory))
    with pytest.raises(BadRecipe, match="do not fit the model") as refused:
        apply_overrides(other, own)
    assert "checkpoint they were made for" in refused.value.why
    assert "calibrate" in refused.value.hint


def test_scales_without_their_integers_or_the_other_way_round_are_refused(recipe: Recipe, deployed: DeployForm) -> None:
    whole = recipe.overrides_in_memory
    with pytest.raises(BadRecipe, match="do not fit the model"):
        apply_overrides(deployed, recipe.attach_overrides(replace(whole, scales={})))


def test_int8_layers_lie_on_the_chosen_integers(recipe: Recipe, deployed: DeployForm) -> None:
    module, made = apply_overrides(deployed, recipe).module, recipe.overrides_in_memory
    for name in list_layers(module):
        layer = module.get_submodule(name)
        assert torch.equal(layer.get_buffer(WEIGHT_SCALE), made.scales[name])
        steps = layer.weight / made.scales[name].reshape(-1, 1, 1, 1)
        assert torch.equal(steps.round(), made.integers[name].float())
        assert float((steps - steps.round()).abs().max()) < 1e-4
        assert torch.equal(layer.bias, made.biases[name])
    assert module.get_buffer(PIXEL_MEAN_BUFFER).flatten().tolist() == made.mean.tolist()
    assert not hasattr(deployed.module.get_submodule("patch_embed.0"), WEIGHT_SCALE), "the model stays as it is"


@pytest.mark.parametrize("kept", ["patch_embed.0", "stages.1.blocks.0.mixer.m.qkv", "stages.2.blocks.0.ffn.m.pw1"])
def test_a_layer_that_stays_float_has_its_float_weights(kept: str, recipe: Recipe, deployed: DeployForm) -> None:
    module = apply_overrides(deployed, recipe.model_copy(update={"float_layers": (kept,)})).module
    layer = module.get_submodule(kept)
    expected = scale_channels(deployed.module, recipe.overrides_in_memory.exponents).get_submodule(kept)
    assert torch.equal(layer.weight, expected.weight)
    assert torch.equal(layer.bias, expected.bias)
    carrying = {name for name in list_layers(module) if hasattr(module.get_submodule(name), WEIGHT_SCALE)}
    assert carrying == set(list_layers(module)) - {kept}
    mean = (
        deployed.module.get_buffer(PIXEL_MEAN_BUFFER).flatten()
        if kept == "patch_embed.0"
        else recipe.overrides_in_memory.mean
    )
    assert torch.equal(module.get_buffer(PIXEL_MEAN_BUFFER).flatten(), mean)


def test_the_float_twin_answers_bit_for_bit_and_has_the_ranges_channels(recipe: Recipe, deployed: DeployForm) -> None:
    twin, pixels = apply_equalization(deployed, recipe).module, draw_smooth_pixels(3, SIZE)
    with torch.no_grad():
        assert torch.equal(twin(pixels), deployed.module(pixels))
    for name in list_layers(twin):
        weight, corrected_weight = (
            twin.get_submodule(name).weight,
            apply_overrides(deployed, recipe).module.get_submodule(name),
        )
        step = recipe.overrides_in_memory.scales[name].reshape(-1, 1, 1, 1)
        # Rounded up or down by lot, and clipped at 0.95 of the largest.
        assert float(((weight - corrected_weight.weight) / step).abs().max()) < 10
    assert not torch.equal(
        twin.get_submodule("patch_embed.0").weight, deployed.module.get_submodule("patch_embed.0").weight
    )
