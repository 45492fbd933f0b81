"""LiteRT files hold the recipe's integers under the names of the layers, and damaged ones are rejected."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import ActivationRange, Precision, Recipe
from shvit_mobile.drift.layer_drift import compare_layers
from shvit_mobile.environments import ENVIRONMENTS
from shvit_mobile.errors import BadArtifact, NotSupported, ToolMissing
from shvit_mobile.images.image_set import open_images
from shvit_mobile.metrics import sqnr
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.quantize.affine import choose_affine_parameters, quantize_weight
from shvit_mobile.quantize.layers import select_int8_ranges
from shvit_mobile.runtimes import open_runner
from shvit_mobile.runtimes.litert import open_interpreter
from shvit_mobile.targets.litert import read_inventory
from shvit_mobile.targets.litert.convert import convert_module
from shvit_mobile.targets.litert.flatbuffer import iterate_graph, read_model, read_values, write_model
from shvit_mobile.targets.litert.int8 import quantize_layers
from tests.builders import draw_smooth_pixels, write_picture_folder
from tests.litert import lower_model
from tests.programs import FLOAT_LAYER, compute_float_logits, draw_pictures
from tests.quantize.builders import build_plain_recipe, simulate_int8
from tests.targets.test_int8_modules import build_form


@pytest.mark.parametrize(("precision", "least"), [("fp32", 100.0), ("fp16", 50.0), ("int8", 29.0)])
def test_logits_are_those_of_the_trained_model(precision: Precision, least: float) -> None:
    model, pixels = lower_model(precision), draw_pictures(4)
    reference = compute_float_logits(model.deployed, pixels)
    assert sqnr(reference, open_runner(model.artifact).run(pixels)) > least


def test_int8_computes_what_onnx_computes(tmp_path: Path) -> None:
    model, pixels = lower_model("int8"), draw_pictures(6)
    other = lower(model.deployed, model.recipe, "onnx", tmp_path)
    ours, theirs = (open_runner(one).run(pixels) for one in (model.artifact, other))
    assert sqnr(theirs, ours) > 60


def test_weights_in_half_precision_take_half_of_the_bytes() -> None:
    fp32, fp16 = (lower_model(precision).artifact.manifest.inventory.weight_bytes for precision in ("fp32", "fp16"))
    assert set(fp16) == {"float16", "float32", "int32"}
    assert fp16["float16"] * 2 + fp16["float32"] == fp32["float32"]
    assert fp16["float16"] > 5 * fp16["float32"]


def test_int8_layers_have_the_recipes_integers_scales_and_ranges() -> None:
    model = lower_model("int8")
    ranges = select_int8_ranges(model.deployed, model.recipe)
    assert FLOAT_LAYER not in ranges
    file = read_model(model.artifact.path)
    found = {view.outputs[0].name.decode().removesuffix(".int8"): view for view in iterate_graph(file) if view.is_layer}
    for path, activation_range in ranges.items():
        view = found.get(path) or found[f"{path}.relu"]
        integers, scales = quantize_weight(model.deployed.module.get_submodule(path).weight)
        stored = read_values(file, view.inputs[1])
        assert np.array_equal(stored, integers.permute(0, 2, 3, 1).numpy()), path
        assert np.array_equal(view.inputs[1].quantization.scale, scales.numpy())
        output = choose_affine_parameters(*activation_range.output)
        quantization = view.outputs[0].quantization
        assert (*quantization.scale, *quantization.zeroPoint) == (np.float32(output.scale), output.zero_point), path
        bias = view.inputs[2].quantization.scale
        assert np.array_equal(bias, scales.numpy() * view.inputs[0].quantization.scale)
    assert read_inventory(model.artifact.path).quantized_layers == len(ranges)


def test_every_call_of_the_wiring_has_a_tensor_of_its_name() -> None:
    model = lower_model("fp32")
    names = {
        view.outputs[0].name.decode().removesuffix(".relu") for view in iterate_graph(read_model(model.artifact.path))
    }
    *calls, head = model.deployed.wiring.calls
    assert {f"{call.name}.add" if call.kind == "residual" else call.name for call in calls} <= names
    assert head.name not in names
    assert model.artifact.manifest.output.logits in names


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    model = lower_model("int8")
    again = lower(model.deployed, model.recipe, "litert", tmp_path)
    assert again.path.read_bytes() == model.artifact.path.read_bytes()


def test_constants_are_aligned_for_kernels() -> None:
    content = lower_model("fp32").artifact.path.read_bytes()
    file = read_model(lower_model("fp32").artifact.path)
    weights = [view.inputs[1] for view in iterate_graph(file) if view.is_layer]
    for weight in weights:
        values = read_values(file, weight).tobytes()
        assert content.find(values) % 16 == 0, weight.name


class Heterogeneous(nn.Module):
    """Layers in the forms that other families have: ReLU6, a shared layer, linear layers on tokens, a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.shared = nn.Conv2d(8, 8, 1)
        self.wide = nn.Conv2d(16, 12, 3, padding=1, bias=False)
        self.tokens = nn.Linear(12, 10)
        self.head = nn.Linear(10, 5)

    def forward(self, images: Tensor) -> Tensor:
        values = nn.functional.relu6(self.first(images))
        once = self.shared(values)
        values = torch.cat([once, self.shared(once)], 1)
        values = self.wide(nn.functional.max_pool2d(values, 2))
        tokens = nn.functional.gelu(self.tokens(values.flatten(2).transpose(1, 2)))
        return self.head(tokens.mean(1))


def test_layers_of_other_families_become_int8() -> None:
    torch.manual_seed(0)
    module, images = Heterogeneous().eval(), torch.randn(1, 3, 24, 36)
    model = convert_module(module, tuple(images.shape), names=("images", "logits"))
    layers = ("first", "shared", "wide", "tokens")
    ranges = {layer: ActivationRange(input=(-4.0, 4.0), output=(-4.0, 4.0)) for layer in layers}
    ranges["shared@2"] = ActivationRange(input=(-4.0, 4.0), output=(-3.0, 3.0))
    quantize_layers(model, module, ranges)
    views = [view for view in iterate_graph(model) if view.is_layer and view.inputs[1].name.endswith(b".int8")]
    names = [view.outputs[0].name.decode() for view in views]
    assert names == ["first.relu6.int8", "shared.int8", "shared@2.int8", "wide.int8", "tokens.int8"]
    scales = [float(view.outputs[0].quantization.scale[0]) for view in views]
    assert scales[1:3] == pytest.approx([8 / 255, 6 / 255])
    with torch.no_grad():
        expected = module(images)
    assert sqnr(expected.numpy(), run_model(write_model(model), images)) > 15


class Folding(nn.Module):
    """Constants that the converter multiplies into weights: factors behind a convolution, and a norm's in front."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.linear = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 12)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(12, 5)
        self.gamma = nn.Parameter(torch.rand(8, 1, 1) - 0.5)
        for parameter in self.norm.parameters():
            nn.init.normal_(parameter)

    def forward(self, images: Tensor) -> Tensor:
        values = self.stem(images).relu()
        values = values + self.conv(values) * self.gamma
        return self.head(self.linear(self.norm(values.flatten(2).transpose(1, 2))).mean(1))


def test_what_the_converter_multiplies_into_weights_does_not_change_their_integers(tmp_path: Path) -> None:
    deployed = build_form(Folding)
    recipe = build_plain_recipe(deployed)
    artifact = lower(deployed, recipe, "litert", tmp_path)
    views = {view.outputs[0].name.decode(): view for view in iterate_graph(read_model(artifact.path))}
    assert {"model.conv.unscaled.int8", "model.linear.norm.add"} <= views.keys()
    for path, output in (("model.conv", "model.conv.unscaled.int8"), ("model.linear", "model.linear.int8")):
        integers, scales = quantize_weight(deployed.module.get_submodule(path).get_parameter("weight"))
        weight = views[output].inputs[1]
        np.testing.assert_array_equal(read_values(views[output].model, weight), integers.movedim(1, -1))
        np.testing.assert_array_equal(weight.quantization.scale, scales)
        expected = choose_affine_parameters(*recipe.ranges[path].output)
        assert float(views[output].outputs[0].quantization.scale[0]) == pytest.approx(expected.scale)
    pixels = draw_smooth_pixels(8, (32, 24), seed=3)
    with torch.no_grad():
        reference, simulated = deployed.module(pixels), simulate_int8(deployed, recipe)(pixels)
    answer = open_runner(artifact).run(pixels.permute(0, 2, 3, 1).to(torch.uint8).numpy())
    assert np.linalg.norm(answer - simulated.numpy()) < 0.2 * float((simulated - reference).norm())


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_layers_are_compared_behind_factors_that_the_converter_moves(precision: Precision, tmp_path: Path) -> None:
    deployed = build_form(Folding)
    recipe = build_plain_recipe(deployed) if precision == "int8" else Recipe(precision="fp32")
    artifact = lower(deployed, recipe, "litert", tmp_path)
    images = open_images(write_picture_folder(tmp_path / "pictures", count=2, size=(40, 30)))
    rows = {row.layer: row.forced_db for row in compare_layers(artifact, deployed.trained, images).rows}
    assert min(rows[name] for name in ("model.conv", "model.linear")) > (100 if precision == "fp32" else 30)


def test_a_layer_that_is_not_in_the_model_is_named() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 2)).eval()
    model = convert_module(module, (1, 3, 8, 8), names=("images", "logits"))
    with pytest.raises(NotSupported, match="The layer 7 cannot be int8"):
        quantize_layers(model, module, {"7": ActivationRange(input=(0.0, 1.0), output=(0.0, 1.0))})
    with torch.no_grad():
        module[0].weight.add_(0.1)
    with pytest.raises(NotSupported, match="its weight is another one"):
        quantize_layers(model, module, {"0": ActivationRange(input=(0.0, 1.0), output=(0.0, 1.0))})


def test_without_its_environment_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ToolMissing, match="shvit-mobile doctor --install litert"):
        convert_module(nn.Sequential(nn.Conv2d(3, 5, 1)), (1, 3, 8, 8), names=("images", "logits"))
    assert not ENVIRONMENTS["litert"].is_installed


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def change_identifier(content: bytes) -> bytes:
    return content[:4] + b"TFL9" + content[8:]


def edit(change: Callable, path: Path) -> bytes:
    model = read_model(path)
    change(model, model.subgraphs[0])
    return write_model(model)


def read_the_future(model, graph) -> None:
    graph.operators = graph.operators[::-1]


def shrink_a_weight(model, graph) -> None:
    view = next(view for view in iterate_graph(model) if view.is_layer)
    model.buffers[view.inputs[1].buffer].data = model.buffers[view.inputs[1].buffer].data[:-4]


def enlarge_a_tensor(model, graph) -> None:
    graph.tensors[graph.operators[0].outputs[0]].shape = [2**30, 2**30, 1, 1]


def point_nowhere(model, graph) -> None:
    graph.operators[3].inputs = [2**20, *graph.operators[3].inputs[1:]]


def add_a_graph(model, graph) -> None:
    model.subgraphs = [graph, graph]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: truncate(path.read_bytes()),
        lambda path: change_identifier(path.read_bytes()),
        lambda path: b"",
        *(partial(edit, change) for change in (read_the_future, shrink_a_weight, enlarge_a_tensor, point_nowhere)),
        partial(edit, add_a_graph),
    ],
)
def test_a_damaged_file_never_reaches_the_interpreter(damage: Callable[[Path], bytes], tmp_path: Path) -> None:
    path = tmp_path / "damaged.tflite"
    path.write_bytes(damage(lower_model("int8").artifact.path))
    with pytest.raises(BadArtifact, match="is not a LiteRT model"):
        open_interpreter(path)


def test_random_damage_ends_in_an_error_or_in_logits(tmp_path: Path) -> None:
    original, path = lower_model("int8").artifact.path.read_bytes(), tmp_path / "damaged.tflite"
    rejected = 0
    for seed in range(120):
        draw, content = random.Random(seed), bytearray(original)
        for _ in range(draw.choice((1, 4))):
            place = draw.choice((draw.randrange(20_000), len(content) - 1 - draw.randrange(60_000)))
            struct.pack_into("<H", content, min(place, len(content) - 2), draw.choice((0, 1, 0x7FFF, 0xFFFF)))
        path.write_bytes(content)
        try:
            open_interpreter(path).invoke()
        except (BadArtifact, RuntimeError):
            rejected += 1
    assert rejected > 10


def run_model(content: bytes, images: Tensor) -> NDArray[np.float32]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images.numpy())
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
