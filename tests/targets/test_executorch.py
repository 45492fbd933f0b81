"""ExecuTorch programs give the checkpoint's logits, have the dtypes of their recipe, and report their delegation."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.fingerprints import compute_sha256, compute_size_bytes
from shvit_mobile.contracts.recipe import FLOAT_KINDS, ActivationRange, Precision, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import (
    BadRecipe,
    ConflictingParameters,
    InvalidValue,
    NotSupported,
    ShapeMismatch,
    UnknownChoice,
    VerificationFailed,
)
from shvit_mobile.families.family import Family
from shvit_mobile.families.shvit import VARIANTS, SingleHeadAttention, create_shvit
from shvit_mobile.images.ramp import draw_ramp
from shvit_mobile.metrics import sqnr
from shvit_mobile.pipeline.lower import check_target_options, lower
from shvit_mobile.quantize.layers import find_dense_layers
from shvit_mobile.quantize.observation import observe_ranges
from shvit_mobile.runtimes.executorch import ExecuTorchRunner
from shvit_mobile.targets import executorch
from shvit_mobile.targets.executorch import PRECISIONS, ExecuTorchOptions, build, build_graph, has_large_head
from tests.builders import build_random_shvit, build_trained_model
from tests.programs import FLOAT_LAYER, SIZE, SMALL, compute_float_logits, draw_pictures, lower_program

FP32 = Recipe(precision="fp32")


def check_logits(deployed: DeployForm, folder: Path) -> None:
    """Lower to fp32 and compare the logits with the checkpoint's."""
    pixels = draw_pictures(2, deployed.trained.preprocessing.size)
    actual = ExecuTorchRunner(lower(deployed, FP32, "executorch", folder)).run(pixels)
    reference = compute_float_logits(deployed, pixels)
    np.testing.assert_allclose(actual, reference, rtol=0, atol=1e-4 * max(1.0, float(np.abs(reference).max())))


def calibrate_recipe(deployed: DeployForm) -> Recipe:
    ranges: dict[str, ActivationRange] = {}
    with observe_ranges(deployed.module, deployed.wiring, ranges):
        deployed.run(draw_pictures(8, deployed.trained.preprocessing.size))
    return Recipe(precision="int8", float_kinds=FLOAT_KINDS, observer="min-max", ranges=ranges)


def test_fp32_gives_the_logits_of_the_checkpoint_at_an_odd_size() -> None:
    lowered, pixels = lower_program("fp32"), draw_pictures(4)
    reference = compute_float_logits(lowered.deployed, pixels)
    actual = ExecuTorchRunner(lowered.artifact).run(pixels)
    np.testing.assert_allclose(actual, reference, rtol=0, atol=1e-4 * max(1.0, float(np.abs(reference).max())))


# Odd widths as that of `SIZE`: a program whose sizes have even ones too has two forms of the first convolution.
OTHER_SIZES = ((64, 63), (80, 131))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_program_for_several_sizes_computes_the_model_at_each_and_stores_weights_once(
    precision: Precision, tmp_path: Path
) -> None:
    alone = lower_program(precision)
    deployed, recipe = alone.deployed, alone.recipe
    written = lower(
        deployed, recipe, "executorch", tmp_path, options=ExecuTorchOptions(more_sizes=OTHER_SIZES), has_gate=True
    )
    assert written.path.stem == f"custom-65x97-executorch-{recipe.precision_name}-and-64x63-80x131"
    artifact = Artifact.open(written.path)
    manifest, single = artifact.manifest, alone.artifact.manifest
    assert [(one.size, one.method) for one in manifest.sizes] == [
        (SIZE, "forward"), ((64, 63), "forward_64x63"), ((80, 131), "forward_80x131"),
    ]  # fmt: skip
    assert manifest.inventory == single.inventory, "weights are counted once"
    assert manifest.delegation == single.delegation
    assert manifest.golden == manifest.sizes[0].golden == single.golden
    runner = ExecuTorchRunner(artifact)
    for one in manifest.sizes:
        pixels = np.concatenate([draw_pictures(7, one.size), draw_ramp(one.size)])
        actual, reference = runner.run(pixels), compute_float_logits(deployed.resize(one.size), pixels)
        assert sqnr(reference, actual) > (80 if precision == "fp32" else 18)
        assert one.golden is not None
        np.testing.assert_allclose(one.golden.logits, actual[-1], atol=1e-6)
        selected = ExecuTorchRunner(replace(artifact, manifest=manifest.select_size(one.size)))
        np.testing.assert_array_equal(selected.run(pixels), actual)
    with pytest.raises(ShapeMismatch, match=r"\(64, 63, 3\) or \(80, 131, 3\)"):
        runner.run(draw_pictures(1, (64, 65)))


def test_sizes_that_make_no_sense_are_refused() -> None:
    trained = lower_program("fp32").deployed.trained
    with pytest.raises(ConflictingParameters, match="more_sizes"):
        ExecuTorchOptions(delegate="coreml", more_sizes=OTHER_SIZES)
    with pytest.raises(ConflictingParameters, match="bundled"):
        ExecuTorchOptions(bundled=True, more_sizes=OTHER_SIZES)
    with pytest.raises(InvalidValue, match="twice"):
        ExecuTorchOptions(more_sizes=((64, 64), (64, 64)))
    with pytest.raises(InvalidValue, match="2048"):
        ExecuTorchOptions(more_sizes=((64, 4096),))
    with pytest.raises(InvalidValue, match="own size, 65x97"):
        check_target_options(trained, "fp32", ExecuTorchOptions(more_sizes=(SIZE,)))
    options = ExecuTorchOptions(more_sizes=OTHER_SIZES)
    check_target_options(trained, "fp32", options)
    for other in (replace(trained, task="features"), replace(trained, family=Family(name="fixed"))):
        with pytest.raises(NotSupported, match="for each size"):
            check_target_options(other, "fp32", options)


def test_int8_stays_close_to_the_checkpoint() -> None:
    lowered, pixels = lower_program("int8"), draw_pictures(16)
    actual = ExecuTorchRunner(lowered.artifact).run(pixels)
    assert 20 < sqnr(compute_float_logits(lowered.deployed, pixels), actual) < 80, "neither noise nor float after all"


def test_the_contract_is_one_image_of_the_size_with_pixels() -> None:
    manifest = lower_program("fp32").artifact.manifest
    assert manifest.input.shape == (1, 3, *SIZE)
    assert (manifest.input.kind, manifest.input.values, manifest.input.dtype) == ("tensor", "pixels", "float32")
    assert manifest.options == {"delegate": "xnnpack", "stem": "plain", "head": "auto", "float_dtype": "fp32"}
    assert manifest.versions["executorch"].startswith("1.")


def test_fp32_stores_the_weights_as_float32_and_nothing_else() -> None:
    lowered = lower_program("fp32")
    inventory = lowered.artifact.manifest.inventory
    parameters = sum(4 * parameter.numel() for parameter in lowered.deployed.module.parameters())
    assert set(inventory.weight_bytes) == {"float32"}
    assert parameters <= inventory.weight_bytes["float32"] <= 1.02 * parameters
    assert inventory.weight_bytes["float32"] < compute_size_bytes(lowered.artifact.path)
    assert inventory.quantized_layers == 0


def test_int8_stores_dense_convolutions_as_int8_and_the_rest_as_float32() -> None:
    lowered = lower_program("int8")
    inventory = lowered.artifact.manifest.inventory
    dense = dict(find_dense_layers(lowered.deployed.module))
    assert FLOAT_LAYER in dense
    quantized = [layer for name, layer in dense.items() if name != FLOAT_LAYER]
    assert inventory.quantized_layers == len(quantized)
    assert inventory.weight_bytes["int8"] == sum(layer.weight.numel() for layer in quantized)
    assert inventory.weight_bytes["int32"] == sum(4 * layer.out_channels for layer in quantized), "biases"
    layers = [m for m in lowered.deployed.module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert inventory.weight_bytes["float32"] >= sum(4 * m.weight.numel() for m in layers if m not in quantized)


@pytest.mark.parametrize("precision", PRECISIONS["xnnpack"])
def test_one_delegate_runs_every_operator(precision: Precision) -> None:
    delegation = lower_program(precision).artifact.manifest.delegation
    assert delegation is not None
    assert delegation.backend == "XnnpackBackend"
    assert delegation.delegates == 1
    assert not delegation.left_operators
    assert delegation.share == 1


def test_convolutions_are_delegated_one_for_one() -> None:
    lowered = lower_program("fp32")
    layers = [layer for layer in lowered.deployed.module.modules() if isinstance(layer, nn.Conv2d)]
    depthwise = sum(layer.groups > 1 for layer in layers)
    attentions = sum(isinstance(layer, SingleHeadAttention) for layer in lowered.deployed.module.modules())
    operators = lowered.artifact.manifest.inventory.operators
    # The norm of an attention is two averaging convolutions.
    assert operators["XNNConv2d"] == len(layers) - depthwise + 2 * attentions
    assert operators["XNNDepthwiseConv2d"] == depthwise
    assert operators["XNNFullyConnected"] == 1


def test_half_precision_casts_inside_the_delegate_and_stays_close() -> None:
    plain, half, pixels = lower_program("fp32"), lower_program("fp16"), draw_pictures(8)
    expected = Counter(plain.artifact.manifest.inventory.operators) + Counter(XNNConvert=2)
    assert half.artifact.manifest.inventory.operators == expected
    assert half.artifact.manifest.input.dtype == "float32"
    reference = compute_float_logits(half.deployed, pixels)
    assert 50 < sqnr(reference, ExecuTorchRunner(half.artifact).run(pixels)) < 80


def test_values_that_are_too_large_for_half_precision_make_no_program(tmp_path: Path) -> None:
    lowered = lower_program("fp32")
    for factor, words in ((1e5, "differ from the checkpoint"), (1e9, "infinite in fp16")):
        module = deepcopy(lowered.deployed.module)
        with torch.no_grad():
            module.get_parameter("patch_embed.0.weight").mul_(factor)
        deployed = lowered.deployed.replace_module(module)
        with pytest.raises(VerificationFailed, match=words) as error:
            lower(deployed, Recipe(precision="fp16"), "executorch", tmp_path)
        assert error.value.parameter == "precision"
        assert not list(tmp_path.iterdir())


def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    lowered = lower_program("fp32")
    build(lowered.deployed, lowered.recipe, tmp_path / "again.pte", ExecuTorchOptions())
    assert compute_sha256(tmp_path / "again.pte") == lowered.artifact.manifest.artifact.sha256


@pytest.mark.parametrize("precision", ["palette-8", "int8-weights"])
def test_other_precisions_are_rejected_with_the_supported_ones(precision: str, tmp_path: Path) -> None:
    assert precision not in PRECISIONS["xnnpack"]
    recipe = Recipe(precision=precision)  # type: ignore[arg-type]
    with pytest.raises(BadRecipe, match=r"for xnnpack\.\nIts precisions: fp32, fp16, int8, int8-dynamic"):
        build(lower_program("fp32").deployed, recipe, tmp_path / "m.pte", ExecuTorchOptions())
    assert not list(tmp_path.iterdir())


def test_a_recipe_of_another_model_is_rejected(tmp_path: Path) -> None:
    another = to_deploy_form(build_trained_model(build_random_shvit(), size=(64, 64)))
    with pytest.raises(BadRecipe, match="does not fit"):
        build(another, lower_program("int8").recipe, tmp_path / "m.pte", ExecuTorchOptions())


def test_options_are_checked_and_frozen() -> None:
    for options in ({"delegate": "mps"}, {"stem": "patchify"}, {"head": "int4"}, {"float_dtype": "bf16"}):
        with pytest.raises(UnknownChoice) as error:
            ExecuTorchOptions(**options)  # type: ignore[arg-type]
        assert {error.value.parameter: error.value.value} == options
    for conflict in ({"stem": "space-to-depth"}, {"head": "float"}):
        with pytest.raises(ConflictingParameters):
            ExecuTorchOptions(delegate="coreml", **conflict)  # type: ignore[arg-type]
    with pytest.raises(FrozenInstanceError):
        ExecuTorchOptions().delegate = "xnnpack"  # type: ignore[misc]


def test_int8_dynamic_needs_no_images_and_stays_closer_than_int8() -> None:
    lowered, pixels = lower_program("int8-dynamic"), draw_pictures(16)
    assert lowered.recipe.calibration is None
    reference = compute_float_logits(lowered.deployed, pixels)
    static = sqnr(reference, ExecuTorchRunner(lower_program("int8").artifact).run(pixels))
    assert static < sqnr(reference, ExecuTorchRunner(lowered.artifact).run(pixels)) < 80
    dense = {name for name, _ in find_dense_layers(lowered.deployed.module)}
    kept = set(lowered.recipe.float_layers)
    assert "patch_embed.0" in kept < dense
    assert lowered.artifact.manifest.inventory.quantized_layers == len(dense - kept)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_stem_on_blocks_gives_the_logits_of_the_plain_one(precision: Precision) -> None:
    plain, blocks = lower_program(precision), lower_program(precision, "space-to-depth")
    pixels = draw_pictures(8)
    manifest = blocks.artifact.manifest
    height, width = SIZE
    assert manifest.input.layout == manifest.options["stem"] == "space-to-depth"
    assert manifest.input.shape == (1, 12, -(-height // 2) + 1, -(-width // 2) + 1)
    assert manifest.delegation is not None
    assert (manifest.delegation.delegates, manifest.delegation.left_operators) == (1, {})
    reference = compute_float_logits(plain.deployed, pixels)
    distance = sqnr(reference, ExecuTorchRunner(blocks.artifact).run(pixels))
    # Pixels are integers, so the int8 stem on blocks loses nothing at its input.
    assert distance > (80 if precision == "fp32" else sqnr(reference, ExecuTorchRunner(plain.artifact).run(pixels)) - 3)


def test_an_int8_head_has_its_weights_in_int8_and_loses_little() -> None:
    plain, lowered, pixels = lower_program("int8"), lower_program("int8", head="int8-dynamic"), draw_pictures(16)
    manifest, head = lowered.artifact.manifest, lowered.deployed.module.head
    assert isinstance(head, nn.Linear)
    assert manifest.delegation is not None
    assert (manifest.delegation.delegates, manifest.delegation.left_operators) == (1, {})
    before, after = (one.artifact.manifest.inventory for one in (plain, lowered))
    assert after.weight_bytes["int8"] == before.weight_bytes["int8"] + head.weight.numel()
    assert after.quantized_layers == before.quantized_layers + 1
    assert lowered.artifact.path.stem == f"{plain.artifact.path.stem}-head8"
    reference = compute_float_logits(lowered.deployed, pixels)
    distance = sqnr(reference, ExecuTorchRunner(lowered.artifact).run(pixels))
    # The head's own int8 error is some 40 dB below the logits, as all else together is here.
    assert distance > sqnr(reference, ExecuTorchRunner(plain.artifact).run(pixels)) - 4


def test_an_int8_head_without_int8_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConflictingParameters) as error:
        build(lower_program("fp32").deployed, FP32, tmp_path / "m.pte", ExecuTorchOptions(head="int8-dynamic"))
    assert error.value.parameter == "head"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_head_of_a_thousand_classes_is_large_and_one_of_ten_is_not(variant: str) -> None:
    assert has_large_head(create_shvit(variant), "head")
    assert not has_large_head(create_shvit(variant, classes=10), "head")


def test_a_large_head_is_int8_unless_it_is_to_stay_float(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executorch, "LARGE_HEAD_SHARE", 0.001)
    lowered = lower_program("int8")
    for head, is_int8 in (("auto", True), ("float", False)):
        options = ExecuTorchOptions(head=head)  # type: ignore[arg-type]
        graph = build_graph(lowered.deployed, lowered.recipe, options)
        weights = [value for name, value in graph.named_buffers() if value.dtype == torch.int8]
        shape = lowered.deployed.module.head.weight.shape
        assert any(weight.shape == shape for weight in weights) is is_int8


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_gives_its_logits_in_one_delegate(variant: str, tmp_path: Path) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(variant, classes=10), size=(71, 64)))
    check_logits(deployed, tmp_path)
    for recipe in (FP32, calibrate_recipe(deployed)):
        delegation = lower(deployed, recipe, "executorch", tmp_path, overwrite=True).manifest.delegation
        assert delegation is not None
        assert (delegation.delegates, delegation.left_operators) == (1, {})


@pytest.mark.slow
def test_a_program_may_take_normalised_images(tmp_path: Path) -> None:
    check_logits(
        to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=(64, 48)), normalise=False), tmp_path
    )


@pytest.mark.slow
def test_int8_of_s1_is_at_most_three_tenths_of_fp32(tmp_path: Path) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit("shvit_s1", classes=10), size=(64, 64)))
    sizes = {
        recipe.precision: compute_size_bytes(lower(deployed, recipe, "executorch", tmp_path).path)
        for recipe in (FP32, calibrate_recipe(deployed))
    }
    assert sizes["int8"] <= 0.30 * sizes["fp32"]
