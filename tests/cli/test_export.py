"""`export` turns a checkpoint into verified artifacts for every target."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from shvit_mobile.cli.arguments import build_target_options, parse_share
from shvit_mobile.contracts.artifact import Artifact, get_manifest_path
from shvit_mobile.contracts.document import CHECKSUM_FIELD
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.manifest import TARGET_SUFFIXES
from shvit_mobile.drift.compare import compute_float_reference
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.export import ExportConfig, ExportPlan, conclude
from shvit_mobile.pipeline.steps import Steps
from shvit_mobile.targets.coreml import CoreMLOptions
from tests.cli.conftest import SPECIES, Call, ExportedFiles, SharedFiles

NAMES = {
    "coreml": "custom-192x160-coreml-int8.mlpackage",
    "executorch": "custom-192x160-executorch-int8.pte",
    "onnx": "custom-192x160-onnx-int8.onnx",
}
ONNX = ("--target", "onnx")


def test_37_classes_at_192x160_export_to_every_target_and_validate(exported: ExportedFiles) -> None:
    assert exported.stderr.read_text(encoding="utf-8").startswith("0\n"), exported.stderr.read_text(encoding="utf-8")
    artifacts = [path.name for path in exported.folder.iterdir() if path.suffix in TARGET_SUFFIXES.values()]
    assert sorted(artifacts) == sorted(NAMES.values())
    output = json.loads(exported.stdout.read_text(encoding="utf-8"))
    assert [Path(artifact["path"]).name for artifact in output["artifacts"]] == list(NAMES.values())
    for artifact in output["artifacts"]:
        manifest = json.loads(Path(artifact["manifest_path"]).read_text(encoding="utf-8"))
        assert manifest == artifact["manifest"]
        recipe = json.loads(Path(artifact["recipe_path"]).read_text(encoding="utf-8"))
        del recipe[CHECKSUM_FIELD]
        assert recipe == manifest["recipe"]
        assert manifest["recipe"]["calibration"]["count"] == 7
        assert manifest["labels"] == list(SPECIES)
        assert manifest["goldens"]["sha256"] == compute_sha256(Path(artifact["goldens_path"]))
        assert manifest["preprocessing"]["size"] == [192, 160]
        assert manifest["drift"]["images"] == 12
        assert manifest["drift"]["top1_drop"] is not None
        assert manifest["drift"]["sqnr_db"] < 60


def test_validate_measures_what_export_recorded(exported: ExportedFiles, world: SharedFiles, call: Call) -> None:
    out = exported.folder
    artifacts = [out / name for name in NAMES.values()]
    images = ("--images", world.specimens)
    result = call("validate", *artifacts, "--checkpoint", world.species, *images, "--max-drop", 100, "--json")
    assert result.exit_code == 0, result.output
    output = json.loads(result.stdout)
    assert output["rows"] == [
        json.loads(path.with_suffix(".manifest.json").read_text(encoding="utf-8"))["drift"] for path in artifacts
    ]
    assert output["gate"]["passed"] is True


def test_a_recipe_of_an_earlier_export_makes_the_same_artifact(
    exported: ExportedFiles, world: SharedFiles, tmp_path: Path, call: Call
) -> None:
    out = exported.folder
    recipe = out / "custom-192x160-coreml-int8.recipe.json"
    result = call("export", "--checkpoint", world.species, *ONNX, "--recipe", recipe, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert (tmp_path / NAMES["onnx"]).read_bytes() == (out / NAMES["onnx"]).read_bytes()


def test_a_recipe_with_layers_in_float_is_mixed_and_a_note_names_what_the_target_does_not_do(
    exported: ExportedFiles, world: SharedFiles, call: Call, tmp_path: Path
) -> None:
    recipe = json.loads((exported.folder / "custom-192x160-onnx-int8.recipe.json").read_text(encoding="utf-8"))
    recipe["float_layers"] = ["patch_embed.0"]
    recipe["float_kinds"] = [kind for kind in recipe["float_kinds"] if kind != "attention"]
    del recipe[CHECKSUM_FIELD]
    path = tmp_path / "mixed.json"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    shutil.copy(exported.folder / "custom-192x160-onnx-int8.recipe.safetensors", tmp_path / "mixed.safetensors")
    result = call("export", "--checkpoint", world.species, *ONNX, "--recipe", path, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    name = "custom-192x160-onnx-mixed.onnx"
    assert (tmp_path / name).exists()
    assert name in result.stdout
    assert f"note: {name}: onnx keeps attention in float" in " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def coarse(exported: ExportedFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe whose ranges are a thousand times too wide, so that int8 cannot tell values apart."""
    recipe = json.loads((exported.folder / "custom-192x160-onnx-int8.recipe.json").read_text(encoding="utf-8"))
    for layer in recipe["ranges"].values():
        for end in layer.values():
            end[:] = [1000 * value for value in end]
    del recipe[CHECKSUM_FIELD]
    path = tmp_path_factory.mktemp("recipe") / "coarse.json"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    shutil.copy(exported.folder / "custom-192x160-onnx-int8.recipe.safetensors", path.with_suffix(".safetensors"))
    return path


@pytest.fixture(scope="module")
def answers(world: SharedFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of the float model's predictions, so that only an artifact can be wrong."""
    model = load_checkpoint(world.species)
    images = open_images(world.specimens)
    chosen = compute_float_reference(model, images).logits.argmax(1)
    names = [file.relative_to(world.specimens).as_posix() for file in images.files]
    rows = [f"{name},{model.labels[index]}" for name, index in zip(names, chosen, strict=True)]
    path = tmp_path_factory.mktemp("answers") / "answers.csv"
    path.write_text("\n".join(["file,label", *rows]), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("gate", "sentence"), [("--min-agreement", "agreement is"), ("--max-drop", "the top-1 drop is")]
)
def test_a_gate_that_fails_ends_with_status_1_and_leaves_the_artifact(
    gate: str, sentence: str, coarse: Path, answers: Path, world: SharedFiles, tmp_path: Path, call: Call
) -> None:
    images = ("--labels-csv", answers, gate, 99 if gate == "--min-agreement" else 0.5)
    what = ("export", "--checkpoint", world.species, *ONNX, "--recipe", coarse, "--out", tmp_path)
    result = call(*what, "--validate", world.specimens, *images)
    assert result.exit_code == 1, result.output
    assert f"gate failed: {NAMES['onnx']}: {sentence}" in result.stderr
    assert f"stay in {tmp_path}" in " ".join(result.stderr.split())
    manifest = json.loads((tmp_path / "custom-192x160-onnx-int8.manifest.json").read_text(encoding="utf-8"))
    assert manifest["drift"]["float_top1"]["value"] == 1
    assert manifest["drift"]["top1_drop"] > 0.5

    again = ("validate", tmp_path / NAMES["onnx"], "--checkpoint", world.species, "--images", world.specimens)
    result = call(*again, *images, "--json")
    assert result.exit_code == 1, result.output
    assert sentence in json.loads(result.stdout)["gate"]["violations"][0]


def test_validate_updates_the_manifest_only_with_write(
    exported: ExportedFiles, world: SharedFiles, tmp_path: Path, call: Call
) -> None:
    artifact = exported.artifact("onnx")
    for path in (artifact, get_manifest_path(artifact)):
        shutil.copy(path, tmp_path)
    manifest = tmp_path / "custom-192x160-onnx-int8.manifest.json"
    before = manifest.read_bytes()
    args = ("validate", tmp_path / NAMES["onnx"], "--checkpoint", world.species, "--images", world.specimens)
    assert call(*args, "--count", 5).exit_code == 0
    assert manifest.read_bytes() == before
    assert call(*args, "--count", 5, "--write").exit_code == 0
    assert json.loads(manifest.read_text(encoding="utf-8"))["drift"]["images"] == 5


def test_dry_run_lists_the_files_and_writes_nothing(world: SharedFiles, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "out"
    args = ("export", "--checkpoint", world.checkpoint, "--target", "all", "--out", out, "--dry-run")
    result = call(*args, "--json")
    assert result.exit_code == 0, result.output
    output = json.loads(result.stdout)
    names = ("custom-64x48-coreml-fp16.mlpackage", "custom-64x48-executorch-fp32.pte", "custom-64x48-onnx-fp32.onnx")
    assert [file for file in output["files"] if Path(file).suffix in TARGET_SUFFIXES.values()] == [
        str(out / n) for n in names
    ]
    assert len(output["files"]) == 12
    assert (output["variant"], output["classes"], output["image_size"]) == ("custom", 7, "64x48")
    for_people = call(*args)
    assert for_people.exit_code == 0
    assert all(name in for_people.stdout for name in names)
    assert not out.exists()


def test_without_a_checkpoint_the_demo_model_and_its_images_are_used(tmp_path: Path, call: Call) -> None:
    args = ("export", *ONNX, "--quantize", "int8", "--max-drop", 0.5, "--out", tmp_path / "out", "--dry-run", "--json")
    result = call(*args)
    assert result.exit_code == 0, result.output
    output = json.loads(result.stdout)
    assert (output["variant"], output["classes"]) == ("shvit_s1", 10)
    assert (output["calibration"], output["validation"]) == ("200 images", "500 images")
    assert "No --checkpoint is given: this is the embedded demo model." in result.stderr


def test_options_reach_the_manifest(world: SharedFiles, tmp_path: Path, call: Call) -> None:
    names = tmp_path / "names.json"
    labels = ["[bold]", "[/b]", "c", "d", "e", "f", "g"]
    names.write_text(json.dumps({str(index): label for index, label in enumerate(labels)}), encoding="utf-8")
    pictures = ("--size", 32, "--crop", 1, "--mean", 0.5, 0.5, 0.25, "--std", 0.5, 1, 0.5, "--labels", names)
    args = ("export", "--checkpoint", world.checkpoint, *ONNX, "--opset", 19, "--static-batch", *pictures)
    result = call(*args, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "custom-32-onnx-fp32.manifest.json").read_text(encoding="utf-8"))
    assert manifest["options"] == {"opset": 19, "dynamic_batch": False}
    assert manifest["labels"][0] == "[bold]"
    preprocessing = manifest["preprocessing"]
    assert (preprocessing["size"], preprocessing["crop_ratio"]) == ([32, 32], 1)
    assert (preprocessing["mean"], preprocessing["std"]) == ([0.5, 0.5, 0.25], [0.5, 1, 0.5])
    # Rich would read these labels as markup.
    assert "7: [bold], [/b], c, d, e, …" in call("inspect", tmp_path / "custom-32-onnx-fp32.onnx").stdout


def test_coreml_and_calibration_options_reach_the_manifest(world: SharedFiles, tmp_path: Path, call: Call) -> None:
    args = ("export", "--checkpoint", world.checkpoint, "--target", "coreml", "--out", tmp_path, "--layout", "einsum")
    weights = ("--quantize", "int8-weights", "--block", 4, "--deployment-target", "iOS18")
    result = call(*args, *weights)
    assert result.exit_code == 0, result.output
    manifest = json.loads(
        (tmp_path / "custom-64x48-coreml-int8-weights-block4-einsum.manifest.json").read_text(encoding="utf-8")
    )
    assert (manifest["options"]["block"], manifest["options"]["layout"]) == (4, "einsum")
    calibrated = ("--quantize", "int8", "--calibration", world.pictures, "--calibration-count", 3)
    # The head was fitted to a few pictures, which int8 cannot follow: a gate decides instead of the verification.
    gate = ("--validate", world.pictures, "--min-agreement", 0)
    result = call(*args, *calibrated, *gate, "--observer", "mse", "--activations", "symmetric")
    assert result.exit_code == 0, result.output
    recipe = json.loads((tmp_path / "custom-64x48-coreml-int8-einsum.recipe.json").read_text(encoding="utf-8"))
    assert (recipe["observer"], recipe["activations"]) == ("mse", "symmetric")


def test_inspect_describes_the_delegation(exported: ExportedFiles, call: Call) -> None:
    shown = call("inspect", exported.folder / NAMES["executorch"])
    assert re.search(r"XnnpackBackend runs all \d+ operators, in one delegate", " ".join(shown.stdout.split()))


def test_too_few_delegated_operators_fail_the_gate(exported: ExportedFiles, world: SharedFiles) -> None:
    artifact = Artifact.open(exported.folder / NAMES["executorch"])
    assert artifact.manifest.delegation is not None
    trained = load_checkpoint(world.species)
    plan = ExportPlan(ExportConfig(), trained, (), None, None, None, None, (), None)
    assert conclude(plan, [artifact], Steps(None)).verdict is None
    left = artifact.manifest.delegation.model_copy(update={"left_operators": {"aten::native_group_norm.out": 1}})
    short = Artifact(artifact.path, artifact.manifest.model_copy(update={"delegation": left}))
    result = conclude(plan, [short], Steps(None))
    assert not result.passed
    assert result.verdict is not None
    (violation,) = result.verdict.violations
    assert "XNNPACK has no group norm" in violation


@pytest.mark.parametrize(("text", "share"), [("100%", 1.0), ("0", 0.0), (" 97.5 % ", 0.975)])
def test_a_share_is_in_percent(text: str, share: float) -> None:
    assert parse_share("--require-delegated", text) == pytest.approx(share)


def test_flags_become_the_options_of_their_target() -> None:
    flags = {"input": ("--input", "tensor"), "classifier": ("--no-classifier", False), "x": ("--x", None)}
    assert build_target_options(["coreml"], {"coreml": flags}) == {
        "coreml": CoreMLOptions(input="tensor", classifier=False)
    }
    assert build_target_options(["coreml"], {"onnx": {"opset": ("--opset", None)}}) == {}


def test_a_model_card_lists_the_artifacts_and_their_drift(world: SharedFiles, tmp_path: Path, call: Call) -> None:
    out, card = tmp_path / "out", tmp_path / "out" / "README.md"
    args = ("export", "--checkpoint", world.checkpoint, *ONNX, "--out", out, "--card", "--license", "apache-2.0")
    planned = call(*args, "--dry-run", "--json")
    assert str(card) in json.loads(planned.stdout)["files"]
    assert not out.exists()
    result = call(*args, "--validate", world.pictures)
    assert result.exit_code == 0, result.output
    assert f"The model card is {card}." in result.stdout
    text = card.read_text(encoding="utf-8")
    assert "\nlicense: apache-2.0\n" in text
    assert "name: pictures (14 images)" in text
    (artifact,) = out.glob("*.onnx")
    assert f"| `{artifact.name}` | native | " in text
    assert Artifact.open(artifact).manifest.artifact.sha256 in text


def test_a_card_does_not_replace_your_own_readme(world: SharedFiles, tmp_path: Path, call: Call) -> None:
    (tmp_path / "README.md").write_text("# Mine", encoding="utf-8")
    args = ("export", "--checkpoint", world.checkpoint, *ONNX, "--out", tmp_path)
    result = call(*args, "--card", "--overwrite")
    assert result.exit_code == 2
    assert f"{tmp_path / 'README.md'}" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    for more, message in (
        (("--license", "mit"), "without --card"),
        (("--card", "--license", "MIT"), "--license is 'MIT'"),
    ):
        assert message in call(*args, *more).stderr
