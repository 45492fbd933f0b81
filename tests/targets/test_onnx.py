"""ONNX files give the deploy form's logits and contain what the recipe says; wrong options and files are rejected."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

from shvit_mobile.contracts.recipe import ActivationRange, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadArtifact, BadRecipe, InvalidValue
from shvit_mobile.families.shvit import VARIANTS
from shvit_mobile.metrics import sqnr
from shvit_mobile.quantize.affine import choose_affine_parameters, quantize_weight
from shvit_mobile.quantize.layers import find_dense_layers
from shvit_mobile.quantize.observation import observe_ranges
from shvit_mobile.targets.onnx import OPSETS, ONNXOptions, build, read_inventory
from tests.builders import TINY, build_random_shvit, build_trained_model, draw_smooth_pixels

SIZE = (80, 56)
FP32 = Recipe(precision="fp32")


@pytest.fixture(scope="module")
def deployed() -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(), size=SIZE))


@pytest.fixture(scope="module")
def s1() -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit("shvit_s1", classes=10), size=(64, 64)))


@pytest.fixture(scope="module")
def recipe(deployed: DeployForm) -> Recipe:
    return calibrate_recipe(deployed)


@pytest.fixture(scope="module")
def int8(deployed: DeployForm, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "int8.onnx"
    build(deployed, recipe, path, ONNXOptions())
    return path


def calibrate_recipe(deployed: DeployForm) -> Recipe:
    ranges: dict[str, ActivationRange] = {}
    with observe_ranges(deployed.module, deployed.wiring, ranges), torch.no_grad():
        deployed.module(draw_smooth_pixels(24, deployed.trained.preprocessing.size))
    return Recipe(precision="int8", observer="min-max", ranges=ranges)


def open_session(path: Path, optimised: Path | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if optimised:
        options.optimized_model_filepath = str(optimised)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_model(path: Path, images: Tensor) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = open_session(path).run(["logits"], {"images": images.numpy()})[0]
    return logits


@torch.no_grad()
def compute_expected(deployed: DeployForm, images: Tensor) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = deployed.module(images).numpy()
    return logits


def assert_same(reference: NDArray[np.float32], actual: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(actual, reference, rtol=0, atol=1e-4 * max(1.0, float(np.abs(reference).max())))


def read_constants(path: Path) -> dict[str, NDArray[np.generic]]:
    return {given.name: numpy_helper.to_array(given) for given in onnx.load(path).graph.initializer}


@pytest.mark.parametrize("size", [(64, 64), (80, 56), (97, 131)])
@pytest.mark.parametrize("normalise", [True, False])
def test_float_files_answer_as_torch_at_any_size(size: tuple[int, int], normalise: bool, tmp_path: Path) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(seed=3), size=size), normalise=normalise)
    result = build(deployed, FP32, tmp_path / "m.onnx", ONNXOptions())
    images = draw_smooth_pixels(2, size) if normalise else torch.randn(2, 3, *size)
    assert_same(compute_expected(deployed, images), run_model(tmp_path / "m.onnx", images))
    assert result.input.values == ("pixels" if normalise else "normalised")
    assert result.input.shape == (0, 3, *size)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_gives_the_logits_of_torch(variant: str, s1: DeployForm, tmp_path: Path) -> None:
    deployed = (
        s1 if variant == "shvit_s1" else to_deploy_form(build_trained_model(build_random_shvit(variant, classes=5)))
    )
    build(deployed, FP32, tmp_path / "m.onnx", ONNXOptions())
    images = draw_smooth_pixels(2, (64, 64))
    assert_same(compute_expected(deployed, images), run_model(tmp_path / "m.onnx", images))


def test_other_kernels_stages_and_two_heads_are_written_too(tmp_path: Path) -> None:
    config = replace(TINY, kernel_size=5, depths=(1, 1, 1), block_types=("s", "i", "s"))
    deployed = to_deploy_form(build_trained_model(build_random_shvit(config, distilled=True), size=(64, 64)))
    build(deployed, FP32, tmp_path / "m.onnx", ONNXOptions())
    images = draw_smooth_pixels(2, (64, 64))
    assert_same(compute_expected(deployed, images), run_model(tmp_path / "m.onnx", images))


@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset_holds_and_answers_in_both_precisions(
    opset: int, deployed: DeployForm, recipe: Recipe, tmp_path: Path
) -> None:
    images = draw_smooth_pixels(1, SIZE, seed=5)
    reference = compute_expected(deployed, images)
    for wanted, decibels in ((FP32, 90.0), (recipe, 20.0)):
        path = tmp_path / f"{wanted.precision}.onnx"
        build(deployed, wanted, path, ONNXOptions(opset=opset))
        assert [entry.version for entry in onnx.load(path).opset_import] == [opset]
        assert sqnr(reference, run_model(path, images)) > decibels


@pytest.mark.parametrize("opset", [OPSETS[0] - 1, OPSETS[-1] + 1])
def test_another_opset_is_rejected_with_the_range(opset: int) -> None:
    with pytest.raises(InvalidValue, match="18 to 23") as error:
        ONNXOptions(opset=opset)
    assert error.value.parameter == "opset"


def test_a_precision_that_onnx_does_not_have_is_rejected_with_those_it_has(
    deployed: DeployForm, tmp_path: Path
) -> None:
    with pytest.raises(BadRecipe, match=r"fp16(.|\n)*fp32, int8"):
        build(deployed, Recipe(precision="fp16"), tmp_path / "m.onnx", ONNXOptions())
    assert not list(tmp_path.iterdir())


def test_another_models_recipe_is_rejected(deployed: DeployForm, recipe: Recipe, tmp_path: Path) -> None:
    ranges = {**recipe.ranges, "stages.7.conv": recipe.ranges["patch_embed.0"]}
    with pytest.raises(BadRecipe, match=r"stages\.7\.conv"):
        build(deployed, recipe.model_copy(update={"ranges": ranges}), tmp_path / "m.onnx", ONNXOptions())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_dynamic_batch_gives_each_image_its_own_answer(
    precision: str, deployed: DeployForm, recipe: Recipe, tmp_path: Path
) -> None:
    build(deployed, FP32 if precision == "fp32" else recipe, tmp_path / "m.onnx", ONNXOptions())
    images = draw_smooth_pixels(8, SIZE, seed=2)
    alone = np.concatenate([run_model(tmp_path / "m.onnx", image[None]) for image in images])
    assert len(np.unique(alone[:, 0])) == 8
    for batch in (3, 8):
        assert_same(alone[:batch], run_model(tmp_path / "m.onnx", images[:batch]))


def test_a_static_batch_takes_one_image(deployed: DeployForm, tmp_path: Path) -> None:
    result = build(deployed, FP32, tmp_path / "m.onnx", ONNXOptions(dynamic_batch=False))
    images = draw_smooth_pixels(2, SIZE)
    assert result.input.shape == (1, 3, *SIZE)
    assert_same(compute_expected(deployed, images[:1]), run_model(tmp_path / "m.onnx", images[:1]))
    with pytest.raises(Exception, match=r"(?i)invalid dimensions"):
        run_model(tmp_path / "m.onnx", images)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_same_export_gives_the_same_bytes(
    precision: str, deployed: DeployForm, recipe: Recipe, tmp_path: Path
) -> None:
    for name in ("a.onnx", "b.onnx"):
        build(deployed, FP32 if precision == "fp32" else recipe, tmp_path / name, ONNXOptions())
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_the_file_stands_alone_and_says_what_it_is(deployed: DeployForm, tmp_path: Path) -> None:
    build(deployed, FP32, tmp_path / "m.onnx", ONNXOptions())
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]
    model = onnx.load(tmp_path / "m.onnx")
    props = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(props["labels"]) == list(deployed.trained.labels)
    assert json.loads(props["preprocessing"])["size"] == list(SIZE)
    assert props["checkpoint_sha256"] == deployed.trained.sha256
    assert props["values"] == "pixels"
    assert model.producer_name == "shvit-mobile"
    assert "80x56, values 0 to 255" in model.doc_string


def test_the_graph_is_small(s1: DeployForm, tmp_path: Path) -> None:
    result = build(s1, FP32, tmp_path / "m.onnx", ONNXOptions())
    operators = result.inventory.operators
    assert sum(operators.values()) <= 306
    assert operators["Conv"] == 77
    assert not {"BatchNormalization", "Cast", "Shape", "Gather", "Constant", "Identity"} & set(operators)
    model = onnx.load(tmp_path / "m.onnx")
    assert all(len(node.input) == 3 for node in model.graph.node if node.op_type == "Conv"), "biases are inside"


def test_int8_answers_nearly_as_the_float_model(deployed: DeployForm, int8: Path) -> None:
    images = draw_smooth_pixels(16, SIZE, seed=7)
    assert 20 < sqnr(compute_expected(deployed, images), run_model(int8, images)) < 70


def test_int8_holds_the_numbers_that_every_target_gets(deployed: DeployForm, recipe: Recipe, int8: Path) -> None:
    constants = read_constants(int8)
    layers = dict(find_dense_layers(deployed.module))
    assert len(layers) > 20
    for name, layer in layers.items():
        weight, scales = quantize_weight(layer.weight)
        np.testing.assert_array_equal(constants[f"{name}.weight.int8"], weight.numpy())
        np.testing.assert_array_equal(constants[f"{name}.weight.scale"], scales.numpy())
        given = choose_affine_parameters(*recipe.ranges[name].input)
        if f"{name}.input.scale" in constants:  # else it reads what the layer before it wrote
            assert constants[f"{name}.input.scale"] == np.float32(given.scale)
            assert constants[f"{name}.input.zero_point"] == given.zero_point
        assert constants[f"{name}.bias.int32"].dtype == np.int32


def test_the_output_of_a_layer_is_rounded_after_its_relu(recipe: Recipe, int8: Path) -> None:
    constants = read_constants(int8)
    nodes = {node.output[0]: node for node in onnx.load(int8).graph.node}
    activated, plain = "patch_embed.0", "patch_embed.6"
    assert nodes[f"{activated}.output.int8"].input[0] == f"{activated}.relu"
    assert constants[f"{activated}.output.zero_point"] == -128
    assert nodes[f"{plain}.output.int8"].input[0] == plain
    assert constants[f"{plain}.output.scale"] == np.float32(
        choose_affine_parameters(*recipe.ranges[plain].output).scale
    )
    assert recipe.ranges[plain].output[0] < 0


def test_activations_between_two_int8_layers_are_rounded_once(int8: Path) -> None:
    readers = [node for node in onnx.load(int8).graph.node if node.op_type == "Conv" and node.name == "patch_embed.2"]
    assert readers[0].input[0] == "patch_embed.0.output"


def test_onnx_runtime_computes_every_int8_layer_in_int8(deployed: DeployForm, int8: Path, tmp_path: Path) -> None:
    open_session(int8, tmp_path / "optimised.onnx")
    operators = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert operators["QLinearConv"] == len(list(find_dense_layers(deployed.module)))


def test_int8_agrees_with_the_graph_of_the_other_targets(deployed: DeployForm, recipe: Recipe, int8: Path) -> None:
    from shvit_mobile.quantize.pt2e_graph import build_quantized_graph

    graph = build_quantized_graph(deployed, recipe)
    images = draw_smooth_pixels(6, SIZE, seed=9)
    with torch.no_grad():
        simulated = torch.cat([graph(image[None]) for image in images]).numpy()
    assert sqnr(simulated, run_model(int8, images)) > 25


def test_symmetric_activations_have_no_zero_point(deployed: DeployForm, recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    build(deployed, recipe.model_copy(update={"activations": "symmetric"}), path, ONNXOptions())
    points = [number for name, number in read_constants(path).items() if name.endswith(".zero_point")]
    assert not any(number.any() for number in points)
    images = draw_smooth_pixels(16, SIZE, seed=7)
    assert 15 < sqnr(compute_expected(deployed, images), run_model(path, images)) < 70


def test_what_comes_from_int8_is_not_rounded_again(deployed: DeployForm, recipe: Recipe, tmp_path: Path) -> None:
    wider = recipe.ranges["patch_embed.2"].model_copy(update={"input": (0.0, 999.0)})
    changed = recipe.model_copy(update={"ranges": {**recipe.ranges, "patch_embed.2": wider}})
    build(deployed, changed, tmp_path / "m.onnx", ONNXOptions())
    test_activations_between_two_int8_layers_are_rounded_once(tmp_path / "m.onnx")


def test_a_layer_can_stay_float(deployed: DeployForm, recipe: Recipe, tmp_path: Path) -> None:
    name = "stages.1.blocks.0.ffn.m.pw1"
    result = build(deployed, recipe.model_copy(update={"float_layers": (name,)}), tmp_path / "m.onnx", ONNXOptions())
    assert result.inventory.quantized_layers == len(recipe.ranges) - 1
    assert read_constants(tmp_path / "m.onnx")[f"{name}.weight"].dtype == np.float32


def test_a_bias_far_beyond_its_weights_survives_int8(tmp_path: Path) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(), size=(64, 64)))
    conv = dict(find_dense_layers(deployed.module))["stages.0.blocks.0.ffn.m.pw2"]
    with torch.no_grad():
        conv.weight[3] = 1e-9 * torch.randn_like(conv.weight[3])
        conv.bias[3] = 20.0  # over 2**31 in units of the two scales
    build(deployed, calibrate_recipe(deployed), tmp_path / "m.onnx", ONNXOptions())
    images = draw_smooth_pixels(4, (64, 64), seed=1)
    assert sqnr(compute_expected(deployed, images), run_model(tmp_path / "m.onnx", images)) > 20
    constants = read_constants(tmp_path / "m.onnx")
    bias = (
        constants["stages.0.blocks.0.ffn.m.pw2.bias.int32"][3] * constants["stages.0.blocks.0.ffn.m.pw2.bias.scale"][3]
    )
    assert bias == pytest.approx(20.0, rel=1e-4)


def test_int8_of_s1_is_under_three_tenths_of_float(s1: DeployForm, tmp_path: Path) -> None:
    sizes = {}
    for recipe in (FP32, calibrate_recipe(s1)):
        path = tmp_path / f"{recipe.precision}.onnx"
        build(s1, recipe, path, ONNXOptions())
        sizes[recipe.precision] = path.stat().st_size
    assert sizes["int8"] <= 0.30 * sizes["fp32"]


def test_the_inventory_counts_what_the_file_holds(deployed: DeployForm, int8: Path) -> None:
    contents = read_inventory(int8)
    dense = [layer for _, layer in find_dense_layers(deployed.module)]
    assert contents.quantized_layers == len(dense)
    zero_points = contents.operators["QuantizeLinear"]
    assert contents.weight_bytes["int8"] == sum(layer.weight.numel() for layer in dense) + zero_points
    assert contents.weight_bytes["int32"] == 4 * sum(layer.out_channels for layer in dense)
    assert contents.weight_bytes["float32"] < contents.weight_bytes["int8"]
    assert list(contents.operators) == sorted(contents.operators)


def test_a_float_file_has_no_quantized_layers(deployed: DeployForm, tmp_path: Path) -> None:
    contents = build(deployed, FP32, tmp_path / "m.onnx", ONNXOptions()).inventory
    assert contents.quantized_layers == 0
    assert set(contents.weight_bytes) == {"float32", "int64"}
    parameters = sum(p.numel() for p in deployed.module.parameters())
    # The norms of all attentions share their one and their zero; three is the mean of the colours.
    assert contents.weight_bytes["float32"] == 4 * (parameters + 2 + 3)


@pytest.mark.parametrize("content", [b"", b"no model at all, only words", b"\xff" * 64])
def test_the_inventory_of_what_is_no_onnx_file_is_rejected(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(BadArtifact, match="is not an ONNX model"):
        read_inventory(path)


def test_the_inventory_of_a_file_cut_short_or_missing_is_rejected(int8: Path, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(int8.read_bytes()[:20_000])
    with pytest.raises(BadArtifact, match="is not an ONNX model"):
        read_inventory(tmp_path / "m.onnx")
    with pytest.raises(BadArtifact, match="does not exist"):
        read_inventory(tmp_path / "nothing.onnx")
