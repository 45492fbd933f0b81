"""The simulation answers as the graph that is lowered does, a batch at a time; its parts make up the network."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import ACTIVATION_SCHEMES, ActivationScheme, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadRecipe
from shvit_mobile.families.shvit import VARIANTS, SHViTConfig
from shvit_mobile.families.shvit_family import SHVIT
from shvit_mobile.quantize.fake_quant import fake_quantize
from shvit_mobile.quantize.overrides import CalibratedRecipe, ParameterOverrides, apply_overrides
from shvit_mobile.quantize.pt2e_graph import build_quantized_graph
from tests.builders import TINY, build_random_shvit, build_trained_model, draw_smooth_pixels
from tests.quantize.builders import build_overridden_recipe, build_plain_recipe, list_layers, simulate_int8

OTHER_KERNELS = replace(TINY, kernel_size=5, depths=(1, 1, 1), block_types=("s", "i", "s"))
# Behind a relu, before one, in the middle of the attention, and at the end of a part.
KEPT = (
    "patch_embed.2",
    "stages.1.blocks.0.mixer.m.qkv",
    "stages.1.downsample.2.se.fc1",
    "stages.2.blocks.0.ffn.m.pw2",
)


def form(config: SHViTConfig | str = TINY, size: tuple[int, int] = (64, 48), *, normalise: bool = True) -> DeployForm:
    return to_deploy_form(
        build_trained_model(build_random_shvit(config, classes=10, seed=3), size=size), normalise=normalise
    )


@pytest.fixture(scope="module")
def tiny() -> DeployForm:
    return form()


@pytest.fixture(scope="module")
def calibrated(tiny: DeployForm) -> CalibratedRecipe:
    return build_overridden_recipe(tiny)


def check(
    deployed: DeployForm, recipe: Recipe, overrides: ParameterOverrides | None = None, images: Tensor | None = None
) -> None:
    """Check that both have the same logits, which are not the float model's."""
    images = draw_smooth_pixels(4, deployed.trained.preprocessing.size, seed=8) if images is None else images
    graph = build_quantized_graph(apply_overrides(deployed, recipe, overrides), recipe)
    simulation = simulate_int8(deployed, recipe, overrides)
    with torch.no_grad():
        expected = torch.cat([graph(image[None]) for image in images])
        actual, reference = simulation(images), deployed.module(images)
    distance = (reference - expected).norm() / reference.norm()
    assert distance > 1e-3, "nothing is quantized"
    # A float that falls between two integers may go either way: of an image's values, few do.
    assert float((actual - expected).norm() / reference.norm()) < 1e-4 + 0.01 * float(distance)


@pytest.mark.parametrize("activations", ACTIVATION_SCHEMES)
@pytest.mark.parametrize("with_changes", [False, True])
def test_the_simulation_answers_as_the_graph_does(
    with_changes: bool, activations: ActivationScheme, tiny: DeployForm
) -> None:
    if with_changes:
        check(tiny, *build_overridden_recipe(tiny, activations=activations))
    else:
        check(tiny, build_plain_recipe(tiny, activations=activations))


def test_no_value_is_rounded_twice_in_a_row_and_none_is_below_its_relu(tiny: DeployForm) -> None:
    recipe = build_plain_recipe(tiny)
    wider = {
        name: seen.model_copy(update={"input": (2 * seen.input[0], 1.7 * seen.input[1]), "output": (-3.0, 9.0)})
        for name, seen in recipe.ranges.items()
    }
    check(tiny, recipe.model_copy(update={"ranges": wider}))


@pytest.mark.parametrize("kept", [KEPT[:1], KEPT[1:2], KEPT])
def test_it_does_where_layers_stay_float(kept: tuple[str, ...], tiny: DeployForm, calibrated: CalibratedRecipe) -> None:
    recipe, overrides = calibrated
    check(tiny, recipe.model_copy(update={"float_layers": kept}), overrides)


@pytest.mark.parametrize(
    ("config", "size"), [("shvit_s1", (64, 64)), (OTHER_KERNELS, (97, 65))], ids=["shvit_s1", "other kernels"]
)
def test_it_does_for_other_shapes(config: SHViTConfig | str, size: tuple[int, int]) -> None:
    deployed = form(config, size)
    check(deployed, *build_overridden_recipe(deployed))


def test_it_does_where_pictures_are_normalised_before() -> None:
    deployed = form(normalise=False)
    pixels = draw_smooth_pixels(3, (64, 48), seed=8)
    check(deployed, *build_overridden_recipe(deployed), (pixels / 255 - 0.45) / 0.22)


def test_a_batch_is_as_good_as_its_images_one_by_one(tiny: DeployForm, calibrated: CalibratedRecipe) -> None:
    simulation, images = simulate_int8(tiny, *calibrated), draw_smooth_pixels(5, (64, 48), seed=1)
    with torch.no_grad():
        alone = torch.cat([simulation(image[None]) for image in images])
        torch.testing.assert_close(simulation(images), alone, rtol=1e-3, atol=1e-3)


def test_the_model_itself_stays_float(tiny: DeployForm, calibrated: CalibratedRecipe) -> None:
    images = draw_smooth_pixels(2, (64, 48))
    with torch.no_grad():
        before = tiny.module(images)
        simulate_int8(tiny, *calibrated)(images)
        assert torch.equal(tiny.module(images), before)


def test_a_recipe_that_is_not_static_int8_is_refused(tiny: DeployForm) -> None:
    with pytest.raises(BadRecipe, match="fp16, not int8"):
        simulate_int8(tiny, Recipe(precision="fp16"))


def test_values_between_two_int8_layers_are_integers_of_the_range(tiny: DeployForm) -> None:
    recipe = build_plain_recipe(tiny)
    simulation, seen = simulate_int8(tiny, recipe), {}
    simulation.get_submodule("patch_embed.2").register_forward_pre_hook(lambda _, given: seen.update(value=given[0]))
    with torch.no_grad():
        simulation(draw_smooth_pixels(1, (64, 48)))
    scale = recipe.ranges["patch_embed.0"].output[1] / 255
    steps = seen["value"] / scale
    assert float((steps - steps.round()).abs().max()) < 1e-2
    assert 20 < len(seen["value"].unique()) <= 256


def test_weights_stay_float_where_only_activations_are_asked_for(tiny: DeployForm) -> None:
    recipe, images = build_plain_recipe(tiny), draw_smooth_pixels(4, (64, 48))
    both = fake_quantize(tiny.module, tiny.wiring, recipe.ranges)
    activations = fake_quantize(tiny.module, tiny.wiring, recipe.ranges, weights=False)
    for name in list_layers(tiny.module):
        weight = tiny.module.get_submodule(name).weight
        assert torch.equal(activations.get_submodule(name).weight, weight)
        assert not torch.equal(both.get_submodule(name).weight, weight)
    with torch.no_grad():
        noise = [(module(images) - tiny.module(images)).norm() for module in (activations, both)]
    assert 0 < noise[0] < noise[1]


@pytest.mark.parametrize("config", [*VARIANTS, TINY, OTHER_KERNELS])
def test_the_parts_make_up_the_network(config: SHViTConfig | str) -> None:
    module = form(config, (64, 64)).module
    images = draw_smooth_pixels(1, (64, 64))
    parts, value = dict(SHVIT.list_units(module)), images
    with torch.no_grad():
        for part in parts.values():
            value = part(value)
        assert torch.equal(value, module(images))
    for name, part in list(parts.items())[:-1]:
        assert module.get_submodule(name) is part
    layers = {name for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    assert {name for name in layers if any(f"{name}.".startswith(f"{part}.") for part in parts)} == layers
