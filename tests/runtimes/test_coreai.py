"""The Core AI runner gives the program's logits, and a clear word where there can be none; this process lives."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.errors import BadArtifact, ShapeMismatch
from shvit_mobile.runtimes import open_runner
from shvit_mobile.runtimes.coreai import CoreAIRunner
from shvit_mobile.targets.coreai.inventory import read_inventory
from tests.coreai_packages import lower_package, needs_coreai
from tests.programs import compute_float_logits, draw_pictures

pytestmark = needs_coreai


@pytest.fixture(scope="module")
def runner() -> CoreAIRunner:
    opened = open_runner(lower_package("fp32").artifact)
    assert isinstance(opened, CoreAIRunner)
    return opened


def test_the_engine_is_named_and_the_execution_is_native(runner: CoreAIRunner) -> None:
    assert (runner.execution, runner.engine) == ("native", "Core AI 1.0.0b3 (CPU)")


def test_each_image_gets_its_own_logits(runner: CoreAIRunner) -> None:
    pixels = draw_pictures(3)
    together = runner.run(pixels)
    assert (together.dtype, together.shape) == (np.float32, (3, 7))
    np.testing.assert_allclose(together, compute_float_logits(lower_package("fp32").deployed, pixels), atol=1e-3)
    np.testing.assert_array_equal(runner.run(np.asfortranarray(pixels[::-1])), together[::-1])


def test_no_images_give_no_logits(runner: CoreAIRunner) -> None:
    assert runner.run(draw_pictures(1)[:0]).shape == (0, 7)


def test_images_of_another_shape_are_rejected(runner: CoreAIRunner) -> None:
    with pytest.raises(ShapeMismatch, match=r"takes \(65, 97, 3\)"):
        runner.run(np.zeros((1, 97, 65, 3), np.uint8))


def test_a_manifest_of_another_artifact_is_rejected() -> None:
    artifact = lower_package("fp32").artifact
    classes = artifact.manifest.model.model_copy(update={"classes": 9})
    with pytest.raises(BadArtifact, match="its manifest says"):
        CoreAIRunner(replace(artifact, manifest=artifact.manifest.model_copy(update={"model": classes})))


def test_a_program_that_aborts_the_library_is_an_error_of_one_sentence(tmp_path: Path) -> None:
    """Its SHA-256 is right, so only the library can notice; it ends its process."""
    artifact = lower_package("fp32").artifact
    path = tmp_path / artifact.path.name
    shutil.copytree(artifact.path, path)
    program = (path / "main.mlirb").read_bytes()
    for damaged in (program[: len(program) // 2], program[:40] + bytes(400) + program[440:]):
        (path / "main.mlirb").write_bytes(damaged)
        (path / "main.hash").write_bytes(sha256(damaged).digest())
        for read in (read_inventory, lambda path: CoreAIRunner(Artifact(path, artifact.manifest))):
            with pytest.raises(BadArtifact, match="Core AI cannot read"):
                read(path)


def test_a_process_that_is_killed_is_an_error() -> None:
    runner = CoreAIRunner(lower_package("fp32").artifact)
    os.kill(runner._process._process.pid, signal.SIGKILL)
    with pytest.raises(BadArtifact, match="died with status -9"):
        runner.run(draw_pictures(1))


def test_the_process_ends_with_the_runner() -> None:
    runner = CoreAIRunner(lower_package("fp32").artifact)
    process = runner._process._process
    assert process.poll() is None
    del runner
    gc.collect()
    assert process.poll() is not None
