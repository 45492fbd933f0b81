"""The Core ML runner prepares images as the manifest says, and returns their logits."""

from __future__ import annotations

import sys
from pathlib import Path

import coremltools as ct
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from shvit_mobile.bench.contestant import BenchmarkSubject
from shvit_mobile.bench.engines import load_coreml
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.fingerprints import compute_sha256, compute_size_bytes
from shvit_mobile.contracts.manifest import (
    ArtifactFile,
    InputContract,
    Inventory,
    Manifest,
    ModelProvenance,
    OutputContract,
)
from shvit_mobile.contracts.preprocessing import Preprocessing, convert_to_raw_input
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.errors import BadArtifact, ShapeMismatch
from shvit_mobile.runtimes import coreml
from shvit_mobile.runtimes.coreml import CoreMLRunner
from shvit_mobile.runtimes.mil.workers import WorkerPool
from tests.runtimes.mil.packages import convert_module, save_model

HEIGHT, WIDTH, CLASSES = 12, 20, 5
SHAPE = (1, 3, HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)
    ).eval()


@pytest.fixture(scope="module")
def packages(network, tmp_path_factory) -> dict[str, Path]:
    """The network with each kind of input; the normalised one takes a tensor too."""
    folder = tmp_path_factory.mktemp("packages")
    inputs = {
        "tensor": ct.TensorType("x", shape=SHAPE),
        "rgb": ct.ImageType("x", shape=SHAPE, color_layout=ct.colorlayout.RGB),
        "bgr": ct.ImageType("x", shape=SHAPE, color_layout=ct.colorlayout.BGR),
    }
    return {
        kind: save_model(convert_module(network, *SHAPE, inputs=[given]), folder / f"{kind}.mlpackage")
        for kind, given in inputs.items()
    }


def build_artifact(
    path: Path, *, kind="tensor", values="pixels", order="rgb", name="x", logits="y", classes=CLASSES
) -> Artifact:
    manifest = Manifest(
        artifact=ArtifactFile(name=path.name, bytes=compute_size_bytes(path), sha256=compute_sha256(path)),
        target="coreml",
        precision="fp32",
        model=ModelProvenance(
            variant="custom", classes=classes, source="a test", dialect="none", checkpoint_sha256="0" * 64
        ),
        labels=tuple(f"class {index}" for index in range(classes)),
        preprocessing=Preprocessing(size=(HEIGHT, WIDTH), channel_order=order),
        input=InputContract(
            name=name, kind=kind, values=values, shape=SHAPE, dtype="uint8" if kind == "image" else "float32"
        ),
        output=OutputContract(logits=logits),
        recipe=Recipe(precision="fp32"),
        options={},
        versions={},
        inventory=Inventory(operators={}, weight_bytes={}),
    )
    return Artifact(path, manifest)


def draw_pictures(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, HEIGHT, WIDTH, 3)).astype(np.uint8)


@torch.inference_mode()
def compute_expected(network: nn.Module, values: np.ndarray) -> np.ndarray:
    return network(torch.from_numpy(values)).numpy()


CONTRACTS = {
    "pixels as a tensor": ("tensor", {}),
    "normalised as a tensor": ("tensor", {"values": "normalised"}),
    "an image": ("rgb", {"kind": "image"}),
    "an image, blue first": ("bgr", {"kind": "image", "order": "bgr"}),
}


@pytest.mark.parametrize("contract", CONTRACTS)
def test_each_image_gives_its_logits_under_every_input_contract(network, packages, contract):
    package, options = CONTRACTS[contract]
    made = build_artifact(packages[package], **options)
    pixels = draw_pictures()
    values = made.manifest.preprocessing.normalize(pixels) if "values" in options else convert_to_raw_input(pixels)
    logits = CoreMLRunner(made).run(pixels)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, compute_expected(network, values), rtol=1e-4, atol=1e-3)


class UnbatchableNetwork(nn.Module):
    """The network with a step on which many images cannot be rows."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x).reshape(CLASSES, 1).relu().reshape(1, CLASSES)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has Core ML itself")
def test_images_that_do_not_run_at_once_run_in_processes(network, tmp_path):
    given = ct.TensorType("x", shape=SHAPE)
    package = save_model(
        convert_module(UnbatchableNetwork(network).eval(), *SHAPE, inputs=[given]), tmp_path / "alone.mlpackage"
    )
    runner, pixels = CoreMLRunner(build_artifact(package)), draw_pictures(4)
    logits = runner.run(pixels)
    (pool,) = runner._predictors.values()
    assert isinstance(pool, WorkerPool)
    assert pool._pool._processes
    np.testing.assert_allclose(
        logits, compute_expected(network, convert_to_raw_input(pixels)).clip(0), rtol=1e-4, atol=1e-3
    )
    pool.close()


def test_no_images_give_no_logits(packages):
    assert CoreMLRunner(build_artifact(packages["tensor"])).run(draw_pictures(0)).shape == (0, CLASSES)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has Core ML itself")
def test_off_the_mac_the_runner_says_that_it_is_the_reference(packages):
    runner = CoreMLRunner(build_artifact(packages["tensor"]))
    assert (runner.execution, runner.engine) == ("reference", "shvit-mobile reference executor")


@pytest.mark.skipif(sys.platform != "darwin", reason="needs macOS")
def test_on_the_mac_core_ml_itself_runs(packages):
    runner = CoreMLRunner(build_artifact(packages["rgb"], kind="image"))
    assert runner.execution == "native"
    assert runner.engine.startswith("Core ML on macOS ")


def test_images_of_another_size_are_rejected(packages):
    with pytest.raises(ShapeMismatch, match=r"\(20, 12, 3\), tensor.mlpackage takes \(12, 20, 3\)"):
        CoreMLRunner(build_artifact(packages["tensor"])).run(draw_pictures().transpose(0, 2, 1, 3))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"logits": "z"}, "gives y, no 'z'"),
        ({"classes": 7}, r"\(1, 5\) for 1 images, not \(1, 7\)"),
        ({"name": "image"}, "takes x, no 'image'"),
    ],
)
def test_a_package_that_differs_from_its_manifest_is_rejected(packages, wrong, says):
    with pytest.raises(BadArtifact, match=says):
        CoreMLRunner(build_artifact(packages["tensor"], **wrong)).run(draw_pictures(1))


class FakeMLModel:
    """Core ML's model, which records its inputs and returns one logit."""

    def __init__(self) -> None:
        self.inputs = []

    def predict(self, inputs):
        self.inputs.append(inputs["x"])
        return {"y": np.zeros((1, 1), np.float32)}


@pytest.mark.parametrize("kind", ["image", "tensor"])
def test_core_ml_predicts_one_image_at_a_time_in_the_runner_and_the_benchmark(kind, packages, monkeypatch):
    model = FakeMLModel()
    monkeypatch.setattr(coreml, "CORE_ML_AVAILABLE", True)
    monkeypatch.setattr(coreml, "load_mlmodel", lambda package, function: model)
    package = packages["rgb" if kind == "image" else "tensor"]
    logits = CoreMLRunner(build_artifact(package, kind=kind, classes=1)).run(draw_pictures(2))
    assert logits.shape == (2, 1)
    dtype = "uint8" if kind == "image" else "float32"
    load_coreml(BenchmarkSubject("a", "coreml", "fp32", str(package), SHAPE, dtype, "x"), threads=1)()
    assert len(model.inputs) == 3
    for value in model.inputs:
        if kind == "image":
            assert isinstance(value, Image.Image)
            assert (value.size, value.mode) == ((WIDTH, HEIGHT), "RGB")
        else:
            assert value.shape == SHAPE
