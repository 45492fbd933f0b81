"""A Core ML package for several image sizes: a function for each, the same weights once, in every precision."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.fingerprints import compute_size_bytes
from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadArtifact, ConflictingParameters, InvalidValue, NotSupported, ShapeMismatch
from shvit_mobile.families.family import Family
from shvit_mobile.images.ramp import draw_ramp
from shvit_mobile.metrics import sqnr
from shvit_mobile.pipeline.lower import check_target_options, lower
from shvit_mobile.runtimes.coreml import CoreMLRunner
from shvit_mobile.runtimes.mil.program import CoreMLProgram
from shvit_mobile.runtimes.mil.workers import WorkerPool
from shvit_mobile.runtimes.probes.coreml import CoreMLActivationProbe
from shvit_mobile.targets.capabilities import list_requirements
from shvit_mobile.targets.coreml import CoreMLOptions, build
from shvit_mobile.targets.coreml.package import MODEL_ITEM, WEIGHTS_ITEM
from shvit_mobile.targets.coreml.spec.package import MLPackage
from shvit_mobile.targets.stored_facts import open_artifact
from tests.builders import build_random_shvit, build_trained_model, draw_smooth_pixels
from tests.programs import SMALL, compute_float_logits, draw_pictures
from tests.targets.test_coreml import calibrate_recipe

SIZE, OTHERS = (65, 97), ((64, 63), (80, 131))
# The least SQNR in dB. In float32 only the order of sums differs; fp16 rounds each value.
LEAST_DB: dict[Precision, float] = {"fp32": 100, "fp16": 40, "int8": 20, "int8-weights": 25, "palette-6": 20}


@cache
def build_form() -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE))


def build_recipe(precision: Precision) -> Recipe:
    float_recipe = Recipe(precision=precision) if precision != "int8" else None
    return float_recipe or calibrate_recipe(build_form(), draw_smooth_pixels(12, SIZE))


def lower_package(precision: Precision, folder: Path, *, more: bool = True) -> Artifact:
    options = CoreMLOptions(deployment_target="iOS18", more_sizes=OTHERS if more else ())
    written = lower(build_form(), build_recipe(precision), "coreml", folder, options=options, has_gate=True)
    return open_artifact(written.path)


@pytest.mark.parametrize("precision", LEAST_DB)
def test_a_package_for_several_sizes_computes_the_model_at_each_and_stores_weights_once(
    precision: Precision, tmp_path: Path
) -> None:
    artifact, alone = lower_package(precision, tmp_path), lower_package(precision, tmp_path, more=False)
    manifest, single = artifact.manifest, alone.manifest
    assert artifact.path.stem == f"{alone.path.stem}-and-64x63-80x131"
    assert [(one.size, one.method) for one in manifest.sizes] == [
        (SIZE, "main"), ((64, 63), "main_64x63"), ((80, 131), "main_80x131"),
    ]  # fmt: skip
    weights = Path("Data", WEIGHTS_ITEM, "weight.bin")
    assert (artifact.path / weights).read_bytes() == (alone.path / weights).read_bytes()
    assert manifest.inventory == single.inventory
    assert (len(list_requirements(manifest)), list_requirements(single)) == (1, [])
    assert manifest.golden == manifest.sizes[0].golden == single.golden
    assert (manifest.options, manifest.input, manifest.output) == (single.options, single.input, single.output)
    runner = CoreMLRunner(artifact)
    for one in manifest.sizes:
        pixels = np.concatenate([draw_pictures(7, one.size), draw_ramp(one.size)])
        actual, reference = runner.run(pixels), compute_float_logits(build_form().resize(one.size), pixels)
        assert sqnr(reference, actual) > LEAST_DB[precision]
        assert one.golden is not None
        np.testing.assert_allclose(one.golden.logits, actual[-1], atol=one.golden.tolerance)
        selected = CoreMLRunner(replace(artifact, manifest=manifest.select_size(one.size)))
        np.testing.assert_array_equal(selected.run(pixels), actual)
    np.testing.assert_array_equal(runner.run(draw_pictures(3)), CoreMLRunner(alone).run(draw_pictures(3)))
    with pytest.raises(ShapeMismatch, match=r"\(64, 63, 3\) or \(80, 131, 3\)"):
        runner.run(draw_pictures(1, (64, 65)))


def test_core_ml_is_told_of_each_size_by_a_function_with_an_image_of_that_size(tmp_path: Path) -> None:
    path = tmp_path / "a.mlpackage"
    build(build_form(), Recipe(precision="fp16"), path, CoreMLOptions(more_sizes=OTHERS))
    model = MLPackage(path).model
    description = model.description
    assert model.specificationVersion == 9, "iOS 18, the first that has functions"
    assert not description.input, "a package with functions describes the inputs of each"
    assert not description.output
    assert description.defaultFunctionName == "main"
    images = {one.name: one.input[0].type.imageType for one in description.functions}
    sizes = {name: (image.height, image.width) for name, image in images.items()}
    assert sizes == {"main": SIZE, "main_64x63": OTHERS[0], "main_80x131": OTHERS[1]}
    assert sizes.keys() == model.mlProgram.functions.keys()
    for one in description.functions:
        assert (one.predictedFeatureName, one.predictedProbabilitiesName) == ("classLabel", "classLabel_probs")
    assert "at 65x97, 64x63, 80x131" in description.metadata.shortDescription
    assert "shvit-mobile" in description.metadata.userDefined


def test_equal_arguments_give_equal_bytes_and_a_size_costs_only_the_text_of_its_program(
    tmp_path: Path,
) -> None:
    recipe, options = build_recipe("int8"), CoreMLOptions(more_sizes=OTHERS[:1])
    first, second, alone = (tmp_path / f"{name}.mlpackage" for name in ("first", "second", "alone"))
    for path in (first, second):
        build(build_form(), recipe, path, options)
    build(build_form(), recipe, alone, CoreMLOptions(deployment_target="iOS18"))
    files = sorted(file.relative_to(first) for file in first.rglob("*") if file.is_file())
    assert files == sorted(file.relative_to(alone) for file in alone.rglob("*") if file.is_file())
    assert all((first / file).read_bytes() == (second / file).read_bytes() for file in files)
    text = (alone / "Data" / MODEL_ITEM).stat().st_size
    assert compute_size_bytes(first) <= compute_size_bytes(alone) + 1.05 * text


def test_layers_and_worker_processes_take_the_function_of_their_size(tmp_path: Path) -> None:
    artifact, size = lower_package("fp32", tmp_path), OTHERS[0]
    resized, pixels = build_form().resize(size), draw_pictures(2, size)
    points = resized.wiring.calls
    selected = replace(artifact, manifest=artifact.manifest.select_size(size))
    values = CoreMLActivationProbe(selected, points).run_free(pixels)
    assert values
    assert {tuple(value.shape[2:]) for value in values.values() if value.ndim == 4} >= {(4, 4)}
    program = CoreMLProgram(artifact.path, function="main_64x63")
    pool = WorkerPool(program, 1)
    try:
        np.testing.assert_allclose(pool({"image": pixels})["logits"], program(pixels)["logits"], atol=1e-5)
    finally:
        pool.close()
    with pytest.raises(BadArtifact, match="no function 'main_99'"):
        CoreMLProgram(artifact.path, function="main_99")


def test_sizes_that_make_no_sense_are_refused() -> None:
    trained = build_form().trained
    for old in ("iOS15", "iOS17"):
        with pytest.raises(ConflictingParameters, match="since iOS18") as caught:
            CoreMLOptions(deployment_target=old, more_sizes=OTHERS)
        assert caught.value.parameter == "more_sizes"
    with pytest.raises(InvalidValue, match="twice"):
        CoreMLOptions(more_sizes=((64, 64), (64, 64)))
    with pytest.raises(InvalidValue, match="2048"):
        CoreMLOptions(more_sizes=((64, 4096),))
    with pytest.raises(InvalidValue, match="own size, 65x97"):
        check_target_options(trained, "fp32", CoreMLOptions(more_sizes=(SIZE,)))
    options = CoreMLOptions(more_sizes=OTHERS)
    assert (options.deployment_target, CoreMLOptions().deployment_target) == ("iOS18", "iOS17")
    check_target_options(trained, "fp32", options)
    for other in (replace(trained, task="features"), replace(trained, family=Family(name="fixed"))):
        with pytest.raises(NotSupported, match="for each size"):
            check_target_options(other, "fp32", options)
