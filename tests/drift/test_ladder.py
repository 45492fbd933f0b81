"""The ladder: which rungs some artifacts have, and that each computes what its artifacts are to compute."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.drift.compare import compare_with_logits, compute_float_reference
from shvit_mobile.drift.ladder import build_simulation, compare_simulated_rung, list_simulated_rungs, sort_by_target
from shvit_mobile.errors import BadRecipe, ConflictingParameters
from shvit_mobile.families.shvit import SHViTConfig
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import open_images
from shvit_mobile.metrics import sqnr
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.quantize.calibrate import calibrate_recipe
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder

SIZE = (64, 48)
# Wide enough for weights that are worth making small.
WIDE = SHViTConfig(dims=(32, 64, 96), partial_dims=(8, 14, 20), depths=(1, 1, 1), classes=7)


@pytest.fixture(scope="module")
def model():
    return replace(
        build_trained_model(build_random_shvit(WIDE, seed=2), size=SIZE),
        preprocessing=Preprocessing(size=SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3)),
    )


@pytest.fixture(scope="module")
def images(model, tmp_path_factory):
    folder = write_picture_folder(tmp_path_factory.mktemp("pictures"), count=11, classes=model.labels)
    return open_images(folder, labels=model.labels)


@pytest.fixture(scope="module")
def reference(model, images):
    return compute_float_reference(model, images)


@pytest.fixture(scope="module")
def recipe(model, images):
    return calibrate_recipe(to_deploy_form(model), images, precision="int8", count=11)[0]


@pytest.fixture(scope="module")
def onnx(model, recipe, tmp_path_factory):
    return lower(to_deploy_form(model), recipe, "onnx", tmp_path_factory.mktemp("out"))


def build_artifact(onnx, recipe, *, name=None, target="onnx", size=SIZE):
    changes = {"recipe": recipe, "precision": recipe.precision, "target": target}
    changes |= {"preprocessing": replace(onnx.manifest.preprocessing, size=size)}
    path = onnx.path if name is None else onnx.path.with_name(name)
    return Artifact(path, onnx.manifest.model_copy(update=changes))


def test_each_recipe_that_pytorch_can_compute_has_one_rung_below_the_deploy_form(onnx, recipe):
    wider = recipe.model_copy(update={"observer": "mse"})
    recipes = [
        *(recipe, Recipe(precision="fp32"), recipe, Recipe(precision="fp16")),
        *(Recipe(precision="int8-weights"), wider, Recipe(precision="palette-4")),
    ]
    found = list_simulated_rungs(build_artifact(onnx, each) for each in recipes)
    assert [(rung.name, rung.recipe) for rung in found] == [
        ("deploy form", None),
        ("fake-quant int8", recipe),
        ("rounded int8-weights", Recipe(precision="int8-weights")),
        ("fake-quant int8 (2)", wider),
        ("rounded palette-4", Recipe(precision="palette-4")),
    ]
    assert [rung.name for rung in list_simulated_rungs([build_artifact(onnx, Recipe(precision="fp32"))])] == [
        "deploy form"
    ]


def test_each_way_to_see_pictures_has_rungs_of_its_own(onnx, recipe):
    found = list_simulated_rungs([build_artifact(onnx, recipe), build_artifact(onnx, recipe, size=(32, 32))])
    assert [(rung.name, rung.preprocessing.size) for rung in found] == [
        ("deploy form", SIZE),
        ("deploy form (2)", (32, 32)),
        ("fake-quant int8", SIZE),
        ("fake-quant int8 (2)", (32, 32)),
    ]


def test_on_the_ladder_artifacts_stand_by_target(onnx, recipe):
    given = [
        build_artifact(onnx, recipe, name=name, target=target)
        for name, target in (("a", "executorch"), ("b", "coreml"), ("c", "onnx"), ("d", "coreml"), ("e", "onnx"))
    ]
    assert [artifact.path.name for artifact in sort_by_target(given)] == ["c", "e", "b", "d", "a"]


def test_the_deploy_form_hardly_drifts_and_says_that_it_is_simulated(model, images, reference, onnx):
    (rung,) = list_simulated_rungs([build_artifact(onnx, Recipe(precision="fp32"))])
    told = []
    row = compare_simulated_rung(rung, model, images, reference, batch=4, progress=lambda *done: told.append(done))
    assert (row.artifact, row.target, row.precision, row.how) == ("deploy form", "torch", "fp32", "simulated")
    assert row.engine.startswith("PyTorch 2")
    assert row.artifact_sha256 is None
    assert (row.images, row.agreement.value) == (11, 1)
    assert 80 < row.sqnr_db < float("inf")
    assert row.top1 == row.float_top1
    assert told[-1] == (11, 11)


def test_what_a_recipe_does_wrong_shows_on_its_rung_as_on_its_artifact(
    model, images, reference, recipe, onnx, tmp_path
):
    (batch,) = iterate_batches(images, model.preprocessing, size=11)
    deployed = to_deploy_form(model)
    clipped = {
        name: seen.model_copy(update={"output": (seen.output[0] / 4, seen.output[1] / 4)})
        for name, seen in recipe.ranges.items()
    }
    clipping = recipe.model_copy(update={"ranges": clipped})
    rung, artifact = (
        build_simulation(deployed, clipping)(batch.pixels)["logits"],
        lower(deployed, clipping, "onnx", tmp_path, has_gate=True),
    )
    broken = compare_with_logits(artifact, model, images, reference=reference)
    assert sqnr(reference.logits, rung) < 20 < sqnr(rung, broken.logits), "both clip alike"
    row = compare_simulated_rung(list_simulated_rungs([artifact])[1], model, images, reference)
    assert row.sqnr_db == pytest.approx(sqnr(reference.logits, rung), abs=1e-6)
    sound = compare_simulated_rung(list_simulated_rungs([onnx])[1], model, images, reference)
    assert 30 < sound.sqnr_db < 60
    assert sound.sqnr_db == pytest.approx(
        compare_with_logits(onnx, model, images, reference=reference).row.sqnr_db, abs=2
    )


@pytest.mark.parametrize(("precision", "least", "most"), [("int8-weights", 25, 60), ("palette-4", 3, 25)])
def test_rounded_weights_drift_and_fewer_bits_drift_more(precision, least, most, model, images, reference, onnx):
    (_, rung) = list_simulated_rungs(
        [build_artifact(onnx, calibrate_recipe(to_deploy_form(model), precision=precision)[0])]
    )
    row = compare_simulated_rung(rung, model, images, reference)
    assert least < row.sqnr_db < most


def test_dynamic_int8_is_simulated_too(model, images, reference, onnx):
    (_, rung) = list_simulated_rungs(
        [build_artifact(onnx, calibrate_recipe(to_deploy_form(model), precision="int8-dynamic")[0])]
    )
    assert rung.name == "fake-quant int8-dynamic"
    assert 10 < compare_simulated_rung(rung, model, images, reference).sqnr_db < 60


def test_a_batch_is_answered_as_its_images_alone(model, images, recipe):
    (batch,) = iterate_batches(images, model.preprocessing, size=11)
    for each in (None, recipe, Recipe(precision="int8-weights")):
        answer = build_simulation(to_deploy_form(model), each)
        alone = np.concatenate([answer(picture[None])["logits"] for picture in batch.pixels[:3]])
        np.testing.assert_allclose(answer(batch.pixels)["logits"][:3], alone, atol=1e-4)


def test_what_does_not_belong_together_is_refused(model, images, reference, onnx, recipe):
    (rung, fake_quant) = list_simulated_rungs([onnx])
    with pytest.raises(ConflictingParameters, match="another checkpoint"):
        compare_simulated_rung(rung, model, images, replace(reference, checkpoint_sha256="1" * 64))
    with pytest.raises(ConflictingParameters, match="another preprocessing"):
        compare_simulated_rung(replace(rung, preprocessing=Preprocessing(size=SIZE)), model, images, reference)
    strange = recipe.model_copy(update={"float_layers": ("no.layer",)})
    with pytest.raises(BadRecipe, match=r"no\.layer"):
        compare_simulated_rung(replace(fake_quant, recipe=strange), model, images, reference)
