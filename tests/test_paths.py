"""Whoever calls the library from Python gives a path as text or as a `Path`, or as anything that `os.fspath` takes."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import shvit_mobile
from shvit_mobile.apps.collect import collect_device_reports
from shvit_mobile.apps.known_artifacts import open_manifests
from shvit_mobile.apps.projects import open_app
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.document import Document
from shvit_mobile.contracts.fingerprints import compute_sha256, compute_size_bytes
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.contracts.schemas import DOCUMENT_TYPES
from shvit_mobile.errors import OutputExists
from shvit_mobile.images.decode import decode_image
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.demo import run_demo
from shvit_mobile.pipeline.goldens import load_golden_image
from shvit_mobile.quantize.overrides import load_recipe, save_recipe
from shvit_mobile.report.join import build_report
from shvit_mobile.runtimes.apple_profiler import SkippedMeasurement, load_compute_plan, measure_on_device
from shvit_mobile.targets.pte import inspect_program
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder
from tests.fixtures import FIXTURES

APP = Path(__file__).parents[1] / "ios_demo"


@dataclass(frozen=True)
class Elsewhere:
    """A path of a kind of its own, as other libraries have them."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)


KINDS = {"str": str, "Path": Path, "os.PathLike": Elsewhere}
Kind = Callable[[Path], Any]


@pytest.fixture(params=KINDS)
def as_given(request: pytest.FixtureRequest) -> Kind:
    """Makes a path into what the caller gives."""
    return KINDS[request.param]


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny model on each target."""
    deployed = shvit_mobile.to_deploy_form(build_trained_model(build_random_shvit(), size=(48, 64)))
    out = tmp_path_factory.mktemp("artifacts")
    recipe = Recipe(precision="fp32")
    return {
        target: shvit_mobile.lower(deployed, recipe, target, out).path for target in ("coreml", "executorch", "onnx")
    }


def test_images_and_their_table(as_given: Kind, tmp_path: Path) -> None:
    pictures = write_picture_folder(tmp_path / "photos", count=2)
    table = tmp_path / "labels.csv"
    table.write_text("".join(f"{file.name},cat\n" for file in sorted(pictures.iterdir())), encoding="utf-8")
    images = open_images(as_given(pictures), csv=as_given(table))
    assert len(images) == 2
    assert images.root == pictures
    assert images == open_images(pictures, csv=table)
    assert open_images(as_given(images.files[0])).files == images.files[:1]
    assert decode_image(as_given(images.files[0])).size == decode_image(images.files[0]).size
    assert load_golden_image(as_given(images.files[0])) == load_golden_image(images.files[0])


def test_checkpoints(as_given: Kind, tmp_path: Path) -> None:
    model = build_trained_model(build_random_shvit(), size=(48, 64))
    shvit_mobile.save_checkpoint(model, as_given(tmp_path / "model.safetensors"))
    assert shvit_mobile.load_checkpoint(as_given(tmp_path / "model.safetensors")).labels == model.labels


def test_lowering_and_opening(as_given: Kind, tmp_path: Path) -> None:
    deployed = shvit_mobile.to_deploy_form(build_trained_model(build_random_shvit(), size=(48, 64)))
    made = shvit_mobile.lower(deployed, Recipe(precision="fp32"), "onnx", as_given(tmp_path / "out"))
    assert made.path.parent == tmp_path / "out"
    assert Artifact.open(as_given(made.path)) == made
    assert shvit_mobile.open_runner(Artifact.open(as_given(made.path))).execution == "native"
    assert [one.artifact.name for one in open_manifests([as_given(made.path)])] == [made.path.name]
    assert compute_sha256(as_given(made.path)) == made.manifest.artifact.sha256
    assert compute_size_bytes(as_given(made.path)) == made.manifest.artifact.bytes


def test_recipes(as_given: Kind, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    save_recipe(as_given(path), Recipe(precision="fp32"), None, (as_given(tmp_path / "more.json"), "{}"))
    assert list(load_recipe(as_given(path))) == [Recipe(precision="fp32"), None]


@pytest.mark.parametrize("name", ["device_report", "goldens"])
def test_documents(name: str, as_given: Kind, tmp_path: Path) -> None:
    document = next(one for one in DOCUMENT_TYPES if name == one.NAME)
    file = next((FIXTURES / name).rglob("goldens.json" if name == "goldens" else "*.json"))
    loaded = document.load(as_given(file))
    loaded.save(as_given(tmp_path / "again.json"))
    assert (tmp_path / "again.json").read_bytes() == file.read_bytes()


def test_reports_and_apps(as_given: Kind) -> None:
    phone = FIXTURES / "device_report" / "pixel-8.json"
    assert [run.report for run in collect_device_reports([as_given(phone)])] == [
        run.report for run in collect_device_reports([phone])
    ]
    assert build_report([as_given(FIXTURES / "manifest"), as_given(phone)]).devices
    assert open_app(as_given(APP)).root == APP


def test_what_is_inside_an_artifact(artifacts: dict[str, Path], as_given: Kind) -> None:
    for target in ("coreml", "onnx"):
        inventory = import_module(f"shvit_mobile.targets.{target}").read_inventory
        assert inventory(as_given(artifacts[target])) == inventory(artifacts[target])
    assert inspect_program(as_given(artifacts["executorch"])).inventory.operators
    package = as_given(artifacts["coreml"])
    assert isinstance(load_compute_plan(package), SkippedMeasurement | tuple)
    if sys.platform != "darwin":
        assert isinstance(measure_on_device(package, "mac"), SkippedMeasurement)


def test_the_demo(as_given: Kind, tmp_path: Path) -> None:
    """Refused before the work, which takes minutes."""
    (tmp_path / "drift_report.json").touch()
    with pytest.raises(OutputExists):
        run_demo(as_given(tmp_path))


PUBLIC: tuple[Any, ...] = (
    *(one for name in shvit_mobile.__all__ if inspect.isfunction(one := getattr(shvit_mobile, name))),
    *(
        Document.load,
        Document.save,
        Artifact.open,
        load_recipe,
        save_recipe,
        open_manifests,
        collect_device_reports,
        build_report,
        open_app,
        run_demo,
        decode_image,
        load_golden_image,
    ),
    *(compute_sha256, compute_size_bytes, inspect_program, load_compute_plan, measure_on_device),
)


@pytest.mark.parametrize("function", PUBLIC, ids=lambda function: function.__qualname__)
def test_no_public_function_asks_for_a_path_object(function: Any) -> None:
    given = inspect.signature(function).parameters.values()
    narrow = [one.name for one in given if re.search(r"(?<![\w.])(pathlib\.)?Path\b", str(one.annotation))]
    assert narrow == [], f"{function.__qualname__} should take AnyPath"
