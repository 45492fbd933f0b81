"""The LiteRT runner gives the artifact's logits, and a clear word where there can be none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.hardware_accelerator import HardwareAccelerator

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.manifest import OutputContract
from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.errors import BadArtifact, ShapeMismatch
from shvit_mobile.runtimes.litert import LiteRTRunner
from shvit_mobile.runtimes.runner import prepare_input
from shvit_mobile.targets.stored_facts import open_artifact
from tests.litert import lower_model
from tests.programs import draw_pictures


def test_each_image_has_its_logits_whatever_is_beside_it() -> None:
    artifact, pixels = lower_model("fp32").artifact, draw_pictures(3)
    runner = LiteRTRunner(artifact)
    logits = runner.run(pixels)
    assert logits.dtype == np.float32
    assert np.array_equal(runner.run(pixels[::-1]), logits[::-1])
    assert runner.run(pixels[:0]).shape == (0, 7)
    assert (runner.execution, runner.engine) == ("native", "LiteRT 2.3.0 (CPU)")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_android_librarys_api_gives_the_same_logits(precision: Precision) -> None:
    artifact, pixels = lower_model(precision).artifact, draw_pictures(3)
    logits = []
    with CompiledModel.from_file(str(artifact.path), HardwareAccelerator.CPU) as model:
        inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
        assert (len(inputs), len(outputs)) == (1, 1)
        for image in pixels:
            inputs[0].write(prepare_input(artifact.manifest, image[None]))
            model.run_by_index(0, inputs, outputs)
            logits.append(outputs[0].read(artifact.manifest.model.classes, np.float32))
    np.testing.assert_array_equal(np.stack(logits), LiteRTRunner(artifact).run(pixels))


def test_images_of_another_shape_are_rejected() -> None:
    with pytest.raises(ShapeMismatch, match=r"takes \(65, 97, 3\)"):
        LiteRTRunner(lower_model("fp32").artifact).run(np.zeros((1, 97, 65, 3), np.uint8))


@pytest.mark.parametrize("field", ["input", "output", "model"])
def test_a_manifest_of_another_artifact_is_rejected(field: str) -> None:
    artifact = lower_model("fp32").artifact
    manifest = artifact.manifest
    changed = {
        "input": manifest.input.model_copy(update={"name": "pictures"}),
        "output": OutputContract(logits="scores"),
        "model": manifest.model.model_copy(update={"classes": 8}),
    }
    other = replace(artifact, manifest=manifest.model_copy(update={field: changed[field]}))
    with pytest.raises(BadArtifact, match="belongs to another artifact"):
        LiteRTRunner(other).run(draw_pictures(1))


def test_a_manifest_that_contradicts_the_file_is_rejected(tmp_path: Path) -> None:
    artifact = lower_model("int8").artifact
    assert open_artifact(artifact.path).manifest == artifact.manifest
    for beside in artifact.path.parent.glob("custom*"):
        if beside.is_file():
            (tmp_path / beside.name).write_bytes(beside.read_bytes())
    manifest = artifact.manifest.model_copy(update={"labels": tuple("abcdefg"), "goldens": None})
    manifest.save(tmp_path / f"{artifact.path.stem}.manifest.json", overwrite=True)
    with pytest.raises(BadArtifact, match="has another labels than the file itself"):
        open_artifact(tmp_path / artifact.path.name)


def test_changed_weights_are_noticed_by_their_sha256(tmp_path: Path) -> None:
    artifact = lower_model("fp32").artifact
    for beside in artifact.path.parent.glob(f"{artifact.path.stem}*"):
        if beside.is_file():
            (tmp_path / beside.name).write_bytes(beside.read_bytes())
    copy = tmp_path / artifact.path.name
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    with pytest.raises(BadArtifact, match="SHA-256"):
        Artifact.open(copy)
