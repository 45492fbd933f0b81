"""`calibrate` makes a recipe that export takes, goes on where it was left, and holds a budget or says why not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from shvit_mobile.contracts.recipe import PTQ_PASSES, Recipe
from shvit_mobile.contracts.sensitivity import SensitivityReport
from shvit_mobile.drift.compare import compute_float_reference
from shvit_mobile.families.checkpoints import load_checkpoint, save_checkpoint
from shvit_mobile.images.image_set import open_images
from shvit_mobile.quantize.calibration_cache import CalibrationCache
from shvit_mobile.quantize.overrides import load_overrides
from tests.builders import write_picture_folder
from tests.cli.conftest import LABELS, Call, SharedFiles


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def undecided(world: SharedFiles, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint that gives the pictures of a folder many classes, each by little; and the folder."""
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


def test_the_recipe_has_its_corrections_beside_it_and_export_takes_it(
    world: SharedFiles, cache: Path, tmp_path: Path, call: Call
) -> None:
    result = call(*build_args(world, cache, "--out", tmp_path / "made"))
    assert result.exit_code == 0, result.output
    assert {file.name for file in (tmp_path / "made").iterdir()} >= {"recipe.json", "sensitivity.json"}
    recipe = Recipe.load(tmp_path / "made" / "recipe.json")
    assert tuple(gain.step for gain in recipe.steps) == PTQ_PASSES
    assert all(gain.step in result.stdout for gain in recipe.steps)
    assert recipe.calibration is not None
    assert (recipe.calibration.count, recipe.calibration.variants) == (10, 22)
    assert any(gain.kept for gain in recipe.steps)
    assert load_overrides(tmp_path / "made" / "recipe.json", recipe) is not None
    sensitivity = SensitivityReport.load(tmp_path / "made" / "sensitivity.json")
    assert {row.layer for row in sensitivity.layers} == set(recipe.ranges)
    out = tmp_path / "artifacts"
    recipe_file = tmp_path / "made" / "recipe.json"
    exported = call(
        "export", "--checkpoint", world.checkpoint, "--target", "onnx", "--recipe", recipe_file, "--out", out
    )
    assert exported.exit_code == 0, exported.output
    assert Recipe.load(next(out.glob("*.recipe.json"))) == recipe


def test_the_second_run_takes_what_the_first_has_found(
    world: SharedFiles, cache: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = call(*build_args(world, cache, "--out", tmp_path / "first", "--json"))
    assert first.exit_code == 0, first.output

    def never(*_: object, **__: object) -> None:
        raise AssertionError("made again what was kept")

    monkeypatch.setattr("shvit_mobile.quantize.calibrate.run_ptq_passes", never)
    monkeypatch.setattr("shvit_mobile.quantize.sensitivity.measure_sensitivity", never)
    second = call(*build_args(world, cache, "--out", tmp_path / "second", "--json"))
    assert second.exit_code == 0, second.output
    assert json.loads(second.stdout) == json.loads(first.stdout)


def test_an_interrupted_run_goes_on(
    world: SharedFiles, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = call(*build_args(world, tmp_path / "one", "--out", tmp_path / "whole", "--no-sensitivity", "--json"))
    kept = CalibrationCache.save_recipe

    def interrupted(study: CalibrationCache, recipe: Recipe) -> None:
        kept(study, recipe)
        if len(recipe.steps) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(CalibrationCache, "keep_recipe", interrupted)
    broken = call(*build_args(world, tmp_path / "two", "--out", tmp_path / "made", "--no-sensitivity", "--json"))
    assert broken.exit_code != 0
    assert not (tmp_path / "made").exists()
    monkeypatch.undo()
    again = call(*build_args(world, tmp_path / "two", "--out", tmp_path / "made", "--no-sensitivity", "--json"))
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout) == json.loads(whole.stdout)
    for name in ("recipe.json", "recipe.safetensors"):
        assert (tmp_path / "made" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_budget_is_held_with_layers_in_float_and_a_wider_one_needs_fewer(
    undecided: tuple[Path, Path], cache: Path, tmp_path: Path, call: Call
) -> None:
    checkpoint, pictures = undecided
    floats = []
    for agreement in (100, 2):
        out = tmp_path / str(agreement)
        result = call(
            *("calibrate", pictures, "--checkpoint", checkpoint, "--count", 2, "--step", "none", "--cache", cache),
            *("--min-agreement", agreement, "--validate", pictures, "--out", out, "--json"),
        )
        assert result.exit_code == 0, result.output
        told = json.loads(result.stdout)
        recipe = Recipe.load(out / "recipe.json")
        assert list(recipe.float_layers) == told["search"]["float_layers"]
        taken = next(point for point in told["search"]["points"] if point["float_layers"] == list(recipe.float_layers))
        assert taken["row"]["agreement"]["value"] >= agreement / 100
        assert json.loads((out / "search.json").read_text()) == told["search"]
        floats.append(len(recipe.float_layers))
    assert floats[1] == 0 < floats[0]


def test_a_budget_is_not_verified_on_what_the_recipe_was_made_of(
    world: SharedFiles, cache: Path, tmp_path: Path, call: Call
) -> None:
    result = call(*build_args(world, cache, "--max-drop", 1, "--out", tmp_path / "made"))
    assert result.exit_code == 2
    assert "calibration leaves 4 of 14 images to verify it on" in result.stderr
    assert "--validate DIR" in result.stderr


def test_what_calibration_leaves_serves_where_it_is_enough(world: SharedFiles, tmp_path: Path, call: Call) -> None:
    pictures = tmp_path / "many"
    write_picture_folder(pictures, count=112, classes=LABELS, size=(20, 16))
    made = call(
        *("calibrate", pictures, "--checkpoint", world.checkpoint, "--count", 8, "--cache", tmp_path / "cache"),
        *("--step", "none", "--max-drop", 100, "--out", tmp_path / "made", "--json"),
    )
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["search"]["images"]["count"] == 104


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--step", "polish"), "'polish' is not a step.*whole-pixels, equalise, clip, round, bias, none"),
        (("--step", "none", "--step", "round"), "--step none is given with other steps"),
        (("--sampling", "sorted"), "'sorted' is not a sampling.*balanced, random"),
        (("--observer", "mean"), "'mean' is not an observer"),
        (("--cost", "price", "--max-drop", 1), "'price' is not a cost.*bytes, macs, latency"),
        (("--validate-count", 5), "--validate-count is given without a budget"),
        (("--max-drop", 1, "--no-sensitivity"), "--no-sensitivity"),
    ],
)
def test_wrong_options_are_told(
    world: SharedFiles, cache: Path, tmp_path: Path, call: Call, more: tuple[object, ...], told: str
) -> None:
    verifying = ("--validate", world.pictures) if "--max-drop" in more else ()
    result = call(*build_args(world, cache, *more, *verifying, "--out", tmp_path / "made"))
    assert result.exit_code == 2
    assert re.search(told, " ".join(result.stderr.split())), result.stderr
    assert not (tmp_path / "made").exists()


def test_a_checkpoint_without_images_and_a_recipe_that_is_there_are_refused(
    world: SharedFiles, cache: Path, tmp_path: Path, call: Call
) -> None:
    nothing = call("calibrate", "--checkpoint", world.checkpoint, "--out", tmp_path / "made")
    assert nothing.exit_code == 2
    assert "No images are given." in nothing.stderr
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "recipe.json").write_text("mine")
    there = call(*build_args(world, cache, "--out", tmp_path / "made"))
    assert there.exit_code == 2
    assert (tmp_path / "made" / "recipe.json").read_text() == "mine"


def test_export_gives_up_layers_for_a_budget_that_int8_does_not_hold(
    undecided: tuple[Path, Path], tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stem's ranges are so wide that int8 tells nothing apart there; the budget is held all the same."""
    from shvit_mobile.contracts.recipe import ActivationRange
    from shvit_mobile.quantize import calibrate as module

    checkpoint, pictures = undecided
    honest, spoilt = module.calibrate, ("patch_embed.0", "patch_embed.2")

    def coarse(*given: object, **options: object) -> Recipe:
        recipe = honest(*given, **options)  # type: ignore[arg-type]
        ranges = dict(recipe.ranges)
        for name in spoilt:
            low, high = ranges[name].output
            ranges[name] = ActivationRange(input=ranges[name].input, output=(1e4 * low, 1e4 * high))
        return recipe.model_copy(update={"ranges": ranges})

    monkeypatch.setattr(module, "calibrate", coarse)
    result = call(
        *("export", "--checkpoint", checkpoint, "--target", "onnx", "--quantize", "int8", "--step", "none"),
        *("--calibration", pictures, "--validate", pictures, "--min-agreement", 75),
        *("--out", tmp_path),
    )
    assert result.exit_code == 0, result.output
    (made,) = tmp_path.glob("*.recipe.json")
    assert set(Recipe.load(made).float_layers) & set(spoilt)
    assert "-mixed" in made.name
