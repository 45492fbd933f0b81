"""Both models run on real pictures: the row is theirs, whatever the batch, and what cannot be compared is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.manifest import (
    ArtifactFile,
    InputContract,
    Inventory,
    Manifest,
    ModelProvenance,
    OutputContract,
)
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.drift.compare import compare, compute_float_reference
from shvit_mobile.drift.intervals import compute_mcnemar_test, compute_wilson_interval
from shvit_mobile.errors import BadArtifact, BadCheckpoint, BadImages, ConflictingParameters
from shvit_mobile.families.shvit import SHViT
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import ImageSet, open_images
from shvit_mobile.runtimes.runner import prepare_input
from tests.builders import build_random_shvit, build_trained_model

SIZE = (64, 48)
PREPROCESSING = Preprocessing(size=SIZE, crop_ratio=0.9, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
PICTURES = 23


@pytest.fixture(scope="module")
def model():
    return replace(build_trained_model(build_random_shvit(seed=5)), preprocessing=PREPROCESSING, sha256="ab" * 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """JPEGs of coloured noise at several sizes, and one file that is cut short."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(1)
    for index in range(PICTURES):
        cells = rng.integers(0, 256, (*rng.integers(3, 7, 2), 3), dtype=np.uint8)
        width, height = rng.integers(60, 120, 2).tolist()
        Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC).save(root / f"{index:02}.jpg")
    (root / "11-cut.jpg").write_bytes((root / "03.jpg").read_bytes()[:200])
    return root


@pytest.fixture(scope="module")
def expected(model, folder):
    """The float model's logits, by torch and Pillow alone."""
    logits = []
    with torch.no_grad():
        for index in range(PICTURES):
            pixels = PREPROCESSING.preprocess_image(Image.open(folder / f"{index:02}.jpg"))
            x = (torch.from_numpy(pixels.copy()) / 255 - torch.tensor(PREPROCESSING.mean)) / torch.tensor(
                PREPROCESSING.std
            )
            logits.append(model.model(x.permute(2, 0, 1)[None])[0])
    return torch.stack(logits).numpy()


@pytest.fixture(scope="module")
def labelled(folder, expected):
    """The pictures with labels of which the float model gets all but every third right."""
    files = tuple(sorted(folder.iterdir()))
    right = dict(zip([file for file in files if "cut" not in file.name], expected.argmax(1).tolist(), strict=True))
    labels = tuple((right.get(file, 0) + (index % 3 == 2)) % 7 for index, file in enumerate(files))
    return ImageSet(folder, files, labels)


def build_artifact(model, *, preprocessing=PREPROCESSING, classes=None, checkpoint=None):
    """An artifact that was made from `model`, as far as a manifest can tell."""
    manifest = Manifest(
        artifact=ArtifactFile(name="tiny.onnx", bytes=1, sha256="0" * 64),
        target="onnx",
        precision="fp32",
        model=ModelProvenance(
            variant="custom",
            classes=classes or model.model.config.classes,
            source=model.source,
            dialect=model.dialect,
            checkpoint_sha256=checkpoint or model.sha256,
        ),
        labels=tuple(f"class {index}" for index in range(classes)) if classes else model.labels,
        preprocessing=preprocessing,
        input=InputContract(
            name="image", kind="tensor", values="normalised", shape=(0, 3, *preprocessing.size), dtype="float32"
        ),
        output=OutputContract(logits="logits"),
        recipe=Recipe(precision="fp32"),
        options={},
        versions={},
        inventory=Inventory(operators={}, weight_bytes={}),
    )
    return Artifact(Path(manifest.artifact.name), manifest)


@dataclass
class TorchRunner:
    """A runtime that runs a torch model as the artifact, with a change planted in chosen images.

    Attributes:
        planted: what to add to the logits of an image, by the image's number.
        seen: images so far.
        largest: the largest batch so far.
    """

    model: SHViT
    manifest: Manifest
    planted: dict[int, np.ndarray] = field(default_factory=dict)
    execution: str = "reference"
    engine: str = "torch"
    seen: int = 0
    largest: int = 0

    def run(self, pixels):
        with torch.no_grad():
            logits = self.model(torch.from_numpy(prepare_input(self.manifest, pixels))).numpy().copy()
        for index in range(len(pixels)):
            logits[index] += self.planted.get(self.seen + index, 0)
        self.seen += len(pixels)
        self.largest = max(self.largest, len(pixels))
        return logits


def build_runner(artifact, model, **planted):
    return TorchRunner(model.model, artifact.manifest, **planted)


def list_float_hits(labelled):
    """Whether the float model gets each picture right, by how `labelled` was made."""
    return [index % 3 != 2 for index, file in enumerate(labelled.files) if "cut" not in file.name]


def test_an_artifact_that_computes_the_same_has_no_drift_and_the_labels_are_counted(model, labelled):
    artifact = build_artifact(model)
    row = compare(artifact, model, labelled, runner=build_runner(artifact, model))
    right = sum(list_float_hits(labelled))
    assert (row.images, row.skipped) == (PICTURES, 1)
    assert (row.artifact, row.target, row.precision, row.how, row.engine) == (
        "tiny.onnx", "onnx", "fp32", "reference", "torch",
    )  # fmt: skip
    assert row.float_top1 == row.top1 == compute_wilson_interval(right, PICTURES)
    assert row.agreement == compute_wilson_interval(PICTURES, PICTURES)
    assert row.max_abs_error < 1e-4


def test_the_float_logits_are_those_of_torch_on_the_normalised_picture(model, folder, expected):
    reference = compute_float_reference(model, open_images(folder))
    assert [file.name for file in reference.files] == [f"{index:02}.jpg" for index in range(PICTURES)]
    np.testing.assert_allclose(reference.logits, expected, atol=1e-4)
    assert np.ptp(expected, axis=0).min() > 0.05, "pictures that all look the same to the model prove nothing"


def test_planted_drift_comes_out_exactly(model, labelled):
    artifact = build_artifact(model)
    hits = list_float_hits(labelled)
    labels = [label for label, file in zip(labelled.labels, labelled.files, strict=True) if "cut" not in file.name]
    lost, gained = [i for i, hit in enumerate(hits) if hit][:5], [i for i, hit in enumerate(hits) if not hit][:2]
    planted = {i: 1000 * np.eye(7, dtype=np.float32)[(labels[i] + 3) % 7] for i in lost}
    planted |= {i: 1000 * np.eye(7, dtype=np.float32)[labels[i]] for i in gained}
    row = compare(artifact, model, labelled, runner=build_runner(artifact, model, planted=planted), batch=4)
    assert row.agreement == compute_wilson_interval(PICTURES - 7, PICTURES)
    assert row.mcnemar == compute_mcnemar_test(5, 2)
    assert row.top1_drop == 100 * 3 / PICTURES
    assert row.top1 == compute_wilson_interval(sum(hits) - 3, PICTURES)
    assert row.max_abs_error == pytest.approx(1000, abs=1e-2)


@pytest.mark.parametrize("size", [1, 5, 23, 100])
def test_the_row_does_not_depend_on_the_batch_and_no_batch_is_larger_than_asked(model, labelled, size):
    artifact = build_artifact(model)
    noise = np.random.default_rng(0).normal(size=(PICTURES, 7)).astype(np.float32)
    planted = dict(enumerate(noise))
    whole = compare(artifact, model, labelled, runner=build_runner(artifact, model, planted=planted), batch=23)
    runner = build_runner(artifact, model, planted=planted)
    row = compare(artifact, model, labelled, runner=runner, batch=size)
    assert runner.largest == min(size, PICTURES)
    assert (row.top1, row.agreement, row.mcnemar) == (whole.top1, whole.agreement, whole.mcnemar)
    assert row.sqnr_db == pytest.approx(whole.sqnr_db, abs=1e-3)


def test_large_images_are_fewer_at_once_for_both_models(model, folder):
    large = replace(PREPROCESSING, size=(512, 384))
    artifact = build_artifact(model, preprocessing=large)
    runner, passes = build_runner(artifact, model), []
    watch = model.model.register_forward_hook(lambda module, inputs, output: passes.append(len(inputs[0])))
    reference = compute_float_reference(replace(model, preprocessing=large), open_images(folder))
    watch.remove()
    row = compare(artifact, model, open_images(folder), runner=runner, reference=reference)
    assert (runner.largest, set(passes), row.images) == (10, {1}, PICTURES)


def test_a_reference_serves_many_artifacts_and_the_float_model_runs_once(model, labelled):
    artifact = build_artifact(model)
    passes = []
    watch = model.model.register_forward_hook(lambda module, inputs, output: passes.append(len(inputs[0])))
    other = build_random_shvit(seed=6)
    try:
        reference = compute_float_reference(model, labelled)
        rows = [
            compare(artifact, model, labelled, runner=TorchRunner(other, artifact.manifest), reference=reference)
            for _ in range(3)
        ]
        assert sum(passes) == PICTURES
        alone = compare(artifact, model, labelled, runner=TorchRunner(other, artifact.manifest))
    finally:
        watch.remove()
    assert rows == [alone] * 3
    assert alone.agreement.value < 1
    assert math.isfinite(alone.sqnr_db)


def test_both_models_see_the_pixels_that_the_manifest_asks_for(model, labelled):
    elsewhere = Preprocessing(size=(96, 96), mean=(0.1, 0.1, 0.1), std=(0.5, 0.5, 0.5), channel_order="bgr")
    artifact = build_artifact(model, preprocessing=elsewhere)
    row = compare(artifact, model, labelled, runner=build_runner(artifact, model))
    assert row.agreement.value == 1
    assert row.max_abs_error < 1e-4
    reference = compute_float_reference(model, labelled, preprocessing=elsewhere)
    (batch,) = iterate_batches(labelled, elsewhere, size=32)
    with torch.no_grad():
        direct = model.model(torch.from_numpy(elsewhere.normalize(batch.pixels))).numpy()
    np.testing.assert_allclose(reference.logits, direct, atol=1e-4)


def test_pictures_without_labels_give_a_row_without_accuracy(model, folder):
    artifact = build_artifact(model)
    row = compare(artifact, model, open_images(folder), runner=build_runner(artifact, model))
    assert row.images == PICTURES
    assert (row.top1, row.top5, row.top1_drop, row.mcnemar) == (None, None, None, None)


def test_class_folders_are_matched_by_name_with_the_models_labels(model, folder, expected, tmp_path):
    names = replace(model, labels=("ant", "bee", "cat", "dog", "eel", "fox", "gnu"))
    for index, winner in enumerate(expected.argmax(1)):
        place = tmp_path / names.labels[winner]
        place.mkdir(exist_ok=True)
        (place / f"{index}.jpg").write_bytes((folder / f"{index:02}.jpg").read_bytes())
    artifact = build_artifact(names)
    row = compare(artifact, names, open_images(tmp_path, labels=names.labels), runner=build_runner(artifact, names))
    assert row.float_top1 == compute_wilson_interval(PICTURES, PICTURES)
    found = open_images(tmp_path)
    assert len(found.classes) < 7, "otherwise the folders alone would do"
    with pytest.raises(BadImages, match="other classes than the model") as refused:
        compare(artifact, names, found, runner=build_runner(artifact, names))
    assert "open_images(path, labels=trained.labels)" in refused.value.hint


def test_progress_counts_all_files_and_ends_with_the_last(model, labelled):
    artifact = build_artifact(model)
    told = []
    compare(
        artifact,
        model,
        labelled,
        runner=build_runner(artifact, model),
        batch=5,
        progress=lambda *done: told.append(done),
    )
    assert [total for _, total in told] == [24] * 5
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (24, 24)


def test_a_model_left_in_training_mode_is_evaluated_and_handed_back_as_it_was(model, labelled):
    artifact = build_artifact(model)
    expected = compute_float_reference(model, labelled)
    model.model.train()
    model.model.head.eval()
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    try:
        reference = compute_float_reference(model, labelled)
        assert model.model.training
        assert model.model.stages.training
        assert not model.model.head.training
    finally:
        model.model.eval()
    assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())
    np.testing.assert_array_equal(reference.logits, expected.logits)
    assert artifact.manifest.model.checkpoint_sha256 == reference.checkpoint_sha256


def test_an_artifact_of_another_checkpoint_is_refused_before_anything_runs(model, labelled):
    for wrong, words in (
        (build_artifact(model, checkpoint="cd" * 32), r"another checkpoint"),
        (build_artifact(model, classes=8), r"8 classes.*7"),
    ):
        runner = build_runner(wrong, model)
        with pytest.raises(BadArtifact, match=words):
            compare(wrong, model, labelled, runner=runner)
        assert runner.seen == 0


def test_labels_that_the_model_does_not_know_are_refused_before_anything_runs(model, labelled):
    artifact = build_artifact(model)
    runner = build_runner(artifact, model)
    with pytest.raises(BadImages, match="7 classes, 0 to 6"):
        compare(artifact, model, replace(labelled, labels=(7, *labelled.labels[1:])), runner=runner)
    assert runner.seen == 0


def test_answers_that_are_no_logits_are_refused(model, labelled):
    artifact = build_artifact(model)
    wide = TorchRunner(build_random_shvit(classes=9), artifact.manifest)
    with pytest.raises(BadArtifact, match=r"shape \(23, 9\)"):
        compare(artifact, model, labelled, runner=wide)
    poisoned = build_runner(artifact, model, planted={20: np.full(7, np.nan, np.float32)})
    with pytest.raises(BadArtifact, match=r"tiny.onnx are not finite for 1 of 23 images.*number 20"):
        compare(artifact, model, labelled, runner=poisoned)


def test_a_float_model_that_overflows_is_refused(model, labelled):
    broken = replace(model, model=build_random_shvit(seed=5))
    with torch.no_grad():
        broken.model.head.l.bias[3] = math.nan
    artifact = build_artifact(model)
    with pytest.raises(BadCheckpoint, match="not finite for 23 of 23"):
        compute_float_reference(broken, labelled)
    with pytest.raises(BadCheckpoint, match="not finite for 23 of 23"):
        compare(artifact, broken, labelled, runner=build_runner(artifact, model))


def test_a_reference_of_something_else_is_refused(model, labelled):
    artifact = build_artifact(model)
    reference = compute_float_reference(model, labelled)
    fewer = replace(labelled, files=labelled.files[1:], labels=labelled.labels[1:])
    for wrong, error in (
        (replace(reference, checkpoint_sha256="cd" * 32), ConflictingParameters),
        (replace(reference, preprocessing=Preprocessing(size=SIZE)), ConflictingParameters),
        (compute_float_reference(model, fewer), BadImages),
        (compute_float_reference(model, replace(labelled, files=labelled.files[::-1])), BadImages),
    ):
        with pytest.raises(error) as refused:
            compare(artifact, model, labelled, runner=build_runner(artifact, model), reference=wrong)
        assert refused.value.parameter == "reference"


def test_pictures_of_which_none_can_be_decoded_are_refused(model, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"not a picture")
    artifact = build_artifact(model)
    with pytest.raises(BadImages):
        compare(artifact, model, open_images(tmp_path), runner=build_runner(artifact, model))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the tracer's
def test_a_real_package_is_opened_and_run_and_its_half_precision_shows(model, labelled, tmp_path):
    ct = pytest.importorskip("coremltools")
    package = ct.convert(
        torch.jit.trace(model.model, torch.zeros(1, 3, *SIZE)),
        inputs=[ct.TensorType("image", (1, 3, *SIZE))],
        outputs=[ct.TensorType("logits", dtype=np.float32)],
        minimum_deployment_target=ct.target.iOS16,
        compute_precision=ct.precision.FLOAT16,
    )
    path = tmp_path / "tiny.mlpackage"
    package.save(str(path))
    artifact = Artifact(path, build_artifact(model).manifest.model_copy(update={"target": "coreml"}))
    few = replace(labelled, files=labelled.files[:6], labels=labelled.labels[:6])
    row = compare(artifact, model, few)
    assert (row.images, row.artifact, row.target) == (6, "tiny.mlpackage", "coreml")
    assert row.agreement.value == 1
    assert 1e-4 < row.max_abs_error < 0.1
    assert 35 < row.sqnr_db < 75
    assert row.engine != "torch"
