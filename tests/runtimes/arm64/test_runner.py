"""Programs on emulated ARM64 answer as they do here, with the kernels of the CPU that was asked for."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from shvit_mobile.bench.instructions import count_artifacts
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.demo import CHECKPOINT, TEST_IMAGES
from shvit_mobile.drift.compare import compare_with_logits, compute_float_reference
from shvit_mobile.drift.cross_runtime import compare_on_arm64
from shvit_mobile.errors import BadArtifact, ShapeMismatch
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.images.image_set import open_images
from shvit_mobile.report.sentences import describe_cross_runtime_divergence
from shvit_mobile.runtimes import open_runner
from shvit_mobile.runtimes.arm64.cpus import CPUS, DEFAULT_CPU, is_arm64_host
from shvit_mobile.runtimes.arm64.process import EmulatedProcess, EmulatorFailed
from shvit_mobile.runtimes.arm64.runner import ARM64Runner
from shvit_mobile.runtimes.arm64.sysroot import open_sysroot
from shvit_mobile.runtimes.runner import prepare_input
from tests.programs import draw_pictures, lower_program
from tests.runtimes.arm64.conftest import Lowered

pytestmark = [
    pytest.mark.arm64,
    pytest.mark.skipif(is_arm64_host(), reason="this machine is ARM64 itself: nothing is emulated"),
]
FP32_IMAGES = 100


@pytest.mark.parametrize(
    ("precision", "stem"),
    [("fp32", "plain"), ("int8", "plain"), ("int8-dynamic", "plain"), ("int8", "space-to-depth")],
)
def test_every_kind_of_program_gives_the_logits_of_this_machine(precision: Precision, stem: str) -> None:
    artifact, pixels = lower_program(precision, stem).artifact, draw_pictures(5)  # type: ignore[arg-type]
    with ARM64Runner(artifact, processes=1) as runner:
        emulated = runner.run(pixels)
    here = open_runner(artifact).run(pixels)
    assert np.ptp(here, axis=0).min() > 0.01, "pictures that all look the same to the model prove nothing"
    np.testing.assert_allclose(emulated, here, atol=1e-4)


@pytest.mark.parametrize(("precision", "float_dtype"), [("fp16", "fp32"), ("int8", "fp16"), ("int8-dynamic", "fp16")])
def test_half_precision_runs_on_a_cpu_that_has_it_and_is_refused_on_others(
    precision: Precision, float_dtype: Literal["fp32", "fp16"]
) -> None:
    artifact, pixels = lower_program(precision, float_dtype=float_dtype).artifact, draw_pictures(5)
    here = open_runner(artifact).run(pixels)
    for cpu in ("dotprod", "i8mm"):
        with ARM64Runner(artifact, CPUS[cpu], processes=1) as runner:
            error = np.abs(runner.run(pixels) - here).max()
        assert 0 < error < artifact.manifest.golden.tolerance  # type: ignore[union-attr]
    with pytest.raises(EmulatorFailed, match="has no fp16 arithmetic"):
        count_artifacts([artifact], cpus=[CPUS["neon"]])
    with pytest.raises(EmulatorFailed, match="has no fp16 arithmetic") as refusal:
        ARM64Runner(artifact, CPUS["neon"], processes=1)
    assert refusal.value.parameter == "cpu"
    # It is not only refused here: XNNPACK itself does not load it.
    process = EmulatedProcess(open_sysroot(), CPUS["neon"], artifact.path, artifact.manifest.input.shape)
    with pytest.raises(EmulatorFailed, match="RuntimeError"):
        process.compute_outputs(prepare_input(artifact.manifest, pixels[:1]).tobytes())
    process.close()


def test_each_image_gets_its_own_logits_in_any_process() -> None:
    artifact, pixels = lower_program("fp32").artifact, draw_pictures(7)
    with ARM64Runner(artifact, processes=3) as shared, ARM64Runner(artifact, processes=1) as alone:
        together = shared.run(pixels)
        np.testing.assert_array_equal(alone.run(pixels[::-1])[::-1], together)
        np.testing.assert_array_equal(shared.run(pixels[1:2]), together[1:2])
        assert shared.run(pixels[:0]).shape == (0, 7)
        with pytest.raises(ShapeMismatch, match=r"takes \(65, 97, 3\)"):
            shared.run(np.zeros((1, 97, 65, 3), np.uint8))


def test_the_engine_names_the_emulated_cpu() -> None:
    with ARM64Runner(lower_program("fp32").artifact, CPUS["dotprod"]) as runner:
        assert runner.execution == "emulated"
        assert re.fullmatch(
            r"ExecuTorch 1\.3\.1 \(XNNPACK\) on ARM64 dotprod, emulated by qemu \d[\d.]+", runner.engine
        )
        assert (runner.cpu.arch, runner.cpu.name) == ("arm64", "dotprod")
        assert {"dotprod", "fp16"} <= set(runner.cpu.features)
        assert "i8mm" not in runner.cpu.features


def test_other_artifacts_and_damaged_ones_are_rejected(tmp_path: Path) -> None:
    artifact = lower_program("fp32").artifact
    onnx = Artifact(tmp_path / "m.onnx", artifact.manifest.model_copy(update={"target": "onnx"}))
    with pytest.raises(BadArtifact, match="cannot run on the emulated ARM64 CPU"):
        ARM64Runner(onnx)
    half = tmp_path / "half.pte"
    half.write_bytes(artifact.path.read_bytes()[:20_000])
    with pytest.raises(BadArtifact, match="ExecuTorch cannot load"):
        ARM64Runner(Artifact(half, artifact.manifest))


def test_a_killed_process_is_reported_and_none_is_left() -> None:
    with ARM64Runner(lower_program("fp32").artifact, processes=2) as runner:
        runner.run(draw_pictures(2))
        pids = [process._process.pid for process in runner._processes]
        assert len(pids) == 2
        os.kill(pids[0], 9)
        with pytest.raises(EmulatorFailed, match="died with status -9"):
            runner.run(draw_pictures(4))
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def test_the_demo_models_int8_keeps_its_accuracy_on_arm64(demo: Lowered, capsys: pytest.CaptureFixture[str]) -> None:
    artifact, trained = demo("int8"), load_checkpoint(CHECKPOINT)
    images = open_images(TEST_IMAGES, labels=trained.labels)
    reference = compute_float_reference(trained, images)
    here = compare_with_logits(artifact, trained, images, reference=reference)
    row, apart = compare_on_arm64(artifact, trained, images, CPUS[DEFAULT_CPU], native=here, reference=reference)
    with capsys.disabled():
        sys.stdout.write(f"\n{describe_cross_runtime_divergence(apart)}\n")
    assert (row.images, row.how) == (500, "emulated")
    assert row.top1_drop is not None
    assert row.top1_drop <= 0.5
    assert row.agreement.value >= 0.985
    assert apart.agreement.value >= 0.985


def test_the_demo_models_fp32_answers_on_arm64_as_it_does_here(demo: Lowered) -> None:
    artifact, trained = demo("fp32"), load_checkpoint(CHECKPOINT)
    images = open_images(TEST_IMAGES, labels=trained.labels).sample(FP32_IMAGES, 0)
    here = compare_with_logits(artifact, trained, images)
    row, apart = compare_on_arm64(artifact, trained, images, CPUS[DEFAULT_CPU], native=here)
    assert (row.images, row.agreement.value) == (FP32_IMAGES, 1.0)
    assert apart.max_abs_error < 1e-4
    assert row.max_abs_error < 1e-3
