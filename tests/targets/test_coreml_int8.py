"""int8 in Core ML packages: where the recipe wants it, in its numbers, operator by operator as torch computes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from shvit_mobile.contracts.recipe import ACTIVATION_SCHEMES, FLOAT_KINDS, ActivationRange, ActivationScheme, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.fp16_form import rewrite_for_fp16
from shvit_mobile.errors import VerificationFailed
from shvit_mobile.families.shvit import SHViTConfig
from shvit_mobile.quantize.affine import ACTIVATION_MAX, ACTIVATION_MIN, choose_affine_parameters, quantize_weight
from shvit_mobile.quantize.observation import observe_ranges
from shvit_mobile.runtimes.mil.program import CoreMLProgram
from shvit_mobile.targets.build_result import BuildResult
from shvit_mobile.targets.coreml import CoreMLOptions, build, int8
from shvit_mobile.targets.coreml.spec.package import MLPackage, find_entry_block
from tests.builders import build_random_shvit, build_trained_model, draw_smooth_pixels

SMALL = SHViTConfig(
    dims=(32, 48), partial_dims=(8, 12), qk_dims=(8, 8), depths=(1, 1), block_types=("i", "s"), classes=7
)
SIZE = (96, 80)


@dataclass(frozen=True)
class Int8Run:
    """An int8 package, and every value of one image through it."""

    recipe: Recipe
    path: Path
    built: BuildResult
    values: Mapping[str, Tensor]


@pytest.fixture(scope="module")
def deployed() -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE))


@pytest.fixture(scope="module", params=ACTIVATION_SCHEMES)
def run(deployed: DeployForm, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Int8Run:
    recipe, path = calibrate_recipe(deployed, request.param), tmp_path_factory.mktemp("int8") / "a.mlpackage"
    built = build(deployed, recipe, path, CoreMLOptions(input="tensor", classifier=False))
    values: dict[str, Tensor] = {}
    CoreMLProgram(path)(
        {"images": draw_smooth_pixels(1, SIZE, seed=5)}, observe=lambda n, v: values.update({n: v.clone()})
    )
    return Int8Run(recipe, path, built, values)


def calibrate_recipe(deployed: DeployForm, activations: ActivationScheme = "affine") -> Recipe:
    ranges: dict[str, ActivationRange] = {}
    with observe_ranges(deployed.module, deployed.wiring, ranges, "min-max", activations), torch.no_grad():
        deployed.module(draw_smooth_pixels(6, SIZE))
    return Recipe(precision="int8", float_kinds=FLOAT_KINDS, observer="min-max", activations=activations, ranges=ranges)


def list_operators(path: Path) -> list[Any]:
    return list(find_entry_block(MLPackage(path))[1].operations)


def get_argument(operator: Any, name: str) -> str:
    return str(operator.inputs[name].arguments[0].name)


def test_every_pair_rounds_as_torch_fakes_it_with_the_recipes_numbers(deployed: DeployForm, run: Int8Run) -> None:
    taken = {o.outputs[0].name: get_argument(o, "input") for o in list_operators(run.path) if o.type == "quantize"}
    pairs = {
        o.outputs[0].name: taken[get_argument(o, "input")] for o in list_operators(run.path) if o.type == "dequantize"
    }
    expected, relus = {}, deployed.wiring.limits
    for name, seen in run.recipe.ranges.items():
        low = 0.0 if name in relus else seen.output[0]
        expected[f"{name}.input".replace(".", "_")] = choose_affine_parameters(*seen.input, run.recipe.activations)
        expected[f"{name}.output".replace(".", "_")] = choose_affine_parameters(
            low, seen.output[1], run.recipe.activations
        )
    assert len(pairs) > len(run.recipe.ranges)
    for made, source in pairs.items():
        scale = float(torch.tensor(expected[made].scale).half())
        point, limits = expected[made].zero_point, (ACTIVATION_MIN, ACTIVATION_MAX)
        faked = torch.fake_quantize_per_tensor_affine(run.values[source], scale, point, *limits).half().float()
        # torch multiplies with the inverse of the scale: a value halfway between two steps may go either way.
        halfway = (run.values[source] / scale).frac().abs().sub(0.5).abs() < 1e-3
        assert halfway.float().mean() < 0.02
        assert torch.equal(run.values[made][~halfway], faked[~halfway]), made
        assert run.values[made].unique().numel() > 20 or run.values[source].numel() < 200, f"{made} holds no values"


def test_every_int8_layer_multiplies_as_torch_does_with_faked_weights(deployed: DeployForm, run: Int8Run) -> None:
    half = rewrite_for_fp16(deployed.module, deployed)
    convolutions = {o.outputs[0].name: o for o in list_operators(run.path) if o.type == "conv"}
    layers = {get_argument(o, "weight").removesuffix("_weight"): o for o in convolutions.values()}
    for name in run.recipe.ranges:
        layer, operator = half.get_submodule(name), layers[name.replace(".", "_")]
        weight, scales = quantize_weight(layer.weight)
        points = torch.zeros(len(scales), dtype=torch.int32)
        faked = torch.fake_quantize_per_channel_affine(
            weight * scales[:, None, None, None], scales, points, 0, -127, 127
        )
        x, actual = run.values[get_argument(operator, "x")], run.values[operator.outputs[0].name]
        expected = F.conv2d(x, faked, layer.bias.half().float(), layer.stride, layer.padding)
        # Scales, decompressed weights and outputs are each rounded to half precision.
        torch.testing.assert_close(actual, expected, rtol=4e-3, atol=2e-3 * float(expected.abs().max()))


def test_no_value_is_rounded_twice_in_a_row(run: Int8Run) -> None:
    made_by = {output.name: o for o in list_operators(run.path) for output in o.outputs}
    for operator in list_operators(run.path):
        if operator.type == "quantize":
            assert made_by[get_argument(operator, "input")].type != "dequantize"


def test_outputs_are_rounded_behind_their_relu(deployed: DeployForm, run: Int8Run) -> None:
    made_by = {output.name: o for o in list_operators(run.path) for output in o.outputs}
    behind = {name.replace(".", "_") for name in deployed.wiring.limits.keys() & run.recipe.ranges.keys()}
    rounded = [o for o in list_operators(run.path) if o.outputs[0].name.endswith("_output_int8")]
    assert len(rounded) == len(run.recipe.ranges)
    for operator in rounded:
        layer = operator.outputs[0].name.removesuffix("_output_int8")
        assert made_by[get_argument(operator, "input")].type == ("relu" if layer in behind else "conv"), layer


def test_layers_that_the_recipe_keeps_in_float_are_float(deployed: DeployForm, run: Int8Run) -> None:
    made_by = {output.name: o for o in list_operators(run.path) for output in o.outputs}
    for operator in list_operators(run.path):
        if operator.type == "linear" or (
            operator.type == "conv" and operator.outputs[0].name in find_depthwise(run.path)
        ):
            assert made_by[get_argument(operator, "weight")].type == "const", f"{operator.type} is compressed"
        if operator.type == "quantize":
            assert made_by[get_argument(operator, "input")].type not in {"matmul", "softmax", "sigmoid", "linear"}
        if operator.type == "add":
            stream = made_by[get_argument(operator, "x")]
            assert stream.type != "dequantize", "the residual stream itself goes on in float"
    assert run.built.inventory.weight_bytes["int8"] >= sum(
        deployed.module.get_parameter(f"{name}.weight").numel() for name in run.recipe.ranges
    )
    assert "float32" not in run.built.inventory.weight_bytes


def find_depthwise(path: Path) -> set[str]:
    constants = {o.outputs[0].name: o for o in list_operators(path) if o.type == "const"}
    groups = {
        o.outputs[0].name: constants[get_argument(o, "groups")].attributes["val"].immediateValue.tensor.ints.values[0]
        for o in list_operators(path)
        if o.type == "conv"
    }
    return {name for name, count in groups.items() if count > 1}


def test_symmetric_activations_have_no_zero_point(run: Int8Run) -> None:
    with_point = [o for o in list_operators(run.path) if o.type == "quantize" and "zero_point" in o.inputs]
    assert bool(with_point) == (run.recipe.activations == "affine")


def test_a_layer_that_is_not_found_in_the_program_is_named(
    deployed: DeployForm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "FP16_NAME_SUFFIX", "_cast_bf16")
    monkeypatch.setattr(int8, "FP16_WEIGHT_SUFFIX", "_to_bf16")
    with pytest.raises(VerificationFailed, match=r"no operator for patch_embed\.0"):
        build(deployed, calibrate_recipe(deployed), tmp_path / "a.mlpackage", CoreMLOptions())
    assert not (tmp_path / "a.mlpackage").exists()
