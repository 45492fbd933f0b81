"""`finetune` makes a poor recipe better at the command line, and says so where it could not."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path

import pytest

from shvit_mobile.cli.finetune import finetune
from shvit_mobile.contracts.recipe import ActivationRange, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.families.checkpoints import load_checkpoint, save_checkpoint
from shvit_mobile.images.image_set import open_images
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quantize.overrides import load_overrides
from tests.builders import build_random_shvit, build_trained_model
from tests.cli.conftest import LABELS, Call, SharedFiles

QUICK = ("--epochs", 1, "--batch", 4, "--learning-rate", 0.3)


@pytest.fixture(scope="module")
def world(world: SharedFiles, tmp_path_factory: pytest.TempPathFactory) -> SharedFiles:
    """The shared files, with a random head: one that was fitted to a few pictures is hopeless in int8."""
    checkpoint = tmp_path_factory.mktemp("random") / "tiny.safetensors"
    save_checkpoint(replace(build_trained_model(build_random_shvit(), size=(64, 48)), labels=LABELS), checkpoint)
    return replace(world, checkpoint=checkpoint)


@pytest.fixture(scope="module")
def good(world: SharedFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    deployed = to_deploy_form(load_checkpoint(world.checkpoint))
    path = tmp_path_factory.mktemp("good") / "recipe.json"
    path.write_text(calibrate_recipe(deployed, open_images(world.pictures))[0].to_json(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def poor(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that cuts off more than half of each range."""
    recipe = Recipe.load(good)
    ranges = {
        name: ActivationRange(input=seen.input, output=(0.4 * seen.output[0], 0.4 * seen.output[1]))
        for name, seen in recipe.ranges.items()
    }
    path = tmp_path_factory.mktemp("poor") / "recipe.json"
    path.write_text(recipe.model_copy(update={"ranges": ranges}).to_json(), encoding="utf-8")
    return path


def test_a_poor_recipe_gets_better_and_exports(world: SharedFiles, poor: Path, tmp_path: Path, call: Call) -> None:
    out, model = tmp_path / "tuned.json", ("--checkpoint", world.checkpoint)
    result = call("finetune", world.pictures, *model, "--recipe", poor, *QUICK, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["recipe"], told["helped"], told["best"], len(told["epochs"])) == (str(out), True, 1, 1)
    assert told["epochs"][0]["sqnr_db"] > told["before"]["sqnr_db"]
    recipe = Recipe.load(out)
    assert recipe.ranges == Recipe.load(poor).ranges
    assert load_overrides(out, recipe) is not None
    exported = call("export", *model, "--target", "onnx", "--recipe", out, "--out", tmp_path / "artifacts")
    assert exported.exit_code == 0, exported.output
    assert Recipe.load(next((tmp_path / "artifacts").glob("*.recipe.json"))) == recipe


def test_what_is_no_better_is_written_only_where_that_is_asked_for(
    world: SharedFiles, good: Path, tmp_path: Path, call: Call
) -> None:
    out = tmp_path / "tuned.json"
    args = ("finetune", world.pictures, "--checkpoint", world.checkpoint, "--recipe", good, *QUICK[:-1], 60)
    refused = call(*args, "--out", out)
    assert refused.exit_code == 1
    assert "Training did not help: " in refused.stderr
    assert "Nothing was written." in refused.stderr
    assert not list(tmp_path.iterdir())
    kept = call(*args, "--out", out, "--keep-anyway")
    assert kept.exit_code == 0, kept.output
    assert "Training did not help" in kept.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"tuned.json", "tuned.safetensors"}
    assert Recipe.load(out).corrections is not None


def test_the_table_has_a_line_for_the_recipe_as_it_was_and_one_an_epoch(
    world: SharedFiles, poor: Path, tmp_path: Path, call: Call
) -> None:
    args = ("finetune", world.pictures, "--checkpoint", world.checkpoint, "--recipe", poor, *QUICK, "--epochs", 2)
    result = call(*args, "--out", tmp_path / "tuned.json")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert "3 held-out images" in result.stdout
    assert [line[0] for line in lines[-3:]] == ["before", "1", "2"]
    assert sum("best" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"--recipe": "missing.json"}, "missing.json does not exist"),
        ({"DIR": "unlabelled"}, "have no labels"),
        ({"--recipe": "dynamic.json"}, "The recipe's precision is int8-dynamic, and fine-tuning is for int8."),
        ({"--recipe": "other.json"}, "The recipe does not fit custom: it names other.layer"),
        ({"--out": "there.json"}, "there.json already exists."),
        ({"--out": "half.json"}, "half.safetensors already exists."),
        ({"--out": "recipe.safetensors"}, "--out is recipe.safetensors."),
        ({"--device": "abacus"}, "--device is 'abacus'"),
        ({"--learning-rate": "0"}, "--learning-rate is 0."),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:20],
)
def test_what_cannot_be_done_is_refused_in_words(
    change: dict[str, str],
    sentence: str,
    world: SharedFiles,
    good: Path,
    tmp_path: Path,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = Recipe.load(good)
    other = recipe.model_copy(update={"ranges": {"other.layer": recipe.ranges["patch_embed.0"]}})
    Path("dynamic.json").write_text(Recipe(precision="int8-dynamic").to_json(), encoding="utf-8")
    Path("other.json").write_text(other.to_json(), encoding="utf-8")
    Path("there.json").touch()
    Path("half.safetensors").touch()
    before = sorted(tmp_path.iterdir())
    asked = {"--checkpoint": world.checkpoint, "--recipe": good, "--out": "tuned.json", "DIR": world.pictures} | change
    folder = world.unlabelled if asked.pop("DIR") == "unlabelled" else world.pictures
    result = call("finetune", folder, *(part for pair in asked.items() for part in pair))
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert result.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


def test_the_trained_recipe_has_a_name_of_its_own_by_default() -> None:
    default = inspect.signature(finetune).parameters["out"].default
    assert default == Path("recipe-finetuned.json")
