"""The ONNX Runtime runner gives the artifact's logits, and a clear word where there can be none."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadArtifact, ShapeMismatch
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.runtimes import onnxruntime as runtime
from shvit_mobile.runtimes.onnxruntime import ONNXRuntimeRunner
from shvit_mobile.targets.onnx import ONNXOptions
from tests.builders import build_random_shvit, build_trained_model, draw_smooth_pixels

SIZE = (64, 48)
FP32 = Recipe(precision="fp32")


def build_deploy_form(*, normalise: bool = True) -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(), size=SIZE), normalise=normalise)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return lower(build_deploy_form(), FP32, "onnx", tmp_path_factory.mktemp("fp32"))


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    return draw_smooth_pixels(5, SIZE).permute(0, 2, 3, 1).to(torch.uint8).numpy()


@torch.no_grad()
def compute_expected(deployed: DeployForm, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits of the trained model itself, which takes normalised images."""
    images = deployed.trained.preprocessing.normalize(pixels)
    logits: NDArray[np.float32] = deployed.trained.model(torch.from_numpy(images)).numpy()
    return logits


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("normalise", [True, False])
def test_logits_are_those_of_the_trained_model(
    dynamic: bool, normalise: bool, pixels: NDArray[np.uint8], tmp_path: Path
) -> None:
    deployed = build_deploy_form(normalise=normalise)
    artifact = lower(deployed, FP32, "onnx", tmp_path, options=ONNXOptions(dynamic_batch=dynamic))
    reference = compute_expected(deployed, pixels)
    actual = ONNXRuntimeRunner(artifact).run(pixels)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, reference, rtol=0, atol=1e-4 * max(1.0, float(np.abs(reference).max())))


def test_the_engine_is_named_and_the_execution_is_native(artifact: Artifact) -> None:
    runner = ONNXRuntimeRunner(artifact)
    assert runner.execution == "native"
    assert runner.engine.startswith("ONNX Runtime 1.")
    assert runner.engine.endswith("(CPU)")


def test_no_images_give_no_logits(artifact: Artifact, pixels: NDArray[np.uint8]) -> None:
    assert ONNXRuntimeRunner(artifact).run(pixels[:0]).shape == (0, 7)


@pytest.mark.parametrize("shape", [(1, 48, 64, 3), (1, 64, 48, 1), (64, 48, 3)])
def test_images_of_another_shape_are_rejected(artifact: Artifact, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeMismatch, match=r"takes \(64, 48, 3\)"):
        ONNXRuntimeRunner(artifact).run(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\xff" * 64, None])
def test_a_damaged_file_is_rejected(artifact: Artifact, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(artifact.path.read_bytes()[:30_000] if content is None else content)
    with pytest.raises(BadArtifact, match="ONNX Runtime cannot load"):
        ONNXRuntimeRunner(Artifact(path, artifact.manifest))


def test_a_file_of_a_later_opset_is_rejected(artifact: Artifact, tmp_path: Path) -> None:
    model = onnx.load(artifact.path)
    model.opset_import[0].version = 99
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(BadArtifact, match="newer ONNX Runtime"):
        ONNXRuntimeRunner(Artifact(tmp_path / "m.onnx", artifact.manifest))


@pytest.mark.parametrize(("part", "field"), [("input", "name"), ("output", "logits")])
def test_a_manifest_with_another_name_is_rejected(artifact: Artifact, part: str, field: str) -> None:
    contract = getattr(artifact.manifest, part).model_copy(update={field: "elsewhere"})
    manifest = artifact.manifest.model_copy(update={part: contract})
    with pytest.raises(BadArtifact, match="no 'elsewhere'"):
        ONNXRuntimeRunner(Artifact(artifact.path, manifest))


def test_a_manifest_with_another_number_of_classes_is_rejected(artifact: Artifact, pixels: NDArray[np.uint8]) -> None:
    model = artifact.manifest.model.model_copy(update={"classes": 9})
    runner = ONNXRuntimeRunner(replace(artifact, manifest=artifact.manifest.model_copy(update={"model": model})))
    with pytest.raises(BadArtifact, match=r"\(5, 7\) for 5 images, not \(5, 9\)"):
        runner.run(pixels)


def test_a_manifest_with_another_size_is_rejected(artifact: Artifact) -> None:
    contract = artifact.manifest.input.model_copy(update={"shape": (0, 3, 80, 80)})
    preprocessing = replace(artifact.manifest.preprocessing, size=(80, 80))
    changed = artifact.manifest.model_copy(update={"input": contract, "preprocessing": preprocessing})
    runner = ONNXRuntimeRunner(replace(artifact, manifest=changed))
    with pytest.raises(BadArtifact, match="ONNX Runtime cannot run"):
        runner.run(np.zeros((1, 80, 80, 3), np.uint8))


def test_the_library_says_nothing_itself(artifact: Artifact, tmp_path: Path) -> None:
    damaged, strange = tmp_path / "damaged.onnx", tmp_path / "strange.onnx"
    damaged.write_bytes(artifact.path.read_bytes()[:30_000])
    model = onnx.load(artifact.path)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(3, np.float32), "unused"))
    onnx.save(model, strange)  # ONNX Runtime warns of what is never used
    script = (
        "import sys; from pathlib import Path; from shvit_mobile.errors import BadArtifact\n"
        "from shvit_mobile.runtimes.onnxruntime import open_session\n"
        "for path in sys.argv[1:]:\n"
        "    try: open_session(Path(path)).get_inputs()\n"
        "    except BadArtifact: pass"
    )
    command = [sys.executable, "-c", script, damaged, strange, artifact.path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("machine", "flags", "answer"),
    [("arm64", "", False), ("x86_64", "avx2 avx512f", True), ("AMD64", None, True), ("x86_64", "avx512_vnni", False)],
)
def test_only_x86_without_vnni_may_saturate(
    machine: str, flags: str | None, answer: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = tmp_path / "cpuinfo"
    if flags is not None:
        told.write_text(f"flags : {flags}\n", encoding="utf-8")
    monkeypatch.setattr(runtime.platform, "machine", lambda: machine)
    monkeypatch.setattr(runtime, "CPU_FLAGS", told)
    assert runtime.may_saturate_int8() is answer
