"""An artifact goes into an app whole or not at all, and comes out again as if it had never been there."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Barrier, BrokenBarrierError

import pytest

from shvit_mobile.apps import embed as module
from shvit_mobile.apps.embed import EmbedPlan, embed_artifacts, plan_embeds, remove_models, select_removable_models
from shvit_mobile.apps.projects import App, find_app_folder, open_app
from shvit_mobile.apps.record import RECORD_NAME, EmbeddedModel, EmbedRecord
from shvit_mobile.contracts.artifact import Artifact, get_goldens_path, get_manifest_path, read_goldens
from shvit_mobile.contracts.fingerprints import compute_size_bytes
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.errors import BadApp, BadArtifact, OutputExists
from shvit_mobile.families.shvit import SHViTConfig
from shvit_mobile.pipeline.lower import lower, update_manifest
from tests.apps.builders import android_app, ios_app, written
from tests.builders import build_random_shvit, build_trained_model
from tests.coreai_packages import lower_package, needs_coreai
from tests.litert import lower_model
from tests.programs import lower_program

SMALL = SHViTConfig(
    dims=(16, 24), partial_dims=(8, 9), qk_dims=(8, 8), depths=(1, 1), block_types=("i", "s"), classes=3
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """The same model for each target."""
    model = replace(build_trained_model(build_random_shvit(SMALL), size=(32, 32)), labels=("cat", "sea\nlion", "Löwe"))
    deployed, folder = to_deploy_form(model), tmp_path_factory.mktemp("exported")
    plan = {
        "coreml": Recipe(precision="fp16"),
        "executorch": Recipe(precision="fp32"),
        "onnx": Recipe(precision="fp32"),
    }
    return {target: lower(deployed, recipe, target, folder) for target, recipe in plan.items()}  # type: ignore[arg-type]


@pytest.fixture
def ios(tmp_path: Path) -> App:
    return open_app(ios_app(tmp_path / "ios"))


@pytest.fixture
def android(tmp_path: Path) -> App:
    return open_app(android_app(tmp_path / "android"))


def tree(root: Path) -> dict[str, bytes | None]:
    """Every file with its bytes, and every folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None for path in root.rglob("*")
    }


def test_all_that_an_app_needs_is_there_afterwards(exported: dict[str, Artifact], ios: App) -> None:
    plans = plan_embeds([exported["coreml"], exported["executorch"]], ios)
    embed_artifacts(plans, ios)
    for artifact, one in zip((exported["coreml"], exported["executorch"]), plans, strict=True):
        folder = ios.models / artifact.path.stem
        copy = Artifact.open(folder / artifact.path.name)
        assert copy.manifest == artifact.manifest
        assert read_goldens(copy) == read_goldens(artifact)
        assert (folder / "labels.txt").read_text(encoding="utf-8") == "cat\nsea lion\nLöwe\n"
        assert {path.name for path in folder.iterdir()} == {
            artifact.path.name,
            get_manifest_path(artifact.path).name,
            get_goldens_path(artifact.path).name,
            "labels.txt",
        }
        assert compute_size_bytes(folder) == one.size_bytes
    assert [model.artifact for model in EmbedRecord.read(ios.models).models] == [
        one.artifact.path.name for one in plans
    ]
    assert str(exported["coreml"].path.parent) not in (ios.models / RECORD_NAME).read_text(encoding="utf-8"), (
        "no path of this machine"
    )


@pytest.mark.parametrize("kind", ["ios", "android"])
def test_an_app_is_byte_for_byte_what_it_was_after_undo(
    kind: str, exported: dict[str, Artifact], request: pytest.FixtureRequest
) -> None:
    app: App = request.getfixturevalue(kind)
    before = tree(app.root)
    embed_artifacts(plan_embeds([exported["executorch"]], app), app)
    assert tree(app.root) != before
    remove_models(app, select_removable_models(app, []))
    assert tree(app.root) == before


def test_one_of_two_can_be_taken_out(exported: dict[str, Artifact], ios: App) -> None:
    embed_artifacts(plan_embeds([exported["coreml"]], ios), ios)
    before = tree(ios.models / exported["coreml"].path.stem)
    embed_artifacts(plan_embeds([exported["executorch"]], ios), ios)
    remove_models(ios, select_removable_models(ios, [exported["executorch"].path.stem]))
    assert tree(ios.models / exported["coreml"].path.stem) == before
    assert {path.name for path in ios.models.iterdir()} == {exported["coreml"].path.stem, RECORD_NAME}
    with pytest.raises(BadApp, match="was not embedded into"):
        select_removable_models(ios, [exported["executorch"].path.stem])


def test_a_folder_of_models_that_was_there_stays(exported: dict[str, Artifact], android: App) -> None:
    written(android.models / "own.pte", "someone's own")
    before = tree(android.root)
    embed_artifacts(plan_embeds([exported["executorch"]], android), android)
    remove_models(android, select_removable_models(android, []))
    assert tree(android.root) == before


def test_when_a_copy_fails_nothing_changes(
    exported: dict[str, Artifact], ios: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(ios.root)
    plans = plan_embeds([exported["coreml"], exported["executorch"]], ios)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        embed_artifacts(plans, ios)
    assert tree(ios.root) == before


def test_what_cannot_run_there_is_refused(exported: dict[str, Artifact], ios: App, android: App) -> None:
    with pytest.raises(BadArtifact, match="cannot go into an Android app: coreml"):
        plan_embeds([exported["coreml"]], android)
    for app in (ios, android):
        with pytest.raises(BadArtifact, match="onnx artifacts do not run there"):
            plan_embeds([exported["onnx"]], app)


@needs_coreai
def test_a_core_ai_package_goes_into_no_app(ios: App, android: App) -> None:
    for app in (ios, android):
        with pytest.raises(BadArtifact, match="coreai artifacts do not run there"):
            plan_embeds([lower_package("fp32").artifact], app)


def test_operators_without_kernels_are_refused_on_ios(exported: dict[str, Artifact], ios: App, android: App) -> None:
    program = exported["executorch"]
    delegation = program.manifest.delegation
    assert delegation is not None
    left = {"aten::native_group_norm.out": 9, "quantized_decomposed::quantize_per_tensor.out": 1}
    whole = program.manifest
    changed = {"delegation": delegation.model_copy(update={"left_operators": left})}
    partial = replace(program, manifest=whole.model_copy(update=changed))
    with pytest.raises(BadArtifact, match="kernels_optimized and kernels_quantized") as refused:
        plan_embeds([partial], ios)
    assert all(name in str(refused.value) for name in left)
    assert len(plan_embeds([partial], android)) == 1
    package = next(ios.root.glob("*/Package.swift"))
    linked = package.read_text(encoding="utf-8")
    for kernels, is_whole in [("kernels_optimized", False), ("kernels_optimized_debug kernels_quantized", True)]:
        package.write_text(linked + f'let linked = "{kernels}"\n', encoding="utf-8")
        app = open_app(ios.root)
        if is_whole:
            assert len(plan_embeds([partial], app)) == 1
        else:
            with pytest.raises(BadArtifact, match="links no kernels for quantized_decomposed"):
                plan_embeds([partial], app)
    package.write_text(linked + '// "kernels_optimized", "kernels_quantized"\n', encoding="utf-8")
    with pytest.raises(BadArtifact, match="links no kernels"):
        plan_embeds([partial], open_app(ios.root))


def test_a_program_whose_backend_the_app_does_not_link_is_refused(
    exported: dict[str, Artifact], ios: App, android: App, tmp_path: Path
) -> None:
    program = lower_program("fp16", delegate="coreml").artifact
    with pytest.raises(BadArtifact, match="does not link backend_coreml"):
        plan_embeds([program], ios)
    with pytest.raises(BadArtifact, match="executorch-coreml artifacts do not run there"):
        plan_embeds([program], android)
    package = next(ios.root.glob("*/Package.swift"))
    linked = package.read_text(encoding="utf-8")
    package.write_text(linked + '// "backend_coreml"\n', encoding="utf-8")
    with pytest.raises(BadArtifact, match="does not link backend_coreml"):
        plan_embeds([program], open_app(ios.root))
    package.write_text(linked.replace("xnnpack", "coreml"), encoding="utf-8")
    app = open_app(ios.root)
    embed_artifacts(plan_embeds([program], app), app)
    assert Artifact.open(app.models / program.path.stem / program.path.name).manifest == program.manifest
    with pytest.raises(BadArtifact, match="does not link backend_xnnpack"):
        plan_embeds([exported["executorch"]], app)
    own = open_app(find_app_folder("ios_demo"))
    assert {"backend_xnnpack", "backend_coreml"} <= own.libraries


def test_another_executorch_is_refused_with_both_versions(exported: dict[str, Artifact], tmp_path: Path) -> None:
    program = exported["executorch"]
    wrote = program.manifest.versions["executorch"]
    for make, file in ((ios_app, "Package.swift"), (android_app, "libs.versions.toml")):
        app = open_app(make(tmp_path / file, version="1.3.0"))
        with pytest.raises(BadApp, match=rf"links ExecuTorch 1\.3\.0 \(.*{file}\), .* written by {wrote}") as refused:
            plan_embeds([program], app)
        assert "`any_version=True`" in str(refused.value)
        assert len(plan_embeds([program], app, any_version=True)) == 1
        bare = open_app(make(tmp_path / f"bare-{file}", version=None))
        with pytest.raises(BadApp, match="names no version of ExecuTorch"):
            plan_embeds([program], bare)
    old = open_app(ios_app(tmp_path / "old", version="1.3.0"))
    assert plan_embeds([exported["coreml"]], old), "Core ML packages need no ExecuTorch"


def test_a_litert_model_goes_into_an_android_app_that_links_litert(tmp_path: Path) -> None:
    model = lower_model("int8").artifact
    app = open_app(android_app(tmp_path / "app", version=None, litert="2.3.0"))
    before = tree(app.root)
    embed_artifacts(plan_embeds([model], app), app)
    copy = Artifact.open(app.models / model.path.stem / model.path.name)
    assert copy.manifest == model.manifest
    assert read_goldens(copy) == read_goldens(model)
    remove_models(app, select_removable_models(app, []))
    assert tree(app.root) == before
    own = open_app(find_app_folder("android_demo"))
    assert {pin.target for pin in own.pins} == {"executorch", "litert"}
    assert plan_embeds([model], own)


def test_an_app_without_litert_or_with_an_older_one_is_refused(android: App, ios: App, tmp_path: Path) -> None:
    model = lower_model("int8").artifact
    wrote = model.manifest.versions["ai-edge-litert"]
    with pytest.raises(BadApp, match=f"names no version of LiteRT, and .* needs {wrote} or newer") as refused:
        plan_embeds([model], android)
    assert f'implementation("com.google.ai.edge.litert:litert:{wrote}")' in refused.value.hint
    assert plan_embeds([model], android, any_version=True)
    old = open_app(android_app(tmp_path / "old", litert="1.4.2"))
    with pytest.raises(BadApp, match=rf"links LiteRT 1\.4\.2 \(.*\), .* needs {wrote} or newer"):
        plan_embeds([model], old)
    assert plan_embeds([model], open_app(android_app(tmp_path / "newer", litert="99.0.0")))
    with pytest.raises(BadArtifact, match="cannot go into an iOS app: litert artifacts do not run there"):
        plan_embeds([model], ios)


def test_only_whole_goldens_go_into_an_app(exported: dict[str, Artifact], ios: App, tmp_path: Path) -> None:
    source = exported["executorch"]
    copy = tmp_path / source.path.name
    shutil.copyfile(source.path, copy)
    shutil.copyfile(get_manifest_path(source.path), get_manifest_path(copy))
    with pytest.raises(BadArtifact, match="goldens"):
        plan_embeds([Artifact.open(copy)], ios)
    with pytest.raises(BadArtifact, match="goldens"):
        plan_embeds([update_manifest(Artifact.open(copy), goldens=None)], ios)


def test_one_model_is_not_embedded_twice_at_once(exported: dict[str, Artifact], ios: App) -> None:
    with pytest.raises(BadArtifact, match="given twice"):
        plan_embeds([exported["coreml"], exported["coreml"]], ios)


def test_two_processes_that_embed_at_once_lose_no_model(
    exported: dict[str, Artifact], ios: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, copy = Barrier(2), module._copy_artifact

    def wait_and_copy(one: EmbedPlan, folder: Path) -> EmbeddedModel:
        with suppress(BrokenBarrierError):
            both.wait(0.5)
        return copy(one, folder)

    monkeypatch.setattr(module, "_copy_artifact", wait_and_copy)
    plans = [plan_embeds([exported[target]], ios) for target in ("coreml", "executorch")]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda plan: embed_artifacts(plan, ios), plans))
    assert {model.name for model in EmbedRecord.read(ios.models).models} == {plan[0].name for plan in plans}


def test_what_embed_put_there_is_replaced_only_when_asked(exported: dict[str, Artifact], ios: App) -> None:
    before, plans = tree(ios.root), plan_embeds([exported["executorch"]], ios)
    embed_artifacts(plans, ios)
    with pytest.raises(OutputExists, match="overwrite=True"):
        embed_artifacts(plans, ios)
    embed_artifacts(plans, ios, overwrite=True)
    remove_models(ios, select_removable_models(ios, []))
    assert tree(ios.root) == before


@pytest.mark.parametrize("embedded_before", [False, True])
def test_a_process_that_died_before_the_record_is_no_obstacle(
    embedded_before: bool, exported: dict[str, Artifact], ios: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed_artifacts(plan_embeds([exported["coreml"]], ios), ios)
    plans = plan_embeds([exported["executorch"]], ios)
    if embedded_before:
        embed_artifacts(plans, ios)
    with monkeypatch.context() as dying:
        dying.setattr(EmbedRecord, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            embed_artifacts(plans, ios, overwrite=True)
    assert "coreml" in EmbedRecord.read(ios.models).models[0].name, "the other model is no longer known"
    embed_artifacts(plans, ios, overwrite=embedded_before)
    assert len(EmbedRecord.read(ios.models).models) == 2
    select_removable_models(ios, [])


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("what", ["foreign", "changed", "added"])
def test_what_someone_else_put_there_is_never_replaced(exported: dict[str, Artifact], ios: App, what: str) -> None:
    plans = plan_embeds([exported["executorch"]], ios)
    folder = plans[0].folder
    if what != "foreign":
        embed_artifacts(plans, ios)
    written(folder / ("labels.txt" if what == "changed" else "notes.txt"), "mine")
    before = tree(ios.root)
    with pytest.raises(OutputExists):
        embed_artifacts(plans, ios, overwrite=True)
    assert tree(ios.root) == before


def test_a_changed_file_is_deleted_only_when_asked(exported: dict[str, Artifact], ios: App) -> None:
    before = tree(ios.root)
    embed_artifacts(plan_embeds([exported["executorch"]], ios), ios)
    written(ios.models / exported["executorch"].path.stem / "labels.txt", "mine")
    with pytest.raises(OutputExists, match=r"labels\.txt was changed"):
        select_removable_models(ios, [])
    remove_models(ios, select_removable_models(ios, [], overwrite=True))
    assert tree(ios.root) == before


def test_undo_leaves_what_someone_added(exported: dict[str, Artifact], ios: App) -> None:
    embed_artifacts(plan_embeds([exported["executorch"]], ios), ios)
    added = ios.models / exported["executorch"].path.stem / "notes.txt"
    written(added, "mine")
    assert remove_models(ios, select_removable_models(ios, [])) == (added.parent,)
    assert list(tree(ios.models).items()) == [(added.parent.name, None), (f"{added.parent.name}/notes.txt", b"mine")]


def test_undo_deletes_nothing_outside_the_models(exported: dict[str, Artifact], ios: App) -> None:
    """The record is a file that came with the app: whoever made it must not be able to name other files."""
    embed_artifacts(plan_embeds([exported["executorch"]], ios), ios)
    record = EmbedRecord.read(ios.models)
    outside = "../../DemoApp.swift"
    spoilt = record.models[0].model_copy(update={"files": {**record.models[0].files, outside: "0" * 64}})
    (ios.models / RECORD_NAME).write_text(record.model_copy(update={"models": (spoilt,)}).to_json(), encoding="utf-8")
    remove_models(ios, select_removable_models(ios, [], overwrite=True))
    assert (ios.root / "Demo" / "DemoApp.swift").exists()
    written(ios.models / RECORD_NAME, record.to_json().replace(f'"name": "{record.models[0].name}"', '"name": ".."'))
    with pytest.raises(BadApp, match=r"models\.0\.name"):
        select_removable_models(ios, [])


def test_a_damaged_record_is_named(exported: dict[str, Artifact], ios: App) -> None:
    written(ios.models / RECORD_NAME, "{")
    with pytest.raises(BadApp, match="not a record of what was embedded"):
        embed_artifacts(plan_embeds([exported["coreml"]], ios), ios)
    os.remove(ios.models / RECORD_NAME)
    with pytest.raises(BadApp, match="Nothing was embedded"):
        select_removable_models(ios, [])
