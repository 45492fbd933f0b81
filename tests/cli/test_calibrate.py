"""`calibrate` writes a recipe that `export` accepts, continues from its cache, and holds a budget or fails."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shvit_mobile.contracts.recipe import PASS_NAMES, PTQ_PASSES, ActivationRange, Recipe
from shvit_mobile.contracts.sensitivity import SensitivityReport
from shvit_mobile.drift.compare import compute_float_reference
from shvit_mobile.families.checkpoints import load_checkpoint, save_checkpoint
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.calibrate import CalibrateConfig, calibrate
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quantize.calibration_cache import CalibrationCache
from shvit_mobile.quantize.overrides import CalibratedRecipe, ParameterOverrides, load_recipe
from tests.builders import write_picture_folder
from tests.cli.conftest import LABELS, Call, SharedFiles


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def undecided(world: SharedFiles, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint that predicts many classes for the pictures of a folder, each by a small margin; and the folder."""
    folder = tmp_path_factory.mktemp("undecided")
    write_picture_folder(folder / "pictures", count=28, classes=LABELS, size=(70, 50))
    model = load_checkpoint(world.checkpoint)
    logits = torch.from_numpy(compute_float_reference(model, open_images(folder / "pictures")).logits)
    with torch.no_grad():
        model.model.head.l.weight /= logits.std(0)[:, None]
        model.model.head.l.bias.copy_((model.model.head.l.bias - logits.mean(0)) / logits.std(0))
    save_checkpoint(model, folder / "model.safetensors")
    return folder / "model.safetensors", folder / "pictures"


def build_args(world: SharedFiles, cache: Path, *more: object) -> tuple[object, ...]:
    return "calibrate", world.pictures, "--checkpoint", world.checkpoint, "--count", 10, "--cache", cache, *more


def test_the_recipe_has_its_overrides_beside_it_and_export_accepts_it(
    world: SharedFiles, cache: Path, tmp_path: Path, call: Call
) -> None:
    result = call(*build_args(world, cache, "--out", tmp_path / "calibration"))
    assert result.exit_code == 0, result.output
    assert {file.name for file in (tmp_path / "calibration").iterdir()} >= {"recipe.json", "sensitivity.json"}
    recipe = Recipe.load(tmp_path / "calibration" / "recipe.json")
    assert tuple(gain.step for gain in recipe.steps) == PTQ_PASSES
    assert all(PASS_NAMES[gain.step] in result.stdout for gain in recipe.steps)
    assert recipe.calibration is not None
    assert (recipe.calibration.count, recipe.calibration.variants) == (10, 22)
    assert any(gain.kept for gain in recipe.steps)
    assert load_recipe(tmp_path / "calibration" / "recipe.json")[1] is not None
    sensitivity = SensitivityReport.load(tmp_path / "calibration" / "sensitivity.json")
    assert {row.layer for row in sensitivity.layers} == set(recipe.ranges)
    out = tmp_path / "artifacts"
    recipe_file = tmp_path / "calibration" / "recipe.json"
    # A head that was fitted to a few pictures is poor in int8; with a gate, that decides.
    gate = ("--validate", world.pictures, "--min-agreement", 0)
    model = ("--checkpoint", world.checkpoint, "--target", "onnx")
    exported = call("export", *model, "--recipe", recipe_file, *gate, "--out", out)
    assert exported.exit_code == 0, exported.output
    assert Recipe.load(next(out.glob("*.recipe.json"))) == recipe


def test_the_second_run_reuses_the_results_of_the_first(
    world: SharedFiles, cache: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = call(*build_args(world, cache, "--out", tmp_path / "first", "--json"))
    assert first.exit_code == 0, first.output

    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed again what is in the cache")

    monkeypatch.setattr("shvit_mobile.pipeline.calibrate.calibrate_recipe", never)
    monkeypatch.setattr("shvit_mobile.pipeline.calibrate.measure_sensitivity", never)
    second = call(*build_args(world, cache, "--out", tmp_path / "second", "--json"))
    assert second.exit_code == 0, second.output
    assert json.loads(second.stdout) == json.loads(first.stdout)


def test_an_interrupted_run_continues(
    world: SharedFiles, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = call(*build_args(world, tmp_path / "one", "--out", tmp_path / "whole", "--no-sensitivity", "--json"))
    save_recipe = CalibrationCache.save_recipe

    def interrupt(cache: CalibrationCache, recipe: Recipe, overrides: ParameterOverrides | None) -> None:
        save_recipe(cache, recipe, overrides)
        if len(recipe.steps) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(CalibrationCache, "save_recipe", interrupt)
    broken = call(*build_args(world, tmp_path / "two", "--out", tmp_path / "calibration", "--no-sensitivity", "--json"))
    assert broken.exit_code != 0
    assert not (tmp_path / "calibration").exists()
    monkeypatch.undo()
    again = call(*build_args(world, tmp_path / "two", "--out", tmp_path / "calibration", "--no-sensitivity", "--json"))
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout) == json.loads(whole.stdout)
    for name in ("recipe.json", "recipe.safetensors"):
        assert (tmp_path / "calibration" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_python_and_the_command_line_find_the_same_layers_and_a_looser_budget_runs_nothing_again(
    undecided: tuple[Path, Path], tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, pictures = undecided
    command = call(
        *("calibrate", pictures, "--checkpoint", checkpoint, "--count", 2, "--pass", "none", "--validate", pictures),
        *("--min-agreement", 100, "--cache", tmp_path / "cache", "--out", tmp_path / "command", "--json"),
    )
    assert command.exit_code == 0, command.output
    config = CalibrateConfig(
        checkpoint=checkpoint,
        calibration=pictures,
        calibration_count=2,
        passes=(),
        validation=pictures,
        min_agreement=1.0,
        cache=tmp_path / "another cache",
        out=tmp_path / "python",
    )
    result = calibrate(config)
    assert result.search is not None
    assert result.search.chosen.row.agreement.value == 1
    assert result.recipe.float_layers == result.search.float_layers != ()
    assert len(result.search.notes) >= 1
    found = json.loads(command.stdout)
    assert tuple(found.pop("notes")) == result.notes
    for name, document in found.items():
        file = tmp_path / "python" / f"{name}.json"
        assert json.loads(file.read_text(encoding="utf-8")) == document
        assert file.read_bytes() == (tmp_path / "command" / file.name).read_bytes()

    def never(*_: object, **__: object) -> None:
        raise AssertionError("ran again what is in the cache")

    monkeypatch.setattr("shvit_mobile.pipeline.budget_search.lower", never)
    monkeypatch.setattr("shvit_mobile.pipeline.calibrate.measure_sensitivity", never)
    looser = calibrate(replace(config, min_agreement=0.02, out=tmp_path / "looser"))
    assert looser.search is not None
    assert (looser.recipe.float_layers, looser.search.notes) == ((), ())
    assert looser.search.points[0].row == result.search.points[0].row


def test_a_budget_is_not_verified_on_the_calibration_images(
    world: SharedFiles, cache: Path, tmp_path: Path, call: Call
) -> None:
    result = call(*build_args(world, cache, "--max-drop", 1, "--out", tmp_path / "calibration"))
    assert result.exit_code == 2
    assert "calibration leaves 4 of 14 images" in result.stderr
    assert "--validate" in result.stderr


def test_a_budget_is_verified_on_the_images_that_calibration_leaves_if_they_are_enough(
    world: SharedFiles, tmp_path: Path, call: Call
) -> None:
    pictures = tmp_path / "many"
    write_picture_folder(pictures, count=112, classes=LABELS, size=(20, 16))
    result = call(
        *("calibrate", pictures, "--checkpoint", world.checkpoint, "--count", 8, "--cache", tmp_path / "cache"),
        *("--step", "none", "--max-drop", 100, "--out", tmp_path / "calibration", "--json", "--accept-baseline"),
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["search"]["images"]["count"] == 104
    assert any("of 104 labelled images" in note for note in json.loads(result.stdout)["notes"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ("--pass", "polish"),
            "'polish' is not a PTQ pass.*exact-input, equalize, clip-weights, gptq, bias-correction, none",
        ),
        (("--pass", "none", "--step", "round"), "--pass none is given with other passes"),
        (("--sampling", "sorted"), "'sorted' is not a sampling.*balanced, random"),
        (("--observer", "mean"), "'mean' is not an observer"),
        (("--cost", "price", "--max-drop", 1), "'price' is not a cost.*bytes, macs, latency, arm64"),
        (("--cost", "macs"), "--cost macs is given without a budget.*--max-drop 0.5"),
        (("--cpu", "neon", "--max-drop", 1), "--cpu is given without --cost arm64.*Set --cost arm64"),
        (("--cost", "arm64", "--cpu", "a53", "--max-drop", 1), "'a53' is not a CPU.*neon, dotprod, i8mm"),
        (("--validate-count", 5), "--validate-count is given without a budget"),
        (("--max-drop", 1, "--no-sensitivity"), "--no-sensitivity"),
    ],
)
def test_wrong_options_are_refused(
    world: SharedFiles, cache: Path, tmp_path: Path, call: Call, more: tuple[object, ...], message: str
) -> None:
    verifying = ("--validate", world.pictures) if "--max-drop" in more else ()
    result = call(*build_args(world, cache, *more, *verifying, "--out", tmp_path / "calibration"))
    assert result.exit_code == 2
    assert re.search(message, " ".join(result.stderr.split())), result.stderr
    assert not (tmp_path / "calibration").exists()


@pytest.mark.parametrize("variable", ["SHVIT_ARM64", "SHVIT_ARM64_COUNTER"])
def test_instructions_without_the_emulator_are_refused_before_anything_runs(
    world: SharedFiles, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "nowhere"))
    budget = ("--cost", "arm64", "--max-drop", 1, "--validate", world.pictures, "--out", tmp_path / "calibration")
    result = call(*build_args(world, tmp_path / "cache", *budget))
    assert result.exit_code == 2
    assert "is not set up on this machine" in result.stderr
    assert "shvit-mobile doctor --install arm64" in result.stderr
    assert not (tmp_path / "calibration").exists()
    assert not (tmp_path / "cache").exists()


def test_a_checkpoint_without_images_and_an_existing_recipe_are_refused(
    world: SharedFiles, cache: Path, tmp_path: Path, call: Call
) -> None:
    nothing = call("calibrate", "--checkpoint", world.checkpoint, "--out", tmp_path / "calibration")
    assert nothing.exit_code == 2
    assert "No images are given." in nothing.stderr
    (tmp_path / "calibration").mkdir()
    (tmp_path / "calibration" / "recipe.json").write_text("mine", encoding="utf-8")
    existing = call(*build_args(world, cache, "--out", tmp_path / "calibration"))
    assert existing.exit_code == 2
    assert (tmp_path / "calibration" / "recipe.json").read_text(encoding="utf-8") == "mine"


def test_export_keeps_layers_in_float_for_a_budget_that_int8_misses(
    undecided: tuple[Path, Path], tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ranges of the stem are so wide that int8 loses everything there; the budget holds all the same."""
    checkpoint, pictures = undecided
    ruined = ("patch_embed.0", "patch_embed.2")

    def ruin(*given: object, **options: object) -> CalibratedRecipe:
        recipe, overrides = calibrate_recipe(*given, **options)  # type: ignore[arg-type]
        ranges = dict(recipe.ranges)
        for name in ruined:
            low, high = ranges[name].output
            ranges[name] = ActivationRange(input=ranges[name].input, output=(1e4 * low, 1e4 * high))
        return recipe.model_copy(update={"ranges": ranges}), overrides

    monkeypatch.setattr("shvit_mobile.pipeline.calibrate.calibrate_recipe", ruin)
    result = call(
        *("export", "--checkpoint", checkpoint, "--target", "onnx", "--quantize", "int8", "--step", "none"),
        *("--calibration", pictures, "--validate", pictures, "--min-agreement", 75),
        *("--out", tmp_path),
    )
    assert result.exit_code == 0, result.output
    (recipe_file,) = tmp_path.glob("*.recipe.json")
    assert set(Recipe.load(recipe_file).float_layers) & set(ruined)
    assert "-mixed" in recipe_file.name
