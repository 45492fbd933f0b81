"""Lowering writes an artifact, its manifest, its recipe and its goldens: all four, or none."""

from pathlib import Path

import numpy as np
import pytest
import torch

from shvit_mobile.contracts.artifact import Artifact, get_manifest_path, get_recipe_path
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.manifest import TARGET_SUFFIXES, Manifest, Target
from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.drift.compare import compare
from shvit_mobile.errors import BadArtifact, BadRecipe, OutputExists, UnknownChoice, VerificationFailed
from shvit_mobile.images.image_set import open_images
from shvit_mobile.images.ramp import draw_ramp
from shvit_mobile.pipeline.lower import lower, update_manifest
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.report.display_names import format_label
from shvit_mobile.runtimes import open_runner
from shvit_mobile.targets import onnx as onnx_target
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder

FP32 = Recipe(precision="fp32")


@pytest.fixture(scope="module")
def deployed() -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(), size=(48, 64)))


@pytest.fixture(scope="module")
def artifact(deployed: DeployForm, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return lower(deployed, FP32, "onnx", tmp_path_factory.mktemp("artifacts"))


def test_all_files_of_an_artifact_share_one_name(artifact: Artifact) -> None:
    names = sorted(path.name for path in artifact.path.parent.iterdir())
    stem = "custom-48x64-onnx-fp32"
    assert names == [f"{stem}.goldens", f"{stem}.manifest.json", f"{stem}.onnx", f"{stem}.recipe.json"]


def test_the_manifest_describes_the_artifact(artifact: Artifact, deployed: DeployForm) -> None:
    manifest = Manifest.load(get_manifest_path(artifact.path))
    assert manifest == artifact.manifest
    assert manifest.artifact.sha256 == compute_sha256(artifact.path)
    assert manifest.artifact.bytes == artifact.path.stat().st_size
    assert manifest.model.checkpoint_sha256 == deployed.trained.sha256
    assert manifest.labels == deployed.trained.labels
    assert manifest.preprocessing == deployed.trained.preprocessing
    assert Recipe.load(get_recipe_path(artifact.path)) == manifest.recipe == FP32
    assert manifest.versions["torch"] == torch.__version__


def test_the_golden_logits_are_those_of_the_artifact(artifact: Artifact, deployed: DeployForm) -> None:
    golden = artifact.manifest.golden
    assert golden is not None
    assert golden.how == "native"
    picture = draw_ramp((48, 64))
    np.testing.assert_allclose(golden.logits, open_runner(artifact).run(picture)[0], rtol=1e-6)
    np.testing.assert_allclose(golden.logits, deployed.run(picture)[0], atol=golden.tolerance)


def test_the_ramp_is_drawn_by_its_formula() -> None:
    picture = draw_ramp((5, 90))
    assert picture.shape == (1, 5, 90, 3)
    assert picture[0, 4, 89, 2] == (7 * 4 + 3 * 89 + 50 * 2) % 256


def test_nothing_is_overwritten_by_default(artifact: Artifact, deployed: DeployForm) -> None:
    before = compute_sha256(artifact.path.parent)
    with pytest.raises(OutputExists):
        lower(deployed, FP32, "onnx", artifact.path.parent)
    assert compute_sha256(artifact.path.parent) == before
    assert lower(deployed, FP32, "onnx", artifact.path.parent, overwrite=True).manifest == artifact.manifest
    assert compute_sha256(artifact.path.parent) == before, "the same checkpoint and recipe give the same bytes"


def test_an_artifact_with_wrong_logits_is_not_written(
    deployed: DeployForm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = to_deploy_form(build_trained_model(build_random_shvit(seed=1), size=(48, 64)))
    build = onnx_target.build
    monkeypatch.setattr(onnx_target, "build", lambda _, *rest: build(other, *rest))
    with pytest.raises(VerificationFailed, match="differ from the checkpoint"):
        lower(deployed, FP32, "onnx", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_infinite_logits_are_not_written(deployed: DeployForm, tmp_path: Path) -> None:
    extreme = to_deploy_form(deployed.trained)
    extreme.module.head.bias[0] = 3e38
    extreme.module.head.weight[0] = 3e38
    with pytest.raises(VerificationFailed, match="not finite"):
        lower(extreme, FP32, "onnx", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["executorch", "onnx"])
def test_a_precision_that_the_target_lacks_is_refused(deployed: DeployForm, target: Target, tmp_path: Path) -> None:
    precisions: tuple[Precision, ...] = ("int8-weights", "palette-4")
    for precision in precisions:
        with pytest.raises(BadRecipe) as error:
            lower(deployed, Recipe(precision=precision), target, tmp_path / "new")
        assert error.value.parameter == "precision"
    assert not (tmp_path / "new").exists()


def test_an_unknown_target_is_refused_with_the_closest_match(deployed: DeployForm, tmp_path: Path) -> None:
    with pytest.raises(UnknownChoice) as error:
        lower(deployed, FP32, "corelm", tmp_path)  # type: ignore[arg-type]
    assert (error.value.value, error.value.choices) == ("corelm", tuple(TARGET_SUFFIXES))
    assert error.value.hint == "Did you mean coreml?"


def test_a_changed_artifact_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    copy = tmp_path / artifact.path.name
    data = bytearray(artifact.path.read_bytes())
    data[len(data) // 2] ^= 1
    copy.write_bytes(data)
    get_manifest_path(copy).write_text(get_manifest_path(artifact.path).read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(BadArtifact):
        Artifact.open(copy)


def test_an_error_names_a_missing_manifest(artifact: Artifact, tmp_path: Path) -> None:
    copy = tmp_path / artifact.path.name
    copy.write_bytes(artifact.path.read_bytes())
    with pytest.raises(BadArtifact, match=r"manifest\.json"):
        Artifact.open(copy)


def test_the_manifest_of_an_artifact_that_was_replaced_meanwhile_is_not_changed(
    deployed: DeployForm, tmp_path: Path
) -> None:
    first = lower(deployed, FP32, "onnx", tmp_path)
    other = to_deploy_form(build_trained_model(build_random_shvit(seed=7), size=(48, 64)))
    second = lower(other, FP32, "onnx", tmp_path, overwrite=True)
    assert first.path == second.path
    assert first.manifest.artifact.sha256 != second.manifest.artifact.sha256
    with pytest.raises(BadArtifact, match="was replaced"):
        update_manifest(first, versions={})
    assert Artifact.open(second.path).manifest == second.manifest


def test_a_manifest_on_disk_can_be_updated(artifact: Artifact) -> None:
    changed = update_manifest(artifact, versions={**artifact.manifest.versions, "ruler": "1"})
    assert Artifact.open(artifact.path).manifest == changed.manifest
    update_manifest(changed, versions=artifact.manifest.versions)


@pytest.mark.parametrize(
    ("precision", "kept", "name"),
    [("int8", (), "int8"), ("int8", ("a",), "mixed"), ("int8-dynamic", ("a",), "int8-dynamic"), ("fp32", (), "fp32")],
)
def test_static_int8_with_exceptions_is_called_mixed(precision: Precision, kept: tuple[str, ...], name: str) -> None:
    assert Recipe(precision=precision, float_layers=kept).precision_name == name


def test_an_artifact_with_layers_in_float_is_mixed_wherever_it_is_named(deployed: DeployForm, tmp_path: Path) -> None:
    pictures = write_picture_folder(tmp_path / "pictures", count=3)
    images = open_images(pictures)
    recipe = calibrate_recipe(deployed, images)[0].model_copy(update={"float_layers": ("patch_embed.0",)})
    artifact = lower(deployed, recipe, "onnx", tmp_path)
    assert artifact.path.name == "custom-48x64-onnx-mixed.onnx"
    assert compare(artifact, deployed.trained, images).precision == "mixed"
    again = Artifact.open(artifact.path)
    # The contract that apps read knows no further precision.
    assert (again.manifest.precision, again.manifest.precision_name) == ("int8", "mixed")
    assert format_label(artifact.path.name, "onnx", again.manifest.precision_name) == "ONNX mixed"
