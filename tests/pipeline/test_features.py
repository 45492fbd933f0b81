"""Feature maps are exported to every target: the stages of a model, by name and stride, without its classifier."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from typer.testing import CliRunner

from shvit_mobile.apps.embed import embed_artifacts, plan_embeds
from shvit_mobile.apps.projects import open_app
from shvit_mobile.bench.golden_check import check_goldens
from shvit_mobile.bench.macs import count_macs
from shvit_mobile.cli.main import app
from shvit_mobile.contracts.artifact import Artifact, read_goldens
from shvit_mobile.contracts.manifest import Manifest, Target
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.drift.compare import compare
from shvit_mobile.drift.gates import Gate, evaluate_gate
from shvit_mobile.drift.ladder import build_simulation
from shvit_mobile.errors import BadArtifact, NotSupported
from shvit_mobile.families.any_module import wrap_module
from shvit_mobile.families.checkpoints import save_checkpoint
from shvit_mobile.families.shvit import SHViTConfig
from shvit_mobile.families.trained_model import TrainedModel, build_features
from shvit_mobile.families.untrained import create_untrained
from shvit_mobile.images.image_set import open_images
from shvit_mobile.metrics import sqnr
from shvit_mobile.pipeline.calibrate import CalibrateConfig, calibrate
from shvit_mobile.pipeline.export import ExportConfig, ExportJob, export
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.pipeline.validate import ValidateConfig, validate
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quantize.finetune import finetune_recipe
from shvit_mobile.report.join import build_report
from shvit_mobile.report.page import render_page
from shvit_mobile.report.sentences import describe_map_drift
from shvit_mobile.runtimes import open_runner
from shvit_mobile.runtimes.arm64.runner import ARM64Runner
from shvit_mobile.runtimes.executorch import load_program
from shvit_mobile.runtimes.runner import Runner, prepare_input
from shvit_mobile.targets.executorch import ExecuTorchOptions
from tests.apps.builders import android_app
from tests.builders import build_random_shvit, build_trained_model, draw_smooth_pixels, write_picture_folder
from tests.coreai_packages import EVERY_TARGET, needs_coreai

SIZE = (97, 65)
SHAPES = {"stride16": (16, 7, 5), "stride32": (24, 4, 3)}
SMALL = SHViTConfig(
    dims=(16, 24), partial_dims=(8, 9), qk_dims=(8, 8), depths=(1, 1), block_types=("i", "s"), classes=7
)
# Target, precision and delegate, and the least SQNR of every map in dB.
CASES = [
    ("onnx", "fp32", None, 100),
    ("executorch", "fp32", None, 100),
    ("coreml", "fp32", None, 100),
    ("litert", "fp32", None, 100),
    pytest.param("coreai", "fp32", None, 100, marks=needs_coreai),
    ("executorch", "fp16", None, 40),
    ("coreml", "fp16", None, 40),
    ("executorch", "fp16", ExecuTorchOptions(delegate="coreml"), 40),
    ("litert", "fp16", None, 40),
    ("onnx", "int8", None, 15),
    ("executorch", "int8", None, 15),
    ("executorch", "int8", ExecuTorchOptions(float_dtype="fp16"), 15),
    ("coreml", "int8", None, 15),
    ("litert", "int8", None, 15),
    pytest.param("coreai", "int8", None, 15, marks=needs_coreai),
]


@pytest.fixture(scope="module")
def classifier() -> TrainedModel:
    return build_trained_model(build_random_shvit(SMALL), size=SIZE)


@pytest.fixture(scope="module")
def features(classifier: TrainedModel) -> TrainedModel:
    return build_features(classifier)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_picture_folder(tmp_path_factory.mktemp("pictures"), count=12, size=(110, 80), classes=("ant", "bee"))


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    return draw_smooth_pixels(2, SIZE).permute(0, 2, 3, 1).to(torch.uint8).numpy()


@pytest.fixture(scope="module")
def lower_features(
    features: TrainedModel, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Target, Precision, ExecuTorchOptions | None], Artifact]:
    """Lower the maps; each artifact once."""
    deployed, known = to_deploy_form(features), dict[tuple[object, ...], Artifact]()
    folder = tmp_path_factory.mktemp("artifacts")

    def lower_once(target: Target, precision: Precision, options: ExecuTorchOptions | None = None) -> Artifact:
        key = target, precision, options
        if key not in known:
            if precision == "int8":
                recipe, overrides = calibrate_recipe(deployed, open_images(pictures), steps=())
            else:
                recipe, overrides = Recipe(precision=precision), None
            known[key] = lower(deployed, recipe, target, folder, overrides=overrides, options=options)
        return known[key]

    return lower_once


def compute_maps(trained: TrainedModel, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """The stages of the classifier itself, in PyTorch, before anything is folded."""
    with torch.no_grad():
        values, maps = trained.model.patch_embed(torch.from_numpy(trained.preprocessing.normalize(pixels))), []
        for stage in trained.model.stages:
            values = stage(values)
            maps.append(values.numpy())
    return dict(zip(SHAPES, maps, strict=True))


@pytest.mark.parametrize(("target", "precision", "options", "least"), CASES, ids=lambda value: str(value)[:60])
def test_maps_are_those_of_the_classifier(
    target: Target,
    precision: Precision,
    options: ExecuTorchOptions | None,
    least: float,
    classifier: TrainedModel,
    lower_features: Callable[..., Artifact],
    pixels: NDArray[np.uint8],
) -> None:
    artifact = lower_features(target, precision, options)
    outputs, expected = open_runner(artifact).run_outputs(pixels), compute_maps(classifier, pixels)
    assert {name: values.shape for name, values in outputs.items()} == {
        name: (2, *shape) for name, shape in SHAPES.items()
    }
    for name, values in outputs.items():
        assert sqnr(expected[name].reshape(2, -1), values.reshape(2, -1)) > least, name
    manifest = artifact.manifest
    assert (manifest.task, manifest.labels, manifest.model.classes) == ("features", (), 0)
    assert manifest.output_shapes == SHAPES
    assert [one.stride for one in manifest.output.maps] == [16, 32]
    if manifest.delegation:
        assert (manifest.delegation.delegates, manifest.delegation.left_operators) == (1, {})
    assert check_goldens(artifact, open_runner(artifact)).passed


@pytest.mark.parametrize("target", EVERY_TARGET)
def test_maps_in_int8_are_as_far_from_the_classifiers_as_their_simulation(
    target: Target,
    classifier: TrainedModel,
    features: TrainedModel,
    lower_features: Callable[..., Artifact],
    pixels: NDArray[np.uint8],
) -> None:
    artifact = lower_features(target, "int8")
    simulated = build_simulation(to_deploy_form(features), artifact.manifest.recipe)(pixels)
    check_same_distance(artifact, simulated, classifier, pixels)


def test_litert_in_fp16_has_maps_of_weights_in_half_precision(
    classifier: TrainedModel, features: TrainedModel, lower_features: Callable[..., Artifact], pixels: NDArray[np.uint8]
) -> None:
    halved = to_deploy_form(features)
    for parameter in halved.module.parameters():
        if parameter.numel() >= 1024:  # smaller constants stay as they are
            parameter.data = parameter.half().float()
    simulated = {name: one.numpy() for name, one in halved.run_outputs(pixels).items()}
    check_same_distance(lower_features("litert", "fp16"), simulated, classifier, pixels)


def check_same_distance(
    artifact: Artifact,
    simulated: dict[str, NDArray[np.float32]],
    classifier: TrainedModel,
    pixels: NDArray[np.uint8],
) -> None:
    """Check that each map of an artifact is as far from the classifier's as the simulated one, to 0.5 dB."""
    outputs = open_runner(artifact).run_outputs(pixels)
    for name, expected in compute_maps(classifier, pixels).items():
        actual, wanted = (sqnr(expected.reshape(1, -1), one[name].reshape(1, -1)) for one in (outputs, simulated))
        assert actual == pytest.approx(wanted, abs=0.5), name


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_maps_of_a_program_lie_in_memory_as_their_shapes_say(
    precision: Precision, lower_features: Callable[..., Artifact], pixels: NDArray[np.uint8]
) -> None:
    artifact = lower_features("executorch", precision)
    _, method = load_program(artifact.path)
    outputs = method.execute([torch.from_numpy(prepare_input(artifact.manifest, pixels[:1])).contiguous()])
    assert [tuple(one.shape[1:]) for one in outputs] == list(SHAPES.values())
    assert all(one.is_contiguous() for one in outputs)


@pytest.mark.arm64
def test_an_emulated_phone_computes_the_same_maps(
    lower_features: Callable[..., Artifact], pixels: NDArray[np.uint8]
) -> None:
    artifact = lower_features("executorch", "fp32")
    with ARM64Runner(artifact, processes=1) as runner:
        emulated = runner.run_outputs(pixels[:1])
    for name, values in open_runner(artifact).run_outputs(pixels[:1]).items():
        assert sqnr(values.reshape(1, -1), emulated[name].reshape(1, -1)) > 100


def test_the_command_line_shows_maps(
    lower_features: Callable[..., Artifact], classifier: TrainedModel, pictures: Path, tmp_path: Path
) -> None:
    save_checkpoint(classifier, tmp_path / "model.safetensors")
    command = ["export", "--checkpoint", str(tmp_path / "model.safetensors"), "--task", "features", "--target", "onnx"]
    exported = CliRunner().invoke(app, [*command, "--out", str(tmp_path)])
    assert exported.exit_code == 0, exported.output
    path = tmp_path / "custom-features-97x65-onnx-fp32.onnx"
    command = ["validate", str(path), "--checkpoint", str(tmp_path / "model.safetensors"), "--images", str(pictures)]
    shown = CliRunner().invoke(app, [*command, "--min-sqnr", "100"])
    assert shown.exit_code == 0, shown.output
    assert "stride16" in shown.stdout
    assert "cosine" in shown.stdout
    missed = CliRunner().invoke(app, [*command, "--min-sqnr", "199"])
    assert missed.exit_code == 1
    assert "the SQNR of stride32 is" in missed.output
    refused = CliRunner().invoke(app, [*command, "--min-agreement", "90"])
    assert refused.exit_code == 2
    assert "--min-agreement" in refused.output
    inspected = CliRunner().invoke(app, ["inspect", str(path)])
    assert "stride16 16x7x5, stride32 24x4x3" in " ".join(inspected.stdout.split())


def test_there_is_no_head(lower_features: Callable[..., Artifact], features: TrainedModel) -> None:
    artifact = lower_features("onnx", "fp32")
    assert "Gemm" not in artifact.manifest.inventory.operators
    assert not any(name.startswith("head") for name in features.model.state_dict())
    with pytest.raises(NotSupported, match="stride16, stride32"):
        open_runner(artifact).run(np.zeros((1, *SIZE, 3), np.uint8))


@dataclass
class ShiftedRunner:
    """A runner that adds a value to one channel of one map."""

    runner: Runner
    name: str
    shift: float

    def run_outputs(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        outputs = self.runner.run_outputs(pixels)
        outputs[self.name][:, 3] += self.shift
        return outputs

    def __getattr__(self, name: str) -> object:
        return getattr(self.runner, name)


@pytest.mark.parametrize("name", SHAPES)
def test_goldens_hold_values_of_every_map_and_notice_a_wrong_channel(
    name: str, lower_features: Callable[..., Artifact]
) -> None:
    artifact = lower_features("onnx", "fp32")
    goldens = read_goldens(artifact)
    assert [(one.name, len(one.positions)) for one in goldens.sampled_outputs] == [("stride16", 256), ("stride32", 256)]
    for sampled, shape in zip(goldens.sampled_outputs, SHAPES.values(), strict=True):
        channels, rows, columns = np.unravel_index(sampled.positions, shape)
        assert [len(set(places.tolist())) for places in (channels, rows, columns)] == list(shape)
    check = check_goldens(artifact, ShiftedRunner(open_runner(artifact), name, 0.05))  # type: ignore[arg-type]
    assert (check.preprocessing_passed, check.inference_passed, check.same_class) == (True, False, None)


def test_drift_is_measured_for_each_map_and_names_the_worst_channel(
    lower_features: Callable[..., Artifact], features: TrainedModel, pictures: Path
) -> None:
    artifact = lower_features("onnx", "fp32")
    sound = compare(artifact, features, open_images(pictures))
    assert [one.name for one in sound.maps] == list(SHAPES)
    assert sound.sqnr_db == min(one.sqnr_db for one in sound.maps) > 100
    assert (sound.agreement, sound.mean_kl, sound.images) == (None, None, 12)
    shifted = ShiftedRunner(open_runner(artifact), "stride32", 1.0)
    row = compare(artifact, features, open_images(pictures), runner=shifted)  # type: ignore[arg-type]
    first, second = row.maps
    assert first == sound.maps[0]
    assert (second.worst_channel, second.max_abs_error) == (3, pytest.approx(1.0, abs=1e-3))
    assert second.worst_channel_db < second.sqnr_db < 40
    assert second.cosine < 1
    assert evaluate_gate([sound], Gate(min_sqnr=100)).passed
    verdict = evaluate_gate([row], Gate(min_sqnr=100))
    assert len(verdict.violations) == 1
    assert "the SQNR of stride32 is" in verdict.violations[0]


def test_a_gate_on_classes_needs_a_classifier(features: TrainedModel, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(NotSupported) as refusal:
        export(
            ExportConfig(
                checkpoint=features, targets=["onnx"], validation=pictures, min_agreement=0.9, out=tmp_path / "out"
            )
        )
    assert refusal.value.parameter == "min_agreement"
    assert not (tmp_path / "out").exists()


def test_an_artifact_of_maps_is_not_compared_with_the_classifier(
    lower_features: Callable[..., Artifact], classifier: TrainedModel, pictures: Path
) -> None:
    with pytest.raises(BadArtifact, match="task features"):
        compare(lower_features("onnx", "fp32"), classifier, open_images(pictures))


def test_export_and_validate_record_the_drift_of_maps(classifier: TrainedModel, pictures: Path, tmp_path: Path) -> None:
    jobs = [ExportJob("onnx", "fp32"), ExportJob("onnx", "int8")]
    config = ExportConfig(
        checkpoint=classifier,
        task="features",
        jobs=jobs,
        calibration=pictures,
        passes=(),
        validation=pictures,
        min_sqnr=15,
        ladder=True,
        out=tmp_path,
        report=tmp_path / "report.json",
        card=True,
    )
    result = export(config)
    assert [artifact.path.name for artifact in result.artifacts] == [
        "custom-features-97x65-onnx-fp32.onnx",
        "custom-features-97x65-onnx-int8.onnx",
    ]
    assert result.passed
    assert all(artifact.manifest.drift == row for artifact, row in zip(result.artifacts, result.rows, strict=True))
    assert "The maps of its stages are exported, without its classifier." in result.notes
    stored = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [row["artifact"] for row in stored["rows"]][:2] == ["deploy form", "fake-quant int8"]
    assert not stored["images"]["labelled"]
    simulated, real = (next(row for row in stored["rows"] if word in row["artifact"]) for word in ("fake", "int8.onnx"))
    for one, other in zip(simulated["maps"], real["maps"], strict=True):
        assert one["sqnr_db"] == pytest.approx(other["sqnr_db"], abs=0.5)
    paths = [artifact.path for artifact in result.artifacts]
    validated = validate(ValidateConfig(artifacts=paths, checkpoint=classifier, validation=pictures, min_sqnr=15))
    assert [row.maps for row in validated.report.rows] == [row.maps for row in result.rows]
    page = render_page(build_report([tmp_path]))
    assert "Lowest SQNR of a map" in page
    assert "feature maps" in page
    assert all(describe_map_drift(drift) in page for row in result.rows for drift in row.maps)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "stride16" in card
    assert "image-feature-extraction" in card


@pytest.mark.parametrize(("target", "precision", "least"), [("onnx", "fp32", 90), ("coreml", "fp16", 35)])
def test_layers_and_ranges_are_compared_as_those_of_a_classifier(
    target: Target,
    precision: Precision,
    least: float,
    lower_features: Callable[..., Artifact],
    classifier: TrainedModel,
    pictures: Path,
) -> None:
    result = validate(
        ValidateConfig(
            artifacts=[lower_features(target, precision).path],
            checkpoint=classifier,
            validation=pictures,
            validation_count=2,
            layers=True,
            ranges=True,
        )
    )
    (layers,), (ranges,) = result.report.layers, result.report.ranges
    assert layers.rows[-1].layer == "stages.1.blocks.0.ffn"
    assert layers.first is None
    assert all(row.free_db > least for row in layers.rows)
    assert ranges.values
    assert ranges.flags == ()


def test_a_budget_of_sqnr_keeps_layers_in_float(classifier: TrainedModel, pictures: Path, tmp_path: Path) -> None:
    result = calibrate(
        CalibrateConfig(
            checkpoint=classifier,
            task="features",
            calibration=pictures,
            validation=pictures,
            passes=(),
            min_sqnr=45,
            out=tmp_path / "out",
            cache=tmp_path / "cache",
        )
    )
    assert result.search is not None
    assert result.recipe.float_layers
    assert result.search.budget.min_sqnr == 45
    chosen = next(point for point in result.search.points if point.float_layers == result.search.float_layers)
    assert chosen.row.sqnr_db >= 45
    assert result.sensitivity is not None
    assert all(row.quantized_kl is None and row.quantized_db > 20 for row in result.sensitivity.layers)


def test_maps_go_into_apps_without_labels(lower_features: Callable[..., Artifact], tmp_path: Path) -> None:
    artifact, app = lower_features("executorch", "fp32"), open_app(android_app(tmp_path))
    embed_artifacts(plan_embeds([artifact], app), app)
    folder = app.models / artifact.path.stem
    assert (folder / "labels.txt").read_text(encoding="utf-8") == ""
    assert Manifest.load(folder / f"{artifact.path.stem}.manifest.json").task == "features"


def test_what_needs_classes_refuses_maps(
    lower_features: Callable[..., Artifact], features: TrainedModel, pictures: Path
) -> None:
    deployed, recipe = to_deploy_form(features), lower_features("onnx", "int8").manifest.recipe
    with pytest.raises(NotSupported):
        finetune_recipe(deployed, recipe, open_images(pictures))


def test_multiply_adds_are_those_of_the_stages() -> None:
    stages, whole = (create_untrained("shvit_s1", 1000, task) for task in ("features", "classify"))
    assert stages is not None
    assert whole is not None
    assert count_macs(whole, (1, 3, *SIZE)) - count_macs(stages, (1, 3, *SIZE)) == 320 * 1000


class Pyramid(nn.Module):
    """A module of no family that returns two maps."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 4, 1), nn.Conv2d(8, 6, 3, 2, 1)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        values = self.first(images).relu()
        return [values, self.second(values)]


def test_any_module_that_returns_maps_can_be_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = wrap_module(Pyramid().eval(), preprocessing=Preprocessing(size=(40, 24)), task="features")
    artifact = lower(to_deploy_form(model), Recipe(precision="fp32"), "executorch", tmp_path)
    assert artifact.manifest.output_shapes == {"stride4": (8, 10, 6), "stride8": (6, 5, 3)}
    named = replace(model, map_names=("c2", "c3"))
    assert to_deploy_form(named).output.names == ("c2", "c3")


def test_a_family_without_stages_has_no_feature_maps() -> None:
    model = wrap_module(nn.Sequential(nn.Conv2d(3, 4, 3)), labels=("a", "b"), preprocessing=Preprocessing())
    with pytest.raises(NotSupported) as refusal:
        build_features(model)
    assert refusal.value.parameter == "task"
