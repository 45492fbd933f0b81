"""The quantized graph holds int8 where the recipe says so, float elsewhere, and the numbers of the recipe."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import OBSERVERS, ObserverName, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadRecipe, MissingParameter
from shvit_mobile.families.any_module import wrap_module
from shvit_mobile.images.image_set import open_images
from shvit_mobile.quantize.affine import choose_affine_parameters, quantize_weight
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quantize.layers import find_dense_layers
from shvit_mobile.quantize.pt2e_graph import build_quantized_graph, compute_constants
from tests.builders import build_random_shvit, build_trained_model, draw_smooth_pixels, write_picture_folder
from tests.quantize.builders import build_plain_recipe

DECOMPOSED = torch.ops.quantized_decomposed


@pytest.fixture(scope="module")
def deployed() -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(), size=(64, 48)))


@pytest.fixture(scope="module")
def recipe(deployed: DeployForm, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = write_picture_folder(tmp_path_factory.mktemp("pictures"), count=12)
    return calibrate_recipe(deployed, open_images(folder), precision="int8", count=12)[0]


@pytest.fixture(scope="module")
def graph(deployed: DeployForm, recipe: Recipe) -> fx.GraphModule:
    return build_quantized_graph(deployed, recipe)


def test_the_quantized_graph_answers_nearly_as_the_float_model(deployed: DeployForm, graph: fx.GraphModule) -> None:
    images = draw_smooth_pixels(16, (64, 48), seed=7)
    with torch.no_grad():
        reference = deployed.module(images)
        actual = torch.cat([graph(image[None]) for image in images])
    noise = (reference - actual).square().sum() / reference.square().sum()
    assert 1e-7 < float(noise) < 1e-2, "between 20 dB and nothing quantized at all"


def test_every_dense_convolution_has_int8_weights_and_nothing_else_has(
    deployed: DeployForm, graph: fx.GraphModule
) -> None:
    dense = dict(find_dense_layers(deployed.module))
    kept = Counter(tensor.dtype for tensor in graph.state_dict().values() if tensor.ndim > 1)
    held = {name: tensor for name, tensor in graph.named_buffers() if tensor.dtype == torch.int8}
    assert len(held) == len(dense) == kept[torch.int8]
    weights = sorted(layer.weight.numel() for layer in dense.values())
    assert sorted(tensor.numel() for tensor in held.values()) == weights


def test_depthwise_head_and_residuals_stay_float(graph: fx.GraphModule) -> None:
    for node in graph.graph.nodes:
        if node.target == torch.ops.aten.linear.default or (
            node.target == torch.ops.aten.conv2d.default and len(node.args) > 6 and node.args[6] > 1
        ):
            weight = node.args[1]
            assert weight.op == "get_attr", f"{node.name} has a quantized weight"
        if node.target == torch.ops.aten.add.Tensor:
            quantizers = [user for user in node.users if user.target == DECOMPOSED.quantize_per_tensor.default]
            assert len(quantizers) < len(node.users) or all(
                DECOMPOSED.dequantize_per_tensor.default in {reader.target for reader in user.users}
                for user in quantizers
            )


def test_parameters_are_the_recipes(deployed: DeployForm, recipe: Recipe, graph: fx.GraphModule) -> None:
    first = next(node for node in graph.graph.nodes if node.target == DECOMPOSED.quantize_per_tensor.default)
    expected = choose_affine_parameters(*recipe.ranges["patch_embed.0"].input)
    assert first.args[1:3] == (expected.scale, expected.zero_point)
    integers, scales = quantize_weight(deployed.module.get_submodule("patch_embed.0").weight)
    held = [t for t in graph.buffers() if t.dtype == torch.int8 and t.shape == integers.shape]
    assert any(torch.equal(tensor, integers) for tensor in held)
    assert any(torch.allclose(t.float(), scales, rtol=1e-6) for t in graph.buffers() if t.shape == scales.shape)


def test_outputs_are_quantized_after_their_relu(graph: fx.GraphModule) -> None:
    relus = [node for node in graph.graph.nodes if node.target == torch.ops.aten.relu.default]
    after_dense = [node for node in relus if node.args[0].target == torch.ops.aten.conv2d.default and quantizes(node)]
    assert len(after_dense) >= 4
    for node in relus:
        conv = node.args[0]
        if conv.target == torch.ops.aten.conv2d.default:
            assert list(conv.users) == [node]


def quantizes(node: fx.Node) -> bool:
    return all(user.target == DECOMPOSED.quantize_per_tensor.default for user in node.users)


def test_the_same_recipe_gives_the_same_graph(deployed: DeployForm, recipe: Recipe, graph: fx.GraphModule) -> None:
    again = build_quantized_graph(deployed, Recipe.model_validate_json(recipe.to_json()))
    assert str(again.graph) == str(graph.graph)
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), graph.state_dict().values(), strict=True))


def test_constants_that_are_computed_once_change_no_bit(deployed: DeployForm, recipe: Recipe) -> None:
    graph = build_quantized_graph(deployed, recipe)
    images = draw_smooth_pixels(3, (64, 48), seed=9)
    with torch.no_grad():
        before = [graph(image[None]) for image in images]
        compute_constants(graph)
        after = [graph(image[None]) for image in images]
    assert all(map(torch.equal, before, after))
    assert not [node for node in graph.graph.nodes if node.target == DECOMPOSED.dequantize_per_channel.default]


def test_a_layer_that_the_recipe_keeps_float_is_float(deployed: DeployForm, recipe: Recipe) -> None:
    name = "stages.1.blocks.0.ffn.m.pw1"
    graph = build_quantized_graph(deployed, recipe.model_copy(update={"float_layers": (name,)}))
    dense = len(list(find_dense_layers(deployed.module)))
    assert sum(tensor.dtype == torch.int8 for tensor in graph.buffers()) == dense - 1


class _Shared(nn.Module):
    """A layer whose output is an image for a depthwise convolution, and tokens beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.depthwise = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dense(x)
        return self.depthwise(x).mean((2, 3)) + x.reshape(len(x), 8, -1).amax(2)


def test_a_reshape_shares_its_value_with_no_other_operator() -> None:
    size = (8, 6)
    trained = wrap_module(_Shared(), labels=list("abcdefgh"), preprocessing=Preprocessing(size=size))
    deployed = to_deploy_form(trained)
    graph = build_quantized_graph(deployed, build_plain_recipe(deployed))
    (reshape,) = (node for node in graph.graph.nodes if node.target == torch.ops.aten.reshape.default)
    (value,) = reshape.all_input_nodes
    assert value.target == DECOMPOSED.dequantize_per_tensor.default
    assert list(value.users) == [reshape]
    assert len(value.all_input_nodes[0].users) == 2


def test_a_recipe_of_another_model_is_refused(deployed: DeployForm, recipe: Recipe) -> None:
    fewer = dict(recipe.ranges)
    del fewer["stages.2.blocks.0.ffn.m.pw2"]
    with pytest.raises(BadRecipe, match=r"no range of stages\.2\.blocks\.0\.ffn\.m\.pw2"):
        build_quantized_graph(deployed, recipe.model_copy(update={"ranges": fewer}))
    stranger = {**recipe.ranges, "stages.9.blocks.0.ffn.m.pw1": recipe.ranges["patch_embed.0"]}
    with pytest.raises(BadRecipe, match=r"stages\.9\.blocks\.0\.ffn\.m\.pw1, which is no dense layer"):
        build_quantized_graph(deployed, recipe.model_copy(update={"ranges": stranger}))


def test_calibration_needs_images(deployed: DeployForm) -> None:
    with pytest.raises(MissingParameter) as refused:
        calibrate_recipe(deployed, precision="int8")
    assert refused.value.parameter == "images"


def test_ranges_hold_what_was_seen(deployed: DeployForm, recipe: Recipe, tmp_path: Path) -> None:
    one = calibrate_recipe(deployed, open_images(write_picture_folder(tmp_path, count=1)), precision="int8", count=1)[0]
    assert one.ranges.keys() == recipe.ranges.keys() == {name for name, _ in find_dense_layers(deployed.module)}
    wider = [name for name in recipe.ranges if recipe.ranges[name].output[1] > one.ranges[name].output[1]]
    assert len(wider) > len(recipe.ranges) / 2, "twelve pictures reach further than one"
    assert recipe.calibration is not None
    assert recipe.calibration.count == 12


def test_a_recipe_survives_its_file(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(recipe.to_json(), encoding="utf-8")
    assert Recipe.load(path) == recipe


@pytest.mark.parametrize("observer", OBSERVERS)
def test_no_observer_makes_a_value_be_rounded_twice_in_a_row(
    deployed: DeployForm, observer: ObserverName, tmp_path: Path
) -> None:
    recipe = calibrate_recipe(deployed, open_images(write_picture_folder(tmp_path, count=6)), observer=observer)[0]
    assert recipe.observer == observer
    wider = recipe.ranges["patch_embed.2"].model_copy(update={"input": (0.0, 999.0)})
    graph = build_quantized_graph(
        deployed, recipe.model_copy(update={"ranges": {**recipe.ranges, "patch_embed.2": wider}})
    )
    for node in graph.graph.nodes:
        if node.target == DECOMPOSED.quantize_per_tensor.default:
            assert node.args[0].target != DECOMPOSED.dequantize_per_tensor.default


def test_outputs_are_observed_behind_their_relu(deployed: DeployForm, recipe: Recipe) -> None:
    assert deployed.wiring.limits.keys() >= {"patch_embed.0", "stages.0.blocks.0.ffn.m.pw1"}
    assert "patch_embed.6" not in deployed.wiring.limits
    for name in deployed.wiring.limits.keys() & recipe.ranges.keys():
        assert recipe.ranges[name].output[0] >= 0
    assert recipe.ranges["patch_embed.6"].output[0] < 0
    assert recipe.ranges["patch_embed.0"].output == recipe.ranges["patch_embed.2"].input


def test_symmetric_activations_have_no_zero_point(deployed: DeployForm, recipe: Recipe) -> None:
    graph = build_quantized_graph(deployed, recipe.model_copy(update={"activations": "symmetric"}))
    pairs = [node for node in graph.graph.nodes if node.target == DECOMPOSED.quantize_per_tensor.default]
    assert {node.args[2] for node in pairs} == {0}
    first = max(map(abs, recipe.ranges["patch_embed.0"].input))
    assert pairs[0].args[1] == pytest.approx(first / 127)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"precision": "int3"}', '{"precision": "int8", "colour": 1}'])
def test_what_is_no_recipe_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadRecipe, match="is not a recipe"):
        Recipe.load(path)
