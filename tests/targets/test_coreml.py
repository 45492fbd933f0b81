"""Core ML packages give torch's logits in the reference executor, in every precision."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from shvit_mobile import metrics
from shvit_mobile.contracts.fingerprints import compute_sha256, compute_size_bytes
from shvit_mobile.contracts.recipe import FLOAT_KINDS, ActivationRange, Precision, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import (
    BadRecipe,
    ConflictingParameters,
    InvalidValue,
    NotSupported,
    OutputExists,
    UnknownChoice,
)
from shvit_mobile.families.shvit import SHViTConfig
from shvit_mobile.quantize.layers import find_dense_layers
from shvit_mobile.quantize.observation import observe_ranges
from shvit_mobile.quantize.pt2e_graph import build_quantized_graph
from shvit_mobile.quantize.weights import MAX_UNCOMPRESSED_ELEMENTS
from shvit_mobile.runtimes.mil.program import CoreMLProgram
from shvit_mobile.targets.build_result import BuildResult
from shvit_mobile.targets.coreml import (
    DEPLOYMENT_TARGETS,
    PRECISIONS,
    CoreMLOptions,
    build,
    make_labels_unique,
    read_inventory,
)
from shvit_mobile.targets.coreml.convert import build_pass_pipeline, import_coremltools
from shvit_mobile.targets.coreml.spec.package import MLPackage
from tests.builders import build_random_shvit, build_trained_model, draw_smooth_pixels

# Every kind of layer: both kinds of block, a downsampling between them, weights large enough to compress and not.
TWO_STAGES = SHViTConfig(
    dims=(32, 48), partial_dims=(8, 12), qk_dims=(8, 8), depths=(1, 1), block_types=("i", "s"), classes=7
)
ONE_STAGE = SHViTConfig(dims=(16,), partial_dims=(8,), qk_dims=(8,), depths=(1,), block_types=("s",), classes=5)
BuiltPackages = Mapping[Precision, tuple[Path, BuildResult]]


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return draw_smooth_pixels(6, (64, 64))


@pytest.fixture(scope="module")
def deployed() -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(TWO_STAGES)))


@pytest.fixture(scope="module")
def one_stage() -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(ONE_STAGE), size=(32, 32)))


@pytest.fixture(scope="module")
def recipe(deployed: DeployForm, pixels: Tensor) -> Recipe:
    return calibrate_recipe(deployed, pixels)


@pytest.fixture(scope="module")
def packages(deployed: DeployForm, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> BuiltPackages:
    """TWO_STAGES in every precision."""
    folder = tmp_path_factory.mktemp("coreml")
    recipes = {p: recipe if p == "int8" else Recipe(precision=p) for p in PRECISIONS}
    paths = {p: folder / f"{p}.mlpackage" for p in PRECISIONS}
    return {p: (paths[p], build(deployed, recipes[p], paths[p], CoreMLOptions())) for p in PRECISIONS}


def calibrate_recipe(deployed: DeployForm, pixels: Tensor) -> Recipe:
    ranges: dict[str, ActivationRange] = {}
    with observe_ranges(deployed.module, deployed.wiring, ranges), torch.no_grad():
        deployed.module(pixels)
    return Recipe(precision="int8", float_kinds=FLOAT_KINDS, observer="min-max", ranges=ranges)


def to_pictures(pixels: Tensor) -> list[np.ndarray[Any, Any]]:
    """uint8 arrays (height, width, 3), red first, as Core ML's image inputs take them."""
    return list(pixels.permute(0, 2, 3, 1).to(torch.uint8).numpy())


def compute_logits(path: Path, pixels: Tensor) -> Tensor:
    program = CoreMLProgram(path)
    return torch.cat([torch.from_numpy(program({"image": picture})["logits"]) for picture in to_pictures(pixels)])


def measure_sqnr(reference: Tensor, actual: Tensor) -> float:
    return metrics.sqnr(reference.numpy(), actual.numpy())


def read_description(path: Path) -> Any:
    return MLPackage(path).model.description


def read_output_types(path: Path) -> dict[str, str]:
    return {output.name: output.type.WhichOneof("Type") for output in read_description(path).output}


def test_fp32_package_gives_the_logits_of_torch(packages: BuiltPackages, deployed: DeployForm, pixels: Tensor) -> None:
    path, built = packages["fp32"]
    torch.testing.assert_close(compute_logits(path, pixels), deployed.module(pixels), atol=1e-4, rtol=0)
    assert set(built.inventory.weight_bytes) == {"float32"}


def test_fp16_package_stays_close_to_torch(packages: BuiltPackages, deployed: DeployForm, pixels: Tensor) -> None:
    path, built = packages["fp16"]
    reference, actual = deployed.module(pixels), compute_logits(path, pixels)
    assert measure_sqnr(reference, actual) > 45
    assert reference.argmax(1).equal(actual.argmax(1))
    assert set(built.inventory.weight_bytes) == {"float16"}
    assert compute_size_bytes(path) < 0.75 * compute_size_bytes(packages["fp32"][0])


def test_int8_package_runs_every_dense_convolution_in_int8(packages: BuiltPackages, deployed: DeployForm) -> None:
    found = packages["int8"][1].inventory
    assert found.quantized_layers == len(list(find_dense_layers(deployed.module)))
    assert found.operators["quantize"] == found.operators["dequantize"] >= found.quantized_layers
    dense = sum(layer.weight.numel() for _, layer in find_dense_layers(deployed.module))
    assert found.weight_bytes["int8"] >= dense
    assert "float32" not in found.weight_bytes


def test_int8_package_stays_close_to_float_and_closer_to_the_graph_for_other_targets(
    packages: BuiltPackages, deployed: DeployForm, recipe: Recipe, pixels: Tensor
) -> None:
    actual, graph = compute_logits(packages["int8"][0], pixels), build_quantized_graph(deployed, recipe)
    assert measure_sqnr(deployed.module(pixels), actual) > 20
    assert measure_sqnr(torch.cat([graph(picture[None]) for picture in pixels]), actual) > 30


def test_layers_that_the_recipe_keeps_float_are_float(one_stage: DeployForm, pixels: Tensor, tmp_path: Path) -> None:
    full = calibrate_recipe(one_stage, pixels[:, :, :32, :32])
    kept = "patch_embed.2"
    assert kept in full.ranges
    build(one_stage, full.model_copy(update={"float_layers": (kept,)}), tmp_path / "a.mlpackage", CoreMLOptions())
    assert read_inventory(tmp_path / "a.mlpackage").quantized_layers == len(full.ranges) - 1


def test_int8_weights_package_compresses_large_weights_only(
    packages: BuiltPackages, deployed: DeployForm, pixels: Tensor
) -> None:
    path, built = packages["int8-weights"]
    sizes = [p.numel() for p in deployed.module.parameters() if p.numel() > MAX_UNCOMPRESSED_ELEMENTS]
    assert sizes
    assert built.inventory.operators["constexpr_affine_dequantize"] == len(sizes)
    assert built.inventory.quantized_layers == 0
    assert measure_sqnr(deployed.module(pixels), compute_logits(path, pixels)) > 35


def test_int8_weights_package_keeps_the_kinds_that_the_recipe_keeps(tmp_path: Path) -> None:
    wide = replace(ONE_STAGE, dims=(256,), partial_dims=(32,), classes=9)
    deployed = to_deploy_form(build_trained_model(build_random_shvit(wide), size=(32, 32)))
    found = {}
    for kinds in ((), ("head",), ("head", "depthwise")):
        recipe, path = Recipe(precision="int8-weights", float_kinds=kinds), tmp_path / f"{len(kinds)}.mlpackage"
        found[kinds] = build(deployed, recipe, path, CoreMLOptions()).inventory.operators["constexpr_affine_dequantize"]
    assert found[()] - found[("head",)] == 1  # 256 * 9 weights
    assert found[("head",)] - found[("head", "depthwise")] == 1  # 256 * 9 weights


@pytest.mark.parametrize(
    ("precision", "bits", "least"), [("palette-8", 8, 30), ("palette-6", 6, 20), ("palette-4", 4, 8)]
)
def test_palettes_store_large_weights_in_their_number_of_bits(
    packages: BuiltPackages, deployed: DeployForm, pixels: Tensor, precision: Precision, bits: int, least: float
) -> None:
    path, built = packages[precision]
    sizes = [p.numel() for p in deployed.module.parameters() if p.numel() > MAX_UNCOMPRESSED_ELEMENTS]
    assert built.inventory.operators["constexpr_lut_to_dense"] == len(sizes)
    assert built.inventory.weight_bytes["uint8"] == sum(size * bits // 8 for size in sizes)
    assert measure_sqnr(deployed.module(pixels), compute_logits(path, pixels)) > least


@pytest.mark.parametrize(
    ("precision", "options"),
    [
        ("palette-8", {}),
        ("palette-6", {}),
        ("palette-4", {}),
        ("palette-4", {"block": 8, "deployment_target": "iOS18"}),
        ("int8-weights", {"block": 8, "deployment_target": "iOS18"}),
    ],
)
def test_compressed_weights_are_those_that_coremltools_decompresses(
    deployed: DeployForm, pixels: Tensor, precision: Precision, options: dict[str, Any], tmp_path: Path
) -> None:
    from coremltools.optimize.coreml import decompress_weights

    path = tmp_path / "a.mlpackage"
    # coremltools reads no classifier back.
    found = build(deployed, Recipe(precision=precision), path, CoreMLOptions(classifier=False, **options)).inventory
    plain = decompress_weights(import_coremltools().models.MLModel(str(path), skip_model_load=True))
    plain.save(str(tmp_path / "plain.mlpackage"))
    assert not any(name.startswith("constexpr") for name in read_inventory(tmp_path / "plain.mlpackage").operators)
    assert any(name.startswith("constexpr") for name in found.operators)
    assert torch.equal(compute_logits(path, pixels), compute_logits(tmp_path / "plain.mlpackage", pixels))


def test_blocks_are_closer_than_whole_channels_and_larger(
    packages: BuiltPackages, deployed: DeployForm, pixels: Tensor, tmp_path: Path
) -> None:
    for recipe, block in ((Recipe(precision="int8-weights"), 8), (Recipe(precision="palette-4"), 1)):
        options = CoreMLOptions(block=block, deployment_target="iOS18")
        assert options.suffix == f"-block{block}"
        path = tmp_path / f"{recipe.precision}.mlpackage"
        assert build(deployed, recipe, path, options).options["block"] == block
        whole = packages[recipe.precision][0]
        reference = deployed.module(pixels)
        assert (
            measure_sqnr(reference, compute_logits(path, pixels))
            > measure_sqnr(reference, compute_logits(whole, pixels)) + 0.5
        )
        assert compute_size_bytes(path) > compute_size_bytes(whole)


def test_weights_that_blocks_do_not_divide_are_compressed_whole(deployed: DeployForm, tmp_path: Path) -> None:
    options = CoreMLOptions(block=7, deployment_target="iOS18")
    found = build(deployed, Recipe(precision="int8-weights"), tmp_path / "a.mlpackage", options).inventory
    sizes = [p.numel() for p in deployed.module.parameters() if p.numel() > MAX_UNCOMPRESSED_ELEMENTS]
    assert found.operators["constexpr_blockwise_shift_scale"] == len(sizes)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_blocks_of_a_precision_without_them_are_rejected(
    one_stage: DeployForm, precision: Precision, tmp_path: Path
) -> None:
    options = CoreMLOptions(block=8, deployment_target="iOS18")
    with pytest.raises(ConflictingParameters, match=f"{precision} has no blocks") as conflict:
        build(one_stage, Recipe(precision=precision), tmp_path / "a.mlpackage", options)
    assert conflict.value.parameter == "block"
    with pytest.raises(NotSupported) as unsupported:
        build(one_stage, Recipe(precision="palette-4"), tmp_path / "a.mlpackage", CoreMLOptions(block=8))
    assert unsupported.value.parameter == "deployment_target"
    with pytest.raises(InvalidValue) as invalid:
        CoreMLOptions(block=-1)
    assert invalid.value.parameter == "block"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_classifier_gives_label_probabilities_and_logits(
    packages: BuiltPackages, deployed: DeployForm, pixels: Tensor, precision: Precision
) -> None:
    path, built = packages[precision]
    assert read_output_types(path) == {
        "classLabel": "stringType",
        "classLabel_probs": "dictionaryType",
        "logits": "multiArrayType",
    }
    logits = next(output for output in read_description(path).output if output.name == "logits")
    assert logits.type.multiArrayType.dataType == 0x10000 | 32  # FLOAT32, in fp16 packages too
    assert tuple(logits.type.multiArrayType.shape) == (1, 7)
    outputs = CoreMLProgram(path)({"image": to_pictures(pixels)[0]})
    expected = torch.from_numpy(outputs["logits"]).softmax(-1)[0]
    assert outputs[built.output.label] == deployed.trained.labels[int(expected.argmax())]
    probabilities = outputs[built.output.probabilities]
    assert tuple(probabilities) == deployed.trained.labels
    torch.testing.assert_close(torch.tensor(list(probabilities.values())), expected, atol=2e-3, rtol=0)


def test_package_without_classifier_gives_logits_alone(one_stage: DeployForm, tmp_path: Path) -> None:
    path = tmp_path / "a.mlpackage"
    built = build(one_stage, Recipe(precision="fp16"), path, CoreMLOptions(classifier=False))
    assert read_output_types(path) == {"logits": "multiArrayType"}
    assert (built.output.label, built.output.probabilities) == (None, None)
    assert CoreMLProgram(path).outputs == ("logits",)
    assert "com.apple.coreml.model.preview.type" not in read_description(path).metadata.userDefined


@pytest.mark.parametrize("normalise", [True, False])
def test_tensor_input_has_the_domain_of_the_deploy_form(normalise: bool, tmp_path: Path) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(ONE_STAGE), size=(32, 32)), normalise=normalise)
    path = tmp_path / "a.mlpackage"
    built = build(deployed, Recipe(precision="fp32"), path, CoreMLOptions(input="tensor"))
    assert (built.input.name, built.input.kind, built.input.dtype) == ("images", "tensor", "float32")
    assert built.input.values == ("pixels" if normalise else "normalised")
    images = draw_smooth_pixels(1, (32, 32)) if normalise else torch.randn(1, 3, 32, 32)
    actual = torch.from_numpy(CoreMLProgram(path)({"images": images})["logits"])
    torch.testing.assert_close(actual, deployed.module(images), atol=1e-4, rtol=0)


def test_blue_first_model_takes_blue_first_pictures(tmp_path: Path) -> None:
    model = build_trained_model(build_random_shvit(ONE_STAGE), size=(32, 32))
    deployed = to_deploy_form(replace(model, preprocessing=replace(model.preprocessing, channel_order="bgr")))
    path = tmp_path / "a.mlpackage"
    build(deployed, Recipe(precision="fp32"), path, CoreMLOptions())
    assert CoreMLProgram(path).inputs["image"].color_space == "BGR"
    red_first = draw_smooth_pixels(1, (32, 32))
    torch.testing.assert_close(compute_logits(path, red_first), deployed.module(red_first.flip(1)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("target", DEPLOYMENT_TARGETS)
def test_every_deployment_target_gives_the_logits_of_torch(one_stage: DeployForm, target: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mlpackage"
    build(one_stage, Recipe(precision="fp16"), path, CoreMLOptions(deployment_target=target))
    assert MLPackage(path).model.specificationVersion == import_coremltools().target[target].value
    pixels = draw_smooth_pixels(2, (32, 32))
    assert measure_sqnr(one_stage.module(pixels), compute_logits(path, pixels)) > 45


def test_deployment_targets_are_those_of_coremltools_that_have_ml_programs() -> None:
    ct = import_coremltools()
    assert [t for t in ct.target.__members__ if t.startswith("iOS") and ct.target[t] >= ct.target.iOS15] == list(
        DEPLOYMENT_TARGETS
    )


def test_user_checkpoint_of_37_classes_at_192_by_160(tmp_path: Path) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(replace(ONE_STAGE, classes=37)), size=(192, 160)))
    path, pixels = tmp_path / "a.mlpackage", draw_smooth_pixels(2, (192, 160))
    built = build(deployed, Recipe(precision="fp32"), path, CoreMLOptions())
    assert built.input.shape == (1, 3, 192, 160)
    image = read_description(path).input[0].type.imageType
    assert (image.height, image.width) == (192, 160)
    torch.testing.assert_close(compute_logits(path, pixels), deployed.module(pixels), atol=1e-4, rtol=0)


def test_metadata_describes_the_model_and_its_source(one_stage: DeployForm, tmp_path: Path) -> None:
    path = tmp_path / "a.mlpackage"
    options = CoreMLOptions(author="A. Person", license="MIT", version="2.1", description="Sorts leaves.")
    build(one_stage, Recipe(precision="fp16"), path, options)
    description = read_description(path)
    metadata = description.metadata
    assert (metadata.author, metadata.license, metadata.versionString) == ("A. Person", "MIT", "2.1")
    assert metadata.shortDescription == "Sorts leaves."
    assert all(feature.shortDescription for feature in (*description.input, *description.output))
    assert metadata.userDefined["com.apple.coreml.model.preview.type"] == "imageClassifier"
    assert not any("date" in key for key in metadata.userDefined)
    provenance = json.loads(metadata.userDefined["shvit-mobile"])
    assert provenance["checkpoint_sha256"] == one_stage.trained.sha256
    assert (provenance["variant"], provenance["classes"], provenance["precision"]) == ("custom", 5, "fp16")
    assert provenance["preprocessing"]["size"] == [32, 32]


def test_metadata_has_useful_defaults(packages: BuiltPackages) -> None:
    metadata = read_description(packages["int8"][0]).metadata
    assert metadata.versionString == "0" * 12
    assert metadata.shortDescription == "custom, an image classifier of 7 classes at 64x64, int8."


def test_classes_that_share_a_label_keep_their_own_probability(tmp_path: Path) -> None:
    model = replace(
        build_trained_model(build_random_shvit(ONE_STAGE), size=(32, 32)),
        labels=("crane", "jay", "crane", "owl", "crane"),
    )
    deployed = to_deploy_form(model)
    path = tmp_path / "a.mlpackage"
    build(deployed, Recipe(precision="fp32"), path, CoreMLOptions())
    pixels = draw_smooth_pixels(1, (32, 32))
    outputs = CoreMLProgram(path)({"image": to_pictures(pixels)[0]})
    expected = deployed.module(pixels).softmax(-1)[0].tolist()
    names = ["crane (0)", "jay", "crane (2)", "owl", "crane (4)"]
    assert outputs["classLabel_probs"] == pytest.approx(dict(zip(names, expected, strict=True)), abs=1e-5)


def test_distinct_labels_stay_as_they_are_and_never_collide() -> None:
    assert make_labels_unique(("a", "b")) == ["a", "b"]
    result = make_labels_unique(("crane", "crane (0)", "crane"))
    assert len(set(result)) == 3
    assert result[1] == "crane (0)"


def test_package_contains_only_a_manifest_a_model_and_weights(packages: BuiltPackages) -> None:
    for path, _ in packages.values():
        files = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
        assert files == {
            "Manifest.json",
            "Data/com.apple.CoreML/model.mlmodel",
            "Data/com.apple.CoreML/weights/weight.bin",
        }


def test_coremltools_opens_the_package_and_leaves_it_as_it_is(packages: BuiltPackages) -> None:
    before = compute_sha256(packages["int8"][0])
    loaded = import_coremltools().models.MLModel(str(packages["int8"][0]), skip_model_load=True)
    assert loaded.get_spec().SerializeToString(deterministic=True) == MLPackage(
        packages["int8"][0]
    ).model.SerializeToString(deterministic=True)
    assert compute_sha256(packages["int8"][0]) == before


@pytest.mark.parametrize("precision", ["int8", "palette-4"])
def test_same_model_is_the_same_bytes(
    packages: BuiltPackages, deployed: DeployForm, recipe: Recipe, precision: Precision, tmp_path: Path
) -> None:
    chosen = recipe if precision == "int8" else Recipe(precision=precision)
    build(deployed, chosen, tmp_path / "a.mlpackage", CoreMLOptions())
    assert compute_sha256(tmp_path / "a.mlpackage") == compute_sha256(packages[precision][0])


@pytest.mark.slow
def test_every_precision_is_the_same_bytes_in_another_process(
    packages: BuiltPackages, recipe: Recipe, tmp_path: Path
) -> None:
    code = """
import sys
from pathlib import Path
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.targets.coreml import PRECISIONS, CoreMLOptions, build
from tests.builders import build_random_shvit, build_trained_model
from tests.targets.test_coreml import TWO_STAGES
folder, deployed = Path(sys.argv[1]), to_deploy_form(build_trained_model(build_random_shvit(TWO_STAGES)))
for precision in PRECISIONS:
    recipe = Recipe.load(folder / "recipe.json") if precision == "int8" else Recipe(precision=precision)
    build(deployed, recipe, folder / f"{precision}.mlpackage", CoreMLOptions())
"""
    (tmp_path / "recipe.json").write_text(recipe.to_json(), encoding="utf-8")
    # Another order of Python's sets and dictionaries by hash, and more threads.
    environment = os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        encoding="utf-8",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for precision, (path, _) in packages.items():
        assert compute_sha256(tmp_path / f"{precision}.mlpackage") == compute_sha256(path), precision


def test_build_says_nothing(one_stage: DeployForm, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe = calibrate_recipe(one_stage, draw_smooth_pixels(2, (32, 32)))
    build(one_stage, recipe, tmp_path / "a.mlpackage", CoreMLOptions())
    build(one_stage, Recipe(precision="int8-weights"), tmp_path / "b.mlpackage", CoreMLOptions())
    assert tuple(capfd.readouterr()) == ("", "")


def test_inventory_reads_a_bare_package(packages: BuiltPackages) -> None:
    for path, built in packages.values():
        assert read_inventory(path) == built.inventory
        assert dict(CoreMLProgram(path).operators) == built.inventory.operators


@pytest.mark.parametrize("target", ["iOS18"])
def test_inventory_knows_the_compressed_weights_of_later_targets(
    one_stage: DeployForm, target: str, tmp_path: Path
) -> None:
    recipe = calibrate_recipe(one_stage, draw_smooth_pixels(2, (32, 32)))
    found = build(one_stage, recipe, tmp_path / "a.mlpackage", CoreMLOptions(deployment_target=target)).inventory
    assert found.quantized_layers == len(recipe.ranges)
    assert "constexpr_blockwise_shift_scale" in found.operators


def test_image_input_of_a_form_that_takes_normalised_values_is_rejected(tmp_path: Path) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(ONE_STAGE), size=(32, 32)), normalise=False)
    with pytest.raises(ConflictingParameters) as error:
        build(deployed, Recipe(precision="fp16"), tmp_path / "a.mlpackage", CoreMLOptions())
    assert error.value.parameter == "input"
    assert "`input='tensor'`" in error.value.hint


def test_unknown_options_are_rejected() -> None:
    with pytest.raises(UnknownChoice) as error:
        CoreMLOptions(deployment_target="ios17")
    assert (error.value.choices, error.value.hint) == (DEPLOYMENT_TARGETS, "Did you mean iOS17?")
    with pytest.raises(UnknownChoice) as error:
        CoreMLOptions(input="video")  # type: ignore[arg-type]
    assert error.value.choices == ("image", "tensor")
    with pytest.raises(UnknownChoice) as error:
        CoreMLOptions(layout="sdpa")  # type: ignore[arg-type]
    assert error.value.choices == ("matmul", "einsum")


@pytest.mark.parametrize(
    ("precision", "target", "first"),
    [("int8", "iOS16", "iOS17"), ("int8-weights", "iOS15", "iOS16"), ("palette-6", "iOS15", "iOS16")],
)
def test_precision_that_the_target_is_too_old_for_is_rejected(
    one_stage: DeployForm, precision: Precision, target: str, first: str, tmp_path: Path
) -> None:
    with pytest.raises(NotSupported, match=f"{precision} does not run on {target}") as error:
        build(one_stage, Recipe(precision=precision), tmp_path / "a.mlpackage", CoreMLOptions(deployment_target=target))
    assert f"`deployment_target='{first}'`" in error.value.hint
    assert not (tmp_path / "a.mlpackage").exists()


def test_recipe_of_another_model_is_rejected(one_stage: DeployForm, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(BadRecipe):
        build(one_stage, recipe, tmp_path / "a.mlpackage", CoreMLOptions())
    assert not (tmp_path / "a.mlpackage").exists()


def test_existing_package_is_not_overwritten(packages: BuiltPackages, deployed: DeployForm) -> None:
    with pytest.raises(OutputExists):
        build(deployed, Recipe(precision="fp16"), packages["fp16"][0], CoreMLOptions())


@pytest.mark.parametrize("pipeline", ["stock", "ours"])
def test_coremltools_own_passes_confuse_the_scales_of_reshaped_integers_and_ours_do_not(
    pipeline: str, tmp_path: Path
) -> None:
    """When the stock half fails, coremltools has mended common::int_op_canonicalization: stop removing it."""
    ct = import_coremltools()
    from coremltools.converters.mil import Builder as mb  # noqa: N813

    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 4, 1, 1))], opset_version=ct.target.iOS17)
    def program(x: Any) -> Any:
        wide = mb.dequantize(
            input=mb.quantize(input=x, scale=np.float32(0.5), output_dtype="int8"), scale=np.float32(0.5)
        )
        narrow = mb.quantize(input=mb.reshape(x=wide, shape=(1, 4)), scale=np.float32(0.1), output_dtype="int8")
        return mb.dequantize(input=narrow, scale=np.float32(0.1), name="y")

    model = ct.convert(
        program,
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision.FLOAT32,
        pass_pipeline=build_pass_pipeline(ct) if pipeline == "ours" else ct.PassPipeline.DEFAULT,
        skip_model_load=True,
    )
    path = tmp_path / "a.mlpackage"
    model.save(str(path))
    x = np.array([1, 2, 3, 4], np.float32).reshape(1, 4, 1, 1)
    ratio = 1.0 if pipeline == "ours" else 0.1 / 0.5
    np.testing.assert_allclose(CoreMLProgram(path)({"x": x})["y"][0], ratio * x.ravel(), rtol=1e-5)


@pytest.mark.parametrize("pipeline", ["stock", "ours"])
def test_coremltools_own_passes_shrink_a_scale_per_channel_and_ours_do_not(pipeline: str, tmp_path: Path) -> None:
    """When the stock half fails, coremltools has mended common::fuse_elementwise_to_batchnorm: stop removing it."""
    ct = import_coremltools()
    from coremltools.converters.mil import Builder as mb  # noqa: N813

    scale, shift = np.full((1, 3, 1, 1), 2, np.float32), np.zeros((1, 3, 1, 1), np.float32)

    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 3, 4, 4))], opset_version=ct.target.iOS17)
    def program(x: Any) -> Any:
        return mb.add(x=mb.mul(x=x, y=scale), y=shift + 1, name="y")

    model = ct.convert(
        program,
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision.FLOAT32,
        pass_pipeline=build_pass_pipeline(ct) if pipeline == "ours" else ct.PassPipeline.DEFAULT,
        skip_model_load=True,
    )
    path = tmp_path / "a.mlpackage"
    model.save(str(path))
    x = np.ones((1, 3, 4, 4), np.float32)
    expected = 3 if pipeline == "ours" else 1 + 2 / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(CoreMLProgram(path, mode="fp64")({"x": x})["y"], expected, rtol=1e-8)


# Without normalisation, probabilities and fp16's casts at both ends.
@pytest.mark.parametrize(
    ("variant", "most"), [("shvit_s1", 224), pytest.param("shvit_s4", 306, marks=pytest.mark.slow)]
)
def test_the_matmul_layout_leaves_few_operators_and_no_transposes(variant: str, most: int, tmp_path: Path) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(variant), size=(192, 160)), normalise=False)
    path, images = tmp_path / "a.mlpackage", torch.randn(1, 3, 192, 160, generator=torch.Generator().manual_seed(0))
    built = build(deployed, Recipe(precision="fp32"), path, CoreMLOptions(input="tensor", classifier=False))
    assert sum(built.inventory.operators.values()) <= most
    assert "transpose" not in built.inventory.operators
    actual = torch.from_numpy(CoreMLProgram(path)({"images": images})["logits"])
    assert measure_sqnr(deployed.module(images), actual) > 100


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_einsum_layout_gives_the_logits_of_the_matmul_layout(
    packages: BuiltPackages, deployed: DeployForm, recipe: Recipe, pixels: Tensor, precision: Precision, tmp_path: Path
) -> None:
    options, path = CoreMLOptions(layout="einsum"), tmp_path / "a.mlpackage"
    chosen = recipe if precision == "int8" else Recipe(precision=precision)
    operators = build(deployed, chosen, path, options).inventory.operators
    assert (operators["einsum"], operators.get("matmul", 0)) == (2, 0)
    assert measure_sqnr(compute_logits(packages[precision][0], pixels), compute_logits(path, pixels)) > 25
    assert options.suffix == "-einsum"
    assert CoreMLOptions().suffix == ""


@pytest.mark.slow
def test_int8_package_of_s1_has_at_most_30_percent_of_the_float_bytes(tmp_path: Path) -> None:
    deployed = to_deploy_form(
        build_trained_model(build_random_shvit("shvit_s1", classes=10), size=(224, 224), variant="shvit_s1")
    )
    recipe = calibrate_recipe(deployed, draw_smooth_pixels(2, (224, 224)))
    build(deployed, recipe, tmp_path / "int8.mlpackage", CoreMLOptions())
    build(deployed, Recipe(precision="fp32"), tmp_path / "fp32.mlpackage", CoreMLOptions())
    assert compute_size_bytes(tmp_path / "int8.mlpackage") <= 0.30 * compute_size_bytes(tmp_path / "fp32.mlpackage")
