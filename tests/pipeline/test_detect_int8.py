"""Detectors in int8 and fp16: neck and heads included, with a range for each call of a layer that levels share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.drift.ladder import build_simulation
from shvit_mobile.families.light_detector import LightDetector
from shvit_mobile.families.loaded_detector import DETECTOR
from shvit_mobile.families.retinanet import RetinaHead, RetinaNet, RetinaPyramid
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import open_images
from shvit_mobile.metrics import sqnr
from shvit_mobile.pipeline.calibrate import CalibrateConfig, calibrate
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.pipeline.validate import ValidateConfig, validate
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quantize.layers import find_dense_layers
from shvit_mobile.runtimes import open_runner
from shvit_mobile.targets.executorch import ExecuTorchOptions
from tests.builders import TINY, build_random_shvit, write_picture_folder

CLASSES, CHANNELS = 3, 16
SIZES = {"light": (96, 160), "retinanet": (128, 160)}
TARGETS: tuple[Target, ...] = ("onnx", "executorch", "coreml", "litert")
Maps = dict[str, NDArray[np.float32]]


def build_detector(kind: str) -> TrainedModel:
    """A detector as `load_detector` would return it, with 16 channels behind its backbone and norms that do much."""
    backbone = build_random_shvit()
    if kind == "light":
        model: LightDetector | RetinaNet = LightDetector(backbone, CLASSES, CHANNELS)
    else:
        model = RetinaNet(backbone, CLASSES)
        model.neck, model.bbox_head = RetinaPyramid(TINY.dims, CHANNELS), RetinaHead(CHANNELS, CLASSES)
    generator = torch.Generator().manual_seed(1)
    for name, value in model.state_dict().items():
        if name.startswith("backbone.") or not value.is_floating_point():
            continue
        if value.ndim > 1:
            value.copy_(torch.randn(value.shape, generator=generator) * (2 / value[0].numel()) ** 0.5)
        elif name.endswith(("bn.weight", "running_var")):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
        else:
            value.copy_(0.2 * torch.randn(value.shape, generator=generator))
    return TrainedModel(
        model=model.eval(),
        family=DETECTOR,
        variant=kind,
        dialect="shvit-mobile",
        labels=tuple(f"class {index}" for index in range(CLASSES)),
        preprocessing=Preprocessing(SIZES[kind], 1.0, resize_mode="squash"),
        source="made in a test",
        sha256="0" * 64,
        task="detect",
        map_names=tuple(f"{name}{stride}" for name in ("scores", "boxes") for stride in model.detection.strides),
        detection=model.detection,
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_picture_folder(tmp_path_factory.mktemp("pictures"), count=16, size=(130, 150))


class Detector:
    """A detector with its recipe of int8, its maps of pictures, and its artifacts, each made once."""

    def __init__(self, kind: str, pictures: Path, folder: Path) -> None:
        self.deployed: DeployForm = to_deploy_form(build_detector(kind))
        self.trained, images = self.deployed.trained, open_images(pictures)
        self.recipe, _ = calibrate_recipe(self.deployed, images, steps=())
        (batch,) = iterate_batches(images, self.trained.preprocessing, size=len(images))
        self.pixels = batch.pixels
        with torch.inference_mode():
            floats = self.trained.model(torch.from_numpy(self.trained.preprocessing.normalize(batch.pixels)))
        self.expected = {name: one.numpy() for name, one in zip(self.deployed.output.names, floats, strict=True)}
        self.simulated = dict(build_simulation(self.deployed, self.recipe)(batch.pixels))
        self.folder, self.known = folder, dict[tuple[str, str], Artifact]()

    def lower(self, target: Target, precision: Precision = "int8") -> Artifact:
        recipe = self.recipe if precision == "int8" else Recipe(precision=precision)
        if (target, precision) not in self.known:
            self.known[target, precision] = lower(self.deployed, recipe, target, self.folder)
        return self.known[target, precision]

    def compute_levels(self, maps: Maps) -> dict[str, float]:
        """The SQNR of each map."""
        flat = {name: one.reshape(len(one), -1) for name, one in self.expected.items()}
        return {name: sqnr(one, maps[name].reshape(len(one), -1)) for name, one in flat.items()}


@pytest.fixture(scope="module")
def get_detector(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Detector]:
    known: dict[str, Detector] = {}

    def get(kind: str) -> Detector:
        if kind not in known:
            known[kind] = Detector(kind, pictures, tmp_path_factory.mktemp(kind))
        return known[kind]

    return get


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", SIZES)
def test_int8_is_as_far_from_the_float_model_as_its_simulation(
    kind: str, target: Target, get_detector: Callable[[str], Detector]
) -> None:
    detector = get_detector(kind)
    artifact = detector.lower(target)
    layers = {name for name, _ in find_dense_layers(detector.deployed.module)}
    calls = [call.name for call in detector.deployed.wiring.calls if call.layer in layers]
    assert artifact.manifest.inventory.quantized_layers == len(calls)
    if artifact.manifest.delegation is not None:
        assert artifact.manifest.delegation.delegates == 1
    wanted = detector.compute_levels(detector.simulated)
    found = detector.compute_levels(open_runner(artifact).run_outputs(detector.pixels))
    # Which values are rounded up and which down is chance, and a small map has few: noise of 1e-5 behind each layer of
    # the simulation moves the levels of single maps by up to 2 dB.
    for name, level in wanted.items():
        assert level > 20, name
        assert found[name] == pytest.approx(level, abs=2.5), name
    assert np.mean(list(found.values())) == pytest.approx(np.mean(list(wanted.values())), abs=0.5)


@pytest.mark.parametrize("kind", SIZES)
def test_what_int8_leaves_in_float_can_be_in_fp16(
    kind: str, get_detector: Callable[[str], Detector], tmp_path: Path
) -> None:
    detector = get_detector(kind)
    options = ExecuTorchOptions(float_dtype="fp16")
    artifact = lower(detector.deployed, detector.recipe, "executorch", tmp_path, options=options)
    assert artifact.manifest.delegation is not None
    assert (artifact.manifest.delegation.delegates, artifact.manifest.delegation.left_operators) == (1, {})
    wanted = detector.compute_levels(open_runner(detector.lower("executorch")).run_outputs(detector.pixels))
    found = detector.compute_levels(open_runner(artifact).run_outputs(detector.pixels))
    for name, level in wanted.items():
        assert found[name] == pytest.approx(level, abs=2.5), name
    assert np.mean(list(found.values())) == pytest.approx(np.mean(list(wanted.values())), abs=0.5)


def test_a_head_that_levels_share_has_a_range_for_each_level(get_detector: Callable[[str], Detector]) -> None:
    ranges = get_detector("retinanet").recipe.ranges
    calls = [f"bbox_head.retina_cls{number}" for number in ("", "@2", "@3", "@4", "@5")]
    assert len({ranges[call].output for call in calls}) == 5


@pytest.mark.parametrize("target", TARGETS)
def test_a_head_that_levels_share_has_its_weights_once_in_a_file(
    target: Target, get_detector: Callable[[str], Detector]
) -> None:
    detector = get_detector("retinanet")
    weights = {name: layer.weight.numel() for name, layer in find_dense_layers(detector.deployed.module)}
    assert sum(name.startswith("bbox_head.") for name in weights) == 10
    stored = detector.lower(target).manifest.inventory.weight_bytes
    assert stored["int8"] == pytest.approx(sum(weights.values()), rel=0.01)


@pytest.mark.parametrize("target", ["executorch", "coreml"])
def test_fp16_is_near_the_float_model(target: Target, get_detector: Callable[[str], Detector]) -> None:
    detector = get_detector("light")
    artifact = detector.lower(target, "fp16")
    if artifact.manifest.delegation is not None:
        assert artifact.manifest.delegation.delegates == 1
    assert min(detector.compute_levels(open_runner(artifact).run_outputs(detector.pixels)).values()) > 40


@pytest.mark.parametrize("target", ["onnx", "coreml"])
def test_each_call_of_a_shared_head_is_compared_with_the_float_models(
    target: Target, get_detector: Callable[[str], Detector], pictures: Path
) -> None:
    detector = get_detector("retinanet")
    paths = [detector.lower(target).path]
    config = ValidateConfig(
        artifacts=paths, checkpoint=detector.trained, validation=pictures, validation_count=2, layers=True
    )
    (report,) = validate(config).report.layers
    assert [row.layer for row in report.rows] == [call.name for call in detector.deployed.wiring.calls]
    assert "bbox_head.retina_reg@5" in [row.layer for row in report.rows]
    assert min(row.forced_db for row in report.rows) > 20
    assert report.first is None


def test_a_budget_of_sqnr_keeps_layers_of_a_detector_in_float(
    get_detector: Callable[[str], Detector], pictures: Path, tmp_path: Path
) -> None:
    detector = get_detector("light")
    result = calibrate(
        CalibrateConfig(
            checkpoint=detector.trained,
            task="detect",
            calibration=pictures,
            calibration_count=6,
            validation=pictures,
            validation_count=6,
            passes=("exact-input",),
            min_sqnr=35,
            out=tmp_path / "out",
            cache=tmp_path / "cache",
        )
    )
    assert result.search is not None
    assert 0 < len(result.recipe.float_layers) < len(result.recipe.ranges)
    chosen = next(point for point in result.search.points if point.float_layers == result.search.float_layers)
    assert chosen.row.sqnr_db >= 35
    assert [one.name for one in chosen.row.maps] == list(detector.expected)
    assert result.sensitivity is not None
    rows = {row.layer: row for row in result.sensitivity.layers}
    assert {"heads.0.scores", "heads.2.boxes"} <= rows.keys()
    assert all(row.quantized_kl is None and row.quantized_db > 20 for row in rows.values())
