"""Goldens hold what an app is handed, what it must make of it, and what the artifact answered here."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from shvit_mobile.contracts.artifact import (
    Artifact,
    get_goldens_path,
    get_manifest_path,
    list_artifact_files,
    read_goldens,
)
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.goldens import Goldens
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.demo import TEST_IMAGES
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadArtifact
from shvit_mobile.images.decode import decode_image
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.goldens import load_default_golden_images, preprocess_golden_images, select_golden_images
from shvit_mobile.pipeline.lower import lower, update_manifest
from shvit_mobile.runtimes import open_runner
from shvit_mobile.targets.tolerances import compute_tolerance
from tests.builders import build_random_shvit, build_trained_model

SIZE = (48, 64)


@pytest.fixture(scope="module")
def deployed() -> DeployForm:
    model = build_trained_model(build_random_shvit(), size=SIZE)
    return to_deploy_form(replace(model, preprocessing=Preprocessing(size=SIZE, channel_order="bgr")))


@pytest.fixture(scope="module")
def made(deployed: DeployForm, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return lower(deployed, Recipe(precision="fp32"), "onnx", tmp_path_factory.mktemp("artifacts"))


@pytest.fixture
def artifact(made: Artifact, tmp_path: Path) -> Artifact:
    """A copy that a test may spoil."""
    for source in list_artifact_files(made.path):
        copy = tmp_path / source.name
        shutil.copytree(source, copy) if source.is_dir() else shutil.copyfile(source, copy)
    return Artifact(tmp_path / made.path.name, made.manifest)


def test_each_golden_is_a_picture_its_pixels_and_the_answers_to_them(made: Artifact, deployed: DeployForm) -> None:
    goldens, folder = read_goldens(made), get_goldens_path(made.path)
    assert len(goldens.images) == 5
    assert goldens.pixels_tolerance < goldens.reduced_pixels_tolerance < 2
    assert (goldens.precision, goldens.how) == ("fp32", "native")
    assert goldens.preprocessing == deployed.trained.preprocessing
    for image in goldens.images:
        encoded, stored = (folder / image.image).read_bytes(), (folder / image.pixels).read_bytes()
        assert image.image_sha256 == sha256(encoded).hexdigest()
        assert image.pixels_sha256 == sha256(stored).hexdigest()
        assert encoded.startswith(b"\xff\xd8\xff")
        pixels = np.frombuffer(stored, np.uint8).reshape(*SIZE, 3)
        np.testing.assert_array_equal(pixels, goldens.preprocessing.preprocess_image(decode_image(encoded)))
        np.testing.assert_allclose(image.logits, open_runner(made).run(pixels[None])[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(image.float_logits, deployed.run(pixels[None])[0], rtol=1e-5, atol=1e-6)
    # Different answers to different pictures, or the goldens would prove little.
    logits = np.array([image.logits for image in goldens.images])
    assert np.ptp(logits, axis=0).max() > 100 * goldens.tolerance


def test_the_manifest_names_the_folder_and_its_fingerprint(made: Artifact) -> None:
    known = made.manifest.goldens
    assert known is not None
    assert known.name == "custom-48x64-onnx-fp32.goldens"
    assert known.sha256 == compute_sha256(made.path.parent / known.name)


def test_the_usual_pictures_are_enlarged_and_shrunk() -> None:
    sizes = [decode_image(picture.jpeg).size for picture in load_default_golden_images()]
    assert sizes.count((32, 32)) == 3
    assert {(731, 487), (1360, 1024)} <= {*sizes}


@pytest.mark.parametrize("spoil", ["changed", "added", "lost"])
def test_goldens_that_were_touched_are_refused(artifact: Artifact, spoil: str) -> None:
    pixels = get_goldens_path(artifact.path) / "2.rgb"
    match spoil:
        case "changed":
            data = bytearray(pixels.read_bytes())
            data[100] ^= 1
            pixels.write_bytes(data)
        case "added":
            pixels.with_name("5.rgb").write_bytes(b"")
        case "lost":
            pixels.unlink()
    with pytest.raises(BadArtifact, match=r"does not contain the goldens its manifest describes"):
        Artifact.open(artifact.path)


def test_an_artifact_opens_without_its_goldens_but_has_none_then(artifact: Artifact) -> None:
    shutil.rmtree(get_goldens_path(artifact.path))
    alone = Artifact.open(artifact.path)
    with pytest.raises(BadArtifact, match=r"goldens of .* are missing"):
        read_goldens(alone)
    older = update_manifest(alone, goldens=None)
    with pytest.raises(BadArtifact, match="has no goldens"):
        read_goldens(older)


def test_goldens_of_another_artifact_are_refused(artifact: Artifact) -> None:
    listed = get_goldens_path(artifact.path) / "goldens.json"
    foreign = Goldens.load(listed).model_copy(update={"artifact_sha256": "1" * 64})
    listed.write_text(foreign.to_json(), encoding="utf-8")
    known = artifact.manifest.goldens
    assert known is not None
    updated = known.model_copy(update={"sha256": compute_sha256(listed.parent)})
    with pytest.raises(BadArtifact, match="belong to another artifact"):
        read_goldens(update_manifest(artifact, goldens=updated))
    assert get_manifest_path(artifact.path).exists()


def test_a_persons_own_pictures_become_goldens(deployed: DeployForm, tmp_path: Path) -> None:
    pictures = select_golden_images(open_images(TEST_IMAGES), count=2)
    own = lower(deployed, Recipe(precision="fp32"), "onnx", tmp_path, goldens=pictures)
    goldens, folder = read_goldens(own), get_goldens_path(own.path)
    assert [(folder / image.image).read_bytes() for image in goldens.images] == [one.jpeg for one in pictures]
    assert preprocess_golden_images(pictures, goldens.preprocessing).shape == (2, *SIZE, 3)


def test_the_tolerance_grows_with_the_logits_and_with_what_kernels_round() -> None:
    small, large = np.full((2, 3), 0.1, np.float32), np.full((2, 3), -12, np.float32)
    assert compute_tolerance("onnx", "fp32", small) == pytest.approx(1e-4)
    assert compute_tolerance("onnx", "fp32", large) == pytest.approx(1.2e-3)
    assert (
        compute_tolerance("coreml", "int8", large)
        > compute_tolerance("onnx", "int8", large)
        > compute_tolerance("executorch", "int8", large)
    )
    assert compute_tolerance("executorch", "int8", large) > compute_tolerance("coreml", "fp16", large)
    half = compute_tolerance("executorch", "int8", large, has_fp16_floats=True)
    assert half > compute_tolerance("executorch", "int8", large)


def test_goldens_of_the_first_version_are_read_and_have_no_tolerance_for_reduced_scale(artifact: Artifact) -> None:
    text = read_goldens(artifact).to_json()
    value = json.loads(text)
    del value["reduced_pixels_tolerance"]
    older = json.dumps({**value, "schema_version": "1.0"})
    assert Goldens.parse(older, "goldens.json").reduced_pixels_tolerance is None
    with pytest.raises(BadArtifact, match="reduced_pixels_tolerance: Field required"):
        Goldens.parse(json.dumps(value), "goldens.json")
