"""What options and headers decide is refused before a picture is opened or a layer is folded, in a dry run too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from shvit_mobile import CalibrateConfig, ExportConfig, calibrate, export
from shvit_mobile.contracts.manifest import ALL_TARGETS
from shvit_mobile.contracts.recipe import ActivationRange, Recipe
from shvit_mobile.errors import (
    BadRecipe,
    ConflictingParameters,
    InvalidValue,
    NotSupported,
    OutputExists,
    UnknownChoice,
    UnwritableOutput,
)
from shvit_mobile.families.checkpoints import save_checkpoint
from shvit_mobile.families.shvit import SHViTConfig
from shvit_mobile.pipeline.export import ExportJob, plan_export
from shvit_mobile.targets.coreml import CoreMLOptions
from shvit_mobile.targets.executorch import ExecuTorchOptions
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder

LABELS = ("ant", "bee", "cat")
SMALL = SHViTConfig(
    dims=(16, 24), partial_dims=(8, 9), qk_dims=(8, 8), depths=(1, 1), block_types=("i", "s"), classes=len(LABELS)
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small checkpoint, pictures, and a recipe of another model."""
    folder = tmp_path_factory.mktemp("files")
    trained = replace(build_trained_model(build_random_shvit(SMALL, seed=3), size=(64, 48)), labels=LABELS)
    save_checkpoint(trained, folder / "model.safetensors")
    write_picture_folder(folder / "pictures", count=9, classes=LABELS, size=(70, 50))
    other = Recipe(
        precision="int8",
        observer="min-max",
        ranges={"elsewhere": ActivationRange(input=(-1.0, 1.0), output=(-1.0, 1.0))},
    )
    other.save(folder / "other.json", overwrite=False)
    return folder


@pytest.fixture
def _no_picture_is_opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a picture was opened")

    monkeypatch.setattr(Image, "open", refuse)
    return None


COREML, INT8 = {"targets": ["coreml"]}, {"targets": ["onnx"], "precisions": ["int8"]}
IOS18 = CoreMLOptions(deployment_target="iOS18", block=7)


@pytest.mark.usefixtures("_no_picture_is_opened")
@pytest.mark.parametrize(
    ("change", "error", "parameter"),
    [
        (
            COREML | {"precisions": ["int8"], "options": {"coreml": CoreMLOptions(deployment_target="iOS16")}},
            NotSupported,
            "deployment_target",
        ),
        (COREML | {"precisions": ["palette-4"], "options": {"coreml": CoreMLOptions(block=8)}}, NotSupported, None),
        (COREML | {"precisions": ["fp16"], "options": {"coreml": IOS18}}, ConflictingParameters, "block"),
        (COREML | {"precisions": ["int8-weights"], "options": {"coreml": IOS18}}, InvalidValue, "block"),
        (
            {"targets": ["executorch"], "options": {"executorch": ExecuTorchOptions(head="int8-dynamic")}},
            ConflictingParameters,
            "head",
        ),
        (
            {"targets": ["executorch"], "options": {"executorch": ExecuTorchOptions(float_dtype="fp16")}},
            ConflictingParameters,
            "float_dtype",
        ),
        (INT8 | {"passes": ["luck"]}, UnknownChoice, "PTQ pass"),
        (INT8 | {"observer": "luck"}, UnknownChoice, "observer"),
        (INT8 | {"activations": "luck"}, UnknownChoice, "activation scheme"),
        ({"recipe": "other.json"}, BadRecipe, None),
        ({"out": "model.safetensors"}, UnwritableOutput, "out"),
        ({"report": "pictures"}, OutputExists, None),
        ({"golden_images": "pictures", "report": "model.safetensors"}, OutputExists, "overwrite"),
    ],
    ids=str,
)
def test_an_export_that_cannot_succeed_opens_no_picture(
    files: Path, tmp_path: Path, change: dict[str, object], error: type[Exception], parameter: str | None
) -> None:
    fields: dict[str, object] = {"checkpoint": files / "model.safetensors", "targets": ["onnx"], "out": tmp_path}
    fields |= {"validation": files / "pictures"}
    if change.get("precisions") == ["int8"]:
        fields |= {"calibration": files / "pictures"}
    for name in ("recipe", "out", "report", "golden_images"):
        if name in change:
            change = change | {name: files / str(change[name])}
    config = ExportConfig(**(fields | change))  # type: ignore[arg-type]
    for work in (export, plan_export):
        with pytest.raises(error) as caught:
            work(config)  # type: ignore[operator]
        assert parameter in (None, caught.value.parameter)  # type: ignore[attr-defined]
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_no_picture_is_opened")
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"passes": ["luck"]}, UnknownChoice),
        ({"observer": "luck"}, UnknownChoice),
        ({"out": "model.safetensors"}, UnwritableOutput),
        ({"out": "there"}, OutputExists),
        ({"cache": "model.safetensors"}, UnwritableOutput),
    ],
    ids=str,
)
def test_a_calibration_that_cannot_succeed_opens_no_picture(
    files: Path, change: dict[str, object], error: type[Exception]
) -> None:
    (files / "there").mkdir(exist_ok=True)
    (files / "there" / "recipe.json").touch()
    for name in ("out", "cache"):
        if name in change:
            change = {name: files / str(change[name])}
    config = CalibrateConfig(checkpoint=files / "model.safetensors", calibration=files / "pictures")
    with pytest.raises(error):
        calibrate(replace(config, **change))  # type: ignore[arg-type]


@pytest.mark.usefixtures("_no_picture_is_opened")
def test_files_for_developer_tools_are_planned_and_not_overwritten(files: Path, tmp_path: Path) -> None:
    config = ExportConfig(
        checkpoint=files / "model.safetensors",
        targets=["executorch"],
        options={"executorch": ExecuTorchOptions(etrecord=True, bundled=True)},
        out=tmp_path,
    )
    (path,) = plan_export(config).paths
    sides = [path.with_suffix(suffix) for suffix in (".etrecord", ".bpte")]
    assert set(sides) < set(plan_export(config).files)
    sides[1].touch()
    with pytest.raises(OutputExists):
        plan_export(config)
    plan_export(replace(config, options={}))


@pytest.mark.usefixtures("_no_picture_is_opened")
def test_all_targets_leave_out_a_precision_that_they_lack_and_say_so(files: Path, tmp_path: Path) -> None:
    config = ExportConfig(
        checkpoint=files / "model.safetensors", targets=["all"], precisions=["fp16", "fp32"], out=tmp_path
    )
    plan = plan_export(config)
    pairs = [(target, precision) for target in ALL_TARGETS for precision in ("fp16", "fp32")]
    jobs = [ExportJob(*pair) for pair in pairs if pair != ("onnx", "fp16")]  # type: ignore[arg-type]
    assert plan.jobs == tuple(jobs)
    left = ["No fp16 for onnx", "Nothing for litert", "Nothing for coreai"]
    assert [note.split(":")[0] for note in plan.notes] == left
    named = plan_export(replace(config, targets=["all", "coreai"]))
    assert named.jobs == (*jobs, ExportJob("coreai", "fp16"), ExportJob("coreai", "fp32"))
    assert [note.split(":")[0] for note in named.notes] == left[:2]
    with pytest.raises(BadRecipe):
        plan_export(replace(config, targets=["all", "onnx"]))
    recipe = tmp_path / "recipe.json"
    Recipe(precision="fp16").save(recipe, overwrite=False)
    assert plan_export(replace(config, precisions=(), recipe=recipe)).jobs == (
        ExportJob("coreml", "fp16"),
        ExportJob("executorch", "fp16"),
    )


@pytest.mark.usefixtures("_no_picture_is_opened")
def test_each_delegate_has_its_artifact_in_its_default_precision(files: Path, tmp_path: Path) -> None:
    config = ExportConfig(
        checkpoint=files / "model.safetensors", targets=["executorch"], delegates=["coreml", "xnnpack"], out=tmp_path
    )
    assert [path.name for path in plan_export(config).paths] == [
        "custom-64x48-executorch-coreml-fp16.pte",
        "custom-64x48-executorch-fp32.pte",
    ]
    with pytest.raises(BadRecipe, match="executorch has no palette-8"):
        plan_export(replace(config, precisions=["palette-8"]))
    everywhere = plan_export(replace(config, targets=["all"], delegates=["coreml"], precisions=["palette-6"]))
    assert [job.qualified_target for job in everywhere.jobs] == ["coreml", "executorch-coreml"]
    jobs = [
        ExportJob("executorch", "fp16", ExecuTorchOptions(delegate="coreml")),
        ExportJob("executorch", "fp32", ExecuTorchOptions(stem="space-to-depth")),
    ]
    plan = plan_export(ExportConfig(checkpoint=config.checkpoint, jobs=jobs, out=tmp_path))
    assert [path.name for path in plan.paths] == [
        "custom-64x48-executorch-coreml-fp16.pte",
        "custom-64x48-executorch-fp32-blocks.pte",
    ]
    with pytest.raises(ConflictingParameters, match="targets=executorch"):
        plan_export(replace(config, targets=["onnx"]))


@pytest.mark.parametrize(
    ("field", "value"),
    [("mean", (123.0, 116.0, 103.0)), ("size", (20000, 20000)), ("crop", 1e-6), ("interpolation", "cubic")],
)
def test_a_configuration_with_impossible_preprocessing_cannot_be_made(field: str, value: object) -> None:
    for config in (ExportConfig, CalibrateConfig):
        with pytest.raises((InvalidValue, UnknownChoice)):
            config(**{field: value})  # type: ignore[arg-type]
