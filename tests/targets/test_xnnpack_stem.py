"""The stem on pairs of pixels has the integers of the stem on pixels, and is left out where it does not fit."""

from pathlib import Path

import pytest
import torch
from executorch.runtime import Runtime
from torch import nn

from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm, find_mean_subtraction
from shvit_mobile.deploy.xnnpack_form import rewrite_modules
from shvit_mobile.quantize.pt2e_graph import build_quantized_graph
from shvit_mobile.targets.executorch import ExecuTorchOptions, build_graph, lower_to_program
from shvit_mobile.targets.pte import inspect_program
from shvit_mobile.targets.xnnpack_stem import PixelPairConv, convert_stem_to_pixel_pairs
from tests.builders import build_random_shvit, build_trained_model
from tests.quantize.builders import build_plain_recipe

FIRST = "patch_embed.0"


def build_form(size: tuple[int, int], mean: float | None = 115.0) -> tuple[DeployForm, Recipe]:
    """Return a form that subtracts `mean` from all colors, or that of the checkpoint, and a recipe whose steps fit."""
    deployed = to_deploy_form(build_trained_model(build_random_shvit(classes=10), size=size))
    found = find_mean_subtraction(deployed.module, deployed.entry)
    assert found
    if mean is not None:
        found[1].mean.fill_(mean)
    recipe = build_plain_recipe(deployed)
    if mean is not None:
        exact = recipe.ranges[FIRST].model_copy(update={"input": (-mean, 255 - mean)})
        recipe = recipe.model_copy(update={"ranges": {**recipe.ranges, FIRST: exact}})
    return deployed, recipe


@pytest.mark.parametrize("shape", [(1, 3, 6, 8), (1, 3, 7, 10), (1, 2, 5, 2)])
def test_pairs_convolve_as_pixels_do(shape: tuple[int, int, int, int]) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(shape[1], 5, 3, stride=2, padding=1).double()
    image = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(PixelPairConv(conv)(image), conv(image), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("mean", "subtractions"), [(115.0, 0), (None, 1)])
def test_the_program_answers_to_the_bit_as_with_single_pixels(
    mean: float | None, subtractions: int, tmp_path: Path
) -> None:
    deployed, recipe = build_form((65, 96), mean)
    image = torch.randint(0, 256, (1, 3, 65, 96), generator=torch.Generator().manual_seed(0)).float()
    single = build_quantized_graph(deployed, recipe, rewrite_modules(deployed))
    answers, counts = [], []
    for name, graph in (("single", single), ("pairs", build_graph(deployed, recipe, ExecuTorchOptions()))):
        lower_to_program(graph, tuple(image.shape), tmp_path / f"{name}.pte", simplified=True)
        program = Runtime.get().load_program(tmp_path / f"{name}.pte")
        answers.append(program.load_method("forward").execute([image])[0].clone())
        counts.append(inspect_program(tmp_path / f"{name}.pte").inventory.operators)
    assert answers[0].std() > 0
    assert torch.equal(*answers)
    blocks = counts[0]["XNNSubtract"] - 1
    assert counts[1].get("XNNSubtract", 0) == blocks + subtractions
    assert counts[1]["XNNConvert"] == counts[0]["XNNConvert"], "pairs are moved as integers"


def test_an_odd_width_keeps_the_stem() -> None:
    deployed, recipe = build_form((64, 65))
    form = rewrite_modules(deployed)
    assert convert_stem_to_pixel_pairs(form, deployed, recipe) == (form, recipe)


def test_a_first_layer_in_float_keeps_the_stem() -> None:
    deployed, recipe = build_form((64, 64))
    form, mixed = rewrite_modules(deployed), recipe.model_copy(update={"float_layers": (FIRST,)})
    assert convert_stem_to_pixel_pairs(form, deployed, mixed) == (form, mixed)


def test_a_mean_that_is_no_whole_step_stays() -> None:
    deployed, recipe = build_form((64, 64), 115.5)
    form, changed = convert_stem_to_pixel_pairs(rewrite_modules(deployed), deployed, recipe)
    assert isinstance(form.get_submodule(FIRST), PixelPairConv)
    assert find_mean_subtraction(form, deployed.entry) is not None
    assert changed == recipe
