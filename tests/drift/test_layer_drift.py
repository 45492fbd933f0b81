"""Layers are found in every artifact, and a planted fault is where the report says that drift begins."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from shvit_mobile import wrap_module
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_report import LayerReport
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.drift.layer_drift import compare_layers
from shvit_mobile.errors import BadArtifact, NotSupported
from shvit_mobile.families.shvit import VARIANTS
from shvit_mobile.images.image_set import ImageSet, open_images
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.runtimes.probes.registry import open_activation_probe
from tests.builders import write_picture_folder
from tests.coreai_packages import needs_coreai
from tests.probes import CONFIG, build_model, plant_fault, write_unverified_artifact

FP32 = Recipe(precision="fp32")
OPEN = ("coreml", "onnx")
COREAI = pytest.param("coreai", marks=needs_coreai)
# A depthwise convolution, a projection of attention, and the last of all.
FAULTY = ("stages.1.blocks.1.conv", "stages.1.blocks.1.mixer.m.qkv", "head")


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> ImageSet:
    return open_images(write_picture_folder(tmp_path_factory.mktemp("pictures"), count=6, size=(90, 120)))


def figures(report: LayerReport) -> dict[str, tuple[float, float]]:
    return {row.layer: (row.free_db, row.forced_db) for row in report.rows}


# Converting a variant for Core ML takes ten seconds and more.
LONG = {("shvit_s2", "coreml"), ("shvit_s3", "coreml"), ("shvit_s4", "coreml")}
ARTIFACTS = [
    pytest.param(variant, target, marks=pytest.mark.slow if (variant, target) in LONG else ())
    for target in OPEN
    for variant in VARIANTS
]


@pytest.mark.parametrize(("variant", "target"), ARTIFACTS)
def test_every_layer_of_an_fp32_artifact_is_the_float_models(variant, target, images, tmp_path):
    whole = build_model(config=replace(VARIANTS[variant], classes=7))
    report = compare_layers(write_unverified_artifact(whole, target, FP32, tmp_path), whole, images.sample(1, 0))
    expected = [landmark.name for landmark in to_deploy_form(whole).wiring.calls]
    assert [row.layer for row in report.rows] == expected
    assert min(min(row.free_db, row.forced_db) for row in report.rows) > 100
    assert report.first is None


class Neighbour(nn.Module):
    """Activations in place, a layer that runs twice and has factors, a sum with a position, one of pooled values."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.act, self.twice = nn.Conv2d(3, 8, 3, 2), nn.Hardswish(inplace=True), nn.Conv2d(8, 8, 1)
        self.pool, self.position, self.head = nn.AvgPool2d(3, 1, 1), nn.Conv2d(1, 8, 1), nn.Linear(8, 4)
        self.gate = nn.Conv2d(8, 8, 1)
        self.factors = nn.Parameter(0.2 + torch.rand(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        columns = torch.arange(x.shape[3]).to(self.position.weight)
        x = x + self.position(columns.expand(x.shape[0], 1, x.shape[2], x.shape[3]) / x.shape[3])
        x = nn.functional.gelu(x + self.pool(self.twice(self.act(self.twice(x))) * self.factors / 3))
        return self.head((x * (self.gate(x) * self.factors)).mean((2, 3))) * 0.5


@pytest.mark.parametrize("target", [*OPEN, COREAI])
def test_every_layer_of_another_model_is_the_float_models(target, images, tmp_path):
    torch.manual_seed(0)
    module, size = Neighbour().eval(), Preprocessing(size=(40, 56))
    whole = wrap_module(module, labels=list("abcd"), preprocessing=size, name="neighbour")
    artifact = write_unverified_artifact(whole, target, FP32, tmp_path)
    # The artifact's size counts, not the checkpoint's.
    report = compare_layers(artifact, replace(whole, preprocessing=Preprocessing()), images.sample(1, 0))
    names = ["model.stem", "model.twice", "model.twice@2", "model", "model.gate", "model.head"]
    assert [row.layer for row in report.rows] == names
    assert min(min(row.free_db, row.forced_db) for row in report.rows) > 100


class Limited(nn.Module):
    """Activations that limit values, and one that makes large negative ones alike."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide, self.last = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 4)
        for layer in (self.stem, self.wide, self.last):
            layer.weight.data.normal_(0, 6 * layer.weight[0].numel() ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu6(self.stem(x))
        x = nn.functional.hardtanh(self.wide(x), -2.0, 3.0)
        return self.head(nn.functional.hardswish(self.last(x)).mean((2, 3)))


@pytest.mark.parametrize("target", [*OPEN, COREAI])
def test_layers_in_int8_are_compared_behind_what_limits_them(target, images, tmp_path):
    torch.manual_seed(0)
    size = Preprocessing(size=(40, 56))
    whole = wrap_module(Limited().eval(), labels=list("abcd"), preprocessing=size, name="limited")
    recipe = calibrate_recipe(to_deploy_form(whole), images, precision="int8", count=6, observer="min-max")[0]
    seen = recipe.ranges["model.last"]
    assert seen.output[0] < -30
    assert recipe.ranges["model.stem"].output == (0.0, 6.0)
    cut = seen.model_copy(update={"output": (-3.0, seen.output[1])})
    recipe = recipe.model_copy(update={"ranges": {**recipe.ranges, "model.last": cut}})
    report = compare_layers(write_unverified_artifact(whole, target, recipe, tmp_path), whole, images)
    assert min(min(row.free_db, row.forced_db) for row in report.rows) > 25


@pytest.mark.parametrize("target", OPEN)
@pytest.mark.parametrize("layer", FAULTY)
def test_a_layer_with_altered_weights_is_the_first_divergence(layer, target, images, tmp_path):
    whole = build_model()
    report = compare_layers(
        write_unverified_artifact(plant_fault(whole, layer, 1.01), target, FP32, tmp_path), whole, images
    )
    assert report.first == layer
    assert report.worst[0] == layer
    found = figures(report)
    names = list(found)
    behind = names[names.index(layer) + 1 :]
    # Given the float model's values, no other layer is at fault; left to itself, the fault is in all that follow.
    assert all(forced > 100 for name, (_, forced) in found.items() if name != layer)
    assert all(free > 100 for name, (free, _) in found.items() if name not in (layer, *behind))
    assert all(free < 90 for name, (free, _) in found.items() if name in behind)


@pytest.mark.parametrize("target", OPEN)
def test_a_bad_range_in_the_recipe_is_named(target, images, tmp_path):
    layer, whole = "stages.1.blocks.1.ffn.m.pw1", build_model()
    recipe = calibrate_recipe(to_deploy_form(whole), images, precision="int8", count=6)[0]
    seen = recipe.ranges[layer]
    # It holds a twentieth of what comes out; all beyond is cut off.
    narrow = seen.model_copy(update={"output": (seen.output[0] / 20, seen.output[1] / 20)})
    bad = recipe.model_copy(update={"ranges": {**recipe.ranges, layer: narrow}})
    good, faulty = (
        compare_layers(write_unverified_artifact(whole, target, given, tmp_path / name), whole, images)
        for name, given in (("good", recipe), ("bad", bad))
    )
    assert good.first is None
    assert faulty.first == layer
    assert faulty.worst[0] == layer
    assert figures(faulty)[layer][1] < 3 < 20 < figures(good)[layer][1]


def test_an_fp16_package_computes_each_layer_to_fp16s_digits(images, tmp_path):
    whole = build_model()
    report = compare_layers(
        write_unverified_artifact(whole, "coreml", Recipe(precision="fp16"), tmp_path), whole, images
    )
    assert report.first is None
    assert all(40 < row.free_db <= row.forced_db + 1 for row in report.rows)
    assert all(55 < row.forced_db < 90 for row in report.rows)


def test_layers_of_another_model_are_not_taken_for_its_own(images, tmp_path):
    other = replace(CONFIG, partial_dims=(8, 12, 12))
    made = write_unverified_artifact(build_model(), "coreml", FP32, tmp_path)
    strangers = to_deploy_form(build_model(config=other)).wiring.calls
    with pytest.raises(BadArtifact, match=r"stages.1.blocks.0.mixer.m.qkv is \('conv', \(28, 12, 1, 1\)\)"):
        open_activation_probe(made, strangers)


def test_an_executorch_program_says_why_it_stays_closed(images, tmp_path):
    whole = build_model()
    made = write_unverified_artifact(whole, "onnx", FP32, tmp_path)
    other = Artifact(made.path, made.manifest.model_copy(update={"target": "executorch"}))
    with pytest.raises(NotSupported, match="ETDump"):
        compare_layers(other, whole, images)
