"""Detectors are exported as raw maps with what makes boxes of them, and their boxes are those of the float model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.detection.decode import Boxes, decode_boxes
from shvit_mobile.errors import BadCheckpoint, ConflictingParameters
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.families.light_detector import LightDetector
from shvit_mobile.metrics import sqnr
from shvit_mobile.pipeline.export import ExportConfig, ExportJob, export
from shvit_mobile.runtimes import open_runner
from shvit_mobile.targets.executorch import ExecuTorchOptions
from tests.builders import build_random_shvit, draw_smooth_pixels, save_random_detector
from tests.coreai_packages import EVERY_TARGET, needs_coreai
from tests.detectors import build_weights, save_weights

LABELS = ("cat", "dog", "ship")
SIZE = (96, 128)
IMAGE_SIZE = (300, 500)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector whose norms are far from the identity, and which finds something everywhere."""
    return save_random_detector(tmp_path_factory.mktemp("checkpoint") / "detector.safetensors", LABELS, SIZE)


def decode(maps: Mapping[str, NDArray[np.float32]], artifact: Artifact, image: int) -> Boxes:
    manifest = artifact.manifest
    assert manifest.detection is not None
    arrays, levels = [maps[name][image] for name in manifest.output.names], len(manifest.detection.strides)
    return decode_boxes(arrays[:levels], arrays[levels:], manifest.detection, manifest.preprocessing, IMAGE_SIZE)


CASES = [
    *((target, None) for target in ("onnx", "executorch", "coreml", "litert")),
    pytest.param("coreai", None, marks=needs_coreai),
    ("executorch", ExecuTorchOptions(delegate="coreml")),
]


@pytest.mark.parametrize(("target", "options"), CASES, ids=lambda value: str(value)[:60])
def test_boxes_of_an_artifact_are_those_of_the_float_model(
    checkpoint: Path, target: Target, options: ExecuTorchOptions | None, tmp_path: Path
) -> None:
    jobs = (ExportJob(target, "fp32", options),)
    (artifact,) = export(ExportConfig(checkpoint=checkpoint, task="detect", jobs=jobs, out=tmp_path)).artifacts
    manifest = artifact.manifest
    assert artifact.path.name.startswith("light_custom-detect-96x128-")
    assert (manifest.task, manifest.labels) == ("detect", LABELS)
    assert manifest.output.names == ("scores16", "scores32", "scores64", "boxes16", "boxes32", "boxes64")
    assert manifest.detection == LightDetector.detection
    compare_boxes(artifact, checkpoint, images=2)
    if target == "litert":  # whose converter would make one transposed convolution for each channel
        assert "TRANSPOSE_CONV" not in manifest.inventory.operators


@pytest.mark.parametrize(
    ("variant", "size"), [("shvit_s1", 128), pytest.param("shvit_s4", 512, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("target", EVERY_TARGET)
def test_the_authors_retinanet_is_the_float_model_on_every_target(
    variant: str, size: int, target: Target, tmp_path: Path
) -> None:
    checkpoint = save_weights(tmp_path / "retinanet.pth", build_weights(variant))
    jobs = (ExportJob(target, "fp32"),)
    config = ExportConfig(checkpoint=checkpoint, task="detect", size=(size, size), jobs=jobs, out=tmp_path)
    (artifact,) = export(config).artifacts
    compare_boxes(artifact, checkpoint, images=1)
    # The head runs on five levels, and its weights are stored once.
    parameters = sum(one.numel() for one in load_checkpoint(checkpoint, task="detect").model.parameters())
    assert sum(artifact.manifest.inventory.weight_bytes.values()) < 1.01 * 4 * parameters
    assert artifact.manifest.artifact.bytes < 1.02 * 4 * parameters


def test_maps_of_one_position_have_the_strides_that_their_detector_says(tmp_path: Path) -> None:
    """At 64 pixels, the maps of RetinaNet's strides 64 and 128 have one position each, and are told apart by it."""
    checkpoint = save_weights(tmp_path / "retinanet.pth", build_weights())
    config = ExportConfig(checkpoint=checkpoint, task="detect", size=(64, 64), targets=("executorch",), out=tmp_path)
    (artifact,) = export(config).artifacts
    maps = artifact.manifest.output.maps
    assert [one.stride for one in maps] == 2 * [8, 16, 32, 64, 128]
    assert [one.shape[1:] for one in maps] == 2 * [(8, 8), (4, 4), (2, 2), (1, 1), (1, 1)]
    compare_boxes(artifact, checkpoint, images=1)


def compare_boxes(artifact: Artifact, checkpoint: Path, *, images: int) -> None:
    """Compare raw maps and boxes with those of the checkpoint in float64."""
    manifest = artifact.manifest
    if manifest.delegation is not None:
        assert (manifest.delegation.delegates, manifest.delegation.left_operators) == (1, {})
    size = manifest.preprocessing.size
    drawn = draw_smooth_pixels(images, size).permute(0, 2, 3, 1).to(torch.uint8).numpy()
    model = load_checkpoint(checkpoint, task="detect").model.double()
    with torch.inference_mode():
        expected = model(torch.from_numpy(manifest.preprocessing.normalize(drawn)).double())
    reference = {name: one.float().numpy() for name, one in zip(manifest.output.names, expected, strict=True)}
    actual = open_runner(artifact).run_outputs(drawn)
    for name, values in reference.items():
        assert sqnr(values.reshape(images, -1), actual[name].reshape(images, -1)) > 100, name
    for image in range(images):
        wanted, found = decode(reference, artifact, image), decode(actual, artifact, image)
        assert len(wanted.scores) > 5
        assert found.classes.tolist() == wanted.classes.tolist()
        np.testing.assert_allclose(found.corners, wanted.corners, rtol=0, atol=0.05)
        np.testing.assert_allclose(found.scores, wanted.scores, rtol=0, atol=1e-4)


def test_labels_and_preprocessing_can_be_given(checkpoint: Path) -> None:
    preprocessing = Preprocessing((64, 64), 1.0)
    trained = load_checkpoint(checkpoint, task="detect", labels=("a", "b", "c"), preprocessing=preprocessing)
    assert (trained.labels, trained.preprocessing) == (("a", "b", "c"), preprocessing)
    with pytest.raises(ConflictingParameters):
        load_checkpoint(checkpoint, task="detect", variant="shvit_s1")


def test_a_classifier_has_no_boxes(tmp_path: Path) -> None:
    path = tmp_path / "classifier.pth"
    torch.save(build_random_shvit().state_dict(), path)
    with pytest.raises(BadCheckpoint):
        load_checkpoint(path, task="detect")


def test_maps_that_contradict_the_contract_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    trained = load_checkpoint(checkpoint, task="detect")
    assert trained.detection is not None
    wrong = replace(trained, detection=replace(trained.detection, strides=(8, 16, 32)))
    with pytest.raises(ValueError, match=r"output\.maps"):
        export(ExportConfig(checkpoint=wrong, task="detect", targets=("onnx",), precisions=("fp32",), out=tmp_path))
    assert not list(tmp_path.iterdir())
